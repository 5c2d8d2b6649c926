"""Numbers of an event made from the four-vectors of its objects, by name: functions of an `Event`."""

from __future__ import annotations

import math
from functools import cached_property, partial
from typing import TYPE_CHECKING

from ntupleml.features.pairs import Objects, Pair
from ntupleml.features.vectors import FEATURES, TINY

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.features.arrays import Array, Arrays
    from ntupleml.features.vectors import Vectors


class Event:
    """Objects of each event (rows × length) with their mask; shared quantities are computed once.

    Parameters
    ----------
    mask : array of bool, shape (rows, length)
        Which objects count.
    """

    def __init__(self, arrays: Arrays, vectors: Vectors, mask: Array) -> None:
        self.arrays, self._vectors, self._mask = arrays, vectors, mask

    def of(self, feature: str) -> Array:
        """A feature of the objects, 0 where none counts; shape (rows, length)."""
        return self._filled(FEATURES[feature](self.arrays, self._vectors))

    def total(self, feature: str) -> Array:
        """Sum of a feature over the objects."""
        return self.arrays.sum(self.of(feature), -1)

    def _filled(self, values: Array) -> Array:
        return self.arrays.where(self._mask, values, 0.0)

    @cached_property
    def number(self) -> Array:
        """Number of objects."""
        return self.arrays.sum(self._filled(self._vectors.pt * 0.0 + 1.0), -1)

    @cached_property
    def momenta(self) -> tuple[Array, Array, Array]:
        """px, py and pz of the objects."""
        return self.of("px"), self.of("py"), self.of("pz")

    @cached_property
    def pairs(self) -> tuple[Pair, Array]:
        """All ordered pairs of objects, rows × length × length, and which of them are of two that count."""
        a = self.arrays
        vectors = a.stack([self.of("pt"), self.of("eta"), self.of("phi"), self.of("mass")])
        objects = Objects.of(a, vectors)
        first, second = (Objects(*(a.expand(values, axis) for values in objects)) for axis in (-1, -2))
        count = self._filled(self._vectors.pt * 0.0 + 1.0)
        # the position of an object among those that count tells it from itself
        place = a.cumulative_sum(count)
        different = a.abs(a.expand(place, -1) - a.expand(place, -2)) > 0.5
        return Pair(a, first, second), different & (a.expand(count, -1) * a.expand(count, -2) > 0.5)

    @cached_property
    def has_pairs(self) -> Array:
        """Whether there are two objects."""
        return self.number > 1.5

    @cached_property
    def smallest_delta_r(self) -> Array:
        """Smallest ΔR of two objects; without two of them it means nothing."""
        pair, exists = self.pairs
        return self.arrays.min(self.arrays.min(self.arrays.where(exists, pair.delta_r, 1e30), -1), -1)

    @cached_property
    def tensor(self) -> list[list[Array]]:
        """Momentum tensor Σ p_a p_b / Σ p²; 0 where nothing has momentum."""
        sums = [[self.arrays.sum(one * other, -1) for other in self.momenta] for one in self.momenta]
        size = self.arrays.maximum(sums[0][0] + sums[1][1] + sums[2][2], TINY)
        return [[value / size for value in row] for row in sums]

    @cached_property
    def eigenvalues(self) -> tuple[Array, Array, Array]:
        """Of the momentum tensor, the largest first.

        Notes
        -----
        Trigonometric solution of the characteristic equation of a symmetric matrix: O. K. Smith, Commun. ACM 4 (1961)
        168.
        """
        a, s = self.arrays, self.tensor
        third = (s[0][0] + s[1][1] + s[2][2]) / 3.0
        d = [s[i][i] - third for i in range(3)]
        off = s[0][1] * s[0][1] + s[0][2] * s[0][2] + s[1][2] * s[1][2]
        size = a.sqrt((d[0] * d[0] + d[1] * d[1] + d[2] * d[2] + 2.0 * off) / 6.0)
        determinant = (
            d[0] * (d[1] * d[2] - s[1][2] * s[1][2])
            - s[0][1] * (s[0][1] * d[2] - s[1][2] * s[0][2])
            + s[0][2] * (s[0][1] * s[1][2] - d[1] * s[0][2])
        )
        cosine = determinant / a.maximum(2.0 * size * size * size, TINY)
        cosine = a.minimum(a.maximum(cosine, -1.0), 1.0)
        angle = a.atan2(a.sqrt(1.0 - cosine * cosine), cosine) / 3.0
        largest = third + 2.0 * size * a.cos(angle)
        smallest = third + 2.0 * size * a.cos(angle + 2.0 * math.pi / 3.0)
        return largest, 3.0 * third - largest - smallest, a.maximum(smallest, 0.0)


