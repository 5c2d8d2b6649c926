"""Over which elements of vector branches a formula runs, as TTreeFormula decides it.

A formula of scalar branches has one instance per event. A vector branch used whole makes it run over its elements; of
several, the shortest decides. A fixed element that an event does not have, ``jet_pt[3]``, leaves the event without
instances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector branch, flat.

    ``content`` holds the elements of all events one after the other, ``counts`` how many each event has, ``starts``
    where they begin. ``length`` is given where all events have as many by type (a C array of fixed length).
    """

    content: Array
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Instances:
    """The instances over which a formula runs.

    Where no vector branch is used whole, ``counts``, ``event`` and ``place`` are None and each event has one instance,
    except those not in ``exists`` (None: all exist). Else event and place within the event are given for each.
    """

    num_events: int
    exists: NDArray[np.bool_] | None = None
    counts: NDArray[np.int64] | None = None
    event: NDArray[np.int64] | None = None
    place: NDArray[np.int64] | None = None

    def number_in_event(self) -> NDArray[np.int64]:
        """How many instances each event has."""
        if self.counts is not None:
            return self.counts
        if self.exists is not None:
            return self.exists.astype(np.int64)
        return np.ones(self.num_events, np.int64)

    def spread(self, per_event: Array) -> Array:
        """Values per event to values per instance."""
        return per_event if self.event is None or per_event.ndim == 0 else per_event[self.event]

    def starts(self) -> NDArray[np.int64]:
        """Where the instances of each event begin."""
        return starts_of(self.number_in_event())


def starts_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each event begins in the flat content."""
    return np.cumsum(counts) - counts


def instances(
    num_events: int,
    vectors: list[Vector],
    sizes: list[NDArray[np.int64]],
    exists: NDArray[np.bool_] | None,
) -> Instances:
    """The instances of a formula.

    Parameters
    ----------
    num_events : int
        Number of events.
    vectors : list of Vector
        Vector branches used whole, in the order of the formula.
    sizes : list of array of int, shape (num_events,)
        Numbers of elements by which formulas in an index make it run, ``jet_pt[index_branch]``.
    exists : array of bool, shape (num_events,), or None
        Whether the event has all the fixed elements that are asked for.
    """
    if not vectors and not sizes:
        return Instances(num_events, exists)
    # TTreeFormulaManager takes the smaller of two sizes, but takes a size of one for "none yet", so that an event
    # with sizes 1 and 3 has three instances if they come in this order. Lengths known by type come first.
    used = np.full(num_events, 1, np.int64)
    lengths = [np.full(num_events, vector.length) for vector in vectors if vector.length is not None]
    counts = [vector.counts for vector in vectors if vector.length is None]
    for size in [*lengths, *counts, *sizes]:
        used = np.where((used == 1) | (size < used), size, used)
    if exists is not None:
        used = np.where(exists, used, 0)
    event = np.repeat(np.arange(num_events), used)
    place = np.arange(event.size) - starts_of(used)[event]
    return Instances(num_events, None, used, event, place)


class Columns:
    """Columns of a chunk by name, each turned into a flat form once."""

    def __init__(self, columns: Mapping[str, Any], num_events: int) -> None:
        self.num_events = num_events
        self._columns = columns
        self._flat: dict[str, Array | Vector] = {}

    def __getitem__(self, name: str) -> Array | Vector:
        """The column: an array with one value per event, or a Vector.

        Raises
        ------
        NtuplemlError
            If there is no such column, or it does not hold numbers or one vector of numbers per event.
        """
        if name not in self._flat:
            if name not in self._columns:
                raise NtuplemlError(f"no branch '{name}'{did_you_mean(name, self._columns)}")
            self._flat[name] = _flat(name, self._columns[name], self.num_events)
        return self._flat[name]


def _flat(name: str, column: Any, num_events: int) -> Array | Vector:
    if len(column) != num_events:
        raise ValueError(f"branch '{name}' has {len(column)} entries, not {num_events}")
    if column.ndim > 2:
        raise NtuplemlError(f"branch '{name}' has vectors in vectors, which a formula cannot use")
    if isinstance(column, np.ndarray):
        _require_numbers(name, column)
        if column.ndim == 1:
            return column
        length = column.shape[1]
        counts = np.full(num_events, length, np.int64)
        return Vector(column.reshape(-1), counts, starts_of(counts), length)
    return _flat_awkward(name, column)


def _flat_awkward(name: str, column: Any) -> Array | Vector:
    import awkward as ak

    if column.fields:
        example = f"{name}.{column.fields[0]}"
        raise NtuplemlError(f"branch '{name}' has members; write one of them, such as '{example}'")
    content = ak.to_numpy(ak.flatten(column, axis=1) if column.ndim == 2 else column)
    _require_numbers(name, content)
    if column.ndim == 1:
        return np.asarray(content)
    counts = np.asarray(ak.to_numpy(ak.num(column, axis=1)), dtype=np.int64)
    return Vector(np.asarray(content), counts, starts_of(counts))


def _require_numbers(name: str, content: Array) -> None:
    if content.dtype.kind not in "biuf" or isinstance(content, np.ma.MaskedArray):
        raise NtuplemlError(f"branch '{name}' does not hold numbers ({content.dtype}) and cannot be in a formula")
