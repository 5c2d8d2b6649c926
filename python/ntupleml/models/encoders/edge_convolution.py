"""Edge convolution: objects learn from the differences to their nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.graph import GraphEncoder, activated, activation, added

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class EdgeConvolution(GraphEncoder):
    """ParticleNet (Qu and Gouskos, arXiv:1902.08570), blocks of the edge convolution of Wang et al. (arXiv:1801.07829).

    Dense layers act on each object together with its difference to a neighbour; their results are averaged over the
    neighbours and added to the object.
    """

    #: Nearest other objects that an object looks at; fewer where the event has fewer.
    neighbours: Annotated[int, Field(ge=1, le=1000)] = 7
    #: Widths of the dense layers of each block.
    hidden: Annotated[list[Annotated[list[Width], Field(min_length=1)]], Field(min_length=1)] = [[32, 32], [64, 64]]
    #: Whether blocks after the first look for neighbours in what the objects have become. Else they are those in ΔR.
    dynamic: bool = True
    #: What is taken over the neighbours: ``mean`` or ``max``.
    aggregation: Literal["mean", "max"] = "mean"

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all blocks, then pooled."""
        from ntupleml.models.layers import Neighbours

        places = None
        for number, widths in enumerate(self.hidden, start=1):
            if places is None or self.dynamic:
                find = Neighbours(self.neighbours, places is None, name=f"{parts.prefix}neighbours_{number}")
                places = find([vectors if places is None else values, mask])
            more = self._edges(values, places, number, widths, parts)
            values = parts.ended(added(values, more, f"{number}", parts), mask, f"{number}")
        return self.pooled(values, mask, parts)

    def _edges(self, values: Any, places: Any, number: int, widths: list[int], parts: Parts) -> Any:
        """What the edges to its neighbours tell each object: the first layer costs one on objects."""
        from ntupleml.models.layers import NeighbourPooling, NeighbourSums

        of_objects = parts.weighted("Dense", f"objects_{number}", widths[0])(values)
        of_neighbours = parts.weighted("Dense", f"neighbours_of_{number}", widths[0], use_bias=False)(values)
        edges = NeighbourSums(name=f"{parts.prefix}edges_{number}")([of_objects, of_neighbours, places])
        edges = activation(f"edges_{number}", parts)(edges)
        for layer, width in enumerate(widths[1:], start=2):
            edges = activated(f"edges_{number}_{layer}", width, parts)(edges)
        return NeighbourPooling([self.aggregation], name=f"{parts.prefix}over_neighbours_{number}")([edges, places])
