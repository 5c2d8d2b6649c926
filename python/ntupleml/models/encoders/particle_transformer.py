"""Particle transformer: attention that knows angle, mass and scales of each pair of objects."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ntupleml.models.encoders.attending import Attending
from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.graph import PairNames, activated, normalised_pairs

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class ParticleTransformer(Attending):
    """Particle transformer (Qu, Li, Qian, arXiv:2202.03772): features of pairs are added to the attention.

    Dense layers, the same for all pairs, make one number per head of the features of a pair. It is added to how well
    the objects' query and key fit, in all blocks. A class token looks at the objects at the end.
    """

    needs_vectors: ClassVar = True
    #: Blocks in which the class token looks at the objects.
    class_layers: Annotated[int, Field(ge=1, le=100)] = 2
    #: Features of pairs.
    pairs: PairNames = ["log_delta_r", "log_kt", "log_z", "log_mass2"]
    #: Widths of the dense layers on pairs.
    pair_hidden: list[Width] = [32, 32]

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all blocks, then what the class token saw."""
        bias = normalised_pairs(self.pairs, vectors, mask, parts)
        for layer, width in enumerate(self.pair_hidden, start=1):
            bias = activated(f"pairs_{layer}", width, parts)(bias)
        bias = parts.weighted("Dense", "bias", self.heads)(bias)
        values = self.embedded(values, parts)
        for number in map(str, range(1, self.layers + 1)):
            values = self.block(values, number, partial(self._attention, mask, bias, number, parts), parts)
        if self.norm == "pre":
            values = self.normalised(values, "end", parts)
        return self.class_token(values, mask, self.class_layers, parts)

    def _attention(self, mask: Any, bias: Any, name: str, parts: Parts, values: Any) -> Any:
        return self.cross_attention(values, values, mask, name, parts, bias=bias)
