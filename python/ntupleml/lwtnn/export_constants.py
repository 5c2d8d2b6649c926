"""Arithmetic of one value with constants (`2 * x - 1`, `keras.ops.clip(x, 0, 1)`) as lwtnn's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.lwtnn.export_parts import activation_only, affine, array, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.lwtnn.export_graph import Value
    from ntupleml.lwtnn.export_parts import LayerEntry

    Numbers = NDArray[np.float64]


def constant_layers(operation: Any, arguments: tuple[Any, ...], value: Value) -> list[LayerEntry] | None:
    """Layers of an operation (`keras.ops`) on one value and constants; None if it is another one.

    Parameters
    ----------
    arguments : tuple
        What it is called with: the value of the model, and the constants, in their order.
    value : Value
        The value of the model.

    Raises
    ------
    NtuplemlError
        If the constant changes the shape of the value, or lwtnn cannot compute the operation with it.
    """
    name = type(operation).__name__
    if hasattr(operation, "trainable_variables"):
        return None  # a layer
    if name == "Negative":
        return affine(np.full(value.width, -1.0), np.zeros(value.width))
    if name == "Clip":
        low, high = (_constant(operation, bound, value) for bound in (operation.x_min, operation.x_max))
        return [*_largest(low), *_smallest(high)]
    if name not in _LAYERS or len(arguments) != 2:
        return None
    is_first = _is_of_model(arguments[0])
    constant = _constant(operation, arguments[1 if is_first else 0], value)
    return _LAYERS[name](operation, constant, is_first)


def _is_of_model(argument: Any) -> bool:
    import keras

    return isinstance(argument, keras.KerasTensor)


def _constant(operation: Any, constant: Any, value: Value) -> Numbers:
    """A constant as one number for each element of a row."""
    numbers = array(operation, constant)
    per_row = numbers.size == 1 or numbers.shape[-1] == numbers.size == value.width
    if not per_row or numbers.ndim > value.rank:
        refuse(
            operation, f"its constant has the shape {numbers.shape}; lwtnn takes a number, or one per value of a row"
        )
    return np.broadcast_to(numbers.ravel(), (value.width,)).copy()


def _add(_operation: Any, constant: Numbers, _is_first: bool) -> list[LayerEntry]:
    return affine(np.ones_like(constant), constant)


def _subtract(_operation: Any, constant: Numbers, is_first: bool) -> list[LayerEntry]:
    sign = 1.0 if is_first else -1.0
    return affine(np.full_like(constant, sign), -sign * constant)


def _multiply(_operation: Any, constant: Numbers, _is_first: bool) -> list[LayerEntry]:
    return affine(constant, np.zeros_like(constant))


def _divide(operation: Any, constant: Numbers, is_first: bool) -> list[LayerEntry]:
    if not is_first:
        refuse(operation, "lwtnn has no division by a value of an event")
    if not constant.all():
        refuse(operation, "it divides by zero")
    return affine(1 / constant, np.zeros_like(constant))


def _power(operation: Any, constant: Numbers, is_first: bool) -> list[LayerEntry]:
    if not is_first or (constant != 1).any():
        refuse(operation, "lwtnn has no powers")
    return affine(constant, np.zeros_like(constant))


def _largest(constant: Numbers) -> list[LayerEntry]:
    """max(x, c) = max(x − c, 0) + c."""
    ones = np.ones_like(constant)
    return [*affine(ones, -constant), activation_only("rectified"), *affine(ones, constant)]


def _smallest(constant: Numbers) -> list[LayerEntry]:
    """min(x, c) = c − max(c − x, 0)."""
    minus = -np.ones_like(constant)
    return [*affine(minus, constant), activation_only("rectified"), *affine(minus, constant)]


def _maximum(_operation: Any, constant: Numbers, _is_first: bool) -> list[LayerEntry]:
    return _largest(constant)


def _minimum(_operation: Any, constant: Numbers, _is_first: bool) -> list[LayerEntry]:
    return _smallest(constant)


_LAYERS: dict[str, Callable[[Any, Numbers, bool], list[LayerEntry]]] = {
    "Add": _add,
    "Divide": _divide,
    "Maximum": _maximum,
    "Minimum": _minimum,
    "Multiply": _multiply,
    "Power": _power,
    "Subtract": _subtract,
    "TrueDivide": _divide,
}
