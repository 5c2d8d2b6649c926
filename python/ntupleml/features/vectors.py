"""Features of a four-vector, by name: functions of (arrays, vectors)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ntupleml.features.arrays import Array, Arrays

#: Smallest number whose logarithm is taken.
TINY = 1e-30


class Vectors:
    """Four-vectors of raw columns: pt, eta, phi, and energy or mass; the other one is computed when it is asked for."""

    def __init__(self, arrays: Arrays, raw: Array, columns: Sequence[str]) -> None:
        self._arrays, self._raw, self._columns = arrays, raw, list(columns)
        self._known: dict[str, Array] = {}

    def _column(self, name: str) -> Array:
        if name not in self._known:
            self._known[name] = self._arrays.column(self._raw, self._columns.index(name))
        return self._known[name]

    @property
    def pt(self) -> Array:
        """Transverse momentum."""
        return self._column("pt")

    @property
    def eta(self) -> Array:
        """Pseudorapidity."""
        return self._column("eta")

    @property
    def phi(self) -> Array:
        """Azimuth."""
        return self._column("phi")

    @property
    def energy(self) -> Array:
        """Energy."""
        if "energy" in self._columns:
            return self._column("energy")
        if "energy" not in self._known:
            p, mass = self.pt * self._arrays.cosh(self.eta), self.mass
            self._known["energy"] = self._arrays.sqrt(p * p + mass * mass)
        return self._known["energy"]

    @property
    def mass(self) -> Array:
        """Mass; 0 where the energy is too small for the momentum."""
        if "mass" in self._columns:
            return self._column("mass")
        if "mass" not in self._known:
            p, energy = self.pt * self._arrays.cosh(self.eta), self.energy
            self._known["mass"] = self._arrays.sqrt(self._arrays.maximum((energy - p) * (energy + p), 0.0))
        return self._known["mass"]


def _px(arrays: Arrays, vectors: Vectors) -> Array:
    return vectors.pt * arrays.cos(vectors.phi)


def _py(arrays: Arrays, vectors: Vectors) -> Array:
    return vectors.pt * arrays.sin(vectors.phi)


def _pz(arrays: Arrays, vectors: Vectors) -> Array:
    return vectors.pt * arrays.sinh(vectors.eta)


def _p(arrays: Arrays, vectors: Vectors) -> Array:
    return vectors.pt * arrays.cosh(vectors.eta)


def _theta(arrays: Arrays, vectors: Vectors) -> Array:
    """Angle to the beam, from 0 to π; 0 at rest."""
    return arrays.atan2(vectors.pt, _pz(arrays, vectors))


def _transverse_mass(arrays: Arrays, vectors: Vectors) -> Array:
    """√(pT² + m²)."""
    return arrays.sqrt(vectors.pt * vectors.pt + vectors.mass * vectors.mass)


def _rapidity(arrays: Arrays, vectors: Vectors) -> Array:
    """Y = asinh(pz / √(pT² + m²)), which loses no digits where E ≈ |pz|; 0 for nothing at all."""
    return arrays.asinh(_pz(arrays, vectors) / arrays.maximum(_transverse_mass(arrays, vectors), TINY))


#: Functions by the names of the features.
FEATURES: dict[str, Callable[[Arrays, Vectors], Array]] = {
    "energy": lambda _, vectors: vectors.energy,
    "eta": lambda _, vectors: vectors.eta,
    "mass": lambda _, vectors: vectors.mass,
    "p": _p,
    "phi": lambda _, vectors: vectors.phi,
    "pt": lambda _, vectors: vectors.pt,
    "px": _px,
    "py": _py,
    "pz": _pz,
    "rapidity": _rapidity,
    "theta": _theta,
    "transverse_mass": _transverse_mass,
}

#: Columns of four-vectors as networks get them.
COLUMNS = ("pt", "eta", "phi", "mass")


def vector_features(arrays: Arrays, vectors: Array, names: Sequence[str]) -> Array:
    """Features of four-vectors of `COLUMNS`, along the last axis."""
    found = Vectors(arrays, vectors, COLUMNS)
    return arrays.stack([FEATURES[name](arrays, found) for name in names])


#: Functions of a feature, by the prefix of the name.
PREFIXES: dict[str, Callable[[Arrays, Array], Array]] = {
    "asinh_": lambda arrays, values: arrays.asinh(values),
    "log_": lambda arrays, values: arrays.log(arrays.maximum(values, TINY)),
}
