"""Multilayer perceptrons of TMVA: the `Weights` of a MethodMLP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.method import Mlp
from ntupleml.tmva.xml_file import child, children, chosen_option, integer, numbers

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

    from ntupleml.tmva.method import Analysis

_NEURONS = ("sigmoid", "tanh", "ReLU", "radial", "linear")
_NEURON_INPUTS = ("sum", "sqsum", "abssum")
#: The default first.
_ESTIMATORS = ("MSE", "CE")
#: TMVA 4.2.1, from which on tanh is an approximation, as TMVA writes versions in files: a byte per number.
_APPROXIMATE_TANH = 4 << 16 | 2 << 8 | 1
#: A network of this many weights would be a file of a gigabyte.
_MOST_NEURONS = 1_000_000


def read_mlp(root: Element, analysis: Analysis, num_inputs: int, num_outputs: int, where: str) -> Mlp:
    """Network of a weights file.

    The estimator that the file names decides on the outputs: a sigmoid for CE, nothing for MSE, which is also that of
    old files that name none (`MethodANNBase::BuildNetwork`). Since TMVA 4.2 every classification has CE, everything
    else MSE.

    Parameters
    ----------
    root : Element
        The file's `MethodSetup`.

    Raises
    ------
    NtuplemlError
        If a layer or weight is missing or not a number, counts contradict, or a kind of neuron is unknown.
    """
    neuron = chosen_option(root, "NeuronType", _NEURONS, where)
    neuron_input = chosen_option(root, "NeuronInputType", _NEURON_INPUTS, where)
    weights = _read_layers(child(root, "Weights", where), where)
    if weights[0].shape[0] != num_inputs + 1 or weights[-1].shape[1] != num_outputs:
        raise NtuplemlError(
            f"{where}: its network has {weights[0].shape[0] - 1} inputs and {weights[-1].shape[1]} outputs, where "
            f"{num_inputs} and {num_outputs} are needed"
        )
    return Mlp(
        weights,
        neuron,
        _output(root, analysis, where),
        cast("Literal['sum', 'sqsum', 'abssum']", neuron_input),
        exact_tanh=neuron == "tanh" and _training_version(root) < _APPROXIMATE_TANH,
    )


def _output(root: Element, analysis: Analysis, where: str) -> Literal["sigmoid", "linear", "softmax"]:
    if chosen_option(root, "EstimatorType", _ESTIMATORS, where) == "MSE":
        return "softmax" if analysis == "Multiclass" else "linear"
    if analysis == "Multiclass":
        raise NtuplemlError(f"{where}: EstimatorType is CE, which a Multiclass network never has; the file is damaged")
    return "sigmoid"


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


def _training_version(root: Element) -> int:
    """TMVA's number of its version in brackets, as in ``4.2.1 [262657]``; the newest where the file has none."""
    for info in root.iterfind("GeneralInfo/Info"):
        found = re.search(r"\[(\d{1,9})\]", info.get("value", ""))
        if found and info.get("name") in ("TMVA Release", "TMVA"):
            return int(found[1])
    return _APPROXIMATE_TANH
