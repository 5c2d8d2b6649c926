"""Features of pairs of objects: angles between them, mass, transverse scales. Stable where cancellations threaten."""

from __future__ import annotations

import math
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import did_you_mean
from ntupleml.features.arrays import NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.features.arrays import Array, Arrays

#: Least value that a logarithm is taken of (as in arXiv:2202.03772), and that anything is divided by.
LEAST, _TINY = 1e-8, 1e-37
#: Pairs that are computed at once: all arrays of a formula stay in the processor's cache.
_PAIRS_AT_ONCE = 16_384


class Objects(NamedTuple):
    """Objects, each quantity as an array."""

    pt: Array
    eta: Array
    phi: Array
    mass: Array
    momentum: Array
    energy: Array

    @classmethod
    def of(cls, arrays: Arrays, vectors: Array) -> Objects:
        """Objects from pt, η, φ and mass along the last axis."""
        pt, eta, phi, mass = (arrays.column(vectors, index) for index in range(4))
        momentum = pt * arrays.cosh(eta)
        return cls(pt, eta, phi, mass, momentum, arrays.sqrt(momentum * momentum + mass * mass))


class Pair:
    """Two objects, or arrays of them that broadcast. What several features need is computed once.

    Notes
    -----
    The product of four-vectors is E₁E₂ − p₁·p₂ = 2 pT₁ pT₂ (sinh²(Δη/2) + sin²(Δφ/2)) + (m₁²p₂² + m₂²p₁² + m₁²m₂²) /
    (E₁E₂ + |p₁||p₂|). All its terms are positive, so nothing cancels, however near to each other the objects are.
    """

    def __init__(self, arrays: Arrays, first: Objects, second: Objects) -> None:
        self.arrays, self.first, self.second = arrays, first, second

    @cached_property
    def delta_eta(self) -> Array:
        """η of the first minus that of the second."""
        return self.first.eta - self.second.eta

    @cached_property
    def delta_phi(self) -> Array:
        """φ of the first minus that of the second, in (-π, π]."""
        angle = self.first.phi - self.second.phi
        angle = angle - 2 * math.pi * self.arrays.floor(angle / (2 * math.pi) + 0.5)
        # rounding may leave the range, and floor includes -π
        angle = self.arrays.where(angle > math.pi, angle - 2 * math.pi, angle)
        return self.arrays.where(angle <= -math.pi, angle + 2 * math.pi, angle)

    @cached_property
    def delta_r(self) -> Array:
        """√(Δη² + Δφ²)."""
        return self.arrays.sqrt(self.delta_eta * self.delta_eta + self.delta_phi * self.delta_phi)

    @cached_property
    def _smaller_pt(self) -> Array:
        return self.arrays.minimum(self.first.pt, self.second.pt)

    @cached_property
    def kt(self) -> Array:
        """Smaller pt times ΔR."""
        return self._smaller_pt * self.delta_r

    @cached_property
    def z(self) -> Array:
        """Smaller pt as a share of both; 0 where there is none."""
        return self._smaller_pt / self.arrays.maximum(self.first.pt + self.second.pt, _TINY)

    @cached_property
    def product(self) -> Array:
        """Minkowski product of the four-vectors."""
        one, two = self.first, self.second
        eta, phi = self.arrays.sinh(0.5 * self.delta_eta), self.arrays.sin(0.5 * self.delta_phi)
        first, second = one.mass * two.momentum, two.mass * one.momentum
        both = one.mass * two.mass
        size = self.arrays.maximum(one.energy * two.energy + one.momentum * two.momentum, _TINY)
        of_masses = (first * first + second * second + both * both) / size
        return 2.0 * one.pt * two.pt * (eta * eta + phi * phi) + of_masses

    @cached_property
    def mass2(self) -> Array:
        """Squared mass of the pair."""
        one, two = self.first.mass, self.second.mass
        return one * one + two * two + 2.0 * self.product

    @cached_property
    def mass(self) -> Array:
        """Mass of the pair."""
        return self.arrays.sqrt(self.mass2)

    @cached_property
    def energy(self) -> Array:
        """Energy of the pair."""
        return self.first.energy + self.second.energy

    @cached_property
    def _transverse(self) -> tuple[Array, Array]:
        one, two, a = self.first, self.second, self.arrays
        return one.pt * a.cos(one.phi) + two.pt * a.cos(two.phi), one.pt * a.sin(one.phi) + two.pt * a.sin(two.phi)

    @cached_property
    def pt(self) -> Array:
        """Transverse momentum of the pair."""
        px, py = self._transverse
        return self.arrays.sqrt(px * px + py * py)

    @cached_property
    def eta(self) -> Array:
        """Pseudorapidity of the pair; without a transverse momentum it means nothing."""
        pz = self.first.pt * self.arrays.sinh(self.first.eta) + self.second.pt * self.arrays.sinh(self.second.eta)
        return self.arrays.asinh(pz / self.arrays.maximum(self.pt, _TINY))

    @cached_property
    def phi(self) -> Array:
        """Azimuth of the pair."""
        px, py = self._transverse
        return self.arrays.atan2(py, px)


