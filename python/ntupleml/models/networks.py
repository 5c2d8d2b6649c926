"""What defines a dense network and its fit, as data: layers, regularisation, loss, optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Initializer = Literal["glorot_normal", "glorot_uniform"]


@dataclass(frozen=True)
class Network:
    """A dense classifier with a softmax output, and how it is fitted.

    Attributes
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    activation : str
        Activation of the hidden layers, a key of `ACTIVATIONS`.
    hidden_initializer, output_initializer : str
        Distribution of the first weights.
    dropout : float
        Share of each hidden layer's outputs dropped while training.
    l2, output_l2 : float
        Factor of the sum of squared weights (without biases) in the loss, for each hidden layer and for the output.
    batch_norm : bool
        Whether each hidden layer is normalised before its activation.
    loss, optimizer : str
        Keys of `LOSSES` and `OPTIMIZERS`.
    learning_rate : float or None
        None: the optimiser's own.
    squared_error_metric : bool
        Whether the weighted mean squared error is followed from epoch to epoch beside loss and accuracy.
    """

    hidden: tuple[int, ...]
    activation: str
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
