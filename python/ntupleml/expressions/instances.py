"""Over which elements of vector branches a formula runs, as TTreeFormula decides it, and aggregates over them.

A formula of scalar branches has one instance per event. A vector branch used whole makes it run over its elements; of
several, the shortest decides. A fixed element that an event does not have, ``jet_pt[3]``, leaves the event without
instances. ``Sum$``, ``Length$``, ``Max$``, ``Min$``, ``MaxIf$`` and ``MinIf$`` are formulas of their own: their vector
branches do not make the formula around them run over elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions import arithmetic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    Where it does not run over elements, ``counts``, ``event`` and ``place`` are None and each event has one instance,
    except those not in ``exists`` (None: all exist). Else event and place within the event are given for each.
    ``length`` is their number where the types of the branches tell it and it concerns an index: of scalars alone it
    is None, as where it differs between events.
    """

    num_events: int
    exists: NDArray[np.bool_] | None = None
    counts: NDArray[np.int64] | None = None
    event: NDArray[np.int64] | None = None
    place: NDArray[np.int64] | None = None
    length: int | None = None

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

    def places(self) -> NDArray[np.int64]:
        """Place of each instance within its event."""
        return np.zeros(self.num_events, np.int64) if self.place is None else self.place

    def starts(self) -> NDArray[np.int64]:
        """Where the instances of each event begin."""
        return starts_of(self.number_in_event())


def starts_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each event begins in the flat content."""
    return np.cumsum(counts) - counts


class Use(NamedTuple):
    """How a formula uses a vector branch: whole (None), one element of it, or those that an index formula says."""

    name: str
    vector: Vector
    element: int | Instances | None = None

    @property
    def length(self) -> int | None:
        """How many instances the types of the branches make of it; None where they say nothing."""
        if self.element is None:
            return self.vector.length
        return None if isinstance(self.element, int) else self.element.length

    @property
    def varies(self) -> bool:
        """Whether it makes a formula run over a number of elements that differs between events."""
        if self.element is None:
            return self.vector.length is None
        return not isinstance(self.element, int) and self.element.counts is not None and self.element.length is None

    @property
    def exists(self) -> NDArray[np.bool_] | None:
        """Whether each event has it; None where all have."""
        if isinstance(self.element, int) and self.vector.length is None:
            return self.vector.counts > self.element
        return self.element.exists if isinstance(self.element, Instances) else None

    def fit(self, used: NDArray[np.int64], known: int) -> NDArray[np.int64]:
        """The sizes of events so far, with those of this one; `known` is what the types of all branches say."""
        if isinstance(self.element, Instances):
            size = self.element.number_in_event()
            runs = self.element.counts is not None
            return np.where(np.where(size == 1, runs & (used > 1), (size < used) | (used == known)), size, used)
        if self.element is None and self.vector.length is None:
            size = self.vector.counts
            return np.where((used == 1) | (size < used), size, used)
        return used


def instances(num_events: int, formulas: Sequence[Sequence[Use]]) -> Instances:
    """The instances of formulas that run together; each is given by its vector branches, in the order of its text.

    Notes
    -----
    TTreeFormulaManager takes the smaller of two sizes, but takes a size of one for "none yet", so that an event with
    sizes 1 and 3 has three instances if they come in this order. Sizes that are known by type come first. Then those
    that differ between events are looked at, only in formulas that have a vector branch; there, an index replaces what
    is known by type even where that is smaller. An array of fixed length whose index is a vector is refused where no
    other vector makes the formula run over it.
    """
    uses = [use for formula in formulas for use in formula]
    known = 1
    for use in uses:
        if use.length is not None and (known == 1 or use.length < known):
            known = use.length
    used = np.full(num_events, known)
    varies = any(use.varies for use in uses)
    exists: NDArray[np.bool_] | None = None
    for formula in formulas:
        is_jagged = any(use.vector.length is None for use in formula)
        for use in formula:
            if not is_jagged and use.varies:
                raise NtuplemlError(
                    f"array '{use.name}' has a fixed length and its index is a vector, of which TTreeFormula takes the "
                    "first element only; write that element, with [0], as the index"
                )
            used = use.fit(used, known) if is_jagged and varies else used
            exists = use.exists if exists is None else exists if use.exists is None else exists & use.exists
    lengths = {use.vector.length for use in uses}
    length = known if None not in lengths and lengths - {1} else None
    if lengths <= {1} or (not varies and known == 1):
        return Instances(num_events, exists, length=length)
    if exists is not None:
        used = np.where(exists, used, 0)
    event = np.repeat(np.arange(num_events), used)
    place = np.arange(event.size) - starts_of(used)[event]
    return Instances(num_events, None, used, event, place, length)


class Columns:
    """Columns of a chunk by name, each turned into a flat form once."""

    def __init__(self, columns: Mapping[str, Any], num_events: int) -> None:
        self.num_events = num_events
        self._columns = columns
        self._flat: dict[str, Array | Vector] = {}

    def __getitem__(self, name: str) -> Array | Vector:
        """The column: an array with one value per event, or a Vector."""
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
    is_jagged = not isinstance(column, np.ndarray) and _is_jagged(name, column)
    return _jagged(name, column) if is_jagged else _regular(name, column)


def _is_jagged(name: str, column: Any) -> bool:
    """Whether an awkward array's lists are of any length by its type."""
    if column.fields:
        example = f"{name}.{column.fields[0]}"
        raise NtuplemlError(f"branch '{name}' has members; write one of them, such as '{example}'")
    return column.ndim == 2 and not column.layout.purelist_isregular


