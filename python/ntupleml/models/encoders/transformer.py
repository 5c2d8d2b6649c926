"""Transformer encoder: each object sees all others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ntupleml.models.encoders.attending import Attending

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts

#: Blocks in which the class token looks at the objects, as in the papers that have it.
_CLASS_BLOCKS = 2


class Transformer(Attending):
    """Each object sees all others (Vaswani et al., arXiv:1706.03762); their order does not count."""

    #: What is taken over the objects: their ``mean``, or ``class_token``: a vector that is learnt looks at them, after
    #: all other blocks, in two of its own.
    pool: Literal["mean", "class_token"] = "mean"

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all blocks, then their mean or what the class token saw."""
        from ntupleml.models.layers import MaskedPooling

        values = self.embedded(values, parts)
        for number in map(str, range(1, self.layers + 1)):
            attention = partial(self.self_attention, mask=mask, name=number, parts=parts)
            values = self.block(values, number, attention, parts)
        if self.norm == "pre":
            values = self.normalised(values, "end", parts)
        if self.pool == "mean":
            return MaskedPooling(["mean"], name=f"{parts.prefix}pool")([values, mask])
        return self.class_token(values, mask, _CLASS_BLOCKS, parts)
