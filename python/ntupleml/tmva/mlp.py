"""Multilayer perceptrons of TMVA: the `Weights` of a MethodMLP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.tmva.method import Mlp
from ntupleml.tmva.xml_file import child, children, integer, numbers

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ntupleml.tmva.method import Analysis

_NEURONS = ("sigmoid", "tanh", "ReLU", "radial", "linear")
_NEURON_INPUTS = ("sum", "sqsum", "abssum")
_OUTPUTS: dict[str, Literal["sigmoid", "linear", "softmax"]] = {
    "Classification": "sigmoid",
    "Multiclass": "softmax",
    "Regression": "linear",
}
#: TMVA 4.2.1, from which on tanh is an approximation, as TMVA writes versions in files: a byte per number.
_APPROXIMATE_TANH = 4 << 16 | 2 << 8 | 1
#: A network of this many weights would be a file of a gigabyte.
_MOST_NEURONS = 1_000_000


def read_mlp(root: Element, analysis: Analysis, num_inputs: int, num_outputs: int, where: str) -> Mlp:
    """Network of a weights file.

    Whatever estimator the file names, TMVA's Reader puts a sigmoid on the output of a classification and nothing on
    those of several classes and of regression (`MethodANNBase::ProcessOptions`).

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.
    analysis : str
    num_inputs, num_outputs : int
    where : str
        Path of the file, for messages.

    Raises
    ------
    NtuplemlError
        If a layer or weight is missing or not a number, counts contradict, or a kind of neuron is unknown.
    """
    neuron = _option(root, "NeuronType", _NEURONS, where)
    neuron_input = _option(root, "NeuronInputType", _NEURON_INPUTS, where)
    weights = _read_layers(child(root, "Weights", where), where)
    if weights[0].shape[0] != num_inputs + 1 or weights[-1].shape[1] != num_outputs:
        raise NtuplemlError(
            f"{where}: its network has {weights[0].shape[0] - 1} inputs and {weights[-1].shape[1]} outputs, where "
            f"{num_inputs} and {num_outputs} are needed"
        )
    return Mlp(
        weights,
        neuron,
        _OUTPUTS[analysis],
        cast("Literal['sum', 'sqsum', 'abssum']", neuron_input),
        exact_tanh=neuron == "tanh" and _training_version(root) < _APPROXIMATE_TANH,
    )


def _read_layers(weights: Element, where: str) -> tuple[NDArray[np.float32], ...]:
    """Synapses between each two layers; a file lists them by the neuron that they leave."""
    layout = weights if weights.find("Layout") is None else child(weights, "Layout", where)
    layers = children(layout, "Layer", where, integer(layout, "NLayers", where, minimum=2, maximum=1000))
    sizes = []
    for index, layer in enumerate(layers):
        if integer(layer, "Index", where) != index:
            raise NtuplemlError(f"{where}: its layers are not in order; the file is damaged")
        sizes.append(integer(layer, "NNeurons", where, minimum=1, maximum=_MOST_NEURONS))
    result = []
    for index, layer in enumerate(layers):
        place = f"{where}: layer {index}"
        neurons = children(layer, "Neuron", place, sizes[index])
        is_last = index == len(layers) - 1
        # every layer but the last ends with a bias neuron, at which no synapse arrives
        count = 0 if is_last else sizes[index + 1] - (index + 1 < len(layers) - 1)
        if not is_last and (count < 1 or sizes[index] < 2):
            raise NtuplemlError(f"{place}: it, or the next layer, has no neuron beside the bias; the file is damaged")
        for neuron in neurons:
            if integer(neuron, "NSynapses", place) != count:
                raise NtuplemlError(f"{place}: a neuron has {neuron.get('NSynapses')} synapses, where {count} lead on")
        if not is_last:
            rows = [numbers(neuron.text, count, "Neuron", place) for neuron in neurons]
            result.append(np.array(rows).astype(np.float32))
    return tuple(result)


def _option(root: Element, name: str, known: tuple[str, ...], where: str) -> str:
    """Value of an option; the first known one where the file does not have it."""
    for option in root.iterfind("Options/Option"):
        if option.get("name") == name:
            value = (option.text or "").strip()
            if value not in known:
                raise NtuplemlError(f"{where}: unknown {name} '{one_line(value, 40)}'{did_you_mean(value, known)}")
            return value
    return known[0]


def _training_version(root: Element) -> int:
    """TMVA's number of its version in brackets, as in ``4.2.1 [262657]``; the newest where the file has none."""
    for info in root.iterfind("GeneralInfo/Info"):
        if info.get("name") == "TMVA Release" and (found := re.search(r"\[(\d{1,9})\]", info.get("value", ""))):
            return int(found[1])
    return _APPROXIMATE_TANH
