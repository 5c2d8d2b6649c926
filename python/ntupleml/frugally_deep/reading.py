"""Files of frugally-deep read into plain data: the description is checked like that of a Keras file, which it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts.keras_config import read_network_config
from ntupleml.artifacts.keras_files import KerasFile
from ntupleml.errors import NtuplemlError
from ntupleml.frugally_deep.evaluation import EVALUATORS
from ntupleml.frugally_deep.layers import decoded, from_file, weight_names
from ntupleml.lwtnn.json_file import Entry, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_network import KerasLayer

#: Key of what we say of a network; frugally-deep reads past it.
REMARKS = "ntupleml"


def read_frugally_deep(path: str | Path) -> KerasFile:
    """Read a network as plain data: that of a Keras file, which `evaluate`, `keras_to_onnx` and Keras take.

    No network takes more memory than its file; shapes and numbers of weights follow from the description.

    Raises
    ------
    NtuplemlError
        If the file cannot be read, is damaged, or has a layer or setting that is not read here.
    """
    return network_of(read_json(path, "frugally-deep"), str(path))


def network_of(content: Mapping[str, Any], where: str) -> KerasFile:
    """The network that the content of a file describes."""
    file = Entry(dict(content), where)
    data_format = file.at("image_data_format").text()
    if data_format != "channels_last":
        raise NtuplemlError(f"{where}: image_data_format: '{data_format}'; frugally-deep reads channels_last only")
    network = read_network_config(file.at("architecture").block(), f"{where}: architecture")
    for layer in network.layers:
        if layer.kind not in EVALUATORS:
            raise NtuplemlError(f"{where}: architecture: {layer.title} is not evaluated here")
    _check_shapes(file.at("input_shapes"), [list(shape) for shape in network.inputs.values()])
    _check_shapes(file.at("output_shapes"), [[network.num_outputs]])
    parameters = file.at("trainable_params")
    return KerasFile(network, {layer.names: _weights(parameters, layer) for layer in network.layers}, {})


def _check_shapes(entry: Entry, wanted: list[list[int | None]]) -> None:
    found = [one.value for one in entry.items()]
    if found != wanted:
        raise entry.error(f"{found} where the architecture has {wanted}; damaged")


def _weights(parameters: Entry, layer: KerasLayer) -> list[NDArray[Any]]:
    names = weight_names(layer.kind, layer.settings)
    if not names:
        return []
    block = parameters.at("_".join(layer.names))
    found = []
    for number, (name, shape) in enumerate(zip(names, layer.weights, strict=True)):
        entry = block.at(name)
        try:
            values = decoded(entry.value, math.prod(size or 1 for size in shape))
        except ValueError as error:
            raise entry.error(str(error)) from None
        found.append(from_file(layer.kind, number, values, shape))
    return found
