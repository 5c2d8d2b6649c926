"""TMVA's networks: multilayer perceptrons (MethodMLP), and the Keras file that a PyKeras weights file names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np

from ntupleml.tmva.method import Mlp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.tmva.method import MethodSetup
    from ntupleml.tmva.xml_file import Node

_NEURONS = ("sigmoid", "tanh", "ReLU", "radial", "linear")
_NEURON_INPUTS = ("sum", "sqsum", "abssum")
#: The default first.
_ESTIMATORS = ("MSE", "CE")
#: TMVA 4.2.1, from which on tanh is an approximation, as TMVA writes versions in files: a byte per number.
_APPROXIMATE_TANH = 4 << 16 | 2 << 8 | 1
#: A network of this many weights would be a file of a gigabyte.
_MOST_NEURONS = 1_000_000
_HDF5 = (".h5", ".hdf5")


def read_mlp(setup: MethodSetup) -> Mlp:
    """Network of a weights file.

    The estimator that the file names decides on the outputs: a sigmoid for CE, nothing for MSE, which is also that of
    old files that name none (`MethodANNBase::BuildNetwork`). Since TMVA 4.2 every classification has CE, everything
    else MSE.
    """
    root, analysis, num_inputs, num_outputs = setup
    neuron = setup.choice("NeuronType", _NEURONS)
    neuron_input = setup.choice("NeuronInputType", _NEURON_INPUTS)
    weights = _read_layers(setup.weights)
    if weights[0].shape[0] != num_inputs + 1 or weights[-1].shape[1] != num_outputs:
        raise root.error(
            f"its network has {weights[0].shape[0] - 1} inputs and {weights[-1].shape[1]} outputs, where {num_inputs} "
            f"and {num_outputs} are needed"
        )
    estimator = setup.choice("EstimatorType", _ESTIMATORS)
    if estimator == "CE" and analysis == "Multiclass":
        raise root.error("EstimatorType is CE, which a Multiclass network never has; the file is damaged")
    return Mlp(
        weights,
        neuron,
        "sigmoid" if estimator == "CE" else "softmax" if analysis == "Multiclass" else "linear",
        cast("Literal['sum', 'sqsum', 'abssum']", neuron_input),
        exact_tanh=neuron == "tanh" and _training_version(root) < _APPROXIMATE_TANH,
    )


def _read_layers(weights: Node) -> tuple[NDArray[np.float32], ...]:
    """Synapses between each two layers; a file lists them by the neuron that they leave."""
    layout = weights.child("Layout") if weights.has("Layout") else weights
    layers = layout.children("Layer", layout.integer("NLayers", minimum=2, maximum=1000))
    sizes = []
    for index, layer in enumerate(layers):
        if layer.integer("Index") != index:
            raise layout.error("its layers are not in order; the file is damaged")
        sizes.append(layer.integer("NNeurons", minimum=1, maximum=_MOST_NEURONS))
    result = []
    for index, layer in enumerate([layer.at(f"layer {index}") for index, layer in enumerate(layers)]):
        neurons = layer.children("Neuron", sizes[index])
        is_last = index == len(layers) - 1
        # every layer but the last ends with a bias neuron, at which no synapse arrives
        count = 0 if is_last else sizes[index + 1] - (index + 1 < len(layers) - 1)
        if not is_last and (count < 1 or sizes[index] < 2):
            raise layer.error("it, or the next layer, has no neuron beside the bias; the file is damaged")
        for neuron in neurons:
            if neuron.integer("NSynapses") != count:
                raise layer.error(f"a neuron has {neuron.get('NSynapses')} synapses, where {count} lead on")
        if not is_last:
            result.append(np.array([neuron.numbers(count) for neuron in neurons]).astype(np.float32))
    return tuple(result)


def _training_version(root: Node) -> int:
    """TMVA's number of its version in brackets, as in ``4.2.1 [262657]``; the newest where the file has none."""
    for info in root.element.iterfind("GeneralInfo/Info"):
        found = re.search(r"\[(\d{1,9})\]", info.get("value", ""))
        if found and info.get("name") in ("TMVA Release", "TMVA"):
            return int(found[1])
    return _APPROXIMATE_TANH


class PyKeras(NamedTuple):
    """The network of a PyKeras method."""

    #: The trained network, a `.keras` file that is there.
    file: Path
    #: Of the method: classes, targets, or 1.
    num_outputs: int


def read_pykeras(setup: MethodSetup) -> PyKeras:
    """Find the network that a PyKeras weights file belongs to.

    MethodPyKeras writes no weights of its own: its options `FilenameTrainedModel` and `FilenameModel` name the
    trained network and the one that the training began with. Their paths are as seen from the folder of the
    training. Looked for are the path itself (from the current folder), the same path beside the weights file and in
    the folders above it, and the bare name beside the weights file; and there also the same name ending in `.keras`,
    for networks in HDF5 that have been converted.
    """
    root = setup.root
    # where MethodPyKeras puts the trained network unless told otherwise
    default = f"TrainedModel_{root.get('Method').partition('::')[2]}.h5"
    name = setup.options.get("FilenameTrainedModel") or default
    places = _places(Path(name), Path(root.where))
    for place in places:
        if place.suffix not in _HDF5 and place.is_file():
            return PyKeras(place, setup.num_outputs)
    for place in places:
        if place.suffix in _HDF5 and place.is_file():
            new = place.with_suffix(".keras")
            raise root.error(
                f"FilenameTrainedModel is '{place}', a Keras model in HDF5, which is not read: loading one can run "
                f"code in it; where you trust it, keras.models.load_model('{place.name}', compile=False)."
                f"save('{new.name}') writes the one that is looked for beside it"
            )
    raise root.error(
        f"FilenameTrainedModel is '{name}', which is found neither from here nor from the folder of the weights file; "
        "put it there (as .keras)"
    )


def _places(named: Path, weights: Path) -> list[Path]:
    """Where a named file may be, best first; each also with the ending of Keras 3."""
    folders = [weights.parent, *list(weights.absolute().parents)[1:4]]
    found = [
        named,
        *([] if named.is_absolute() else [folder / named for folder in folders]),
        weights.parent / named.name,
    ]
    return list(dict.fromkeys(place for path in found for place in (path, path.with_suffix(".keras"))))
