"""Objects of several collections as those of one group: chosen, sorted, cut, one collection after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.four_vectors import TYPE
from ntupleml.errors import NtuplemlError
from ntupleml.events.values import ObjectRows
from ntupleml.expressions.instances import starts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup, Objects, ObjectSource

    Positions = NDArray[np.int64]
    #: Positions of the objects that are kept, in order (None: all), and per row their number after and before the cut.
    Select = Callable[["Flat", Objects, NDArray[np.bool_] | None], tuple[Positions | None, Positions, Positions]]

#: Rows that are filled at a time, so that the part of the array being written stays in the processor's cache.
_BLOCK = 2048


class Flat(NamedTuple):
    """Values of formulas, those of all rows after one another, and their number per row."""

    values: dict[str, NDArray[Any]]
    counts: Positions
    #: Whether they are numbers of an event, that is of its one object.
    of_events: bool = False


class Chosen(NamedTuple):
    """Objects of one source that are kept, in order."""

    #: Raw columns; none where all are 0.
    columns: list[NDArray[Any] | None]
    #: Positions in the columns; empty where all are kept in their order.
    order: Positions
    #: Of each row: where its objects begin in the order, how many they are, and how many there were before the cut.
    starts: Positions
    counts: Positions
    passed: Positions


def joined_objects(
    group: InputGroup, number: int, evaluate: Callable[[Sequence[str]], Flat], select: Select, where: str
) -> ObjectRows:
    """Objects of all collections of a group, one collection after the other.

    Parameters
    ----------
    number : int
        Of rows.
    evaluate : callable
        Gives the values of formulas.
    select : callable
        Chooses among objects by their selection, order and length.
    """
    from ntupleml.events.loops import place_objects, place_type

    assert group.objects is not None
    total = np.zeros(number, np.int64)
    parts: list[tuple[int, Chosen, Positions]] = []
    cut: dict[str, int] = {}
    for kind, collection in enumerate(group.collections):
        for source in _first_with_objects([_chosen(group, one, evaluate, select, where) for one in collection.sources]):
            _count_cut(cut, collection.name, source.passed, source.counts)
            counts = source.counts
            if group.objects.length is not None:
                counts = np.minimum(counts, group.objects.length - total)
                _count_cut(cut, "", source.counts, counts)
            parts.append((kind, source._replace(counts=counts), total.copy()))
            total += counts
    starts = starts_of(total)
    values = np.zeros((int(total.sum()), len(group.variables)), group.dtype)
    type_column = len(group.variables) - 1 if group.variables[-1] == TYPE else -1
    for first in range(0, number, _BLOCK):
        rows = slice(first, first + _BLOCK)
        for kind, source, before in parts:
            targets = starts[rows] + before[rows]
            for index, column in enumerate(source.columns):
                if column is not None:
                    place_objects(
                        column, source.order, source.starts[rows], source.counts[rows], targets, values, index
                    )
            if kind and type_column >= 0:
                place_type(kind, source.counts[rows], targets, values, type_column)
    return ObjectRows(values, starts, total, group.objects, group.variables, cut)


def _count_cut(cut: dict[str, int], name: str, before: Positions, after: Positions) -> None:
    number = int((before - after).sum())
    if number:
        cut[name] = cut.get(name, 0) + number


def _chosen(
    group: InputGroup,
    source: ObjectSource,
    evaluate: Callable[[Sequence[str]], Flat],
    select: Select,
    where: str,
) -> Chosen:
    flat = evaluate(source.needed)
    if source.slots is not None:
        flat = _in_slots(source, flat, where)
    there = None
    pt = flat.values[source.columns[0] or ""]
    if flat.of_events:  # a number that is there also where no object is
        there = np.asarray(pt != 0)
    order, counts, passed = select(flat, source.objects, there)
    columns = [None if formula is None else flat.values[formula] for formula in source.columns]
    fourth = group.variables.index("energy") if "energy" in group.variables else None
    if fourth is not None and columns[fourth] is None:
        eta = columns[group.variables.index("eta")]
        columns[fourth] = pt if eta is None else pt * np.cosh(eta.astype(np.float64))
    order = np.empty(0, np.int64) if order is None else order
    return Chosen(columns, order, starts_of(counts), counts, passed)


def _in_slots(source: ObjectSource, flat: Flat, where: str) -> Flat:
    """Columns of a flat table, one for each slot, as objects."""
    if not flat.of_events:
        raise NtuplemlError(
            f"{where}: '{source.in_slots(source.columns[0] or '')[0]}' has several values per event; slots are for "
            "columns of one number per event; leave slots and {i} out for lists"
        )
    number = len(flat.counts)
    formulas = [one for one in (*source.columns, source.objects.selection, source.objects.sort) if one is not None]
    values = {
        formula: np.stack([flat.values[one] for one in source.in_slots(formula)], axis=1).reshape(-1)
        for formula in dict.fromkeys(formulas)
    }
    size = len(source.in_slots(formulas[0]))
    return Flat(values, np.full(number, size, np.int64), of_events=True)


def _first_with_objects(sources: list[Chosen]) -> list[Chosen]:
    """The sources, of which each row has objects of the first one only that has any."""
    if len(sources) == 1:
        return sources
    is_open = np.ones(len(sources[0].counts), np.bool_)
    found = []
    for source in sources:
        taken = is_open & (source.counts > 0)
        is_open &= ~taken
        found.append(source._replace(counts=source.counts * taken, passed=source.passed * taken))
    return found
