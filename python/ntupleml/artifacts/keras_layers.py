"""Keras layers read from files: settings, output shapes and weights of each.

A layer is one function for its shapes and one line in `LAYERS`; its ONNX form is another function with its line, in
`onnx_models.keras_layers`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import keras_options as options
from ntupleml.artifacts import keras_own_layers as own
from ntupleml.artifacts import keras_pair_layers as pairs
from ntupleml.artifacts import keras_quantised as quantised
from ntupleml.artifacts import keras_slot_layers as slots
from ntupleml.artifacts import qkeras_layers as qkeras
from ntupleml.artifacts.keras_options import (
    constraint,
    initializer,
    is_axis,
    is_flag,
    is_sizes,
    number,
    optional,
    regularizer,
    sizes_of,
)
from ntupleml.artifacts.keras_shapes import Shape, Shapes, one_input, shown, size_of, wide

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ntupleml.artifacts.keras_options import Check

    Settings = Mapping[str, Any]


class LayerKind(NamedTuple):
    """A class of layers."""

    #: What a file may set, with the check of each value. Any other key is refused unless it is null or false.
    settings: dict[str, Check]
    #: Of the settings and the shapes of the inputs. Raises ValueError with the reason where they do not fit.
    shapes: Callable[[Settings, list[Shape]], Shapes]


#: What every layer has.
COMMON: dict[str, Check] = {
    "name": options.is_name,
    "trainable": is_flag,
    "dtype": options.is_float32,
    "activity_regularizer": regularizer,
}
#: Beginning of the keys of operations, which functional networks have from arithmetic such as `x - 2 * y`.
OPERATION = "keras.ops."
#: Beginning of the keys of our own layers, `ntupleml.models.layers`.
OWN = "ntupleml>"
#: The same of the quantised layers of HGQ2.
HGQ = "hgq>"
#: And of QKeras, which only stand in networks that Keras does not build.
QKERAS = "qkeras>"
#: Layers that may stand where an activation belongs: without weights, of one input.
ACTIVATION_LAYERS = ("ELU", "LeakyReLU", "ReLU", "Softmax")


def is_activation(value: Any) -> bool:
    """Whether a value is an activation that is read: by name, or as a layer without weights."""
    if not isinstance(value, dict):
        return value is None or (isinstance(value, str) and value in options.ACTIVATIONS)
    kind, settings = value.get("class_name"), value.get("config")
    if value.get("module") != "keras.layers" or kind not in ACTIVATION_LAYERS or not isinstance(settings, dict):
        return False
    return value.get("registered_name") in (None, kind) and unread_setting(kind, settings) is None


def unread_setting(kind: str, settings: Settings) -> str | None:
    """First setting of a layer whose key or value is not read; None where all are."""
    checks = COMMON | LAYERS[kind].settings
    for key, value in settings.items():
        if not (checks[key](value) if key in checks else options.is_unset(value)):
            return key
    return None


def _same(_settings: Settings, inputs: list[Shape]) -> Shapes:
    return Shapes(one_input(inputs))


def _activation(settings: Settings, inputs: list[Shape]) -> Shapes:
    return Shapes(_activated(settings, one_input(inputs)))


def _activated(settings: Settings, shape: Shape) -> Shape:
    """Shape of values after the activation of a layer, which may be a layer that has an axis."""
    activation = settings.get("activation")
    if isinstance(activation, dict):
        _last_axis(activation["config"], shape)
    return shape


def _last_axis(settings: Settings, shape: Shape) -> None:
    """Refuse another axis than the last."""
    axis = settings.get("axis", -1)
    if axis not in (-1, len(shape), [-1], [len(shape)]):
        raise ValueError(f"it works along axis {axis} of {len(shape) + 1}; the last is read")


def _along_last_axis(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = one_input(inputs)
    _last_axis(settings, shape)
    return Shapes(shape)


def _biased(settings: Settings, kernel: Shape, units: int) -> tuple[Shape, ...]:
    return (kernel, (units,)) if settings.get("use_bias", True) else (kernel,)


def _dense(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = one_input(inputs)
    units = settings["units"]
    return Shapes(_activated(settings, (*shape[:-1], units)), _biased(settings, (wide(shape), units), units))


def _num_affine(settings: Settings) -> int:
    """Number of weights that scale and centre."""
    return sum(bool(settings.get(key, True)) for key in ("scale", "center"))


def _normalized(further: int) -> Callable[[Settings, list[Shape]], Shapes]:
    def shapes(settings: Settings, inputs: list[Shape]) -> Shapes:
        shape = one_input(inputs)
        _last_axis(settings, shape)
        return Shapes(shape, ((wide(shape),),) * (_num_affine(settings) + further))

    return shapes


def _masked_batch_normalization(settings: Settings, inputs: list[Shape]) -> Shapes:
    return _normalized(2)(settings, [pairs.values_with_mask(inputs)])


def _normalization(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = one_input(inputs, rank=1)
    _check_lengths(settings, ("mean", "variance"), wide(shape))
    given = [settings.get(key) is not None for key in ("mean", "variance")]
    if given[0] != given[1]:
        raise ValueError("it has only one of mean and variance")
    kept: Shape = ()
    if settings.get("axis", -1) not in (None, []):
        _last_axis(settings, shape)
        kept = shape
    return Shapes(shape, () if all(given) else (kept, kept, ()))


def _rescaling(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = one_input(inputs)
    _check_lengths(settings, ("scale", "offset"), wide(shape))
    return Shapes(shape)


def _check_lengths(settings: Settings, keys: tuple[str, ...], width: int) -> None:
    for key in keys:
        if settings.get(key) is None:
            continue
        length = len(options.numbers_of(settings[key]))
        if length not in (1, width):
            raise ValueError(f"its {key} has {length} numbers for {width} values")


def _merged(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Shape of values that are joined element by element; single numbers go with all along their axis."""
    shapes = [shape for shape in inputs if shape]  # the others are constants
    axes = list(zip(*shapes, strict=False))
    joined = tuple(next((size for size in sizes if size != 1), 1) for sizes in axes)
    if len({len(shape) for shape in shapes}) != 1 or any(
        size not in (1, wanted) for sizes, wanted in zip(axes, joined, strict=True) for size in sizes
    ):
        raise ValueError(f"its inputs have {', '.join(shown(shape) for shape in inputs)} values")
    return Shapes(joined)


