"""Networks of Keras 2 and QKeras in HDF5 files, read as plain data: nothing of them is imported or run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.keras_config import QKERAS_MODULES, read_network_config
from ntupleml.artifacts.keras_files import KerasFile
from ntupleml.artifacts.keras_layers import QKERAS
from ntupleml.artifacts.keras_weights import require_plain
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import h5py
    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_network import KerasLayer

_LARGEST_FILE, _LONGEST_CONFIG, _MOST_LAYERS = 1_000_000_000, 10_000_000, 3_000
#: Layers of QKeras that are read.
_QKERAS_LAYERS = ("QActivation", "QBatchNormalization", "QDense", "QDenseBatchnorm")
#: What only a training needs, by the ends of its name; it may be anything.
_TRAINING_ONLY = ("_initializer", "_regularizer", "_constraint")
#: Settings of Keras 2 that say nothing, or nothing once a network is trained.
_LEFT_OUT = ("kernel_range", "bias_range", "ema_freeze_delay", "renorm_momentum", "virtual_batch_size", "fused")
#: Names of weights in the order in which Keras 3 has them.
_WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "QDense": ("kernel", "bias"),
    "QDenseBatchnorm": ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"),
    "QBatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}
#: Which setting a layer lacks a weight by.
_SWITCHES = {"bias": "use_bias", "gamma": "scale", "beta": "center"}


def read_keras2_file(path: str | Path) -> KerasFile:
    """Read a network that Keras 2 wrote as HDF5, with layers of QKeras or without.

    Looked at are the description of the network, which is translated to the form of Keras 3 and read like that of any
    other file, the quantisers, whose texts are parsed, and the weights, by their names and shapes. Links, numbers in
    other files and compressed or oversized ones are refused.

    Parameters
    ----------
    path : path
        An ``.h5`` file as ``model.save`` of Keras 2 makes it.

    Raises
    ------
    NtuplemlError
        Saying what is wrong, on one line.
    """
    import h5py

    where = str(path)
    try:
        size = Path(path).stat().st_size
        if size > _LARGEST_FILE:
            raise NtuplemlError(f"{where}: refused: {size:,} bytes are more than a network of this kind has")
        with h5py.File(path, "r") as file:
            require_plain(file, size, where)
            network = read_network_config(_translated(_description(file, where), where), where, QKERAS_MODULES)
            weights = {layer.names: _weights_of(file, layer, where) for layer in network.layers}
    except FileNotFoundError:
        raise NtuplemlError(f"{where}: no such file") from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # what h5py raises for damaged files
        raise NtuplemlError(f"{where}: not a model of Keras 2, or damaged: {one_line(error)}") from error
    return KerasFile(network, weights, {})


def _description(file: h5py.File, where: str) -> Any:
    """The parsed JSON that describes the network."""
    if "model_config" not in file.attrs:
        raise NtuplemlError(f"{where}: an HDF5 file without a network: it has no attribute model_config")
    place = file.attrs.get_id("model_config")
    if place.shape != () or place.get_storage_size() > _LONGEST_CONFIG:
        raise NtuplemlError(f"{where}: refused: its attribute model_config is no text, or too long")
    text = file.attrs["model_config"]
    if not isinstance(text, str | bytes | np.bytes_) or len(text) > _LONGEST_CONFIG:
        raise NtuplemlError(f"{where}: refused: its attribute model_config is no text, or too long")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise NtuplemlError(f"{where}: refused: its description is nested without end") from error


def _translated(config: Any, where: str) -> dict[str, Any]:
    """The description as Keras 3 would write it; only what is translated is there, and all of it is checked later."""
    settings = config.get("config") if isinstance(config, dict) else None
    layers = settings.get("layers") if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise NtuplemlError(f"{where}: its description is none of a network with a list of layers")
    if config.get("class_name") not in ("Sequential", "Functional", "Model"):
        raise NtuplemlError(f"{where}: '{one_line(config.get('class_name'), 50)}' is no kind of network that is read")
    kind = "Sequential" if config["class_name"] == "Sequential" else "Functional"
    kept = {key: settings[key] for key in ("name", "trainable", "input_layers", "output_layers") if key in settings}
    translated = [_layer(layer, kind == "Functional", where) for layer in layers]
    return {"module": "keras", "class_name": kind, "config": {"name": "network", **kept, "layers": translated}}


def _layer(layer: Any, is_functional: bool, where: str) -> dict[str, Any]:
    settings = layer.get("config") if isinstance(layer, dict) else None
    if not isinstance(settings, dict):
        raise NtuplemlError(f"{where}: refused: a layer of its description has no settings")
    kind = layer.get("class_name")
    is_quantised = kind in _QKERAS_LAYERS
    kept = {
        key: value
        for key, value in settings.items()
        if not key.endswith(_TRAINING_ONLY) and key not in _LEFT_OUT and value is not None
    }
    if kind == "LeakyReLU" and "alpha" in kept:
        kept["negative_slope"] = kept.pop("alpha")
    item = {
        "module": "qkeras.layers" if is_quantised else "keras.layers",
        "class_name": kind,
        "config": kept,
        "registered_name": f"{QKERAS}{kind}" if is_quantised else None,
    }
    return {**item, "inbound_nodes": _calls(layer, where)} if is_functional else item


def _calls(layer: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """Calls of a layer: each a list of `[name, number, index, arguments]`."""
    calls = layer.get("inbound_nodes")
    if not isinstance(calls, list) or len(calls) > _MOST_LAYERS:
        raise NtuplemlError(f"{where}: refused: a layer of its description has no list of calls")
    return [{"args": [_tensors(call, where)], "kwargs": {}} for call in calls]


def _tensors(call: Any, where: str) -> Any:
    tensors = []
    for source in call if isinstance(call, list) else [None]:
        if not isinstance(source, list) or len(source) not in (3, 4) or (len(source) == 4 and source[3] != {}):
            raise NtuplemlError(f"{where}: refused: a layer is called in a form that is not read: {one_line(call, 80)}")
        tensors.append({"class_name": "__keras_tensor__", "config": {"keras_history": source[:3]}})
    return tensors[0] if len(tensors) == 1 else tensors


def _weights_of(file: h5py.File, layer: KerasLayer, where: str) -> list[NDArray[Any]]:
    """Weights by the ends of their names, in the order that the layer has them."""
    names = [
        name
        for name in _WEIGHTS.get(layer.kind.removeprefix(QKERAS), ())
        if layer.settings.get(_SWITCHES.get(name, ""), True)
    ]
    if len(names) != len(layer.weights):
        raise NtuplemlError(f"{where}: {layer.title} has weights in a form that is not read from HDF5")
    if not names:
        return []
    found = _named_arrays(file, layer.names[-1])
    arrays = []
    for name, shape in zip(names, layer.weights, strict=True):
        if name not in found or found[name].shape != shape or found[name].dtype.kind != "f":
            shown = found[name].shape if name in found else "none"
            raise NtuplemlError(
                f"{where}: the weights '{name}' of {layer.title} have the shape {shown}, but its description needs "
                f"{shape}; the file is damaged, or put together from two"
            )
        arrays.append(np.asarray(found[name], np.float32))
    return arrays


def _named_arrays(file: h5py.File, layer: str) -> dict[str, h5py.Dataset]:
    """Arrays of a layer by the last part of their names; each name once."""
    import h5py

    group = (file.get("model_weights", file)).get(layer)
    found: dict[str, Any] = {}
    waiting = [group] if isinstance(group, h5py.Group) else []
    while waiting:
        for name, item in waiting.pop().items():
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif name.split(":")[0] in found:
                raise ValueError(f"the layer {layer[:50]} has the weights {name[:50]} twice")
            else:
                found[name.split(":")[0]] = item
    return found
