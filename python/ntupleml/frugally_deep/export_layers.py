"""Keras layers as layers of frugally-deep, exactly or not at all; a layer is one function and one line in `CONVERTERS`.

What frugally-deep does otherwise than Keras is got round here: it ignores masks, joins (but for products) only values
of one shape, scales by one number only, and reads the slope and the threshold of a ReLU only beside a largest value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from ntupleml.artifacts.keras_options import numbers_of
from ntupleml.errors import NtuplemlError
from ntupleml.frugally_deep.attention import cross_attention, learnt_vectors, self_attention
from ntupleml.frugally_deep.evaluation import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_network import KerasLayer
    from ntupleml.frugally_deep.architecture import Architecture, Value

#: Far above all values of a network and, as a factor of a mask, far below the largest of single precision.
_FAR = 1e30
#: Difference in a softmax beside which nothing is left: e^-1000 is 0 in single and double precision.
_NO_SHARE = 1000.0
_LEAST_WIDTH = 1e-7
_LARGEST = 3.4e38


class Call(NamedTuple):
    """A call of a Keras layer that is to be converted."""

    architecture: Architecture
    layer: KerasLayer
    weights: Sequence[NDArray[Any]]
    sources: Sequence[Value]
    #: Of what it gives for one event.
    shape: tuple[int, ...]

    def add(
        self,
        kind: str,
        sources: Sequence[Value],
        shape: tuple[int, ...],
        settings: Mapping[str, Any] | None = None,
        weights: Sequence[NDArray[Any]] = (),
        part: str = "",
    ) -> Value:
        """Append a layer of frugally-deep: the one of this call, or a part of its form."""
        key = (*self.layer.names, part) if part else self.layer.names
        return self.architecture.call(key, kind, sources, shape, settings, weights)

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error that the layer cannot be written."""
        raise NtuplemlError(f"{self.layer.title} has no frugally-deep form: {reason}")


def converted(call: Call) -> Value:
    """What a call gives, as frugally-deep computes it."""
    kind = call.layer.kind
    if kind in _NOTHING:
        return call.sources[0]
    if kind in CONVERTERS:
        return CONVERTERS[kind](call)
    return call.refuse(_REASONS.get(kind, "frugally-deep has no such layer"))


def affine(
    architecture: Architecture,
    key: tuple[str, ...],
    value: Value,
    *,
    centre: Any = 0.0,
    factor: Any = 1.0,
    summand: Any = 0.0,
) -> Value:
    """(x − centre) · factor + summand, with numbers of their own for each value along the last axis.

    A batch normalisation without variance computes it. The summand corrects what is lost where the centre is rounded to
    single precision, so that a mean that is large beside the spread does no harm.
    """
    width = value.shape[-1]
    centres, factors, summands = (
        np.broadcast_to(np.asarray(one, np.float64), width) for one in (centre, factor, summand)
    )
    rounded = centres.astype(np.float32)
    mended = summands + (rounded.astype(np.float64) - centres) * factors
    weights: list[NDArray[Any]] = [factors, mended, rounded, np.ones(width)]
    return architecture.call(key, "BatchNormalization", [value], value.shape, {"epsilon": 0.0}, weights)


def _plain(call: Call) -> Value:
    return call.add(call.layer.kind, call.sources, call.shape, call.layer.settings, call.weights)


def _activated(call: Call) -> Value:
    """A layer with an activation, which becomes a layer of its own where it is one."""
    activation = call.layer.settings.get("activation") or "linear"
    if isinstance(activation, dict):
        value = call.add(
            call.layer.kind, call.sources, call.shape, {**call.layer.settings, "activation": "linear"}, call.weights
        )
        return _activation_layer(call, activation["class_name"], activation["config"], value, "activation")
    if activation not in ACTIVATIONS:
        call.refuse(f"frugally-deep has no activation '{activation}'")
    return _plain(call)


def _activation(call: Call) -> Value:
    kind = call.layer.kind
    return _activation_layer(call, kind, call.layer.settings, call.sources[0], "")


