"""What defines a network and its fit, as data: encoders, layers, regularisation, output, loss, optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Initializer = Literal["glorot_normal", "glorot_uniform"]
Kind = Literal["numbers", "objects", "image"]


class GroupShape(NamedTuple):
    """What a network gets of a group of inputs, for one row."""

    #: ``numbers``, ``objects`` or ``image``.
    kind: Kind
    #: (n,) for numbers, (length, n) for objects, (η, φ, channels) for images. The length is None where the network
    #: takes any.
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Network:
    """A network and how it is fitted."""

    #: Widths of the hidden layers, after the groups of inputs are joined.
    hidden: tuple[int, ...]
    #: Activation of the hidden layers, a key of `ACTIVATIONS`.
    activation: str
    #: By the name of a group of inputs, what is done to it first: ``type``, a key of `ENCODERS`, and its settings. A
    #: group of numbers may have none.
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: Activation of the output: ``softmax`` for classes, ``linear`` for values.
    output: Literal["softmax", "linear"] = "softmax"
    #: Distribution of the first weights.
    hidden_initializer: Initializer = "glorot_uniform"
    output_initializer: Initializer = "glorot_uniform"
    #: Share of each hidden layer's outputs dropped while training.
    dropout: float = 0.0
    #: Factor of the sum of squared weights (without biases) in the loss, for each hidden layer and for the output.
    l2: float = 0.0
    output_l2: float = 0.0
    #: Whether each hidden layer is normalised before its activation; layers that act on each object are not.
    batch_norm: bool = False
    #: Keys of `LOSSES` and `OPTIMIZERS`.
    loss: str = "categorical_crossentropy"
    optimizer: str = "adam"
    #: None: the optimiser's own.
    learning_rate: float | None = None
    #: Whether the weighted mean squared error is followed from epoch to epoch beside loss and accuracy.
    squared_error_metric: bool = False
