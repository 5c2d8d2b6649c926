"""Layers on four-vectors of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from ntupleml.features.arrays import NumpyLike
from ntupleml.features.vectors import vector_features
from ntupleml.models.layers.objects import OfObjects, registered

if TYPE_CHECKING:
    from collections.abc import Sequence

_KERAS = NumpyLike(ops)


@registered
class VectorFeatures(OfObjects):
    """Features of objects, 0 where none is.

    It is called with four-vectors (pt, η, φ, mass), rows × length × 4, and the mask.

    Parameters
    ----------
    features : sequence of str
        Names that `ntupleml.features.vectors` has.
    """

    settings = ("features",)

    def __init__(self, features: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.features = list(features)

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × features."""
        return (*shapes[1], len(self.features))

    def call(self, inputs: Any) -> Any:
        """Compute the features."""
        vectors, mask = inputs
        return vector_features(_KERAS, vectors, self.features) * ops.expand_dims(mask, -1)
