"""Layers as they stand in the file: lists of numbers without shape, names checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn import json_file
from ntupleml.lwtnn.network import Activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECURRENT = ("lstm", "gru", "simplernn")
ARCHITECTURES = ("dense", "normalization", "maxout", "highway", *RECURRENT, "conv1d", "embedding")
FUNCTIONS = (
    "linear", "sigmoid", "rectified", "softmax", "tanh", "hard_sigmoid", "elu", "leakyrelu", "swish", "abs",
)  # fmt: skip
#: Older code of the same functions, which liblwtnn keeps for comparison.
_LEGACY = {f"{name}_legacy": name for name in ("sigmoid", "hard_sigmoid", "tanh", "rectified")}
_PARAMETRIC = ("elu", "leakyrelu", "swish")
_COMPONENTS = ("i", "o", "c", "f", "z", "r", "h", "t", "carry")
_PADDINGS = ("valid", "same", "causal")


@dataclass(frozen=True, eq=False)
class FlatLayer:
    """A layer whose width is not known yet.

    Attributes
    ----------
    weights, bias, recurrent : array of float64, shape (n,)
        Empty where there are none.
    parts : dict of str to FlatLayer
        Components by name, or sublayers by number.
    """

    architecture: str
    where: str
    weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    bias: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    recurrent: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    activation: Activation | None = None
    inner_activation: Activation | None = None
    parts: dict[str, FlatLayer] = field(default_factory=dict)
    padding: str = ""
    dilation: int = 1


def read_layers(value: Any, where: str) -> list[FlatLayer]:
    """All layers of a file, used or not: liblwtnn reads them all.

    Parameters
    ----------
    value : parsed JSON
        Content of the key ``layers``.

    Raises
    ------
    NtuplemlError
        If a layer is of an unknown kind, or a key is missing or has a wrong value.
    """
    return [_layer(layer, f"{where}[{index}]") for index, layer in enumerate(json_file.items(value, where))]


def _layer(value: Any, where: str) -> FlatLayer:
    content = json_file.block(value, where)
    architecture = json_file.text(json_file.field(content, "architecture", where), f"{where}.architecture")
    if architecture not in ARCHITECTURES:
        raise NtuplemlError(
            f"{where}.architecture: no architecture '{architecture}'{did_you_mean(architecture, ARCHITECTURES)}"
        )
    if architecture == "embedding":
        raise NtuplemlError(
            f"{where}: embedding layers are not converted: liblwtnn's own answers are right only where the embedded "
            "variable is the last one, and it stops at a value that is not one of the categories; give the network "
            "the one-hot categories as inputs instead"
        )
    if architecture == "maxout":
        key = f"{where}.sublayers"
        listed = json_file.items(json_file.field(content, "sublayers", where), key)
        parts = {str(index): _matrices(part, "sublayer", f"{key}[{index}]") for index, part in enumerate(listed)}
        return FlatLayer(architecture, where, parts=parts)
    if architecture == "highway" or architecture in RECURRENT:
        return _with_components(content, architecture, where)
    if architecture == "conv1d":
        return _convolution(content, where)
    return _matrices(content, architecture, where)


def _matrices(value: Any, architecture: str, where: str, **more: Any) -> FlatLayer:
    content = json_file.block(value, where)
    return FlatLayer(
        architecture,
        where,
        weights=json_file.numbers(json_file.field(content, "weights", where), f"{where}.weights"),
        bias=json_file.numbers(json_file.field(content, "bias", where), f"{where}.bias"),
        recurrent=json_file.numbers(content.get("U", []), f"{where}.U"),
        activation=_activation(content["activation"], f"{where}.activation") if "activation" in content else None,
        **more,
    )


def _with_components(content: dict[str, Any], architecture: str, where: str) -> FlatLayer:
    key = f"{where}.components"
    parts = {}
    for name, part in json_file.block(json_file.field(content, "components", where), key).items():
        if name not in _COMPONENTS:
            raise NtuplemlError(f"{key}: no component '{name}' is known{did_you_mean(name, _COMPONENTS)}")
        parts[name] = _matrices(part, "component", f"{key}.{name}")
    inner = content.get("inner_activation")
    return FlatLayer(
        architecture,
        where,
        activation=_activation(json_file.field(content, "activation", where), f"{where}.activation"),
        inner_activation=None if inner is None else _activation(inner, f"{where}.inner_activation"),
        parts=parts,
    )


def _convolution(content: dict[str, Any], where: str) -> FlatLayer:
    padding = json_file.text(json_file.field(content, "padding", where), f"{where}.padding")
    if padding not in _PADDINGS:
        raise NtuplemlError(f"{where}.padding: no padding '{padding}'{did_you_mean(padding, _PADDINGS)}")
    dilation = json_file.whole(json_file.field(content, "dilation_rate", where), f"{where}.dilation_rate")
    return _matrices(content, "conv1d", where, padding=padding, dilation=dilation)


def _activation(value: Any, where: str) -> Activation:
    if isinstance(value, dict):
        name = json_file.text(json_file.field(value, "function", where), f"{where}.function")
        return Activation(_function(name, where), json_file.number(json_file.field(value, "alpha", where), where))
    name = _function(json_file.text(value, where), where)
    if name == "elu":
        return Activation(name, 1.0)
    if name in _PARAMETRIC:
        raise NtuplemlError(
            f"{where}: '{name}' without its parameter, for which liblwtnn takes NaN, so that every score becomes NaN; "
            f'write {{"function": "{name}", "alpha": …}}'
        )
    return Activation(name, math.nan)


def _function(name: str, where: str) -> str:
    if name in _LEGACY:
        return _LEGACY[name]
    if name not in FUNCTIONS:
        hint = "; nearest: 'rectified'" if name == "relu" else did_you_mean(name, FUNCTIONS)
        raise NtuplemlError(f"{where}: no activation function '{name}'{hint}")
    return name
