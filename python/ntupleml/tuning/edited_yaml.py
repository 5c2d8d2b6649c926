"""Values put into the text of a YAML file; all else in it, comments and order, stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from ntupleml.tuning.space import label

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_values(text: str, values: Mapping[str, Any]) -> str:
    r"""Text of a YAML file with values at dotted keys; entries of lists by their number or `name`.

    Examples
    --------
    >>> print(with_values("model:  # the network\n  hidden: [20]\n", {"model.hidden": [100], "model.l2": 0.1}))
    model:  # the network
      hidden: [100]
      l2: 0.1
    <BLANKLINE>
    """
    for key, value in values.items():
        text = _with_value(text, key.split("."), value)
    return text


def _with_value(text: str, parts: list[str], value: Any) -> str:
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for depth, part in enumerate(parts):
        child = _child(node, part)
        if child is None:
            for missing in reversed(parts[depth + 1 :]):
                value = {missing: value}
            return _inserted(text, node, part, value)
        node = child
    return _replaced(text, node, value)


def _child(node: Any, part: str) -> Any:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode):
        named = [getattr(_child(entry, "name"), "value", None) for entry in node.value]
        if part in named:
            return node.value[named.index(part)]
        return node.value[int(part)] if part.isdigit() and int(part) < len(node.value) else None
    return None


def _end(node: Any) -> int:
    """Where the text of a node ends; that of a block ends with its last value, not before the next key."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, yaml.MappingNode) else last)


def _replaced(text: str, node: Any, value: Any) -> str:
    start, end = node.start_mark.index, _end(node)
    space = " " if start == end else ""  # nothing stands behind the colon
    return f"{text[:start]}{space}{label(value)}{text[end:]}"


def _inserted(text: str, node: Any, key: str, value: Any) -> str:
    """With one more key in a mapping, at its end."""
    if not isinstance(node, yaml.MappingNode):
        return _replaced(text, node, {key: value})
    if node.flow_style:
        end = node.end_mark.index - 1
        comma = ", " if node.value else ""
        return f"{text[:end]}{comma}{key}: {label(value)}{text[end:]}"
    end = text.find("\n", _end(node))
    end = len(text) if end < 0 else end
    return f"{text[:end]}\n{' ' * node.start_mark.column}{key}: {label(value)}{text[end:]}"
