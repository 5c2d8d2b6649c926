"""Names of a graph's values changed, those in the bodies of its loops too, so that several graphs fit into one.

`onnx.compose` leaves what a body reads from around it under its old name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def prefixed(graph: onnx.GraphProto, prefix: str) -> onnx.GraphProto:
    """A copy of a graph in which each name begins with a prefix."""
    part = onnx.GraphProto()
    part.CopyFrom(graph)
    rename(part, {name: f"{prefix}{name}" for name in defined(part) if name}, prefix)
    return part


def defined(graph: onnx.GraphProto) -> Iterator[str]:
    """Names of all values of a graph, and of the bodies of its loops."""
    yield from (value.name for value in (*graph.input, *graph.initializer))
    for node in graph.node:
        yield from node.output
        for body in _bodies(node):
            yield from defined(body)


def rename(graph: onnx.GraphProto, names: Mapping[str, str], prefix: str) -> None:
    """Give values other names, and nodes a prefix; shapes of values inside are forgotten.

    Parameters
    ----------
    names : mapping of str to str
        From old to new names; others stay.
    """
    for node in graph.node:
        node.name = f"{prefix}{node.name}" if node.name else ""
        for values in (node.input, node.output):
            for place, name in enumerate(values):
                values[place] = names.get(name, name)
        for body in _bodies(node):
            rename(body, names, prefix)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    del graph.value_info[:]


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs
