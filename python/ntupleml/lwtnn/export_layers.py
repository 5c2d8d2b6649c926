"""Keras layers that turn rows into rows, as lwtnn's layers; on sequences they act at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.lwtnn.export_activations import ACTIVATION_LAYERS, activation_layer, activation_of
from ntupleml.lwtnn.export_parts import LayerEntry, affine, array, dense, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Converted(NamedTuple):
    """A Keras layer in lwtnn's form: layers one after the other, and how many values come out.

    Attributes
    ----------
    layers : list of layers
        None where the layer changes nothing.
    """

    layers: list[LayerEntry]
    width: int


def convert_row_layer(layer: Any, width: int, rank: int) -> Converted | None:
    """A layer that works on rows.

    Parameters
    ----------
    width : int
        Number of values that it gets per event or step.
    rank : int
        Of its input with the events: 2 for rows, 3 for sequences.

    Returns
    -------
    Converted or None
        None if the layer is none of those known here.

    Raises
    ------
    NtuplemlError
        If the layer is known, but cannot be exported with these parameters.
    """
    name = type(layer).__name__
    if name in NOTHING:
        return Converted([], width)
    if name in ACTIVATION_LAYERS:
        return Converted(activation_layer(layer, width, rank).as_layers(), width)
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
