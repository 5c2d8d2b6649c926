"""Graph convolution: objects get the normalised sum of those linked to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.graph import GraphEncoder, Radius, added

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class GraphConvolution(GraphEncoder):
    """Graph convolutional network (Kipf and Welling, arXiv:1609.02907), each layer added to what it gets."""

    #: Widths of the layers.
    hidden: Annotated[list[Width], Field(min_length=1)] = [64, 64, 64]
    #: Largest ΔR of objects that are linked; left out: all are.
    radius: Radius | None = None

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all layers, then pooled."""
        from ntupleml.models.layers import Propagation

        links = self.linked(vectors, mask, self.radius, parts)
        for number, width in enumerate(self.hidden, start=1):
            more = parts.weighted("Dense", f"convolution_{number}", width)(values)
            more = Propagation(name=f"{parts.prefix}propagation_{number}")([more, links])
            values = parts.ended(added(values, more, f"{number}", parts), mask, f"{number}")
        return self.pooled(values, mask, parts)
