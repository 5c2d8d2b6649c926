"""Networks of the zoo that give their inputs back through a latent layer, with their settings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from ntupleml.models.encoders.encoder import Width
from ntupleml.models.networks import OBJECTS, Latent, Network, NetworkSettings

_Widths = Annotated[list[Width], Field(min_length=1)]


class HltAutoencoder(NetworkSettings):
    """Dense layers of the encoder, a latent layer, and the dense layers again: an anomaly detection at the trigger."""

    #: Widths of the encoder's layers; the decoder's are the same, the last first.
    hidden: _Widths = Field(default=[100, 100, 64, 32])
    #: Numbers of the latent layer.
    latent: Width = 4
    #: Share of outputs dropped behind each layer while training, the latent one left out.
    dropout: float = Field(default=0.1, ge=0, lt=1)
    #: Factor of the sum of squared weights in the loss.
    l2: float = Field(default=0.01, ge=0)

    def network(self) -> Network:
        """The network that these settings mean."""
        return Network(
            hidden=tuple(self.hidden),
            activation="relu",
            encoders={OBJECTS: {"type": "dense"}},
            latent=Latent(self.latent),
            output="linear",
            dropout=self.dropout,
            l2=self.l2,
            output_l2=self.l2,
            norm="batch",
            loss="masked_mean_squared_error",
            learning_rate=1e-3,
        )


class L1Variational(NetworkSettings):
    """Variational autoencoder of the first trigger level: two dense layers, and its latent layer is small."""

    #: Widths of the encoder's layers; the decoder's are the same, the last first.
    hidden: _Widths = Field(default=[32, 16])
    #: Numbers of the latent layer, each with a mean and a log variance.
    latent: Width = 3
    #: Factor of the Kullback-Leibler divergence in the loss.
    beta: float = Field(default=0.1, ge=0)
    #: Factor of the sum of squared weights in the loss.
    l2: float = Field(default=1e-3, ge=0)

    def network(self) -> Network:
        """The network that these settings mean."""
        return Network(
            hidden=tuple(self.hidden),
            activation="relu",
            encoders={OBJECTS: {"type": "dense"}},
            latent=Latent(self.latent, variational=True, beta=self.beta),
            output="linear",
            hidden_initializer="he_normal",
            l2=self.l2,
            output_l2=self.l2,
            loss="masked_mean_squared_error",
            learning_rate=1e-3,
        )


class _OfObjects(NetworkSettings):
    #: Of the encoder of objects.
    encoder: ClassVar[str]

    #: Numbers that describe an object inside.
    width: Width = 32
    #: Heads of the attention; they divide the width.
    heads: Width = 4
    #: Blocks of the encoder.
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    #: Widths of the dense layers before the latent layer; behind it they come again, the last first.
    hidden: _Widths = Field(default=[64, 32])
    #: Numbers of the latent layer.
    latent: Width = 4

    def network(self) -> Network:
        """The network that these settings mean."""
        objects = {"type": self.encoder, "width": self.width, "heads": self.heads, "layers": self.layers}
        return Network(
            hidden=tuple(self.hidden),
            activation="relu",
            encoders={OBJECTS: objects},
            latent=Latent(self.latent),
            output="linear",
            loss="masked_mean_squared_error",
            learning_rate=1e-3,
        )


class SetAutoencoder(_OfObjects):
    """A set transformer reads the objects, whose order does not count; dense layers give them back, in their order."""

    encoder = "set_transformer"


class TransformerAutoencoder(_OfObjects):
    """A transformer reads the objects, whose order does not count; dense layers give them back, in their order."""

    encoder = "transformer"
