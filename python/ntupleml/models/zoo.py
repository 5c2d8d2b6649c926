"""The zoo: networks of htt-ml, and of trainers for ttH(bb), displaced jets, triggers and missing energy, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.models.autoencoders import HltAutoencoder, L1Variational, SetAutoencoder, TransformerAutoencoder
from ntupleml.models.calratio import CalRatio
from ntupleml.models.image_networks import IMAGE_NETWORKS
from ntupleml.models.networks import EVERY, Network
from ntupleml.models.particle_weights import ParticleWeightsNetwork
from ntupleml.models.registries import chosen_block, require_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.models.networks import NetworkSettings


def _regularised(hidden: tuple[int, ...], activation: str, optimizer: str) -> Network:
    return Network(
        hidden=hidden,
        activation=activation,
        hidden_initializer="glorot_normal",
        l2=1e-4,
        loss="mean_squared_error",
        optimizer=optimizer,
    )


def _dropout_tanh(hidden: tuple[int, ...]) -> Network:
    return Network(
        hidden=hidden,
        activation="tanh",
        hidden_initializer="glorot_normal",
        dropout=0.3,
        l2=1e-5,
        output_l2=1e-5,
        optimizer="adam",
        learning_rate=1e-4,
        squared_error_metric=True,
    )


def _residual(attention: dict[str, Any] | None = None) -> Network:
    """Groups of inputs each through 512, 512, 256, 128, 64 and 32 numbers; the second layer is added to the first."""
    blocks = {"type": "residual", "hidden": [512, 512, 256, 128, 64, 32], "layers": 1, "attention": attention}
    return Network(hidden=(), activation="leaky_relu", encoders={EVERY: blocks}, dropout=0.5, norm="batch")


#: Settings of networks that have some, by name.
ADJUSTABLE: dict[str, type[NetworkSettings]] = {
    "calratio": CalRatio,
    "hlt_autoencoder": HltAutoencoder,
    "l1_variational": L1Variational,
    "set_autoencoder": SetAutoencoder,
    "particle_weights": ParticleWeightsNetwork,
    "transformer_autoencoder": TransformerAutoencoder,
    **IMAGE_NETWORKS,
}
#: Networks by name, those of `ADJUSTABLE` as they are without settings.
ZOO: dict[str, Network] = {
    "example": Network(hidden=(10,), activation="relu", hidden_initializer="glorot_normal"),
    "smhtt_simple": Network(
        hidden=(100,),
        activation="tanh",
        hidden_initializer="glorot_normal",
        loss="mean_squared_error",
        optimizer="nadam",
    ),
    "smhtt_mt": _regularised((300, 300, 300), "tanh", "nadam"),
    "smhtt_et": _regularised((1000,), "tanh", "nadam"),
    "smhtt_tt": _regularised((200, 200, 200), "tanh", "nadam"),
    "smhtt_legacy": _regularised((300, 300, 300), "relu", "adam"),
    "smhtt_dropout": Network(
        hidden=(200, 200), activation="relu", dropout=0.5, loss="mean_squared_error", optimizer="nadam"
    ),
    "smhtt_dropout_tanh": _dropout_tanh((200, 200)),
    "smhtt_dropout_tanh_large": _dropout_tanh((512, 512, 512, 512)),
    "nn1": Network(hidden=(128, 64, 32), activation="relu"),
    "nn2": Network(hidden=(128, 64, 32), activation="leaky_relu", dropout=0.2),
    "nn3": Network(hidden=(256, 128, 64, 32, 16), activation="leaky_relu", dropout=0.2, norm="batch"),
    "nn4": _residual(),
    "nn5": _residual({"heads": 1, "tokens": 16, "after": 2}),
    "nn6": _residual({"heads": 8, "tokens": 16, "after": 2, "hidden": 128}),
    "hlt_autoencoder_small": HltAutoencoder(hidden=[32, 8]).network(),
    **{name: settings().network() for name, settings in ADJUSTABLE.items()},
}


def network_of_zoo(name: str, settings: Mapping[str, Any], where: str) -> Network:
    """Network of a name, with settings where it has some.

    Raises
    ------
    NtuplemlError
        If there is no such network, or it has no such settings.
    """
    require_name(name, ZOO, "network", f"{where}.name")
    if name in ADJUSTABLE:
        return chosen_block({**settings, "type": name}, ADJUSTABLE, "network", f"{where}.settings").network()
    if settings:
        raise NtuplemlError(
            f"{where}.settings: '{name}' has none; leave them out, or take one of {', '.join(ADJUSTABLE)}, which do"
        )
    return ZOO[name]
