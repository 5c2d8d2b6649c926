"""Keras layers and activations that turn rows into rows, as lwtnn's layers; on sequences they act at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.lwtnn.export_parts import ActivationEntry, LayerEntry, activation_only, affine, array, dense, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Scale and α of SELU as Keras has them (Klambauer et al., arXiv:1706.02515).
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_REFUSED_FUNCTIONS = {
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
    """An activation in lwtnn's form: the one of the layer itself, and what follows it, element by element."""

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
    """An activation that a layer has: a function of `keras.activations`, or a layer; rank 3 for sequences."""
    import keras

    if function is None:
        return Activation("linear")
    if isinstance(function, keras.layers.Layer):
        if type(function).__name__ not in _ACTIVATIONS or not type(function).__module__.startswith("keras."):
            refuse(layer, f"its activation is a {type(function).__name__}, for which lwtnn has no function")
        return _ACTIVATIONS[type(function).__name__](function, width, rank)
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
    return refuse(layer, f"activation '{name}': {_REFUSED_FUNCTIONS.get(name, 'lwtnn has no such function')}")


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
_ACTIVATIONS: dict[str, Callable[[Any, int, int], Activation]] = {
    "Activation": lambda layer, width, rank: activation_of(layer, layer.activation, width, rank),
    "ELU": lambda layer, _width, _rank: Activation({"function": "elu", "alpha": float(layer.alpha)}),
    "LeakyReLU": lambda layer, _width, _rank: Activation(_leaky(float(layer.negative_slope))),
    "PReLU": _prelu,
    "ReLU": _relu,
    "Softmax": _softmax,
}
ACTIVATION_LAYERS: Sequence[str] = tuple(_ACTIVATIONS)


class Converted(NamedTuple):
    """A Keras layer in lwtnn's form: layers one after the other (none where it changes nothing), and the values out."""

    layers: list[LayerEntry]
    width: int


def convert_row_layer(layer: Any, width: int, rank: int) -> Converted | None:
    """A layer that works on rows, of the width and rank of `activation_of`; None if it is none of those known here."""
    name = type(layer).__name__
    if name in NOTHING:
        return Converted([], width)
    if name in _ACTIVATIONS:
        return Converted(_ACTIVATIONS[name](layer, width, rank).as_layers(), width)
    return _CONVERTERS[name](layer, width, rank) if name in _CONVERTERS else None


#: What does nothing outside of a training.
NOTHING = (
    "ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise", "Identity",
    "SpatialDropout1D",
)  # fmt: skip


def _dense(layer: Any, width: int, rank: int) -> Converted:
    if getattr(layer, "quantization_mode", None):
        refuse(layer, "its weights are quantized")
    kernel = array(layer, layer.kernel)
    bias = array(layer, layer.bias) if layer.use_bias else None
    units = kernel.shape[1]
    activation = activation_of(layer, layer.activation, units, rank)
    assert kernel.shape[0] == width
    return Converted([dense(kernel.T, bias, activation.function), *activation.after], units)


def _batch_normalization(layer: Any, width: int, rank: int) -> Converted:
    if layer.axis % rank != rank - 1:
        refuse(layer, f"it works along axis {layer.axis}; only the last one can be written")
    spread = np.sqrt(array(layer, layer.moving_variance) + layer.epsilon)
    gamma = array(layer, layer.gamma) if layer.scale else np.ones(width)
    beta = array(layer, layer.beta) if layer.center else np.zeros(width)
    mean = array(layer, layer.moving_mean)
    return Converted(affine(gamma / spread, beta - mean * gamma / spread), width)


def _normalization(layer: Any, width: int, _rank: int) -> Converted:
    if layer.mean is None or layer.variance is None:
        refuse(layer, "it has not been adapted to data yet")
    import keras

    mean = _per_value(layer, array(layer, layer.mean), width)
    spread = _per_value(layer, np.sqrt(array(layer, layer.variance)), width)
    spread = np.maximum(spread, keras.config.epsilon())
    if layer.invert:
        return Converted(affine(spread, mean), width)
    return Converted(affine(1 / spread, -mean / spread), width)


def _rescaling(layer: Any, width: int, _rank: int) -> Converted:
    scale, offset = (_per_value(layer, array(layer, values), width) for values in (layer.scale, layer.offset))
    return Converted(affine(scale, offset), width)


def _per_value(layer: Any, values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """One number per value of a row; Keras also admits one for all, or one per step of a sequence."""
    if values.ndim and (values.size != values.shape[-1] or values.size not in (1, width)):
        refuse(layer, f"its numbers have the shape {values.shape}; one per value of a row is needed")
    return np.broadcast_to(values.reshape(-1), (width,)).copy()


def _unchanged(layer: Any, width: int, rank: int) -> Converted:
    """Flatten and Reshape, of rows to the same rows."""
    if rank != 2:
        refuse(layer, "it would make one row of a sequence, but lwtnn's sequences have any number of steps")
    shape = getattr(layer, "target_shape", (width,))
    if tuple(shape) not in ((width,), (-1,)):
        refuse(layer, f"it makes the shape {tuple(shape)} of {width} values; lwtnn has no such layer")
    return Converted([], width)


#: Layers by class name: called with layer, width and rank of the input.
_CONVERTERS: dict[str, Callable[[Any, int, int], Converted]] = {
    "BatchNormalization": _batch_normalization,
    "Dense": _dense,
    "Flatten": _unchanged,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Reshape": _unchanged,
}
