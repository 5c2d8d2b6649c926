"""What defines a network and its fit, as data: encoders, layers, regularisation, output, loss, optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ntupleml.config.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Initializer = Literal["glorot_normal", "glorot_uniform", "he_normal", "random_uniform"]
Kind = Literal["numbers", "objects", "image"]
#: In place of the name of a group: all of them.
EVERY = "*"
#: And all of objects, or all images.
OBJECTS, EVERY_IMAGE = "*objects", "*image"


class GroupShape(NamedTuple):
    """What a network gets of a group of inputs, for one row."""

    #: ``numbers``, ``objects`` or ``image``.
    kind: Kind
    #: (n,) for numbers, (length, n) for objects, (η, φ, channels) for images. The length is None where the network
    #: takes any.
    shape: tuple[int | None, ...]


class ImageOutput(NamedTuple):
    """An image that a network gives."""

    #: In η and φ.
    bins: tuple[int, int]
    phi_range: tuple[float, float]
    #: What differences are counted in, by the terms of `ImageLoss`, where a loss joins several.
    units: Mapping[str, float] = {}


class ValueUnits(NamedTuple):
    """How values are standardised."""

    mean: Sequence[float]
    scale: Sequence[float]


@dataclass(frozen=True)
class Latent:
    """The layer behind which the hidden layers come again, the last first."""

    size: int
    #: None: that of the hidden layers.
    activation: str | None = None
    #: Whether it is a mean and a log variance, from which numbers are drawn while training.
    variational: bool = False
    #: Of a variational one: factor of the Kullback-Leibler divergence in the loss.
    beta: float = 0.1


@dataclass(frozen=True)
class Network:
    """A network and how it is fitted."""

    #: Widths of the hidden layers, after the groups of inputs are joined.
    hidden: tuple[int, ...]
    #: Activation of the hidden layers, a key of `ACTIVATIONS`.
    activation: str
    #: By the name of a group of inputs, what is done to it first: ``type``, a key of `ENCODERS`, and its settings. A
    #: group of numbers may have none. In the zoo, `EVERY`, `OBJECTS` and `EVERY_IMAGE` stand for groups.
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Of a network that gives its inputs back: what lies between its encoder and its decoder.
    latent: Latent | None = None
    #: Activation of the output: ``softmax`` for classes, ``linear`` for values.
    output: Literal["softmax", "linear"] = "softmax"
    #: Whether the values are the components of a vector, the sum of what the encoders give, in their unit.
    vector: bool = False
    #: Activation of the pixels of an image that is learnt, a key of `ACTIVATIONS`.
    pixels: str = "linear"
    #: Distribution of the first weights.
    hidden_initializer: Initializer = "glorot_uniform"
    output_initializer: Initializer = "glorot_uniform"
    #: Share of each hidden layer's outputs dropped while training.
    dropout: float = 0.0
    #: Factors in the loss of the sums of absolute (l1) and of squared (l2) weights, without biases, for each hidden
    #: layer and for the output.
    l1: float = 0.0
    l2: float = 0.0
    output_l1: float = 0.0
    output_l2: float = 0.0
    #: Normalisation of each hidden layer before its activation: over the batch (not of layers that act on each
    #: object) or over the numbers of the layer.
    norm: Literal["batch", "layer"] | None = None
    #: How its numbers are rounded: `type`, a key of `QUANTISATIONS`, and all its settings.
    quantised: Mapping[str, Any] | None = None
    #: Keys of `LOSSES` and `OPTIMIZERS`.
    loss: str = "categorical_crossentropy"
    optimizer: str = "adam"
    #: By the names of `LOSS_SETTINGS`; others are Keras' own.
    loss_settings: Mapping[str, Any] = field(default_factory=dict)
    #: None: the optimiser's own.
    learning_rate: float | None = None
    #: Share of the weights, times the learning rate, by which they shrink in each step, as AdamW does it.
    weight_decay: float | None = None
    #: Largest norm of the gradient of all weights together, and largest absolute value of each of its numbers.
    clip_norm: float | None = None
    clip_value: float | None = None
    #: Whether the weighted mean squared error is followed from epoch to epoch beside loss and accuracy.
    squared_error_metric: bool = False


class NetworkSettings(Schema):
    """Settings of a network of the zoo."""

    def network(self) -> Network:
        """The network that they mean."""
        raise NotImplementedError
