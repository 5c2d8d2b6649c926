"""From the `model` block of a training config to the network that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.models.networks import Network
from ntupleml.models.registries import ACTIVATIONS, LOSSES, OPTIMIZERS, require_name
from ntupleml.models.zoo import ZOO

if TYPE_CHECKING:
    from ntupleml.config import ModelConfig


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
