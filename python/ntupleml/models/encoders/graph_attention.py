"""Graph attention: objects look at those linked to them, by a score that both and their pair make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.graph import GraphEncoder, PairNames, Radius, added, normalised_pairs

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class GraphAttention(GraphEncoder):
    """Graph attention network, version 2 (Brody, Alon, Yahav, arXiv:2105.14491), with features of the pairs.

    The score of a pair is a dense layer after a leaky rectifier of the sum of both objects and their pair, each through
    a dense layer. Each layer is added to what it gets.
    """

    #: Layers of attention.
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    #: Numbers that describe an object inside.
    width: Width = 64
    #: Of each attention; they share the width.
    heads: Width = 4
    #: Features of pairs.
    pairs: PairNames = ["log_delta_r", "log_kt", "log_z", "log_mass2"]
    #: Largest ΔR of objects that are linked; left out: all are.
    radius: Radius | None = None

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} heads do not divide the width, {self.width}")
        return self

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all layers, then pooled."""
        links = self.linked(vectors, mask, self.radius, parts)
        pairs = normalised_pairs(self.pairs, vectors, mask, parts)
        for number in range(1, self.layers + 1):
            more = self._attention(values, pairs, links, number, parts)
            values = parts.ended(added(values, more, f"{number}", parts), mask, f"{number}")
        return self.pooled(values, mask, parts)

    def _attention(self, values: Any, pairs: Any, links: Any, number: int, parts: Parts) -> Any:
        import keras

        from ntupleml.models.layers import PairAttention, PairSums

        looking = parts.weighted("Dense", f"looking_{number}", self.width)(values)
        seen = parts.weighted("Dense", f"seen_{number}", self.width)(values)
        of_pairs = parts.weighted("Dense", f"pairs_{number}", self.width, use_bias=False)(pairs)
        sums = PairSums(name=f"{parts.prefix}sums_{number}")([looking, seen, of_pairs])
        sums = keras.layers.LeakyReLU(negative_slope=0.2, name=f"{parts.prefix}leaky_{number}")(sums)
        scores = parts.weighted("Dense", f"scores_{number}", self.heads, use_bias=False)(sums)
        return PairAttention(name=f"{parts.prefix}attention_{number}")([seen, scores, links])
