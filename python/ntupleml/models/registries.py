"""Activations, losses and optimisers that a config may name. The values are looked up in Keras only when called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from ntupleml.config.loading import first_problem
from ntupleml.config.schema import Schema
from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ntupleml.models.networks import ImageOutput, Network

_Settings = TypeVar("_Settings", bound=Schema)


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


def _masked_loss(**settings: float) -> Any:
    from ntupleml.models.reconstruction import MaskedSquaredError

    return MaskedSquaredError(**settings)


class _Smoothed(Schema):
    #: Share of the target that is spread evenly over all classes.
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class _Focal(_Smoothed):
    #: Exponent of 1 − score, with which events that are scored well lose weight (Lin et al., arXiv:1708.02002).
    gamma: float = Field(default=2.0, ge=0)
    #: Factor of the loss.
    alpha: float = Field(default=0.25, gt=0)


class _Huber(Schema):
    #: Difference from which on the loss grows linearly.
    delta: float = Field(default=1.0, gt=0)


class _Quantile(Schema):
    #: Of the truth that the prediction is to be, between 0 and 1.
    quantile: float = Field(default=0.5, gt=0, lt=1)


class _Difference(_Huber, _Quantile):
    #: How a difference costs: its square, its size, Huber's loss with `delta`, or the quantile loss with `quantile`.
    difference: Literal["squared", "absolute", "huber", "quantile"] = "squared"


class _Mixed(_Difference):
    #: Shares of the missing transverse energy, of the pixels and of the values. Differences are in units of the
    #: standard deviations in the training, so that equal shares are of equal weight.
    etmiss: float = Field(default=1.0, ge=0)
    image: float = Field(default=1.0, ge=0)
    values: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _something(self) -> _Mixed:
        if not self.etmiss + self.image + self.values:
            raise ValueError("all shares are 0; give one of etmiss, image and values")
        return self


def _quantile_loss(**settings: float) -> Any:
    from ntupleml.models.image_losses import QuantileLoss

    return QuantileLoss(**settings)


def _image_loss(*terms: str) -> Callable[..., Any]:
    """Loss of an image: of one term as it is, or of several with their shares and units."""

    def loss(wanted: ImageOutput, /, **settings: Any) -> Any:
        from ntupleml.models.image_losses import ImageLoss

        shares = {name: settings.pop(name, 1.0) for name in terms}
        units = wanted.units if len(terms) > 1 else None
        return ImageLoss(wanted.bins, wanted.phi_range, shares, units, **settings)

    return loss


#: Loss of networks that give their inputs back.
MASKED = "masked_mean_squared_error"
#: Losses by name: each value, called with the settings, gives the loss of one training. For classes, targets are
#: one-hot and outputs softmax.
LOSSES: dict[str, Callable[..., Any]] = {
    "binary_crossentropy": lambda **settings: _keras().losses.BinaryCrossentropy(**settings),
    "categorical_crossentropy": lambda **settings: _keras().losses.CategoricalCrossentropy(**settings),
    "categorical_focal_crossentropy": lambda **settings: _keras().losses.CategoricalFocalCrossentropy(**settings),
    "categorical_hinge": lambda: _keras().losses.CategoricalHinge(),
    "huber": lambda **settings: _keras().losses.Huber(**settings),
    "kl_divergence": lambda: _keras().losses.KLDivergence(),
    "log_cosh": lambda: _keras().losses.LogCosh(),
    MASKED: _masked_loss,
    "mean_absolute_error": lambda: _keras().losses.MeanAbsoluteError(),
    "mean_squared_error": lambda: _keras().losses.MeanSquaredError(),
    "quantile": _quantile_loss,
}
#: Of an image, by several measures, and of the values beside it.
MIXED = "mixed"
#: The same for networks that give an image, called with the image, too.
IMAGE_LOSSES: dict[str, Callable[..., Any]] = {
    "etmiss": _image_loss("etmiss"),
    "image": _image_loss("image"),
    MIXED: _image_loss("etmiss", "image", "values"),
}
#: Settings of each loss, by Keras' names.
LOSS_SETTINGS: dict[str, type[Schema]] = {
    **dict.fromkeys(LOSSES, Schema),
    "etmiss": _Difference,
    "binary_crossentropy": _Smoothed,
    "categorical_crossentropy": _Smoothed,
    "categorical_focal_crossentropy": _Focal,
    "huber": _Huber,
    "image": _Difference,
    MIXED: _Mixed,
    "quantile": _Quantile,
}
#: What losses are called elsewhere.
_SHORT_NAMES = {
    "bce": "binary_crossentropy",
    "cce": "categorical_crossentropy",
    "cross_entropy": "categorical_crossentropy",
    "crossentropy": "categorical_crossentropy",
    "focal": "categorical_focal_crossentropy",
    "kld": "kl_divergence",
    "l1": "mean_absolute_error",
    "l2": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "pinball": "quantile",
}
#: Losses of values alone, not of classes.
_OF_VALUES = ("quantile",)

#: Losses for each target, the one that is taken unasked first.
TARGET_LOSSES: dict[str, tuple[str, ...]] = {
    "classes": ("categorical_crossentropy", *sorted(LOSSES.keys() - {MASKED, "categorical_crossentropy", *_OF_VALUES})),
    "values": ("mean_squared_error", "huber", "log_cosh", "mean_absolute_error", *_OF_VALUES),
    "reconstruction": (MASKED,),
    "image": tuple(IMAGE_LOSSES),
}
#: What is followed of the validation for each target, the loss first.
TARGET_METRICS: dict[str, tuple[str, ...]] = {
    "classes": ("loss", "accuracy"),
    "values": ("loss", "mean_absolute_error"),
    "reconstruction": ("loss",),
    "image": ("loss",),
}
#: Optimisers by name: each value, called with Keras' keyword arguments, gives a new optimiser.
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


def loss_of(network: Network, image: ImageOutput | None = None) -> Any:
    """New loss of a network, which gives an image or none."""
    if image is not None:
        return IMAGE_LOSSES[network.loss](image, **network.loss_settings)
    return LOSSES[network.loss](**network.loss_settings)


def optimizer_of(network: Network) -> Any:
    """New optimiser of a network; what it does not say is left to Keras."""
    options = {
        "learning_rate": network.learning_rate,
        "weight_decay": network.weight_decay,
        "global_clipnorm": network.clip_norm,
        "clipvalue": network.clip_value,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return OPTIMIZERS[network.optimizer](**given)


def require_name(name: str, registry: Iterable[str], kind: str, where: str) -> None:
    """Check that a registry has a name."""
    names = list(registry)
    if name not in names:
        long = _SHORT_NAMES.get(name.lower())
        hint = f"; it is called '{long}'" if long in names else did_you_mean(name, names)
        raise NtuplemlError(f"{where}: no {kind} '{name}'{hint}")


def chosen_block(
    given: str | Mapping[str, Any], registry: Mapping[str, type[_Settings]], kind: str, where: str
) -> _Settings:
    """Settings that a name, or a block with its `type`, means.

    Parameters
    ----------
    registry : mapping
        Settings by the names that `type` may have.
    kind : str
        What these are, for messages.

    Raises
    ------
    NtuplemlError
        For a name that the registry has not, and a setting that is unknown or has a wrong value.
    """
    block = {"type": given} if isinstance(given, str) else given
    name = str(block.get("type", ""))
    require_name(name, registry, kind, where if isinstance(given, str) else f"{where}.type")
    schema = registry[name]
    try:
        return schema.model_validate({key: value for key, value in block.items() if key != "type"})
    except ValidationError as error:
        raise NtuplemlError(first_problem(error, schema, where)) from error