def _psi(arrays: Arrays, x: Array) -> Array:
    size = arrays.log(arrays.abs(x) + 1.0)
    return arrays.where(x < 0.0, -size, size)


#: Features by their names; each is also there with the beginnings of `BEGINNINGS`, such as ``log_kt``.
PAIR_FEATURES: dict[str, Callable[[Pair], Array]] = {
    name: attrgetter(name)
    for name in (
        *("delta_eta", "delta_phi", "delta_r", "energy", "eta", "kt"),
        *("mass", "mass2", "phi", "product", "pt", "z"),
    )
}
#: Functions of a feature: cosine, sine, logarithm (of at least `LEAST`), and sign(x) log(|x| + 1).
BEGINNINGS: dict[str, Callable[[Arrays, Array], Array]] = {
    "cos": lambda arrays, x: arrays.cos(x),
    "log": lambda arrays, x: arrays.log(arrays.maximum(x, LEAST)),
    "psi": _psi,
    "sin": lambda arrays, x: arrays.sin(x),
}


def pair_features(arrays: Arrays, vectors: Array, names: Sequence[str]) -> Array:
    """Features of all pairs of the objects of a row.

    Parameters
    ----------
    vectors : array, shape (…, length, 4)
        pt, η, φ and mass.
    names : sequence of str
        Names that `known_pair_feature` passes.

    Returns
    -------
    array, shape (…, length, length, number of names)
        Element (i, j) is that of objects i and j.
    """
    objects = Objects.of(arrays, vectors)
    first, second = (Objects(*(arrays.expand(values, axis) for values in objects)) for axis in (-1, -2))
    pair = Pair(arrays, first, second)
    return arrays.stack([_feature(pair, name) for name in names])


def known_pair_feature(name: str) -> str:
    """The name of a feature.

    Raises
    ------
    ValueError
        If there is none of this name, with the nearest.
    """
    beginning, _, rest = name.partition("_")
    if name not in PAIR_FEATURES and not (beginning in BEGINNINGS and rest in PAIR_FEATURES):
        names = [*PAIR_FEATURES, *(f"{start}_{one}" for start in BEGINNINGS for one in PAIR_FEATURES)]
        raise ValueError(f"no feature of pairs '{name}'{did_you_mean(name, names)}")
    return name


def _feature(pair: Pair, name: str) -> Array:
    if name in PAIR_FEATURES:
        return PAIR_FEATURES[name](pair)
    beginning, _, rest = name.partition("_")
    return BEGINNINGS[beginning](pair.arrays, PAIR_FEATURES[rest](pair))


class PairTable(NamedTuple):
    """Pairs of objects, one per row: by event, then by the first object, then by the second."""

    event: NDArray[np.int64]
    #: Positions of the objects in their event; the first is the smaller one.
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    #: Shape (number of pairs, number of features), in the precision of the vectors.
    features: NDArray[np.floating]


def pair_table(
    vectors: NDArray[np.floating], mask: NDArray[np.bool_], names: Sequence[str], radius: float | None = None
) -> PairTable:
    """Features of the pairs of objects that exist.

    Parameters
    ----------
    vectors : array, shape (n_events, length, 4)
        pt, η, φ and mass.
    mask : array of bool, shape (n_events, length)
        Which objects exist.
    names : sequence of str
        Of the features, as for `pair_features`.
    radius : float, optional
        Only pairs nearer than this in ΔR.
    """
    first, second = np.triu_indices(vectors.shape[1], k=1)
    at_once = max(_PAIRS_AT_ONCE // max(len(first), 1), 1)
    parts = [PairTable(*(np.empty(0, np.int64),) * 3, np.empty((0, len(names)), vectors.dtype))]
    for start in range(0, len(vectors), at_once):
        # events along the last axis: so pairs are made by copying whole rows
        objects = [np.ascontiguousarray(one.T) for one in Objects.of(NUMPY, vectors[start : start + at_once])]
        exists = np.ascontiguousarray(mask[start : start + at_once].T)
        pair = Pair(NUMPY, *(Objects(*(one[places] for one in objects)) for places in (first, second)))
        chosen = exists[first] & exists[second]
        if radius is not None:
            chosen &= pair.delta_r < radius
        event, place = np.nonzero(chosen.T)
        features = np.stack([_feature(pair, name)[place, event] for name in names], axis=-1)
        parts.append(PairTable(event + start, first[place], second[place], features))
    return PairTable(*map(np.concatenate, zip(*parts, strict=True)))
