"""Other forms of a quantised network: without the softmax behind it, and as if nothing rounded its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.keras_shapes import Part
from ntupleml.quantised.layers import normalised_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile
    from ntupleml.artifacts.keras_network import KerasLayer, LayerCall


def without_softmax(file: KerasFile) -> KerasFile:
    """The network up to the numbers of which a last softmax makes probabilities; the same where there is none.

    Hardware has no use for the softmax, which keeps the order of the scores.
    """
    network = file.network
    last = network.last
    if last.layer.kind != "Activation" or last.layer.settings.get("activation") != "softmax":
        return file
    kept = [call for call in network.calls if call is not last]
    return file._replace(network=replace(network, calls=kept, output=last.inputs[0]))


def up_to(file: KerasFile, layer: str) -> KerasFile:
    """The network that gives what a layer of it gives."""
    network, needed = file.network, set()
    output = next(call.output for call in network.calls if call.layer.names == (layer,))
    wanted = {output}
    for call in reversed(network.calls):
        if call.output in wanted:
            wanted |= set(call.inputs)
            needed.add(call.output)
    calls = [call for call in network.calls if call.output in needed]
    return file._replace(network=replace(network, calls=calls, output=output))


def unrounded(file: KerasFile) -> KerasFile:
    """The same network with its weights as they were trained and all its numbers as they come."""
    calls: list[LayerCall] = []
    weights = dict(file.weights)
    for call in file.network.calls:
        layer, arrays = _unrounded(call.layer, file.weights[call.layer.names])
        weights[layer.names] = arrays
        calls.append(call._replace(layer=layer))
    return file._replace(network=replace(file.network, calls=calls), weights=weights)


def _unrounded(layer: KerasLayer, weights: list[NDArray[Any]]) -> tuple[KerasLayer, list[NDArray[Any]]]:
    kind, settings = layer.kind, layer.settings
    if kind in ("hgq>Quantizer", "qkeras>QActivation"):
        activation = "relu" if kind == "qkeras>QActivation" and "relu" in str(settings["activation"]) else "linear"
        return replace(layer, kind="Activation", settings={"activation": activation}, parts=()), []
    if not kind.endswith(("QDense", "QDenseBatchnorm")):
        return layer, weights
    kernel, bias = normalised_weights(kind, settings, weights)
    arrays = [kernel, np.zeros(kernel.shape[1], np.float32) if bias is None else bias]
    dense = {"units": kernel.shape[1], "activation": settings.get("activation") or "linear"}
    parts = (Part("", tuple(array.shape for array in arrays)),)
    return replace(layer, kind="Dense", settings=dense, parts=parts), arrays
