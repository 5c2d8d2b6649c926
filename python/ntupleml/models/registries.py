"""Activations, losses and optimisers that a config may name. The values are looked up in Keras only when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _keras() -> Any:
    """Keras, which takes seconds to import."""
    import keras

    return keras


#: Activation functions of hidden layers by name; the values are the names that Keras gives them.
ACTIVATIONS: dict[str, str] = {
    "elu": "elu",
    "gelu": "gelu",
    "leaky_relu": "leaky_relu",
    "linear": "linear",
    "relu": "relu",
    "selu": "selu",
    "sigmoid": "sigmoid",
    "silu": "silu",
    "softplus": "softplus",
    "swish": "silu",
    "tanh": "tanh",
}


def _masked_loss() -> Any:
    from ntupleml.models.reconstruction import MaskedSquaredError

    return MaskedSquaredError()


#: Loss of networks that give their inputs back.
MASKED = "masked_mean_squared_error"
#: Losses by name: each value, called, gives the loss of one training. For classes, targets are one-hot and outputs
#: softmax.
LOSSES: dict[str, Callable[[], Any]] = {
    "binary_crossentropy": lambda: _keras().losses.BinaryCrossentropy(),
    "categorical_crossentropy": lambda: _keras().losses.CategoricalCrossentropy(),
    "categorical_focal_crossentropy": lambda: _keras().losses.CategoricalFocalCrossentropy(),
    "categorical_hinge": lambda: _keras().losses.CategoricalHinge(),
    "huber": lambda: _keras().losses.Huber(),
    "kl_divergence": lambda: _keras().losses.KLDivergence(),
    "log_cosh": lambda: _keras().losses.LogCosh(),
    MASKED: _masked_loss,
    "mean_absolute_error": lambda: _keras().losses.MeanAbsoluteError(),
    "mean_squared_error": lambda: _keras().losses.MeanSquaredError(),
}

#: Losses for each target, the one that is taken unasked first.
TARGET_LOSSES: dict[str, tuple[str, ...]] = {
    "classes": ("categorical_crossentropy", *sorted(LOSSES.keys() - {MASKED, "categorical_crossentropy"})),
    "values": ("mean_squared_error", "huber", "log_cosh", "mean_absolute_error"),
    "reconstruction": (MASKED,),
}
#: Optimisers by name: each value, called with keyword arguments (`learning_rate`), gives a new optimiser.
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adadelta": lambda **options: _keras().optimizers.Adadelta(**options),
    "adagrad": lambda **options: _keras().optimizers.Adagrad(**options),
    "adam": lambda **options: _keras().optimizers.Adam(**options),
    "adamax": lambda **options: _keras().optimizers.Adamax(**options),
    "adamw": lambda **options: _keras().optimizers.AdamW(**options),
    "nadam": lambda **options: _keras().optimizers.Nadam(**options),
    "rmsprop": lambda **options: _keras().optimizers.RMSprop(**options),
    "sgd": lambda **options: _keras().optimizers.SGD(**options),
}


def require_name(name: str, registry: Iterable[str], kind: str, where: str) -> None:
    """Check that a registry has a name."""
    names = list(registry)
    if name not in names:
        raise NtuplemlError(f"{where}: no {kind} '{name}'{did_you_mean(name, names)}")
