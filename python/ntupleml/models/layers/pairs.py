"""Layers on pairs of objects: features of pairs, links, messages between linked objects.

A value of pairs is rows × length × length × n: element (i, j) is what object i has of object j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ntupleml.features.arrays import NumpyLike
from ntupleml.features.pairs import pair_features
from ntupleml.models.layers.attention import attended
from ntupleml.models.layers.objects import OfObjects, registered

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Operations that features of pairs are computed with.
KERAS = NumpyLike(ops)


def both(mask: Any) -> Any:
    """Rows × length × length, 1 where both objects are."""
    return ops.expand_dims(mask, -1) * ops.expand_dims(mask, -2)


@registered
class PairFeatures(OfObjects):
    """Features of all pairs of objects, 0 where one of them is none.

    It is called with four-vectors (pt, η, φ, mass), rows × length × 4, and the mask.

    Parameters
    ----------
    features : sequence of str
        Names that `ntupleml.features.pairs` has.
    """

    settings = ("features",)

    def __init__(self, features: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.features = list(features)

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × length × features."""
        return (*shapes[1], shapes[1][1], len(self.features))

    def call(self, inputs: Any) -> Any:
        """Compute the features."""
        vectors, mask = inputs
        return pair_features(KERAS, vectors, self.features) * ops.expand_dims(both(mask), -1)


@registered
class MaskedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation of objects or of pairs of objects, by mean and variance of those that are there.

    It is called with values, rows × length × n or rows × length × length × n, and the mask of the objects.
    """

    def build(self, shapes: Any) -> None:
        """Make the weights."""
        super().build(shapes[0])
        self.input_spec = None  # that of Keras knows one input

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """As the values."""
        return tuple(shapes[0])

    def compute_mask(self, *_: Any) -> None:
        """The mask is an input; Keras carries none along."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Normalise the values."""
        values, mask = inputs
        return super().call(values, training=training, mask=both(mask) if len(values.shape) > 3 else mask)


@registered
class Adjacency(OfObjects):
    """Which objects are linked: 1 for those within a radius and for each with itself, else 0.

    It is called with four-vectors, rows × length × 4, and the mask.

    Parameters
    ----------
    radius : float or None
        In ΔR; None: all are linked.
    """

    settings = ("radius",)

    def __init__(self, radius: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.radius = radius

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × length."""
        return (*shapes[1], shapes[1][1])

    def call(self, inputs: Any) -> Any:
        """Link the objects."""
        vectors, mask = inputs
        if self.radius is None:
            return both(mask)
        distance = pair_features(KERAS, vectors, ["delta_r"])[..., 0]
        return ops.where(distance < self.radius, both(mask), 0.0)


@registered
class Propagation(OfObjects):
    """Sum over the linked objects, each value divided by √(number of links) at both ends.

    It is called with objects, rows × length × n, and links, rows × length × length.

    Notes
    -----
    D^(-1/2) A D^(-1/2) X (Kipf and Welling, arXiv:1609.02907).
    """

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """As the objects."""
        return tuple(shapes[0])

    def call(self, inputs: Any) -> Any:
        """Sum the objects."""
        values, links = inputs
        scale = ops.rsqrt(ops.maximum(ops.sum(links, axis=-1, keepdims=True), 1.0))
        return ops.matmul(links, values * scale) * scale


@registered
class PairSums(OfObjects):
    """Sums of a value of the first object, one of the second, and (where given) one of the pair.

    So a dense layer on pairs costs one on objects: W [x_i, x_j, e_ij] = U x_i + V x_j + W' e_ij.
    """

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × length × n."""
        return (*shapes[0][:2], *shapes[1][1:])

    def call(self, inputs: Any) -> Any:
        """Add the values."""
        first, second, *of_pairs = inputs
        return sum(of_pairs, ops.expand_dims(first, 2) + ops.expand_dims(second, 1))


@registered
class PairAttention(OfObjects):
    """What objects see of those linked to them, weighted by a score of each pair.

    It is called with objects, rows × length × n, scores, rows × length × length × heads, and links, rows × length ×
    length.

    Notes
    -----
    The mean of values with softmax of the scores as weights, each head for its part of the n numbers (Veličković et
    al., arXiv:1710.10903).
    """

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """As the objects."""
        return tuple(shapes[0])

    def call(self, inputs: Any) -> Any:
        """Mix the objects."""
        values, scores, links = inputs
        return attended(ops.transpose(scores, (0, 3, 1, 2)), values, ops.expand_dims(links, 1))
