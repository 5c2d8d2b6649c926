"""From the `model` block of a training config to the network that it means."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ntupleml.config.inputs import ImageConfig, NumbersConfig, ObjectsConfig
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.models.encoders import DEFAULT_ENCODERS, encoder_of
from ntupleml.models.networks import Network
from ntupleml.models.registries import ACTIVATIONS, LOSSES, OPTIMIZERS, TARGET_LOSSES, require_name
from ntupleml.models.zoo import ZOO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.config import ModelConfig
    from ntupleml.config.inputs import GroupConfig
    from ntupleml.models.networks import Kind

    Target = Literal["classes", "values", "reconstruction"]

_KINDS: dict[type, Kind] = {NumbersConfig: "numbers", ObjectsConfig: "objects", ImageConfig: "image"}
#: Names that layers of the network, or its output, have.
_TAKEN = re.compile(r"scores|joined|(hidden|normalisation|activation|dropout)_\d+")


def network_of(
    config: ModelConfig,
    where: str = "model",
    groups: Mapping[str, GroupConfig] | None = None,
    target: Target = "classes",
) -> Network:
    """Network that the `model` block of a training config means.

    Parameters
    ----------
    groups : mapping of str to group, optional
        Groups of inputs by their names; by default one of numbers.
    target : str
        What is learnt: ``classes``, ``values`` or ``reconstruction``. It decides the output and the default loss.

    Raises
    ------
    NtuplemlError
        If the zoo has no such network, or an activation, loss, optimiser or encoder is unknown; for a loss that is
        not for the target, an encoder that is not for its group, and settings that it does not have.
    """
    kinds = {name: _KINDS[type(group)] for name, group in (groups or {}).items()}
    network = _network(config, where)
    if config.name is None or target != "classes":
        network = replace(network, loss=_loss(config, where, target))
    if target != "classes":
        network = replace(network, output="linear", squared_error_metric=False)
    return replace(network, encoders=_encoders(config, kinds, f"{where}.encoders"))


def _loss(config: ModelConfig, where: str, target: Target) -> str:
    if "loss" not in config.model_fields_set:
        return TARGET_LOSSES[target][0]
    require_name(config.loss, LOSSES, "loss", f"{where}.loss")
    if config.loss not in TARGET_LOSSES[target]:
        fitting = did_you_mean(config.loss, TARGET_LOSSES[target])
        raise NtuplemlError(f"{where}.loss: '{config.loss}' is no loss where the target is {target}{fitting}")
    return config.loss


def _encoders(config: ModelConfig, kinds: Mapping[str, Kind], where: str) -> dict[str, dict[str, Any]]:
    """All settings of the encoders, defaults included."""
    encoders: dict[str, dict[str, Any]] = {}
    for name in config.encoders:
        require_name(name, kinds, "group of inputs", where)
    for name, kind in kinds.items():
        if _TAKEN.fullmatch(name) or any(
            name == f"{other}_{ending}" for other in kinds for ending in ("mask", "length")
        ):
            raise NtuplemlError(f"inputs.{name}: the model has something else of this name; choose another")
        if name in config.encoders or kind in DEFAULT_ENCODERS:
            settings = {"type": DEFAULT_ENCODERS.get(kind, "dense"), **config.encoders.get(name, {})}
            encoder = encoder_of(settings, kind, f"{where}.{name}")
            encoders[name] = {"type": settings["type"], **encoder.model_dump()}
    return encoders


def _network(config: ModelConfig, where: str) -> Network:
    if config.name is not None:
        require_name(config.name, ZOO, "network", f"{where}.name")
        return ZOO[config.name]
    if config.hidden is None and not config.encoders:
        raise NtuplemlError(f"{where}: neither name nor hidden is given; name a network of the zoo or write one")
    require_name(config.activation, ACTIVATIONS, "activation", f"{where}.activation")
    require_name(config.optimizer, OPTIMIZERS, "optimiser", f"{where}.optimizer")
    return Network(
        hidden=tuple(config.hidden or ()),
        activation=config.activation,
        dropout=config.dropout,
        l2=config.l2,
        output_l2=config.l2,
        batch_norm=config.batch_norm,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
    )
