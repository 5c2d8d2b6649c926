"""Operations and layers of several values of an event, or of one value and constants, as lwtnn's nodes and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.lwtnn.export_parts import LayerEntry, activation_only, affine, array, flat, refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.lwtnn.export_parts import NetworkBuilder, Value

    Numbers = NDArray[np.float64]

#: Layers that join values, and the names that operations (`keras.ops`) share with them.
_LAYERS = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Subtract")
_OPERATIONS = ("Add", "Subtract", "Concatenate", "Maximum", "Minimum")


def constant_layers(operation: Any, arguments: tuple[Any, ...], value: Value) -> list[LayerEntry] | None:
    """Layers of an operation (`keras.ops`) on one value of the model and constants; None if it is another one."""
    import keras

    name = type(operation).__name__
    if hasattr(operation, "trainable_variables"):
        return None  # a layer
    if name == "Negative":
        return affine(np.full(value.width, -1.0), np.zeros(value.width))
    if name == "Clip":
        low, high = (_constant(operation, bound, value) for bound in (operation.x_min, operation.x_max))
        return [*_largest(low), *_smallest(high)]
    known = ("Add", "Divide", "Maximum", "Minimum", "Multiply", "Power", "Subtract", "TrueDivide")
    if name not in known or len(arguments) != 2:
        return None
    is_first = isinstance(arguments[0], keras.KerasTensor)
    return _with_constant(operation, name, _constant(operation, arguments[1 if is_first else 0], value), is_first)


def _constant(operation: Any, constant: Any, value: Value) -> Numbers:
    """A constant as one number for each element of a row."""
    numbers = array(operation, constant)
    per_row = numbers.size == 1 or numbers.shape[-1] == numbers.size == value.width
    if not per_row or numbers.ndim > value.rank:
        refuse(
            operation, f"its constant has the shape {numbers.shape}; lwtnn takes a number, or one per value of a row"
        )
    return np.broadcast_to(numbers.ravel(), (value.width,)).copy()


def _with_constant(operation: Any, name: str, constant: Numbers, is_first: bool) -> list[LayerEntry]:
    """Layers of a value and a constant; `is_first` says whether the value stands before it."""
    zeros, ones = np.zeros_like(constant), np.ones_like(constant)
    if name == "Add":
        return affine(ones, constant)
    if name == "Subtract":
        return affine(ones, -constant) if is_first else affine(-ones, constant)
    if name == "Multiply":
        return affine(constant, zeros)
    if name == "Maximum":
        return _largest(constant)
    if name == "Minimum":
        return _smallest(constant)
    if name == "Power":
        if not is_first or (constant != 1).any():
            refuse(operation, "lwtnn has no powers")
        return affine(constant, zeros)
    if not is_first:
        refuse(operation, "lwtnn has no division by a value of an event")
    if not constant.all():
        refuse(operation, "it divides by zero")
    return affine(1 / constant, zeros)


def _largest(constant: Numbers) -> list[LayerEntry]:
    """max(x, c) = max(x − c, 0) + c."""
    ones = np.ones_like(constant)
    return [*affine(ones, -constant), activation_only("rectified"), *affine(ones, constant)]


def _smallest(constant: Numbers) -> list[LayerEntry]:
    """min(x, c) = c − max(c − x, 0)."""
    minus = -np.ones_like(constant)
    return [*affine(minus, constant), activation_only("rectified"), *affine(minus, constant)]


def convert_merging(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value | None:
    """A layer or operation of several inputs; None if it is another one."""
    name = type(operation).__name__
    is_layer = type(operation).__module__.startswith("keras.src.layers.")
    if name == "Sum" and not is_layer:
        return _sum(operation, values, builder)
    if name not in (_LAYERS if is_layer else _OPERATIONS):
        return None
    if not is_layer and len(values) < 2:
        refuse(operation, "one of its inputs is a constant, which lwtnn joins with no value")
    if any(value.sequence for value in values):
        refuse(operation, "lwtnn joins rows only, not sequences")
    if name != "Concatenate" and len({value.width for value in values}) > 1:
        widths = ", ".join(str(value.width) for value in values)
        refuse(operation, f"its inputs have {widths} values; lwtnn needs as many in each")
    return _merged(operation, name, values, builder)


def convert_masked(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    """A layer that gets a mask: of our own networks on objects, those of which lwtnn has the like."""
    name, first = type(operation).__name__, values[0]
    if name == "Reshape" and len(values) == 1:
        return first
    if name == "Multiply" and len(values) == 2:  # zeros beyond the objects, which lwtnn does not see
        return first
    if name != "MaskedPooling":
        refuse(operation, "lwtnn's sequences have no mask")
    pooled = [_pooled(operation, mode, first, builder) for mode in operation.modes]
    return pooled[0] if len(pooled) == 1 else builder.merged("concatenate", pooled)


def _pooled(operation: Any, mode: str, value: Value, builder: NetworkBuilder) -> Value:
    if mode == "sum":
        return builder.merged("sum", [value])
    if mode == "last" and builder.nodes[value.node]["type"] == "sequence":
        return value._replace(sequence=False)
    return refuse(operation, f"lwtnn has the sum over objects, and the last of a recurrent layer, but not '{mode}'")


def _sum(operation: Any, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    axes = operation.axis if isinstance(operation.axis, list | tuple) else [operation.axis]
    (value,) = values
    if not value.sequence or value.distributed or list(axes) not in ([1], [-2]) or operation.keepdims:
        refuse(operation, "lwtnn sums sequences over their steps only (axis=1)")
    return builder.merged("sum", values)


def _merged(operation: Any, name: str, values: Sequence[Value], builder: NetworkBuilder) -> Value:
    if name == "Add":
        return builder.merged("add", values)
    if name == "Average":
        return _scaled(builder.merged("add", values), 1 / len(values), builder, operation)
    if name == "Subtract":
        first, second = values
        return builder.merged("add", [first, _scaled(second, -1.0, builder, operation)])
    if name == "Maximum":
        return _maximum(operation, values, builder)
    if name == "Minimum":
        return _scaled(_maximum(operation, values, builder, sign=-1.0), -1.0, builder, operation)
    if operation.axis not in (-1, 1):
        refuse(operation, f"it works along axis {operation.axis}; rows are joined along the last one")
    return builder.merged("concatenate", values)


def _scaled(value: Value, factor: float, builder: NetworkBuilder, key: object) -> Value:
    layers = affine(np.full(value.width, factor), np.zeros(value.width))
    return builder.chain(value, layers, value.width, (key, factor, value.width))


def _maximum(operation: Any, values: Sequence[Value], builder: NetworkBuilder, sign: float = 1.0) -> Value:
    """Each part of the concatenated rows is a linear map of them, the largest of which lwtnn's maxout takes."""
    width, number = values[0].width, len(values)
    maps = np.split(np.eye(width * number) * sign, number)
    sublayers = [{"weights": flat(one), "bias": [0.0] * width} for one in maps]
    joined = builder.merged("concatenate", values)
    layer: LayerEntry = {"architecture": "maxout", "sublayers": sublayers}
    return builder.chain(joined, [layer], width, (operation, sign, width, number))
