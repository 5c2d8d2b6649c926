"""Set transformer: objects see one another through a few induced points, and seeds pool them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ntupleml.models.encoders.attending import Attending
from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class SetTransformer(Attending):
    """Set transformer (Lee et al., arXiv:1810.00825): its time grows with the number of objects, not its square."""

    layers: Annotated[int, Field(ge=1, le=100)] = 2
    #: Vectors that are learnt, in each block: they look at the objects, and the objects at what they saw.
    induced: Width = 16
    #: Vectors that are learnt and look at the objects at the end; several also see one another.
    seeds: Width = 1
    norm: Literal["pre", "post"] = "post"

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all blocks (ISAB in the paper), then what the seeds saw of them (PMA)."""
        import keras

        values = self.embedded(values, parts)
        for number in range(1, self.layers + 1):
            points = self.learnt(self.induced, f"induced_{number}", values, parts)
            points = self._looking(points, values, mask, f"points_{number}", parts)
            values = self._looking(values, points, None, f"objects_{number}", parts)
        if self.norm == "pre":
            values = self.normalised(values, "end", parts)
        seeds = self._looking(self.learnt(self.seeds, "seeds", values, parts), values, mask, "seeds", parts)
        if self.seeds > 1:
            seeds = self._looking(seeds, seeds, None, "between_seeds", parts)
        if self.norm == "pre":
            seeds = self.normalised(seeds, "seeds_end", parts)
        return keras.layers.Flatten(name=f"{parts.prefix}pool")(seeds)

    def _looking(self, values: Any, objects: Any, mask: Any, name: str, parts: Parts) -> Any:
        return self.block(values, name, lambda x: self.cross_attention(x, objects, mask, name, parts), parts)