def _paired(settings: Settings, inputs: list[Shape]) -> Shapes:
    if len(inputs) != 2:
        raise ValueError(f"it gets {len(inputs)} inputs instead of two")
    return _merged(settings, inputs)


def _concatenated(settings: Settings, inputs: list[Shape]) -> Shapes:
    _last_axis(settings, inputs[0])
    if len({shape[:-1] for shape in inputs}) != 1 or not all(inputs):
        raise ValueError(f"its inputs have {', '.join(shown(shape) for shape in inputs)} values")
    return Shapes((*inputs[0][:-1], sum(wide(shape) for shape in inputs)))


def _dot(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Products of two matrices along one axis of each, counted from 1."""
    axes = sizes_of(settings["axes"], 2)
    if [len(shape) for shape in inputs] != [2, 2] or max(axes) > 2:
        raise ValueError(
            f"it joins {', '.join(shown(shape) for shape in inputs)} values along {axes}; matrices are read"
        )
    (first, second), (one, two) = inputs, axes
    if first[one - 1] is None or first[one - 1] != second[two - 1]:
        raise ValueError(f"it joins {shown(first)} and {shown(second)} values along {axes}")
    return Shapes((first[2 - one], second[2 - two]))


def _flattened(_settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = one_input(inputs)
    if None in shape:
        raise ValueError("it gets any number of objects; it needs a fixed one")
    return Shapes((size_of(shape),))


def _reshaped(settings: Settings, inputs: list[Shape]) -> Shapes:
    """A target may leave one size open: that which follows from the others, or the number of objects at its place."""
    shape, target = one_input(inputs), list(settings["target_shape"])
    fixed = math.prod(size for size in target if size != -1)
    if None in shape:
        place = shape.index(None)
        if shape.count(None) > 1 or target.count(-1) != 1 or target.index(-1) != place or size_of(shape) != fixed:
            raise ValueError(f"it makes {target} of {shown(shape)} values")
        return Shapes(tuple(None if size == -1 else size for size in target))
    size = size_of(shape)
    if target.count(-1) > 1 or size % fixed or (-1 not in target and size != fixed):
        raise ValueError(f"it makes {target} of {shown(shape)} values")
    return Shapes(tuple(size // fixed if one == -1 else one for one in target))


def _windows(shape: Shape, spans: Sequence[int], strides: Sequence[int], padding: str) -> Shape:
    """How often windows of some spans fit along the axes of a value."""
    found: list[int | None] = []
    for size, span, stride in zip(shape, spans, strides, strict=True):
        if size is None:
            if padding != "same" or stride != 1:
                raise ValueError('it changes the number of objects; padding "same" without strides is read')
            found.append(None)
            continue
        if span > size and padding != "same":
            raise ValueError(f"it looks at {span} of {size} values")
        found.append(-(-size // stride) if padding == "same" else (size - span) // stride + 1)
    return tuple(found)


def _convolution(axes: int) -> Callable[[Settings, list[Shape]], Shapes]:
    def shapes(settings: Settings, inputs: list[Shape]) -> Shapes:
        shape = one_input(inputs, rank=axes + 1)
        kernel, strides, dilation = (
            sizes_of(settings.get(key, 1), axes) for key in ("kernel_size", "strides", "dilation_rate")
        )
        filters = settings["filters"]
        if max(strides) > 1 and max(dilation) > 1:
            raise ValueError("it has strides and a dilation; one of them is read")
        spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
        output = _windows(shape[:-1], spans, strides, settings.get("padding", "valid"))
        padded = [(size or 1) + span - 1 for size, span in zip(shape, spans, strict=False)]
        return Shapes(
            _activated(settings, (*output, filters)),
            _biased(settings, (*kernel, wide(shape), filters), filters),
            between=math.prod(padded) * wide(shape) - size_of(shape),
        )

    return shapes


def _reflected_convolution(settings: Settings, inputs: list[Shape]) -> Shapes:
    """A convolution of twice the filters, half of which are the others reversed."""
    if set(sizes_of(settings.get("dilation_rate", 1), 2)) != {1}:
        raise ValueError("it has a dilation, which is not read")
    found = _convolution(2)(settings, inputs)
    return found._replace(output=(*found.output[:-1], 2 * wide(found.output)))


def _repeated(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Each pixel several times along both axes."""
    *pixels, channels = one_input(inputs, rank=3)
    factors = sizes_of(settings.get("size", 2), 2)
    return Shapes((*(size and size * factor for size, factor in zip(pixels, factors, strict=True)), channels))


def _pooling(axes: int) -> Callable[[Settings, list[Shape]], Shapes]:
    def shapes(settings: Settings, inputs: list[Shape]) -> Shapes:
        shape = one_input(inputs, rank=axes + 1)
        pool = sizes_of(settings.get("pool_size", 2), axes)
        strides = sizes_of(settings.get("strides") or settings.get("pool_size", 2), axes)
        if any(size is not None and span > size for size, span in zip(shape, pool, strict=False)):
            raise ValueError(f"it looks at {shown(pool)} of {shown(shape[:-1])} values")
        return Shapes((*_windows(shape[:-1], pool, strides, settings.get("padding", "valid")), wide(shape)))

    return shapes


def _over_all(axes: int) -> Callable[[Settings, list[Shape]], Shapes]:
    def shapes(_settings: Settings, inputs: list[Shape]) -> Shapes:
        shape = one_input(inputs, rank=axes + 1)
        if None in shape:
            raise ValueError("it takes padding for objects; MaskedPooling does not")
        return Shapes((wide(shape),))

    return shapes


def _recurrent(gates: int) -> Callable[[Settings, list[Shape]], Shapes]:
    def shapes(settings: Settings, inputs: list[Shape]) -> Shapes:
        shape, units = one_input(inputs, rank=2), settings["units"]
        sequences = bool(settings.get("return_sequences"))
        if shape[0] is None and not sequences:
            raise ValueError("it takes padding for objects; return_sequences and MaskedPooling do not")
        weights: tuple[Shape, ...] = ((wide(shape), gates * units), (units, gates * units))
        if settings.get("use_bias", True):
            twice = gates == _GRU_GATES and settings.get("reset_after", True)
            weights = (*weights, (2, gates * units) if twice else (gates * units,))
        return Shapes(
            (shape[0], units) if sequences else (units,),
            weights,
            part="cell",
            between=size_of((shape[0], gates * units)),
        )

    return shapes


_LSTM_GATES, _GRU_GATES = 4, 3


_AFFINE: dict[str, Check] = {
    "axis": is_axis,
    "epsilon": number(0, 1),
    "center": is_flag,
    "scale": is_flag,
    "beta_initializer": initializer,
    "gamma_initializer": initializer,
    "beta_regularizer": regularizer,
    "gamma_regularizer": regularizer,
    "beta_constraint": constraint,
    "gamma_constraint": constraint,
}
_BATCH_NORMALIZATION: dict[str, Check] = {
    **_AFFINE,
    "momentum": number(0, 1),
    "synchronized": options.is_unset,
    "moving_mean_initializer": initializer,
    "moving_variance_initializer": initializer,
    "renorm_momentum": optional(number(0, 1)),
}
_WEIGHTED: dict[str, Check] = {
    "use_bias": is_flag,
    "kernel_initializer": initializer,
    "bias_initializer": initializer,
    "kernel_regularizer": regularizer,
    "bias_regularizer": regularizer,
    "kernel_constraint": constraint,
    "bias_constraint": constraint,
}
_CHANNELS_LAST = options.among("channels_last", None)
_CONVOLUTION: dict[str, Check] = {
    **_WEIGHTED,
    "filters": options.is_whole,
    "kernel_size": is_sizes,
    "strides": is_sizes,
    "dilation_rate": is_sizes,
    "padding": options.among("valid", "same"),
    "data_format": _CHANNELS_LAST,
    "groups": options.among(1),
    "activation": is_activation,
}
_POOLING: dict[str, Check] = {
    "pool_size": is_sizes,
    "strides": optional(is_sizes),
    "padding": options.among("valid", "same"),
    "data_format": _CHANNELS_LAST,
}
_GLOBAL_POOLING: dict[str, Check] = {"data_format": _CHANNELS_LAST, "keepdims": options.is_unset}
_RECURRENT: dict[str, Check] = {
    **_WEIGHTED,
    "units": options.is_whole,
    "activation": options.among(*options.GATE_ACTIVATIONS),
    "recurrent_activation": options.among(*options.GATE_ACTIVATIONS),
    "recurrent_initializer": initializer,
    "recurrent_regularizer": regularizer,
    "recurrent_constraint": constraint,
    "unit_forget_bias": is_flag,
    "dropout": number(0, 1),
    "recurrent_dropout": number(0, 1),
    "seed": options.is_seed,
    "return_sequences": is_flag,
    "reset_after": is_flag,
}
_RANDOM: dict[str, Check] = {"rate": number(0, 1), "seed": options.is_seed}

#: Class of a layer: settings and shapes. What is not here is refused.
LAYERS: dict[str, LayerKind] = {
    "Activation": LayerKind({"activation": is_activation}, _activation),
    "ActivityRegularization": LayerKind({"l1": number(0), "l2": number(0)}, _same),
    "Add": LayerKind({}, _merged),
    "AlphaDropout": LayerKind(_RANDOM, _same),
    "Average": LayerKind({}, _merged),
    "AveragePooling1D": LayerKind(_POOLING, _pooling(1)),
    "AveragePooling2D": LayerKind(_POOLING, _pooling(2)),
    "BatchNormalization": LayerKind(_BATCH_NORMALIZATION, _normalized(2)),
    "Concatenate": LayerKind({"axis": is_axis}, _concatenated),
    "Conv1D": LayerKind(_CONVOLUTION, _convolution(1)),
    "Conv2D": LayerKind(_CONVOLUTION, _convolution(2)),
    "Dense": LayerKind({"units": options.is_whole, "activation": is_activation, **_WEIGHTED}, _dense),
    "Dot": LayerKind({"axes": is_sizes, "normalize": options.is_unset}, _dot),
    "Dropout": LayerKind(_RANDOM, _same),
    "ELU": LayerKind({"alpha": number()}, _same),
    "Flatten": LayerKind({"data_format": _CHANNELS_LAST}, _flattened),
    "GRU": LayerKind(_RECURRENT, _recurrent(_GRU_GATES)),
    "GaussianDropout": LayerKind(_RANDOM, _same),
    "GaussianNoise": LayerKind({"stddev": number(0), "seed": options.is_seed}, _same),
    "GlobalAveragePooling1D": LayerKind(_GLOBAL_POOLING, _over_all(1)),
    "GlobalAveragePooling2D": LayerKind(_GLOBAL_POOLING, _over_all(2)),
    "GlobalMaxPooling1D": LayerKind(_GLOBAL_POOLING, _over_all(1)),
    "GlobalMaxPooling2D": LayerKind(_GLOBAL_POOLING, _over_all(2)),
    "LSTM": LayerKind(_RECURRENT, _recurrent(_LSTM_GATES)),
    "LayerNormalization": LayerKind(_AFFINE, _normalized(0)),
    "LeakyReLU": LayerKind({"negative_slope": number()}, _same),
    "MaxPooling1D": LayerKind(_POOLING, _pooling(1)),
    "MaxPooling2D": LayerKind(_POOLING, _pooling(2)),
    "Maximum": LayerKind({}, _merged),
    "Minimum": LayerKind({}, _merged),
    "Multiply": LayerKind({}, _merged),
    "Normalization": LayerKind(
        {
            "axis": lambda value: value in (None, []) or is_axis(value),
            "invert": is_flag,
            "mean": optional(options.is_numbers),
            "variance": optional(options.is_numbers),
        },
        _normalization,
    ),
    "ReLU": LayerKind(
        {"max_value": optional(number(0)), "negative_slope": optional(number(0)), "threshold": optional(number(0))},
        _same,
    ),
    "Rescaling": LayerKind({"scale": options.is_numbers, "offset": options.is_numbers}, _rescaling),
    "Reshape": LayerKind({"target_shape": options.is_target_shape}, _reshaped),
    "Softmax": LayerKind({"axis": is_axis}, _along_last_axis),
    "Subtract": LayerKind({}, _paired),
    "UnitNormalization": LayerKind({"axis": is_axis}, _along_last_axis),
    "UpSampling2D": LayerKind(
        {"size": is_sizes, "data_format": _CHANNELS_LAST, "interpolation": options.among("nearest")}, _repeated
    ),
    "hgq>QDense": LayerKind({"units": options.is_whole, **_WEIGHTED, **quantised.DENSE}, quantised.dense),
    "hgq>Quantizer": LayerKind(quantised.QUANTISER, quantised.quantiser),
    "keras.ops.Absolute": LayerKind({}, _same),
    "keras.ops.Add": LayerKind({}, _paired),
    "keras.ops.Concatenate": LayerKind({"axis": is_axis}, _concatenated),
    "keras.ops.Divide": LayerKind({}, _paired),
    "keras.ops.Maximum": LayerKind({}, _paired),
    "keras.ops.Minimum": LayerKind({}, _paired),
    "keras.ops.Multiply": LayerKind({}, _paired),
    "keras.ops.Negative": LayerKind({}, _same),
    "keras.ops.Subtract": LayerKind({}, _paired),
    "keras.ops.TrueDivide": LayerKind({}, _paired),
    "ntupleml>Adjacency": LayerKind({"radius": optional(number(0))}, pairs.adjacency),
    "ntupleml>CrossAttention": LayerKind({"heads": options.is_whole}, own.cross_attention),
    "ntupleml>LatentDraw": LayerKind({"seed": options.is_seed}, own.latent_draw),
    "ntupleml>LearntVectors": LayerKind(
        {"number": options.is_whole, "vectors_initializer": initializer}, own.learnt_vectors
    ),
    "ntupleml>MaskedBatchNormalization": LayerKind(_BATCH_NORMALIZATION, _masked_batch_normalization),
    "ntupleml>MaskedPooling": LayerKind({"modes": options.is_modes}, own.masked_pooling),
    "ntupleml>NeighbourPooling": LayerKind({"modes": options.is_modes}, pairs.neighbour_pooling),
    "ntupleml>NeighbourSums": LayerKind({}, pairs.neighbour_sums),
    "ntupleml>Neighbours": LayerKind({"neighbours": pairs.is_neighbours, "angular": is_flag}, pairs.neighbours),
    "ntupleml>PairAttention": LayerKind({}, pairs.pair_attention),
    "ntupleml>PairFeatures": LayerKind({"features": pairs.is_pair_features}, pairs.pair_features),
    "ntupleml>PairSums": LayerKind({}, pairs.pair_sums),
    "ntupleml>PeriodicPadding": LayerKind({"size": options.is_window, "constant": number()}, own.periodic_padding),
    "ntupleml>Propagation": LayerKind({}, pairs.propagation),
    "ntupleml>ReflectedConv2D": LayerKind(_CONVOLUTION, _reflected_convolution),
    "ntupleml>SelfAttention": LayerKind({"heads": options.is_whole}, own.self_attention),
    "ntupleml>SlotSteps": LayerKind({"slots": slots.is_slots, "steps": slots.is_steps}, slots.slot_steps),
    "ntupleml>VectorFeatures": LayerKind({"features": own.is_vector_features}, own.vector_features),
    "qkeras>QActivation": LayerKind(qkeras.ACTIVATION, qkeras.activation),
    "qkeras>QBatchNormalization": LayerKind(qkeras.BATCH_NORMALIZATION, qkeras.batch_normalization),
    "qkeras>QDense": LayerKind(qkeras.DENSE, qkeras.dense),
    "qkeras>QDenseBatchnorm": LayerKind(qkeras.DENSE_BATCHNORM, qkeras.dense_batchnorm),
}
