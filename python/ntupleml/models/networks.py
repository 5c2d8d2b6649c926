"""What defines a network and its fit, as data: encoders, layers, regularisation, output, loss, optimiser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Initializer = Literal["glorot_normal", "glorot_uniform"]
Kind = Literal["numbers", "objects", "image"]


class GroupShape(NamedTuple):
    """What a network gets of a group of inputs, for one row.

    Attributes
    ----------
    kind : str
        ``numbers``, ``objects`` or ``image``.
    shape : tuple of int
        (n,) for numbers, (length, n) for objects, (η, φ, channels) for images. The length is None where the network
        takes any.
    """

    kind: Kind
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Network:
    """A network and how it is fitted.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers, after the groups of inputs are joined.
    activation : str
        Activation of the hidden layers, a key of `ACTIVATIONS`.
    encoders : mapping
        By the name of a group of inputs, what is done to it first: ``type``, a key of `ENCODERS`, and its settings.
        A group of numbers may have none.
    output : str
        Activation of the output: ``softmax`` for classes, ``linear`` for values.
    hidden_initializer, output_initializer : str
        Distribution of the first weights.
    dropout : float
        Share of each hidden layer's outputs dropped while training.
    l2, output_l2 : float
        Factor of the sum of squared weights (without biases) in the loss, for each hidden layer and for the output.
    batch_norm : bool
        Whether each hidden layer is normalised before its activation; layers that act on each object are not.
    loss, optimizer : str
        Keys of `LOSSES` and `OPTIMIZERS`.
    learning_rate : float or None
        None: the optimiser's own.
    squared_error_metric : bool
        Whether the weighted mean squared error is followed from epoch to epoch beside loss and accuracy.
    """

    hidden: tuple[int, ...]
    activation: str
    encoders: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    output: Literal["softmax", "linear"] = "softmax"
    hidden_initializer: Initializer = "glorot_uniform"
    output_initializer: Initializer = "glorot_uniform"
    dropout: float = 0.0
    l2: float = 0.0
    output_l2: float = 0.0
    batch_norm: bool = False
    loss: str = "categorical_crossentropy"
    optimizer: str = "adam"
    learning_rate: float | None = None
    squared_error_metric: bool = False