def _regular(name: str, column: Any) -> Array | Vector:
    import awkward as ak

    content = column if isinstance(column, np.ndarray) else ak.to_numpy(column)
    _require_numbers(name, content)
    if content.ndim == 1:
        return np.asarray(content)
    num_events, length = content.shape
    counts = np.full(num_events, length, np.int64)
    return Vector(np.asarray(content).reshape(-1), counts, starts_of(counts), length)


def _jagged(name: str, column: Any) -> Vector:
    content, counts = content_and_counts(column)
    _require_numbers(name, content)
    return Vector(np.asarray(content), counts, starts_of(counts))


def content_and_counts(column: Any) -> tuple[Array, NDArray[np.int64]]:
    """Numbers of lists one after the other, and how many each list has.

    Raises
    ------
    TypeError, ValueError
        If it holds something else.
    """
    import awkward as ak

    layout = column.layout
    if isinstance(layout, ak.contents.ListArray | ak.contents.RegularArray):
        layout = layout.to_ListOffsetArray64(start_at_zero=True)
    if isinstance(layout, ak.contents.ListOffsetArray) and isinstance(layout.content, ak.contents.NumpyArray):
        offsets = np.asarray(layout.offsets.data, np.int64)  # its buffers: awkward's own functions cost ten times more
        return layout.content.data[offsets[0] : offsets[-1]], np.diff(offsets)
    counts = np.asarray(ak.to_numpy(ak.num(column, axis=1), allow_missing=False), np.int64)
    return ak.to_numpy(ak.flatten(column, axis=1)), counts


def _require_numbers(name: str, content: Array) -> None:
    if content.dtype.kind not in "biuf" or isinstance(content, np.ma.MaskedArray):
        raise NtuplemlError(f"branch '{name}' does not hold numbers ({content.dtype}) and cannot be in a formula")


def aggregate(
    function: str, found: Instances, values: Array, absent: NDArray[np.bool_] | None, condition: Array | None
) -> Array:
    """Value per event of an aggregate; 0 where an event has no instances.

    `found` are the instances of its arguments, `values` those of the first one, NaN where `absent`; `condition` tells
    which instances count, for MaxIf$ and MinIf$.
    """
    if function == "Length$":
        return found.number_in_event()
    event = np.arange(found.num_events) if found.event is None else found.event
    values = np.broadcast_to(arithmetic.as_number(values), event.shape)
    if absent is not None:
        values = np.where(absent, np.nan, values)
    kept = np.ones(event.size, np.bool_) if found.exists is None else found.exists
    if condition is not None:
        kept = kept & condition
    values, event = values[kept], event[kept]
    counts = np.bincount(event, minlength=found.num_events)
    if function == "Sum$":
        return _sum(values, event, counts)
    return _extreme(values, counts, largest=function.startswith("Max"))


def _sum(values: Array, event: Array, counts: Array) -> Array:
    if values.dtype.kind == "i" and values.size:
        largest = max(-int(values.min()), int(values.max())) * int(counts.max())
        if largest < 2**63:
            return _per_event(np.add, values, counts)
    # bincount adds one value after the other, as TTreeFormula; reduceat would add in pairs.
    return np.bincount(event, weights=arithmetic.as_double(values), minlength=counts.size)


def _extreme(values: Array, counts: Array, largest: bool) -> Array:
    if values.dtype.kind != "f":
        return _per_event(np.maximum if largest else np.minimum, values, counts)
    # A NaN never compares as better, so that only one in the first place stays.
    extreme = _per_event(np.fmax if largest else np.fmin, values, counts)
    first = _per_event(None, values, counts)
    return np.where(np.isnan(first), first, extreme)


def _per_event(reduction: np.ufunc | None, values: Array, counts: Array) -> Array:
    """The reduction of the values of each event that has any (None: the first of them), 0 for the others."""
    filled = counts > 0
    result = np.zeros(counts.size, values.dtype)
    starts = (np.cumsum(counts) - counts)[filled]
    if starts.size:
        result[filled] = values[starts] if reduction is None else reduction.reduceat(values, starts)
    return result