def _activation_layer(call: Call, kind: str, settings: Mapping[str, Any], value: Value, part: str) -> Value:
    if kind == "ReLU" and settings.get("max_value") is None:
        settings = {**settings, "max_value": _LARGEST}
    if kind == "Softmax":
        settings = {}  # along the last axis, as all that are read
    return call.add(kind, [value], value.shape, settings, part=part)


def _last_axis(kind: str) -> Callable[[Call], Value]:
    """A layer along the last axis, as all that are read; a mask beside the values counts for nothing."""

    def converter(call: Call) -> Value:
        return call.add(kind, call.sources[:1], call.shape, {**call.layer.settings, "axis": -1}, call.weights)

    return converter


def _joined(kind: str) -> Callable[[Call], Value]:
    def converter(call: Call) -> Value:
        if any(value.shape != call.shape for value in call.sources):
            call.refuse("frugally-deep does this with values of one shape only")
        return call.add(kind, call.sources, call.shape)

    return converter


def _called(kind: str) -> Callable[[Call], Value]:
    return lambda call: call.add(kind, call.sources, call.shape)


def _reshaped(call: Call) -> Value:
    return call.add("Reshape", call.sources, call.shape, {"target_shape": list(call.shape)})


def _pooling(call: Call) -> Value:
    settings = call.layer.settings
    strides = settings.get("strides") or settings.get("pool_size", 2)
    return call.add(call.layer.kind, call.sources, call.shape, {**settings, "strides": strides})


def _normalization(call: Call) -> Value:
    settings = call.layer.settings
    if call.weights:
        mean, variance = call.weights[:2]
    else:
        mean, variance = (np.asarray(numbers_of(settings[key])) for key in ("mean", "variance"))
    width = np.maximum(np.sqrt(variance.astype(np.float64)), _LEAST_WIDTH)
    numbers = {"factor": width, "summand": mean} if settings.get("invert") else {"centre": mean, "factor": 1 / width}
    return affine(call.architecture, call.layer.names, call.sources[0], **numbers)


def _rescaling(call: Call) -> Value:
    scale, offset = (numbers_of(call.layer.settings.get(key, one)) for key, one in (("scale", 1.0), ("offset", 0.0)))
    return affine(call.architecture, call.layer.names, call.sources[0], factor=scale, summand=offset)


def masked(architecture: Architecture, key: tuple[str, ...], value: Value, mask: Value) -> Value:
    """Objects where a mask is 1, zeros where it is 0."""
    shape = (*mask.shape, 1)
    column = architecture.call((*key, "column"), "Reshape", [mask], shape, {"target_shape": list(shape)})
    return architecture.call((*key, "masked"), "Multiply", [value, column], value.shape)


def _masked_pooling(call: Call) -> Value:
    values, mask = call.sources
    if len(values.shape) != 2:
        call.refuse("it is over what each object has of others; frugally-deep has no layer for pairs of objects")
    found = [_POOLS[mode](call, values, mask, mode) for mode in call.layer.settings["modes"]]
    return found[0] if len(found) == 1 else call.add("Concatenate", found, call.shape)


def _pool_sum(call: Call, values: Value, weights: Value, part: str) -> Value:
    """Weights times values."""
    length, width = values.shape
    column = call.add("Reshape", [weights], (length, 1), {"target_shape": [length, 1]}, part=f"{part}_column")
    summed = call.add("Dot", [values, column], (width, 1), {"axes": [1, 1]}, part=f"{part}_dot")
    return call.add("Reshape", [summed], (width,), {"target_shape": [width]}, part=part)


def _pool_mean(call: Call, values: Value, mask: Value, part: str) -> Value:
    """A softmax gives each object that is there the same share; the product takes the shares away if none is."""
    sharp = call.add("Rescaling", [mask], mask.shape, {"scale": _NO_SHARE, "offset": 0.0}, part=f"{part}_sharp")
    shares = call.add("Softmax", [sharp], mask.shape, part=f"{part}_shares")
    weights = call.add("Multiply", [shares, mask], mask.shape, part=f"{part}_weights")
    return _pool_sum(call, values, weights, part)


