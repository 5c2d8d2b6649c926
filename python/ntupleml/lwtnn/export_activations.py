"""Activations of Keras, as functions or layers, in lwtnn's exact form: one function, or a few layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.lwtnn.export_parts import ActivationEntry, LayerEntry, activation_only, affine, array, dense, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Scale and α of SELU as Keras has them (Klambauer et al., arXiv:1706.02515).
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_REASONS = {
    "celu": "lwtnn has no CELU",
    "exponential": "lwtnn has no exponential",
    "gelu": "lwtnn has no GELU",
    "glu": "lwtnn cannot multiply two values of an event",
    "hard_sigmoid": "Keras 3 computes clip(x / 6 + 0.5), lwtnn's hard_sigmoid is clip(0.2 x + 0.5)",
    "hard_silu": "lwtnn cannot multiply x with a function other than the sigmoid",
    "log_sigmoid": "lwtnn has no logarithm",
    "log_softmax": "lwtnn has no logarithm",
    "mish": "lwtnn has no softplus",
    "softplus": "lwtnn has no logarithm",
    "softsign": "lwtnn has no division",
}


class Activation(NamedTuple):
    """An activation in lwtnn's form.

    Attributes
    ----------
    function : str or dict
        The activation of the layer itself.
    after : tuple of layers
        What follows it, element by element.
    """

    function: ActivationEntry
    after: tuple[LayerEntry, ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether an output depends on more than the input at its place."""
        return self.function == "softmax"

    def as_layers(self) -> list[LayerEntry]:
        """The activation as layers of their own; none where it changes nothing."""
        own = [] if self.function == "linear" else [activation_only(self.function)]
        return [*own, *self.after]


def activation_of(layer: Any, function: Any, width: int, rank: int = 2) -> Activation:
    """An activation that a layer has, by name in its config.

    Parameters
    ----------
    layer : keras.Layer
        For messages.
    function : callable or None
        A function of `keras.activations`, or a layer that applies one.
    width : int
        Number of values per event or step.
    rank : int
        2 for rows, 3 for sequences.

    Raises
    ------
    NtuplemlError
        If lwtnn has no exact form of it.
    """
    import keras

    if function is None:
        return Activation("linear")
    if isinstance(function, keras.layers.Layer):
        if type(function).__name__ not in _LAYERS or not type(function).__module__.startswith("keras."):
            refuse(layer, f"its activation is a {type(function).__name__}, for which lwtnn has no function")
        return _LAYERS[type(function).__name__](function, width, rank)
    name = getattr(function, "__name__", type(function).__name__)
    if getattr(keras.activations, name, None) is not function:
        refuse(layer, f"its activation '{name}' is not one of Keras' own")
    return _named(layer, name, width)


def _named(layer: Any, name: str, width: int) -> Activation:
    if name in _PLAIN:
        return Activation(_PLAIN[name])
    if name == "selu":
        scale = affine(np.full(width, _SELU_SCALE), np.zeros(width))
        return Activation({"function": "elu", "alpha": _SELU_ALPHA}, tuple(scale))
    if name == "relu6":
        return _below(6.0, "rectified", width)
    if name == "hard_tanh":  # clip(x + 1, 0, 2) − 1
        up, down = affine(np.ones(width), np.ones(width)), affine(np.ones(width), -np.ones(width))
        return Activation("linear", (*up, *_below(2.0, "rectified", width).as_layers(), *down))
    return refuse(layer, f"activation '{name}': {_REASONS.get(name, 'lwtnn has no such function')}")


#: Keras' functions that are one of lwtnn's, at Keras' default parameters.
_PLAIN: dict[str, ActivationEntry] = {
    "linear": "linear",
    "relu": "rectified",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "tanh": "tanh",
    "elu": {"function": "elu", "alpha": 1.0},
    "leaky_relu": {"function": "leakyrelu", "alpha": 0.2},
    "silu": {"function": "swish", "alpha": 1.0},
}


def _below(largest: float, function: ActivationEntry, width: int) -> Activation:
    """The function of min(x, largest), which is largest − max(largest − x, 0)."""
    mirror = affine(np.full(width, -1.0), np.full(width, largest))
    return Activation("linear", (*mirror, activation_only("rectified"), *mirror, activation_only(function)))


def _leaky(slope: float) -> ActivationEntry:
    return {"function": "leakyrelu", "alpha": slope}


def _relu(layer: Any, width: int, _rank: int) -> Activation:
    if float(layer.threshold) != 0:
        refuse(layer, f"its threshold {layer.threshold} makes it jump; only 0 can be written")
    slope = float(layer.negative_slope)
    function = "rectified" if slope == 0 else _leaky(slope)
    if layer.max_value is None:
        return Activation(function)
    return _below(float(layer.max_value), function, width)


def _prelu(layer: Any, width: int, rank: int) -> Activation:
    """max(x, 0) + α min(x, 0), with an α for each value: from (max(x, 0), max(−x, 0)) by a matrix."""
    alpha = array(layer, layer.alpha)
    if rank == 3 and len(alpha) != 1:
        refuse(layer, "its slopes differ from step to step; give it shared_axes=[1]")
    alpha = np.broadcast_to(alpha.reshape(-1), (width,))
    if (alpha == alpha[0]).all():
        return Activation(_leaky(float(alpha[0])))
    unit = np.eye(width)
    parts = dense(np.concatenate([unit, -unit]), None, "rectified")
    return Activation("linear", (parts, dense(np.concatenate([unit, -np.diag(alpha)], axis=1))))


def _softmax(layer: Any, _width: int, rank: int) -> Activation:
    axes = layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]
    if [axis % rank for axis in axes] != [rank - 1]:
        refuse(layer, f"it works along axis {layer.axis}; lwtnn's softmax is over the values of an event or a step")
    return Activation("softmax")


#: Layers that are activations: called with layer, width and rank of the input (2 for rows, 3 for sequences).
_LAYERS: dict[str, Callable[[Any, int, int], Activation]] = {
    "Activation": lambda layer, width, rank: activation_of(layer, layer.activation, width, rank),
    "ELU": lambda layer, _width, _rank: Activation({"function": "elu", "alpha": float(layer.alpha)}),
    "LeakyReLU": lambda layer, _width, _rank: Activation(_leaky(float(layer.negative_slope))),
    "PReLU": _prelu,
    "ReLU": _relu,
    "Softmax": _softmax,
}
ACTIVATION_LAYERS: Sequence[str] = tuple(_LAYERS)


def activation_layer(layer: Any, width: int, rank: int) -> Activation:
    """A layer that is an activation, one of `ACTIVATION_LAYERS`.

    Parameters
    ----------
    width : int
        Number of values per event or step.
    rank : int
        2 for rows, 3 for sequences.

    Raises
    ------
    NtuplemlError
        If lwtnn has no exact form of it.
    """
    return _LAYERS[type(layer).__name__](layer, width, rank)
