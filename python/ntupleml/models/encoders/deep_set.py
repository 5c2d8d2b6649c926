"""Deep set: the same dense layers for each object, then sums, means or maxima over the objects."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from ntupleml.config.schema import distinct
from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class DeepSet(Encoder):
    """Deep set (Zaheer et al., arXiv:1703.06114): any number of objects, in any order."""

    kinds: ClassVar = ("objects",)
    #: Widths of the layers that act on each object.
    hidden: Annotated[list[Width], Field(min_length=1)] = [100, 100, 100]
    #: What is taken over the objects: ``sum``, ``mean``, ``max``. All are 0 where there is no object.
    pool: Annotated[list[Literal["sum", "mean", "max"]], Field(min_length=1), AfterValidator(distinct)] = [
        "mean",
        "max",
    ]

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Each object through the layers, then over the objects."""
        from ntupleml.models.layers import MaskedPooling

        for number, width in enumerate(self.hidden, start=1):
            values = chained(values, parts.hidden(number, width, each_object=True))
        return MaskedPooling(self.pool, name=f"{parts.prefix}pool")([values, mask])