def _pool_max(call: Call, values: Value, mask: Value, part: str) -> Value:
    """Empty slots are pushed far below all others; without an object the largest, far below, is multiplied by 0."""
    length, width = values.shape
    settings = {"target_shape": [length, 1]}
    column = call.add("Reshape", [mask], (length, 1), settings, part=f"{part}_column")
    push = [np.full((1, width), _FAR), np.full(width, -_FAR)]
    pushed = call.add("Dense", [column], values.shape, {"units": width}, push, part=f"{part}_push")
    present = call.add("Add", [values, pushed], values.shape, part=f"{part}_present")
    largest = call.add("GlobalMaxPooling1D", [present], (width,), part=f"{part}_largest")
    is_any = call.add("GlobalMaxPooling1D", [column], (1,), part=f"{part}_any")
    return call.add("Multiply", [largest, is_any], (width,), part=part)


def _pool_last(call: Call, values: Value, mask: Value, part: str) -> Value:
    """The object whose slot is filled, but not the one behind it: the mask minus the mask moved by one slot."""
    length, _ = values.shape
    kernel = np.eye(length) - np.eye(length, k=-1)
    settings = {"units": length, "use_bias": False}
    is_last = call.add("Dense", [mask], mask.shape, settings, [kernel], part=f"{part}_place")
    return _pool_sum(call, values, is_last, part)


_POOLS = {"sum": _pool_sum, "mean": _pool_mean, "max": _pool_max, "last": _pool_last}
#: What does nothing outside of a training.
_NOTHING = ("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout", "GaussianNoise")
#: Layers by class.
CONVERTERS: dict[str, Callable[[Call], Value]] = {
    "Activation": _activated,
    "Add": _joined("Add"),
    "Average": _joined("Average"),
    "AveragePooling1D": _pooling,
    "AveragePooling2D": _pooling,
    "BatchNormalization": _last_axis("BatchNormalization"),
    "Concatenate": _called("Concatenate"),
    "Conv1D": _activated,
    "Conv2D": _activated,
    "Dense": _activated,
    "Dot": _plain,
    "ELU": _activation,
    "Flatten": _reshaped,
    "GRU": _plain,
    "GlobalAveragePooling1D": _plain,
    "GlobalAveragePooling2D": _plain,
    "GlobalMaxPooling1D": _plain,
    "GlobalMaxPooling2D": _plain,
    "LSTM": _plain,
    "LayerNormalization": _last_axis("LayerNormalization"),
    "LeakyReLU": _activation,
    "MaxPooling1D": _pooling,
    "MaxPooling2D": _pooling,
    "Maximum": _joined("Maximum"),
    "Minimum": _joined("Minimum"),
    "Multiply": _called("Multiply"),
    "Normalization": _normalization,
    "ReLU": _activation,
    "Rescaling": _rescaling,
    "Reshape": _reshaped,
    "Softmax": _activation,
    "Subtract": _joined("Subtract"),
    "keras.ops.Add": _joined("Add"),
    "keras.ops.Concatenate": _called("Concatenate"),
    "keras.ops.Maximum": _joined("Maximum"),
    "keras.ops.Minimum": _joined("Minimum"),
    "keras.ops.Multiply": _called("Multiply"),
    "keras.ops.Subtract": _joined("Subtract"),
    "ntupleml>CrossAttention": cross_attention,
    "ntupleml>LearntVectors": learnt_vectors,
    "ntupleml>MaskedBatchNormalization": _last_axis("BatchNormalization"),
    "ntupleml>MaskedPooling": _masked_pooling,
    "ntupleml>SelfAttention": self_attention,
}
_PAIRS = "frugally-deep has no layer for pairs of objects"
_REASONS = {
    "UnitNormalization": "where all values are 0 it divides by 0, Keras does not",
    "ntupleml>Adjacency": _PAIRS,
    "ntupleml>NeighbourPooling": _PAIRS,
    "ntupleml>NeighbourSums": _PAIRS,
    "ntupleml>Neighbours": _PAIRS,
    "ntupleml>PairAttention": _PAIRS,
    "ntupleml>PairFeatures": _PAIRS,
    "ntupleml>PairSums": _PAIRS,
    "ntupleml>Propagation": _PAIRS,
    "ntupleml>SlotSteps": "frugally-deep has no layer for steps of slots",
    "ntupleml>VectorFeatures": "frugally-deep has no layer for four-vectors",
}
