"""Objects that belong to rows: which, and in which order; rows that are near an object of another collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.expressions import parse
from ntupleml.expressions.instances import starts_of
from ntupleml.ntuples.sources import lists_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.config import MatchConfig, MembersConfig, RowsConfig
    from ntupleml.expressions import Expression
    from ntupleml.ntuples.sources import Column

#: η and φ of objects, those of all events one after the other; φ in radians, with any period.
Directions = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


def directions(collection: str) -> tuple[str, str]:
    """Branches of η and φ of a collection."""
    return f"{collection}_eta", f"{collection}_phi"


class Choice(NamedTuple):
    """Which objects of some lists are kept, and in which order."""

    selection: Expression | None
    sort: Expression | None = None
    ascending: bool = False
    length: int | None = None

    @classmethod
    def of(cls, config: RowsConfig | MembersConfig | MatchConfig, where: str) -> Choice:
        """The choice that a block of a config makes."""
        given = {key: getattr(config, key, None) for key in ("selection", "sort")}
        formulas = {key: None if text is None else parse(text, f"{where}.{key}") for key, text in given.items()}
        return cls(**formulas, ascending=getattr(config, "ascending", False), length=getattr(config, "length", None))

    @property
    def formulas(self) -> list[Expression]:
        """Selection and order, where they are given."""
        return [one for one in (self.selection, self.sort) if one is not None]

    @property
    def columns(self) -> set[str]:
        """What the formulas are evaluated on."""
        return {name for formula in self.formulas for name in formula.columns}

    def made(
        self, column: Callable[[str], Column], counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the objects that are kept, list by list, and how many of each list these are.

        Parameters
        ----------
        column : callable
            Values of the objects by name.
        counts : array of int64, shape (n_lists,)
        """
        number = int(counts.sum())
        if not self.formulas and self.length is None:
            return np.arange(number), counts
        columns = {name: column(name) for name in self.columns}
        keys = None if self.sort is None else self.sort.per_event(columns, number)
        passed = None if self.selection is None else self.selection.passes(columns, number)
        return in_order(keys, passed, counts, ascending=self.ascending, length=self.length)


def in_order(
    keys: NDArray[Any] | None,
    passed: NDArray[np.bool_] | None,
    counts: NDArray[np.int64],
    *,
    ascending: bool,
    length: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the objects that are kept, list by list, and how many of each list these are.

    Parameters
    ----------
    keys : array, shape (n_objects,), optional
        What they are sorted by; equal ones stay in their order, NaN comes last.
    passed : array of bool, shape (n_objects,), optional
        By default all are kept.
    length : int or None
        Most objects of a list.

    Examples
    --------
    >>> in_order(np.array([1.0, 3.0, 2.0]), None, np.array([1, 2]), ascending=False, length=1)
    (array([0, 1]), array([1, 1]))
    """
    total = int(counts.sum())
    if keys is None and passed is None:
        kept = counts if length is None else np.minimum(counts, length)
        skipped = starts_of(counts) - starts_of(kept)
        return np.repeat(skipped, kept) + np.arange(int(kept.sum())), kept
    from ntupleml.ntuples.loops import order_objects  # numba takes half a second to import

    signed = np.empty(0) if keys is None else keys.astype(np.float64) * (1 if ascending else -1)
    kept = np.empty_like(counts)
    order, scratch = np.empty(total, np.int64), np.empty(0 if keys is None else total, np.int64)
    chosen = np.empty(0, np.bool_) if passed is None else passed
    written = order_objects(signed, chosen, counts, -1 if length is None else length, order, scratch, kept)
    return order[:written], kept


class Members(NamedTuple):
    """Members of some objects: places in the flat columns of their collection, and how many each object has."""

    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def owners(self) -> NDArray[np.int64]:
        """Object of each, shape (n_members,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def of(self, objects: NDArray[np.int64]) -> Members:
        """Members of some of the objects, in their order."""
        counts = self.counts[objects]
        starts = np.repeat(starts_of(self.counts)[objects] - starts_of(counts), counts)
        return Members(self.places[starts + np.arange(len(starts))], counts)

    def lists(self, values: NDArray[Any]) -> Column:
        """Values of the members of each object, from those of the members."""
        return lists_of(values, self.counts)

    def relative(self, values: NDArray[Any], others: NDArray[Any] | None, is_angle: bool) -> NDArray[Any]:
        """Values of the members less that of their object (None: of its first member); angles folded to (−π, π].

        Examples
        --------
        >>> Members(np.arange(3), np.array([1, 2])).relative(np.array([1.0, 3.0, -3.0]), None, True)
        array([0.        , 0.        , 0.28318531])
        """
        firsts = np.repeat(starts_of(self.counts), self.counts)
        others = values[firsts] if others is None else others[self.owners]
        differences: NDArray[Any] = values.astype(np.float64) - others
        if is_angle:
            differences -= 2 * np.pi * np.ceil((differences - np.pi) / (2 * np.pi))
        return differences.astype(values.dtype)


def members_within(
    radius: float,
    objects: Directions,
    events: NDArray[np.int64],
    members: Directions,
    member_counts: NDArray[np.int64],
) -> Members:
    """Members whose ΔR = √(Δη² + Δφ²) from an object of their event is not larger than a radius.

    Parameters
    ----------
    events : array of int64, shape (n_objects,)
        Event of each object.
    member_counts : array of int64, shape (n_events,)
    """
    from ntupleml.ntuples import loops

    counts = np.zeros(len(events), np.int64)
    return Members(loops.members_within(radius, *objects, events, *members, member_counts, counts), counts)


class Nearest(NamedTuple):
    """Rows and the object that each is matched to, both as positions in what was looked at."""

    rows: NDArray[np.int64]
    matched: NDArray[np.int64]


def match_nearest(
    config: MatchConfig,
    rows: Directions,
    counts: NDArray[np.int64],
    others: Directions,
    other_counts: NDArray[np.int64],
) -> Nearest:
    """The rows that are near one of other objects of their event, in order; of repeated ones that of the others.

    Parameters
    ----------
    counts, other_counts : array of int64, shape (n_events,)
    """
    from ntupleml.ntuples.loops import nearest

    radius = np.inf if config.radius is None else config.radius
    if config.nearest_to == "row":
        found = np.empty(len(rows[0]), np.int64)
        nearest(radius, *rows, counts, *others, other_counts, found, np.empty(len(found)))
        near = np.flatnonzero(found >= 0)
        return Nearest(near, found[near])
    found, distances = np.empty(len(others[0]), np.int64), np.empty(len(others[0]))
    nearest(radius, *others, other_counts, *rows, counts, found, distances)
    near = np.flatnonzero(found >= 0)
    if not config.repeated:
        by_row = near[np.lexsort((distances[near], found[near]))]
        near = by_row[np.unique(found[by_row], return_index=True)[1]]
    return Nearest(found[near], near)
