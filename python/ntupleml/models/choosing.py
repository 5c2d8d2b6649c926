"""From the `model` block of a training config to the network that it means."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ntupleml.config.four_vectors import CollectionsConfig, CombinationsConfig
from ntupleml.config.inputs import ImageConfig, NumbersConfig, ObjectsConfig
from ntupleml.config.slots import SlotsGroupConfig
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.models.encoders import DEFAULT_ENCODERS, ENCODERS, IMAGE_TO_IMAGE, encoder_of
from ntupleml.models.encoders.image_encoder import ImageEncoder
from ntupleml.models.networks import EVERY, EVERY_IMAGE, Latent, Network
from ntupleml.models.quantisation import quantised_network
from ntupleml.models.registries import (
    ACTIVATIONS,
    LOSS_SETTINGS,
    MIXED,
    OPTIMIZERS,
    TARGET_LOSSES,
    chosen_block,
    require_name,
)
from ntupleml.models.zoo import network_of_zoo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.config import ModelConfig
    from ntupleml.config.inputs import GroupConfig
    from ntupleml.models.networks import Kind
    from ntupleml.targets import TargetKind

_KINDS: dict[type, Kind] = {
    NumbersConfig: "numbers",
    CombinationsConfig: "numbers",
    ObjectsConfig: "objects",
    CollectionsConfig: "objects",
    ImageConfig: "image",
}
_ONE_GROUP = {"variables": NumbersConfig(numbers=["variables"])}
#: Of a vector.
_COMPONENTS = 2
#: Names that layers of the network, or its output, have.
_TAKEN = re.compile(
    r"scores|predicted_image|joined|latent|latent_(mean|log_variance|drawn)|with_latent"
    r"|(hidden|normalisation|activation|dropout)_(\d+|latent)"
)


def network_of(
    config: ModelConfig,
    where: str = "model",
    groups: Mapping[str, GroupConfig] | None = None,
    target: TargetKind = "classes",
    num_values: int = 0,
) -> Network:
    """Network that the `model` block of a training config means.

    Parameters
    ----------
    groups : mapping of str to group, optional
        Groups of inputs by their names; by default one of numbers.
    target : str
        What is learnt. It decides the output and the default loss.
    num_values : int, default: 0
        Values that are learnt, alone or beside an image.

    Raises
    ------
    NtuplemlError
        If the zoo has no such network, or an activation, loss, optimiser or encoder is unknown; for a loss that is
        not for the target, an encoder that is not for its group, and settings that it does not have.
    """
    network = _network(config, where)
    encoders = _encoders(config, network, _ONE_GROUP if groups is None else groups, where, target)
    if network.vector:
        _require_vector(f"{where}.name: '{config.name}'", encoders, groups or _ONE_GROUP, target, num_values)
    if config.name is not None and target == "classes" and "loss" in config.model_fields_set:
        raise NtuplemlError(
            f"{where}.loss: '{config.name}' has its own, {network.loss}, where classes are learnt; leave it out"
        )
    if config.name is None or target != "classes":
        loss, settings = _loss(config, where, target, beside=target == "image" and num_values > 0)
        network = replace(network, loss=loss, loss_settings=settings)
    if target != "classes":
        network = replace(network, output="linear", squared_error_metric=False)
    if network.latent is not None:
        network = _with_divergence(network, network.latent, target, where if config.name is None else f"{where}.name")
    network = replace(network, encoders=encoders)
    if config.quantised is None:
        return network
    return replace(network, quantised=quantised_network(config.quantised, network, f"{where}.quantised"))


def _require_vector(
    named: str,
    encoders: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, GroupConfig],
    target: TargetKind,
    num_values: int,
) -> None:
    """Refuse what a network that gives a vector cannot learn or take."""
    if target != "values" or num_values != _COMPONENTS:
        found = f"target.values has {num_values}" if target == "values" else f"the target is {target}"
        raise NtuplemlError(f"{named} gives x and y of a vector, but {found}; give two values")
    for name in groups:
        if name not in encoders:
            raise NtuplemlError(
                f"{named} weighs objects, but the group '{name}' has none; leave it out, or give its numbers to each "
                "object as columns of its collections"
            )


def _with_divergence(network: Network, latent: Latent, target: TargetKind, where: str) -> Network:
    """A network with a latent layer, whose loss has its divergence where it is variational."""
    if target != "reconstruction":
        raise NtuplemlError(
            f"{where}: a network with a latent layer gives its inputs back, but the target is {target}; set target: "
            "{reconstruction: all}, or take another network"
        )
    return replace(network, loss_settings={"beta": latent.beta}) if latent.variational else network


def groups_with_vectors(config: ModelConfig, groups: Mapping[str, GroupConfig]) -> tuple[str, ...]:
    """Groups of objects whose four-vectors the network of a `model` block takes, too."""
    encoders = _encoders(config, _network(config, "model"), groups, "model")
    return tuple(name for name, settings in encoders.items() if ENCODERS[settings["type"]].needs_vectors)


def _loss(config: ModelConfig, where: str, target: TargetKind, *, beside: bool) -> tuple[str, dict[str, Any]]:
    """Name of the loss, and the settings that are given; `beside`: values stand beside an image."""
    if "loss" not in config.model_fields_set:
        return MIXED if beside else TARGET_LOSSES[target][0], {}
    settings = chosen_block(config.loss, LOSS_SETTINGS, "loss", f"{where}.loss")
    name = config.loss if isinstance(config.loss, str) else str(config.loss["type"])
    if name not in TARGET_LOSSES[target]:
        fitting = did_you_mean(name, TARGET_LOSSES[target])
        raise NtuplemlError(f"{where}.loss: '{name}' is no loss where the target is {target}{fitting}")
    if beside and name != MIXED:
        raise NtuplemlError(f"{where}.loss: '{name}' is of the image alone, but there are values too; take {MIXED}")
    return name, settings.model_dump(exclude_unset=True)


def _encoders(
    config: ModelConfig,
    network: Network,
    groups: Mapping[str, GroupConfig],
    where: str,
    target: TargetKind = "classes",
) -> dict[str, dict[str, Any]]:
    """All settings of the encoders, defaults included."""
    named, where = f"{where}.name: '{config.name}'", f"{where}.encoders"
    kinds = {name: _kind_of(group) for name, group in groups.items()}
    defaults = {**DEFAULT_ENCODERS, **({"image": IMAGE_TO_IMAGE} if target == "image" else {})}
    encoders: dict[str, dict[str, Any]] = {}
    for name in network.encoders:
        if not name.startswith(EVERY):
            require_name(name, kinds, "group of inputs", where if config.name is None else named)
        elif name == EVERY_IMAGE and "image" not in kinds.values():
            raise NtuplemlError(f"{named} is for images, but no group of inputs is one; add one")
    for name, kind in kinds.items():
        if _TAKEN.fullmatch(name) or any(
            name == f"{other}_{ending}" for other in kinds for ending in ("mask", "length", "vectors")
        ):
            raise NtuplemlError(f"inputs.{name}: the model has something else of this name; choose another")
        of_every = {**network.encoders.get(EVERY, {}), **network.encoders.get(f"{EVERY}{kind}", {})}
        if name in network.encoders or of_every or kind in defaults:
            settings = {"type": defaults.get(kind, "dense"), **of_every, **network.encoders.get(name, {})}
            encoder = encoder_of(settings, kind, f"{where}.{name}")
            if encoder.needs_vectors and not isinstance(groups[name], CollectionsConfig):
                raise NtuplemlError(
                    f"{where}.{name}: '{settings['type']}' takes pairs of four-vectors; describe inputs.{name} by "
                    "collections with pt, eta, phi and energy or mass"
                )
            if encoder.needs_order and isinstance(groups[name], SlotsGroupConfig):
                raise NtuplemlError(
                    f"{where}.{name}: '{settings['type']}' reads objects one after the other, but slots between them "
                    "may be empty; take set_transformer, transformer or deep_set"
                )
            encoders[name] = {"type": settings["type"], **encoder.model_dump()}
    if target == "image" and not any(_gives_image(settings) for settings in encoders.values()):
        fitting = " or ".join(name for name in ENCODERS if _gives_image({"type": name}))
        raise NtuplemlError(
            f"{where}: the target is an image, but no encoder gives one; take {fitting} for an image among the inputs"
        )
    return encoders


def _kind_of(group: GroupConfig) -> Kind:
    if isinstance(group, SlotsGroupConfig):
        return "numbers" if group.flat else "objects"
    return _KINDS[type(group)]


def _gives_image(settings: Mapping[str, Any]) -> bool:
    return issubclass(ENCODERS[settings["type"]], ImageEncoder)


def _network(config: ModelConfig, where: str) -> Network:
    if config.name is not None:
        network = network_of_zoo(config.name, config.settings, where)
        return network if config.learning_rate is None else replace(network, learning_rate=config.learning_rate)
    if config.hidden is None and not config.encoders:
        raise NtuplemlError(f"{where}: neither name nor hidden is given; name a network of the zoo or write one")
    require_name(config.activation, ACTIVATIONS, "activation", f"{where}.activation")
    require_name(config.optimizer, OPTIMIZERS, "optimiser", f"{where}.optimizer")
    latent = config.latent
    if latent is not None and latent.activation is not None:
        require_name(latent.activation, ACTIVATIONS, "activation", f"{where}.latent.activation")
    return Network(
        latent=None if latent is None else Latent(**latent.model_dump()),
        hidden=tuple(config.hidden or ()),
        activation=config.activation,
        encoders=config.encoders,
        dropout=config.dropout,
        l1=config.l1,
        l2=config.l2,
        output_l1=config.l1,
        output_l2=config.l2,
        norm="batch" if config.batch_norm else config.norm,
        optimizer=config.optimizer,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        clip_value=config.clip_value,
    )
