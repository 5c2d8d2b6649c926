"""The layers of Keras that are read from files: what each may be told, what comes out of it, which weights it has.

A layer is one function for its shapes and one line in `LAYERS`; its ONNX form is another function with its line, in
`onnx_models.keras_layers`. Shapes are those of one event: a matrix of events × 4 has the shape (4,).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import keras_options as options
from ntupleml.artifacts.keras_options import (
    constraint,
    initializer,
    is_flag,
    is_last_axis,
    number,
    optional,
    regularizer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ntupleml.artifacts.keras_options import Check

    Shape = tuple[int, ...]
    Settings = Mapping[str, Any]


class Shapes(NamedTuple):
    """Shape of what a layer gives, and those of its weights in their order in the file."""

    output: Shape
    weights: tuple[Shape, ...] = ()


class LayerKind(NamedTuple):
    """A class of layers.

    Attributes
    ----------
    settings : dict of str to function
        What a file may set, with the check of each value. Any other key is refused unless it is null or false.
    shapes : function
        Of the settings and the shapes of the inputs. Raises ValueError with the reason where they do not fit.
    """

    settings: dict[str, Check]
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


def _one(inputs: list[Shape]) -> Shape:
    if len(inputs) != 1 or len(inputs[0]) != 1:
        raise ValueError(
            f"it gets {len(inputs)} inputs" if len(inputs) != 1 else f"its input has the shape {inputs[0]}"
        )
    return inputs[0]


def _same(_settings: Settings, inputs: list[Shape]) -> Shapes:
    return Shapes(_one(inputs))


def _dense(settings: Settings, inputs: list[Shape]) -> Shapes:
    (width,) = _one(inputs)
    units = settings["units"]
    weights: tuple[Shape, ...] = ((width, units),)
    if settings.get("use_bias", True):
        weights = (*weights, (units,))
    return Shapes((units,), weights)


def _num_affine(settings: Settings) -> int:
    """Number of weights that scale and centre."""
    return sum(bool(settings.get(key, True)) for key in ("scale", "center"))


def _batch_normalization(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = _one(inputs)
    return Shapes(shape, (shape,) * (_num_affine(settings) + 2))


def _layer_normalization(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = _one(inputs)
    return Shapes(shape, (shape,) * _num_affine(settings))


def _normalization(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = _one(inputs)
    _check_lengths(settings, ("mean", "variance"), *shape)
    given = [settings.get(key) is not None for key in ("mean", "variance")]
    if given[0] != given[1]:
        raise ValueError("it has only one of mean and variance")
    kept = shape if settings.get("axis", -1) not in (None, []) else ()
    return Shapes(shape, () if all(given) else (kept, kept, ()))


def _rescaling(settings: Settings, inputs: list[Shape]) -> Shapes:
    shape = _one(inputs)
    _check_lengths(settings, ("scale", "offset"), *shape)
    return Shapes(shape)


def _check_lengths(settings: Settings, keys: tuple[str, ...], width: int) -> None:
    for key in keys:
        if settings.get(key) is None:
            continue
        length = len(options.numbers_of(settings[key]))
        if length not in (1, width):
            raise ValueError(f"its {key} has {length} numbers for {width} values")


def _merged(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Shape of values that are joined element by element; a single number goes with each."""
    width = max(shape[0] for shape in inputs)
    if any(len(shape) != 1 or shape[0] not in (1, width) for shape in inputs):
        raise ValueError(f"its inputs have {', '.join(str(shape[0]) for shape in inputs)} values")
    return Shapes((width,))


def _paired(settings: Settings, inputs: list[Shape]) -> Shapes:
    if len(inputs) != 2:
        raise ValueError(f"it gets {len(inputs)} inputs instead of two")
    return _merged(settings, inputs)


def _concatenated(_settings: Settings, inputs: list[Shape]) -> Shapes:
    return Shapes((sum(shape[0] for shape in inputs),))


_AFFINE: dict[str, Check] = {
    "axis": is_last_axis,
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
_RANDOM: dict[str, Check] = {"rate": number(0, 1), "seed": options.is_seed}

#: Class of a layer: settings and shapes. What is not here is refused.
LAYERS: dict[str, LayerKind] = {
    "Activation": LayerKind({"activation": is_activation}, _same),
    "ActivityRegularization": LayerKind({"l1": number(0), "l2": number(0)}, _same),
    "Add": LayerKind({}, _merged),
    "AlphaDropout": LayerKind(_RANDOM, _same),
    "Average": LayerKind({}, _merged),
    "BatchNormalization": LayerKind(
        {
            **_AFFINE,
            "momentum": number(0, 1),
            "synchronized": options.is_unset,
            "moving_mean_initializer": initializer,
            "moving_variance_initializer": initializer,
            "renorm_momentum": optional(number(0, 1)),
        },
        _batch_normalization,
    ),
    "Concatenate": LayerKind({"axis": is_last_axis}, _concatenated),
    "Dense": LayerKind(
        {
            "units": options.is_whole,
            "activation": is_activation,
            "use_bias": is_flag,
            "kernel_initializer": initializer,
            "bias_initializer": initializer,
            "kernel_regularizer": regularizer,
            "bias_regularizer": regularizer,
            "kernel_constraint": constraint,
            "bias_constraint": constraint,
        },
        _dense,
    ),
    "Dropout": LayerKind(_RANDOM, _same),
    "ELU": LayerKind({"alpha": number()}, _same),
    "GaussianDropout": LayerKind(_RANDOM, _same),
    "GaussianNoise": LayerKind({"stddev": number(0), "seed": options.is_seed}, _same),
    "LayerNormalization": LayerKind(_AFFINE, _layer_normalization),
    "LeakyReLU": LayerKind({"negative_slope": number()}, _same),
    "Maximum": LayerKind({}, _merged),
    "Minimum": LayerKind({}, _merged),
    "Multiply": LayerKind({}, _merged),
    "Normalization": LayerKind(
        {
            "axis": lambda value: value in (None, []) or is_last_axis(value),
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
    "Softmax": LayerKind({"axis": is_last_axis}, _same),
    "Subtract": LayerKind({}, _paired),
    "UnitNormalization": LayerKind({"axis": is_last_axis}, _same),
    "keras.ops.Absolute": LayerKind({}, _same),
    "keras.ops.Add": LayerKind({}, _paired),
    "keras.ops.Concatenate": LayerKind({"axis": is_last_axis}, _concatenated),
    "keras.ops.Divide": LayerKind({}, _paired),
    "keras.ops.Maximum": LayerKind({}, _paired),
    "keras.ops.Minimum": LayerKind({}, _paired),
    "keras.ops.Multiply": LayerKind({}, _paired),
    "keras.ops.Negative": LayerKind({}, _same),
    "keras.ops.Subtract": LayerKind({}, _paired),
    "keras.ops.TrueDivide": LayerKind({}, _paired),
}
