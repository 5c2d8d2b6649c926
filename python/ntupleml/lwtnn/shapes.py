"""From lists of numbers to matrices: shapes follow from the number of inputs, as liblwtnn derives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn.layers import RECURRENT
from ntupleml.lwtnn.network import (
    Activation,
    Convolution,
    Dense,
    FeedForwardLayer,
    Gate,
    Highway,
    Linear,
    Maxout,
    Normalization,
    Padding,
    Recurrent,
    RecurrentKind,
    SequenceLayer,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.lwtnn.layers import FlatLayer

#: Reach of a convolution's kernel, in steps, that no network here has.
MOST_STEPS = 100_000
_GATES: dict[str, tuple[str, ...]] = {"lstm": ("i", "f", "o", "c"), "gru": ("z", "r", "h"), "simplernn": ("h",)}


def feed_forward_layer(flat: FlatLayer, num_inputs: int, used_by: str) -> tuple[FeedForwardLayer, int]:
    """A layer that turns a vector into another, and the width of what it gives.

    Parameters
    ----------
    used_by : str
        Node or form that uses the layer so, for messages.

    Raises
    ------
    NtuplemlError
        If the layer works on sequences, or its sizes do not fit the number of inputs or each other.
    """
    if flat.architecture == "dense":
        return _dense(flat, num_inputs)
    if flat.architecture == "normalization":
        return _normalization(flat, num_inputs), num_inputs
    if flat.architecture == "maxout":
        return _maxout(flat, num_inputs)
    if flat.architecture == "highway":
        return _highway(flat, num_inputs), num_inputs
    raise NtuplemlError(
        f"{flat.where}: a {flat.architecture} layer works on sequences, but {used_by} uses it for single rows; use it "
        "by a node of type 'sequence'"
    )


def sequence_layer(flat: FlatLayer, num_inputs: int, used_by: str) -> tuple[SequenceLayer, int]:
    """A layer that turns a sequence into another, and the width of its steps.

    Raises
    ------
    NtuplemlError
        If the layer does not work on sequences, or its sizes do not fit the number of inputs or each other.
    """
    if flat.architecture == "conv1d":
        return _convolution(flat, num_inputs)
    if flat.architecture in RECURRENT:
        return _recurrent(flat, num_inputs)
    raise NtuplemlError(
        f"{flat.where}: a {flat.architecture} layer is not a recurrent one, but {used_by} uses it as such; use it by a "
        "node of type 'feed_forward' or 'time_distributed'"
    )


def _matrix(numbers: NDArray[np.float64], num_columns: int, where: str) -> NDArray[np.float64]:
    """Row after row."""
    if len(numbers) == 0 or len(numbers) % num_columns:
        raise NtuplemlError(
            f"{where}: {len(numbers)} numbers do not make a matrix with {num_columns} columns, one per input"
        )
    return numbers.reshape(-1, num_columns)


def _check_length(numbers: NDArray[np.float64], length: int, where: str) -> None:
    if len(numbers) != length:
        raise NtuplemlError(f"{where}: {len(numbers)} numbers, but the layer has {length} outputs")


def _given(activation: Activation | None, key: str, where: str) -> Activation:
    if activation is None:
        raise NtuplemlError(f"{where}: no key '{key}'; liblwtnn needs one here ('linear' changes nothing)")
    return activation


def _dense(flat: FlatLayer, num_inputs: int) -> tuple[Dense, int]:
    activation = _given(flat.activation, "activation", flat.where)
    weights = _matrix(flat.weights, num_inputs, f"{flat.where}.weights") if len(flat.weights) else None
    num_outputs = num_inputs if weights is None else len(weights)
    if len(flat.bias):
        _check_length(flat.bias, num_outputs, f"{flat.where}.bias")
    return Dense(weights, flat.bias if len(flat.bias) else None, activation), num_outputs


def _normalization(flat: FlatLayer, num_inputs: int) -> Normalization:
    for key, numbers in (("weights", flat.weights), ("bias", flat.bias)):
        _check_length(numbers, num_inputs, f"{flat.where}.{key}")
    return Normalization(flat.weights, flat.bias)


def _linear(flat: FlatLayer, num_inputs: int) -> Linear:
    weights = _matrix(flat.weights, num_inputs, f"{flat.where}.weights")
    _check_length(flat.bias, len(weights), f"{flat.where}.bias")
    return Linear(weights, flat.bias)


def _maxout(flat: FlatLayer, num_inputs: int) -> tuple[Maxout, int]:
    units = tuple(_linear(part, num_inputs) for part in flat.parts.values())
    widths = sorted({len(unit.bias) for unit in units})
    if len(widths) != 1:
        found = f"sublayers of {widths[0]} and {widths[-1]} outputs; all need the same" if widths else "no sublayers"
        raise NtuplemlError(f"{flat.where}.sublayers: {found}")
    return Maxout(units), widths[0]


def _component(flat: FlatLayer, name: str) -> FlatLayer:
    if name not in flat.parts:
        raise NtuplemlError(
            f"{flat.where}.components: no component '{name}', which a {flat.architecture} layer needs"
            f"{did_you_mean(name, flat.parts)}"
        )
    return flat.parts[name]


def _highway(flat: FlatLayer, num_inputs: int) -> Highway:
    transform, carry = (_linear(_component(flat, name), num_inputs) for name in ("t", "carry"))
    for name, linear in (("t", transform), ("carry", carry)):
        _check_length(linear.bias, num_inputs, f"{flat.where}.components.{name}.bias")
    return Highway(transform, carry, _given(flat.activation, "activation", flat.where))


def _recurrent(flat: FlatLayer, num_inputs: int) -> tuple[Recurrent, int]:
    gates = {}
    for name in _GATES[flat.architecture]:
        part = _component(flat, name)
        linear = _linear(part, num_inputs)
        width = len(linear.bias)
        if len(part.recurrent) != width**2:
            raise NtuplemlError(f"{part.where}.U: {len(part.recurrent)} numbers, but {width} outputs need {width**2}")
        gates[name] = Gate(linear.weights, part.recurrent.reshape(width, width), linear.bias)
    widths = sorted({len(gate.bias) for gate in gates.values()})
    if len(widths) != 1:
        raise NtuplemlError(f"{flat.where}.components: of {widths[0]} and {widths[-1]} outputs; all need the same")
    activation = _given(flat.activation, "activation", flat.where)
    kind = cast("RecurrentKind", flat.architecture)
    inner = activation if kind == "simplernn" else _given(flat.inner_activation, "inner_activation", flat.where)
    return Recurrent(kind, gates, activation, inner), widths[0]


def _convolution(flat: FlatLayer, num_inputs: int) -> tuple[Convolution, int]:
    num_outputs = len(flat.bias)
    if num_outputs == 0:
        raise NtuplemlError(f"{flat.where}.bias: empty, but a conv1d layer has one number per output")
    if len(flat.weights) == 0 or len(flat.weights) % (num_inputs * num_outputs):
        raise NtuplemlError(
            f"{flat.where}.weights: {len(flat.weights)} numbers are not a kernel for {num_inputs} inputs and "
            f"{num_outputs} outputs"
        )
    layer = Convolution(
        flat.weights.reshape(num_outputs, num_inputs, -1),
        flat.bias,
        cast("Padding", flat.padding),
        flat.dilation,
        _given(flat.activation, "activation", flat.where),
    )
    if layer.span > MOST_STEPS:
        raise NtuplemlError(
            f"{flat.where}: refused: a kernel that reaches over {layer.span} steps (at most {MOST_STEPS} are read)"
        )
    return layer, num_outputs
