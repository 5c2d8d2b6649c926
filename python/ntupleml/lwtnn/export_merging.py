"""Keras layers and operations that join several values of an event, as lwtnn's nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.lwtnn.export_parts import LayerEntry, affine, flat, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ntupleml.lwtnn.export_graph import NetworkBuilder, Value


def convert_merging(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value | None:
    """A layer or operation of several inputs; None if it is another one.

    Parameters
    ----------
    values : sequence of Value
        What it reads.
    builder : NetworkBuilder
        Where its nodes are appended.

    Raises
    ------
    NtuplemlError
        If it cannot be exported.
    """
    name = type(operation).__name__
    is_layer = type(operation).__module__.startswith("keras.src.layers.")
    if name == "Sum" and not is_layer:
        return _sum(operation, values, builder)
    if name not in _MERGERS or (not is_layer and name not in _OPERATIONS):
        return None
    if not is_layer and len(values) < 2:
        refuse(operation, "one of its inputs is a constant, which lwtnn joins with no value")
    if any(value.sequence for value in values):
        refuse(operation, "lwtnn joins rows only, not sequences")
    if name != "Concatenate" and len({value.width for value in values}) > 1:
        widths = ", ".join(str(value.width) for value in values)
        refuse(operation, f"its inputs have {widths} values; lwtnn needs as many in each")
    return _MERGERS[name](operation, values, builder)


#: Names that operations (`keras.ops`) share with the layers.
_OPERATIONS = ("Add", "Subtract", "Concatenate", "Maximum", "Minimum")


def _sum(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    axes = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
    (value,) = values
    if not value.sequence or value.distributed or list(axes) not in ([1], [-2]) or operation.keepdims:
        refuse(operation, "lwtnn sums sequences over their steps only (axis=1)")
    return builder.merged("sum", values)


def _add(_operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    return builder.merged("add", values)


def _scaled(value: Value, factor: float, builder: NetworkBuilder, key: object) -> Value:
    layers = affine(np.full(value.width, factor), np.zeros(value.width))
    return builder.chain(value, layers, value.width, (key, factor, value.width))


def _average(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    return _scaled(builder.merged("add", values), 1 / len(values), builder, operation)


def _subtract(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    first, second = values
    return builder.merged("add", [first, _scaled(second, -1.0, builder, operation)])


def _concatenate(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    if operation.axis not in (-1, 1):
        refuse(operation, f"it works along axis {operation.axis}; rows are joined along the last one")
    return builder.merged("concatenate", values)


def _maximum(operation: Any, values: Sequence[Value], builder: NetworkBuilder, sign: float = 1.0) -> Value:
    """Each part of the concatenated rows is a linear map of them, the largest of which lwtnn's maxout takes."""
    width, number = values[0].width, len(values)
    unit = np.eye(width * number) * sign
    layer: LayerEntry = {
        "architecture": "maxout",
        "sublayers": [
            {"weights": flat(unit[part * width : (part + 1) * width]), "bias": [0.0] * width} for part in range(number)
        ],
    }
    joined = builder.merged("concatenate", values)
    return builder.chain(joined, [layer], width, (operation, sign, width, number))


def _minimum(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    return _scaled(_maximum(operation, values, builder, sign=-1.0), -1.0, builder, operation)


_MERGERS: dict[str, Callable[[Any, Sequence[Value], NetworkBuilder], Value]] = {
    "Add": _add,
    "Average": _average,
    "Concatenate": _concatenate,
    "Maximum": _maximum,
    "Minimum": _minimum,
    "Subtract": _subtract,
}
