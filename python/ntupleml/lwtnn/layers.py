"""Layers of a file: checked lists of numbers first, then matrices, whose shapes follow from the number of inputs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn.network import (
    Activation,
    Convolution,
    Dense,
    Gate,
    Highway,
    Layer,
    Linear,
    Maxout,
    Normalization,
    Padding,
    Recurrent,
    RecurrentKind,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.lwtnn.json_file import Entry

RECURRENT: tuple[str, ...] = get_args(RecurrentKind)
ARCHITECTURES = ("dense", "normalization", "maxout", "highway", *RECURRENT, "conv1d", "embedding")
FUNCTIONS = (
    "linear", "sigmoid", "rectified", "softmax", "tanh", "hard_sigmoid", "elu", "leakyrelu", "swish", "abs",
)  # fmt: skip
#: Older code of the same functions, which liblwtnn keeps for comparison.
_LEGACY = {f"{name}_legacy": name for name in ("sigmoid", "hard_sigmoid", "tanh", "rectified")}
_PARAMETRIC = ("elu", "leakyrelu", "swish")
_COMPONENTS = ("i", "o", "c", "f", "z", "r", "h", "t", "carry")
_GATES: dict[str, tuple[str, ...]] = {"lstm": ("i", "f", "o", "c"), "gru": ("z", "r", "h"), "simplernn": ("h",)}
#: Reach of a convolution's kernel, in steps, that no network here has.
MOST_STEPS = 100_000


def _none() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class FlatLayer:
    """A layer whose width is not known yet."""

    architecture: str
    where: str
    #: Shape (n,). Empty where there are none.
    weights: NDArray[np.float64] = field(default_factory=_none)
    bias: NDArray[np.float64] = field(default_factory=_none)
    recurrent: NDArray[np.float64] = field(default_factory=_none)
    activation: Activation | None = None
    inner_activation: Activation | None = None
    #: Components by name, or sublayers by number.
    parts: dict[str, FlatLayer] = field(default_factory=dict)
    padding: str = ""
    dilation: int = 1


def read_layers(entry: Entry) -> list[FlatLayer]:
    """All layers of a file, used or not: liblwtnn reads them all."""
    return [_layer(layer) for layer in entry.items()]


def _layer(entry: Entry) -> FlatLayer:
    architecture = entry.at("architecture").choice(ARCHITECTURES, "architecture")
    if architecture == "embedding":
        raise entry.error(
            "embedding layers are not converted: liblwtnn's own answers are right only where the embedded variable is "
            "the last one, and it stops at a value that is not one of the categories; give the network the one-hot "
            "categories as inputs instead"
        )
    if architecture == "maxout":
        listed = entry.at("sublayers").items()
        parts = {str(index): _matrices(part, "sublayer") for index, part in enumerate(listed)}
        return FlatLayer(architecture, entry.where, parts=parts)
    if architecture == "highway" or architecture in RECURRENT:
        return _with_components(entry, architecture)
    if architecture == "conv1d":
        padding = entry.at("padding").choice(get_args(Padding), "padding")
        return _matrices(entry, "conv1d", padding, entry.at("dilation_rate").whole())
    return _matrices(entry, architecture)


def _matrices(entry: Entry, architecture: str, padding: str = "", dilation: int = 1) -> FlatLayer:
    return FlatLayer(
        architecture,
        entry.where,
        weights=entry.at("weights").numbers(),
        bias=entry.at("bias").numbers(),
        recurrent=entry.at("U").numbers() if "U" in entry else _none(),
        activation=_activation(entry.at("activation")) if "activation" in entry else None,
        padding=padding,
        dilation=dilation,
    )


def _with_components(entry: Entry, architecture: str) -> FlatLayer:
    components = entry.at("components")
    for name in components.block():
        if name not in _COMPONENTS:
            raise components.error(f"no component '{name}' is known{did_you_mean(name, _COMPONENTS)}")
    has_inner = entry.block().get("inner_activation") is not None
    return FlatLayer(
        architecture,
        entry.where,
        activation=_activation(entry.at("activation")),
        inner_activation=_activation(entry.at("inner_activation")) if has_inner else None,
        parts={name: _matrices(components.at(name), "component") for name in components.block()},
    )


def _activation(entry: Entry) -> Activation:
    if isinstance(entry.value, dict):
        return Activation(_function(entry, entry.at("function").text()), entry.at("alpha").number())
    name = _function(entry, entry.text())
    if name == "elu":
        return Activation(name, 1.0)
    if name in _PARAMETRIC:
        raise entry.error(
            f"'{name}' without its parameter, for which liblwtnn takes NaN, so that every score becomes NaN; write "
            f'{{"function": "{name}", "alpha": …}}'
        )
    return Activation(name, math.nan)


def _function(entry: Entry, name: str) -> str:
    if name in _LEGACY:
        return _LEGACY[name]
    if name not in FUNCTIONS:
        hint = "; nearest: 'rectified'" if name == "relu" else did_you_mean(name, FUNCTIONS)
        raise entry.error(f"no activation function '{name}'{hint}")
    return name


def shaped_layer(flat: FlatLayer, num_inputs: int, used_by: str, *, sequence: bool) -> tuple[Layer, int]:
    """A layer with its matrices, and how many values it gives, as liblwtnn derives them.

    `sequence`: it turns a sequence into another, not a vector. Messages name the node or form that it is used by.
    """
    shapes = _ON_SEQUENCES if sequence else _ON_ROWS
    if flat.architecture in shapes:
        return shapes[flat.architecture](flat, num_inputs)
    is_not, by = (
        (f"is not a recurrent one, but {used_by} uses it as such", "'feed_forward' or 'time_distributed'")
        if sequence
        else (f"works on sequences, but {used_by} uses it for single rows", "'sequence'")
    )
    raise NtuplemlError(f"{flat.where}: a {flat.architecture} layer {is_not}; use it by a node of type {by}")


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


def _one_width(widths: set[int], where: str, what: str) -> int:
    if len(widths) != 1:
        raise NtuplemlError(f"{where}: {what}of {min(widths)} and {max(widths)} outputs; all need the same")
    return widths.pop()


def _dense(flat: FlatLayer, num_inputs: int) -> tuple[Dense, int]:
    activation = _given(flat.activation, "activation", flat.where)
    weights = _matrix(flat.weights, num_inputs, f"{flat.where}.weights") if len(flat.weights) else None
    num_outputs = num_inputs if weights is None else len(weights)
    if len(flat.bias):
        _check_length(flat.bias, num_outputs, f"{flat.where}.bias")
    return Dense(weights, flat.bias if len(flat.bias) else None, activation), num_outputs


def _normalization(flat: FlatLayer, num_inputs: int) -> tuple[Normalization, int]:
    for key, numbers in (("weights", flat.weights), ("bias", flat.bias)):
        _check_length(numbers, num_inputs, f"{flat.where}.{key}")
    return Normalization(flat.weights, flat.bias), num_inputs


def _linear(flat: FlatLayer, num_inputs: int) -> Linear:
    weights = _matrix(flat.weights, num_inputs, f"{flat.where}.weights")
    _check_length(flat.bias, len(weights), f"{flat.where}.bias")
    return Linear(weights, flat.bias)


def _maxout(flat: FlatLayer, num_inputs: int) -> tuple[Maxout, int]:
    units = tuple(_linear(part, num_inputs) for part in flat.parts.values())
    if not units:
        raise NtuplemlError(f"{flat.where}.sublayers: no sublayers")
    return Maxout(units), _one_width({len(unit.bias) for unit in units}, f"{flat.where}.sublayers", "sublayers ")


def _component(flat: FlatLayer, name: str) -> FlatLayer:
    if name not in flat.parts:
        raise NtuplemlError(
            f"{flat.where}.components: no component '{name}', which a {flat.architecture} layer needs"
            f"{did_you_mean(name, flat.parts)}"
        )
    return flat.parts[name]


def _highway(flat: FlatLayer, num_inputs: int) -> tuple[Highway, int]:
    transform, carry = (_linear(_component(flat, name), num_inputs) for name in ("t", "carry"))
    for name, linear in (("t", transform), ("carry", carry)):
        _check_length(linear.bias, num_inputs, f"{flat.where}.components.{name}.bias")
    return Highway(transform, carry, _given(flat.activation, "activation", flat.where)), num_inputs


def _recurrent(flat: FlatLayer, num_inputs: int) -> tuple[Recurrent, int]:
    gates = {}
    for name in _GATES[flat.architecture]:
        part = _component(flat, name)
        linear = _linear(part, num_inputs)
        width = len(linear.bias)
        if len(part.recurrent) != width**2:
            raise NtuplemlError(f"{part.where}.U: {len(part.recurrent)} numbers, but {width} outputs need {width**2}")
        gates[name] = Gate(linear.weights, part.recurrent.reshape(width, width), linear.bias)
    num_outputs = _one_width({len(gate.bias) for gate in gates.values()}, f"{flat.where}.components", "")
    activation = _given(flat.activation, "activation", flat.where)
    kind = cast("RecurrentKind", flat.architecture)
    inner = activation if kind == "simplernn" else _given(flat.inner_activation, "inner_activation", flat.where)
    return Recurrent(kind, gates, activation, inner), num_outputs


def _convolution(flat: FlatLayer, num_inputs: int) -> tuple[Convolution, int]:
    num_outputs = len(flat.bias)
    if num_outputs == 0:
        raise NtuplemlError(f"{flat.where}.bias: empty, but a conv1d layer has one number per output")
    if len(flat.weights) == 0 or len(flat.weights) % (num_inputs * num_outputs):
        raise NtuplemlError(
            f"{flat.where}.weights: {len(flat.weights)} numbers are not a kernel for {num_inputs} inputs and "
            f"{num_outputs} outputs"
        )
    weights, padding = flat.weights.reshape(num_outputs, num_inputs, -1), cast("Padding", flat.padding)
    activation = _given(flat.activation, "activation", flat.where)
    layer = Convolution(weights, flat.bias, padding, flat.dilation, activation)
    if layer.span > MOST_STEPS:
        raise NtuplemlError(
            f"{flat.where}: refused: a kernel that reaches over {layer.span} steps (at most {MOST_STEPS} are read)"
        )
    return layer, num_outputs


_ON_ROWS: dict[str, Callable[[FlatLayer, int], tuple[Layer, int]]] = {
    "dense": _dense,
    "normalization": _normalization,
    "maxout": _maxout,
    "highway": _highway,
}
_ON_SEQUENCES: dict[str, Callable[[FlatLayer, int], tuple[Layer, int]]] = {
    "conv1d": _convolution,
    **dict.fromkeys(RECURRENT, _recurrent),
}
