"""Sequential networks in the files of Keras 2 that lwtnn's converter reads: architecture (JSON) and weights (HDF5).

Layout: Keras 2's ``Sequential.to_json`` and ``save_weights``; lwtnn's ``converters/keras2json.py``, which skips dropout
and reads dense layers with bias, activations, leaky ReLU, and batch normalisation with scale and centre.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.export_parts import LayerEntry, activation_only, affine, array, dense, title
from ntupleml.ntuples.hdf5_disk import new_hdf5

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: Version of Keras in whose layout the files are.
KERAS_VERSION = "2.15.0"
#: Names of activations that Keras 2 and lwtnn's converter both know, by those of Keras 3.
_ACTIVATIONS = {
    "elu": "elu",
    "linear": "linear",
    "relu": "relu",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "softmax": "softmax",
    "tanh": "tanh",
}
_LWTNN_ACTIVATIONS: dict[str, Any] = {
    "relu": "rectified",
    "elu": {"function": "elu", "alpha": 1.0},
    "swish": {"function": "swish", "alpha": 1.0},
}


class OldLayer(NamedTuple):
    """A layer as Keras 2 describes it, and its weights by name."""

    class_name: str
    config: dict[str, Any]
    weights: dict[str, NDArray[np.float64]]


def old_layers(model: Any, *, complement: bool = False) -> list[OldLayer]:
    """Layers of a `keras.Sequential` of one matrix in the terms of Keras 2.

    Parameters
    ----------
    complement : bool, default: False
        Whether its single output p is to become two, 1 − p and p, by a layer at the end.

    Raises
    ------
    NtuplemlError
        If the model is not sequential, or lwtnn's own converter would fail on a layer or give wrong numbers.
    """
    import keras

    if type(model) is not keras.Sequential:
        raise NtuplemlError(
            f"the network is a {type(model).__name__}, but lwtnn's keras2json.py reads Sequential ones; use "
            "application/export_keras_to_lwtnn.py, which needs no converter"
        )
    layers = [_input_layer(int(model.input_shape[1]))]
    for layer in model.layers:
        kind = type(layer).__name__
        if kind not in _CONVERTERS or not type(layer).__module__.startswith("keras."):
            _refuse(layer, "lwtnn's keras2json.py does not read it")
        layers += _CONVERTERS[kind](layer)
    if complement:
        layers.append(_dense_layer("scores_of_both_classes", np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]), "linear"))
    return layers


def _refuse(layer: Any, reason: str) -> NoReturn:
    raise NtuplemlError(f"{title(layer)}: {reason}; use application/export_keras_to_lwtnn.py, which needs no converter")


def _layer(class_name: str, name: str, /, **config: Any) -> OldLayer:
    return OldLayer(class_name, {"name": name, "dtype": "float32", **config}, {})


def _input_layer(width: int) -> OldLayer:
    return _layer("InputLayer", "inputs", batch_input_shape=[None, width], sparse=False, ragged=False)


def _dense_layer(name: str, kernel: NDArray[np.float64], bias: NDArray[np.float64], activation: str) -> OldLayer:
    """Always with a bias, which lwtnn's converter wants."""
    layer = _layer("Dense", name, trainable=True, units=kernel.shape[1], activation=activation, use_bias=True)
    return layer._replace(weights={"kernel": kernel, "bias": bias})


def _after(layer: Any, name: str) -> list[OldLayer]:
    """The activation as a layer of its own, where Keras 2 has no function of that name."""
    import keras

    return [_layer("LeakyReLU", name, alpha=0.2)] if layer.activation is keras.activations.leaky_relu else []


def _old_activation(layer: Any) -> str:
    import keras

    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    if name not in _ACTIVATIONS or getattr(keras.activations, name) is not layer.activation:
        _refuse(layer, f"lwtnn's keras2json.py does not read the activation '{name}'")
    return _ACTIVATIONS[name]


