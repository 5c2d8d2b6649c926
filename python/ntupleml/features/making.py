"""From raw columns of objects to the features that a network takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ntupleml.features.vectors import FEATURES, PREFIXES, Vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.features.arrays import Array, Arrays


@dataclass(frozen=True)
class FeatureMaker:
    """Makes features of objects; plain data."""

    #: Names of the raw columns: pt, eta, phi, energy or mass, the user's own, and `type` of several collections.
    raw: tuple[str, ...]
    #: Names of the features, in order.
    features: tuple[str, ...]
    #: Values of a column that become a column each.
    one_hot: Mapping[str, Sequence[float]] = field(default_factory=dict)
    #: Names of the collections, by the number in the column `type`.
    collections: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of what is made."""
        return [column for name in self.features for column in self._columns_of(name)]

    def _columns_of(self, name: str) -> list[str]:
        if name == "type":
            return [f"is_{one}" for one in self.collections]
        return [f"{name}_{value:g}" for value in self.one_hot[name]] if name in self.one_hot else [name]

    def make(self, arrays: Arrays, raw: Array) -> Array:
        """Features of raw columns, along the last axis."""
        vectors = Vectors(arrays, raw, self.raw)
        return arrays.stack([made for name in self.features for made in self._made(arrays, raw, vectors, name)])

    def _made(self, arrays: Arrays, raw: Array, vectors: Vectors, name: str) -> list[Array]:
        if name == "type":
            return [_is(arrays, self._column(arrays, raw, "type"), index) for index in range(len(self.collections))]
        if name.startswith("is_") and name not in self.raw:
            return [_is(arrays, self._column(arrays, raw, "type"), self.collections.index(name[3:]))]
        if name in self.one_hot:
            return [_is(arrays, self._column(arrays, raw, name), value) for value in self.one_hot[name]]
        return [self._value(arrays, raw, vectors, name)]

    def _value(self, arrays: Arrays, raw: Array, vectors: Vectors, name: str) -> Array:
        if name in FEATURES:
            return FEATURES[name](arrays, vectors)
        if name in self.raw:
            return self._column(arrays, raw, name)
        prefix = next(prefix for prefix in PREFIXES if name.startswith(prefix))
        return PREFIXES[prefix](arrays, self._value(arrays, raw, vectors, name.removeprefix(prefix)))

    def _column(self, arrays: Arrays, raw: Array, name: str) -> Array:
        return arrays.column(raw, self.raw.index(name))

    def vectors(self, arrays: Arrays, raw: Array) -> Array:
        """Four-vectors as pt, eta, phi and mass, along the last axis."""
        vectors = Vectors(arrays, raw, self.raw)
        return arrays.stack([vectors.pt, vectors.eta, vectors.phi, vectors.mass])


def _is(arrays: Arrays, values: Array, wanted: float) -> Array:
    """1 where a value is a number, else 0."""
    return arrays.where(arrays.abs(values - float(wanted)) < 0.5e-3, 1.0, 0.0)
