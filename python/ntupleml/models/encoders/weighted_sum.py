"""Weights of particles: dense layers say how much each counts, and the vector sum of what counts is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import chained

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class WeightedSum(Encoder):
    """Missing transverse momentum −Σ w pT, a weight w for each object, as DeepMET (CMS, arXiv:2509.12012)."""

    kinds: ClassVar = ("objects",)
    needs_vectors: ClassVar = True
    #: Widths of the layers that act on each object, before its weight.
    hidden: Annotated[list[Width], Field(min_length=1)] = [64, 32, 16]
    #: Whether each object also adds a vector that does not depend on its momentum.
    bias: bool = False

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Both components, in the unit of the momenta."""
        import keras

        from ntupleml.models.layers import MaskedPooling, VectorFeatures

        for number, width in enumerate(self.hidden, start=1):
            values = chained(values, parts.hidden(number, width, each_object=True))
        momenta = VectorFeatures(["px", "py"], name=f"{parts.prefix}momenta")([vectors, mask])
        weights = parts.weighted("Dense", "weights", 1)(values)
        terms = keras.layers.Multiply(name=f"{parts.prefix}weighted")([weights, momenta])
        if self.bias:
            biases = parts.weighted("Dense", "biases", 2)(values)
            terms = keras.layers.Add(name=f"{parts.prefix}with_biases")([terms, biases])
        visible = MaskedPooling(["sum"], name=f"{parts.prefix}visible")([terms, mask])
        return keras.layers.Rescaling(-1.0, name=f"{parts.prefix}missing")(visible)
