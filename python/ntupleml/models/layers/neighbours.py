"""Layers on the nearest neighbours of objects. A value of edges is rows × length × neighbours × n."""

from __future__ import annotations

from typing import Any

from keras import ops

from ntupleml.features.pairs import pair_features
from ntupleml.models.layers.objects import MaskedPooling, OfObjects, registered
from ntupleml.models.layers.pairs import KERAS, both

#: Distance of an object that is none.
_FAR = 1e30


@registered
class Neighbours(OfObjects):
    """Places of the nearest other objects, the nearest first, and of equally near ones the first; -1 for none.

    It is called with the objects and their mask, and gives rows × length × neighbours.

    Parameters
    ----------
    neighbours : int
        How many; events of fewer objects have -1 for the others.
    angular : bool
        Whether the objects are four-vectors (pt, η, φ, mass) and the distance is ΔR. Else it is that of all numbers.
    """

    settings = (
        "neighbours",
        "angular",
    )

    def __init__(self, neighbours: int, angular: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.neighbours, self.angular = neighbours, angular

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × neighbours."""
        return (*shapes[1], self.neighbours)

    def call(self, inputs: Any) -> Any:
        """Find the neighbours."""
        values, mask = inputs
        if self.angular:
            distance = pair_features(KERAS, values, ["delta_r"])[..., 0]
        else:
            difference = ops.expand_dims(ops.stop_gradient(values), 2) - ops.expand_dims(ops.stop_gradient(values), 1)
            distance = ops.sum(difference * difference, axis=-1)
        places = ops.arange(ops.shape(mask)[1])
        others = ops.expand_dims(places, 0) != ops.expand_dims(places, 1)
        distance = ops.where((both(mask) > 0.5) & others, distance, _FAR)
        distance = ops.pad(distance, ((0, 0), (0, 0), (0, self.neighbours)), constant_values=_FAR)
        nearness, found = ops.top_k(-distance, self.neighbours)
        return ops.where(nearness > -_FAR, ops.cast(found, mask.dtype), -1.0)


@registered
class NeighbourSums(OfObjects):
    """Sums of a value of each object and one of each of its neighbours.

    It is called with both values, rows × length × n, and the places of the neighbours. So the first dense layer of an
    edge costs one on objects: W [x_i, x_j − x_i] = U x_i + V x_j.
    """

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × neighbours × n."""
        return (*shapes[2], shapes[0][2])

    def call(self, inputs: Any) -> Any:
        """Add the values."""
        values, of_neighbours, places = inputs
        (rows, length), width = ops.shape(values)[:2], values.shape[2]
        places = ops.cast(ops.maximum(places, 0.0), "int32")
        starts = ops.reshape(ops.arange(rows) * length, (-1, 1, 1))
        found = ops.take(ops.reshape(of_neighbours, (-1, width)), places + starts, axis=0)
        return found + ops.expand_dims(values, 2)


@registered
class NeighbourPooling(MaskedPooling):
    """What is taken over the neighbours of each object; 0 where there is none.

    It is called with edges and the places of the neighbours.
    """

    def call(self, inputs: Any) -> Any:
        """Join the modes."""
        edges, places = inputs
        return super().call([edges, ops.cast(places > -0.5, edges.dtype)])