def _centrality(event: Event) -> Array:
    return event.total("pt") / event.arrays.maximum(event.total("energy"), TINY)


def _mass(event: Event) -> Array:
    """From the sum of the products of all pairs, in which nothing cancels."""
    a, (pair, exists) = event.arrays, event.pairs
    masses = event.of("mass")
    products = a.sum(a.sum(a.where(exists, pair.product, 0.0), -1), -1)
    return a.sqrt(a.sum(masses * masses, -1) + products)


def _pt(event: Event) -> Array:
    px, py = event.total("px"), event.total("py")
    return event.arrays.sqrt(px * px + py * py)


def _sphericity(event: Event) -> Array:
    _, second, third = event.eigenvalues
    return 1.5 * (second + third)


def _aplanarity(event: Event) -> Array:
    return 1.5 * event.eigenvalues[2]


def _transverse_sphericity(event: Event) -> Array:
    """2 λ₂ / (λ₁ + λ₂) of the transverse momentum tensor."""
    a, tensor = event.arrays, event.tensor
    trace = tensor[0][0] + tensor[1][1]
    difference = tensor[0][0] - tensor[1][1]
    spread = a.sqrt(difference * difference + 4.0 * tensor[0][1] * tensor[0][1])
    return a.where(trace > 0.0, (trace - spread) / a.maximum(trace, TINY), 0.0)


#: Legendre polynomials, as functions of x.
_LEGENDRE: tuple[Callable[[Array], Array], ...] = (
    lambda x: 0.0 * x + 1.0,
    lambda x: x,
    lambda x: 1.5 * x * x - 0.5,
    lambda x: (2.5 * x * x - 1.5) * x,
    lambda x: (4.375 * x * x - 3.75) * x * x + 0.375,
)


def _fox_wolfram(order: int, event: Event) -> Array:
    """Σ |p_i| |p_j| P(cos θ_ij) / (Σ E)², over all i and j.

    G. C. Fox and S. Wolfram, Phys. Rev. Lett. 41 (1978) 1581.
    """
    a, size = event.arrays, event.of("p")
    directions = [momentum / a.maximum(size, TINY) for momentum in event.momenta]
    cosine = sum(a.expand(one, -1) * a.expand(one, -2) for one in directions)
    moments = a.expand(size, -1) * a.expand(size, -2) * _LEGENDRE[order](cosine)
    energy = a.maximum(event.total("energy"), TINY)
    return a.sum(a.sum(moments, -1), -1) / (energy * energy)


def _delta_r_nearest_pair(event: Event) -> Array:
    return event.arrays.where(event.has_pairs, event.smallest_delta_r, 0.0)


def _mean_delta_r(event: Event) -> Array:
    a, (pair, exists) = event.arrays, event.pairs
    total = a.sum(a.sum(a.where(exists, pair.delta_r, 0.0), -1), -1)
    return total / a.maximum(event.number * (event.number - 1.0), 1.0)


def _mass_nearest_pair(event: Event) -> Array:
    a, (pair, exists) = event.arrays, event.pairs
    nearest = exists & (pair.delta_r <= a.expand(a.expand(event.smallest_delta_r, -1), -1))
    return a.max(a.max(a.where(nearest, pair.mass, 0.0), -1), -1)


def _largest_mass_pair(event: Event) -> Array:
    a, (pair, exists) = event.arrays, event.pairs
    return a.max(a.max(a.where(exists, pair.mass, 0.0), -1), -1)


#: Functions by name: a number per row, 0 where no object is, or not enough of them.
COMBINATIONS: dict[str, Callable[[Event], Array]] = {
    "aplanarity": _aplanarity,
    "centrality": _centrality,
    "delta_r_nearest_pair": _delta_r_nearest_pair,
    **{f"fox_wolfram_{order}": partial(_fox_wolfram, order) for order in range(len(_LEGENDRE))},
    "ht": lambda event: event.total("pt"),
    "mass": _mass,
    "mass_largest_pair": _largest_mass_pair,
    "mass_nearest_pair": _mass_nearest_pair,
    "mean_delta_r": _mean_delta_r,
    "number": lambda event: event.number,
    "pt": _pt,
    "sphericity": _sphericity,
    "transverse_sphericity": _transverse_sphericity,
}
