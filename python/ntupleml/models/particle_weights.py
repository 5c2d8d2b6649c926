"""The network that gives particles weights: their vector sum is what is learnt."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.networks import OBJECTS, Network, NetworkSettings


class ParticleWeightsNetwork(NetworkSettings):
    """Two values, x and y, that are the weighted sum of the particles' transverse momenta, and nothing else.

    The inputs are groups of ``collections``, the values a missing transverse momentum, such as `ex` and `ey`. Each
    particle is seen alone, by all layers alike, in any number and order; numbers of the event that its weight shall
    depend on are columns of the collections.
    """

    #: Widths of the layers that act on each particle, before its weight.
    hidden: Annotated[list[Width], Field(min_length=1)] = [64, 32, 16]
    #: Whether each particle also adds a vector that does not depend on its momentum.
    bias: bool = False
    #: Learning rate of Adam; by default that of Keras.
    learning_rate: float | None = Field(default=None, gt=0)

    def network(self) -> Network:
        """The network that these settings mean."""
        return Network(
            hidden=(),
            activation="relu",
            encoders={OBJECTS: {"type": "weighted_sum", "hidden": self.hidden, "bias": self.bias}},
            output="linear",
            vector=True,
            loss="mean_squared_error",
            learning_rate=self.learning_rate,
        )
