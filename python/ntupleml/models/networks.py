"""What defines a dense network and its fit, as data: layers, regularisation, loss, optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ntupleml.errors import NtuplemlError
from ntupleml.models.registries import ACTIVATIONS, LOSSES, OPTIMIZERS, require_name

if TYPE_CHECKING:
    from ntupleml.config import ModelConfig

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


def network_of(config: ModelConfig, where: str = "model") -> Network:
    """Network that the `model` block of a training config means.

    Parameters
    ----------
    config : ModelConfig
    where : str
        File and key of the block, for messages.

    Raises
    ------
    NtuplemlError
        If the zoo has no such network, or an activation, loss or optimiser is unknown.
    """
    from ntupleml.models.zoo import ZOO

    if config.name is not None:
        require_name(config.name, ZOO, "network", f"{where}.name")
        return ZOO[config.name]
    if config.hidden is None:
        raise NtuplemlError(f"{where}: neither name nor hidden is given; name a network of the zoo or write one")
    require_name(config.activation, ACTIVATIONS, "activation", f"{where}.activation")
    require_name(config.loss, LOSSES, "loss", f"{where}.loss")
    require_name(config.optimizer, OPTIMIZERS, "optimiser", f"{where}.optimizer")
    return Network(
        hidden=tuple(config.hidden),
        activation=config.activation,
        dropout=config.dropout,
        l2=config.l2,
        output_l2=config.l2,
        batch_norm=config.batch_norm,
        loss=config.loss,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
    )
