"""The zoo: htt-ml's networks by their names."""

from __future__ import annotations

from ntupleml.models.networks import Network


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


#: Networks by name.
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
}