def _old_dense(layer: Any) -> list[OldLayer]:
    kernel = array(layer, layer.kernel)
    bias = array(layer, layer.bias) if layer.use_bias else np.zeros(kernel.shape[1])
    after = _after(layer, f"{layer.name}_activation")
    return [_dense_layer(layer.name, kernel, bias, "linear" if after else _old_activation(layer)), *after]


def _old_normalisation(layer: Any) -> list[OldLayer]:
    """Always with scale and centre, which lwtnn's converter wants; it divides by the scale."""
    mean = array(layer, layer.moving_mean)
    gamma = array(layer, layer.gamma) if layer.scale else np.ones_like(mean)
    if (gamma == 0).any():
        _refuse(layer, "its scale gamma is 0 for a value, by which lwtnn's keras2json.py would divide")
    momentum, epsilon = float(layer.momentum), float(layer.epsilon)
    numbers = {"axis": [1], "momentum": momentum, "epsilon": epsilon, "center": True, "scale": True}
    weights = {
        "gamma": gamma,
        "beta": array(layer, layer.beta) if layer.center else np.zeros_like(mean),
        "moving_mean": mean,
        "moving_variance": array(layer, layer.moving_variance),
    }
    return [_layer("BatchNormalization", layer.name, trainable=True, **numbers)._replace(weights=weights)]


_CONVERTERS: dict[str, Callable[[Any], list[OldLayer]]] = {
    "Activation": lambda layer: (
        _after(layer, layer.name) or [_layer("Activation", layer.name, activation=_old_activation(layer))]
    ),
    "BatchNormalization": _old_normalisation,
    "Dense": _old_dense,
    "Dropout": lambda layer: [_layer("Dropout", layer.name, rate=float(layer.rate))],
    "LeakyReLU": lambda layer: [_layer("LeakyReLU", layer.name, alpha=float(layer.negative_slope))],
}


def architecture_json(layers: Sequence[OldLayer], name: str) -> str:
    """The architecture as Keras 2's ``to_json`` writes it."""
    described = [{"class_name": layer.class_name, "config": layer.config} for layer in layers]
    content = {
        "class_name": "Sequential",
        "config": {"name": name, "layers": described},
        "keras_version": KERAS_VERSION,
        "backend": "tensorflow",
    }
    return json.dumps(content, allow_nan=False, indent=2) + "\n"


def write_weights(path: Path, layers: Sequence[OldLayer]) -> None:
    """Write the weights as Keras 2's ``save_weights`` does, in single precision."""
    written = [layer for layer in layers if layer.class_name != "InputLayer"]
    with new_hdf5(path, libver=None, track_order=None) as (file, _):
        file.attrs["layer_names"] = np.array([layer.config["name"].encode() for layer in written], dtype="S")
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION.encode()
        for layer in written:
            group = file.create_group(layer.config["name"])
            names = [f"{layer.config['name']}/{name}:0" for name in layer.weights]
            group.attrs["weight_names"] = np.array([name.encode() for name in names], dtype="S")
            for name, values in zip(names, layer.weights.values(), strict=True):
                group.create_dataset(name, data=values.astype(np.float32))


def as_lwtnn_layers(layers: Sequence[OldLayer]) -> list[LayerEntry]:
    """What lwtnn's converter makes of the layers."""
    result: list[LayerEntry] = []
    for layer in layers:
        if layer.class_name == "Dense":
            activation = _LWTNN_ACTIVATIONS.get(layer.config["activation"], layer.config["activation"])
            result.append(dense(layer.weights["kernel"].T, layer.weights["bias"], activation))
        elif layer.class_name == "BatchNormalization":
            weights = layer.weights
            scale = weights["gamma"] / np.sqrt(weights["moving_variance"] + layer.config["epsilon"])
            result += affine(scale, weights["beta"] - weights["moving_mean"] * scale)
        elif layer.class_name == "LeakyReLU":
            result.append(activation_only({"function": "leakyrelu", "alpha": layer.config["alpha"]}))
        elif layer.class_name == "Activation":
            name = layer.config["activation"]
            result.append(activation_only(_LWTNN_ACTIVATIONS.get(name, name)))
    return result
