"""From the lists of events to the values of rows that are objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions.instances import content_and_counts, starts_of
from ntupleml.ntuples.members import Members, directions, match_nearest, members_within
from ntupleml.ntuples.sources import lists_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.ntuples.members import Directions
    from ntupleml.ntuples.reading import Chunk
    from ntupleml.ntuples.rows import ObjectRows
    from ntupleml.ntuples.sources import Column


@dataclass(frozen=True)
class ObjectsOfEvents:
    """Which objects of which events the rows of a chunk are."""

    #: Shape (n_events,). Objects of each event, rows or not.
    counts: NDArray[np.int64]
    #: Shape (n_rows,). Place of each row among the objects of all events, one event after the other.
    kept: NDArray[np.int64]

    @cached_property
    def events(self) -> NDArray[np.int64]:
        """Event that each row is from, counted from the first of the chunk, shape (n_rows,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)[self.kept]

    @cached_property
    def positions(self) -> NDArray[np.int64]:
        """Position of each row among the objects of its event, shape (n_rows,)."""
        return self.kept - starts_of(self.counts)[self.events]

    def per_event(self, values: NDArray[Any], default: float) -> Column:
        """Values of the rows as one list per event, as long as its collection; objects that are no rows get a default.

        Examples
        --------
        >>> objects = ObjectsOfEvents(np.array([2, 0, 1]), np.array([1, 2]))
        >>> objects.per_event(np.array([0.25, 0.5]), -1).to_list()
        [[-1.0, 0.25], [], [0.5]]
        """
        everywhere = np.full(int(self.counts.sum()), default, dtype=values.dtype)
        everywhere[self.kept] = values
        return lists_of(everywhere, self.counts)


class EventLists:
    """Events of a chunk on their way to rows."""

    def __init__(self, view: ObjectRows, chunk: Chunk) -> None:
        self.view = view
        self.chunk = chunk
        #: Numbers of all events of each branch of a list.
        self.flat: dict[str, NDArray[Any]] = {}
        self._inner: dict[str, NDArray[np.int64]] = {}
        self._lengths: dict[str, tuple[str, NDArray[np.int64]]] = {}
        for name in chunk.columns:
            if name in view.collections:
                self._flatten(name, view.collections[name])

    def _flatten(self, name: str, collection: str) -> None:
        """Keep the numbers of all events of a list, whose lengths must be those of its collection."""
        column = self.chunk.columns[name]
        if isinstance(column, np.ndarray):
            lengths = np.full(len(column), column.shape[1])
            self.flat[name] = column.reshape(-1, *column.shape[2:])
        elif self.view.events.branches[name].is_nested:
            import awkward as ak

            lists, lengths = ak.flatten(column, axis=1), np.asarray(ak.num(column, axis=1), np.int64)
            self.flat[name], self._inner[name] = content_and_counts(lists)
        else:
            self.flat[name], lengths = content_and_counts(column)
        first, expected = self._lengths.setdefault(collection, (name, lengths))
        different = np.flatnonzero(lengths != expected)
        if len(different):
            event = different[0]
            raise NtuplemlError(
                f"{self._entry(event)}: '{first}' has {expected[event]} values, but "
                f"'{name}' has {lengths[event]}; branches of the collection '{collection}' need one for each object"
            )

    def _entry(self, event: int) -> str:
        return f"{self.view.where}: entry {self.chunk.start + event}"

    def counts(self, collection: str) -> NDArray[np.int64]:
        """Objects of each event."""
        return self._lengths[collection][1]

    def directions(self, collection: str) -> Directions:
        """η and φ of all objects of a collection."""
        eta, phi = (self.flat[name].astype(np.float64) for name in directions(collection))
        return eta, phi

    def rows(self) -> RowColumns:
        """The objects that are rows."""
        own, match = self.view.rows.objects, self.view.match
        counts = self.counts(own)
        rows = RowColumns(self, ObjectsOfEvents(counts, np.arange(counts.sum())))
        kept, kept_counts = self.view.choices[own].made(rows.column, counts)
        matched = None
        if match is not None:
            places, other_counts = self._match_objects(match.objects)
            eta, phi = self.directions(own)
            other_eta, other_phi = self.directions(match.objects)
            found = match_nearest(
                match, (eta[kept], phi[kept]), kept_counts, (other_eta[places], other_phi[places]), other_counts
            )
            kept, matched = kept[found.rows], places[found.matched]
        return RowColumns(self, ObjectsOfEvents(counts, kept), matched)

    def _match_objects(self, collection: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the objects that rows may be matched to, and how many each event has."""
        counts = self.counts(collection)
        events = np.repeat(np.arange(len(counts)), counts)
        return self.view.choices[collection].made(
            lambda name: self.flat[name] if name in self.flat else self.chunk.columns[name][events], counts
        )

    def linked_members(self, collection: str, objects: NDArray[np.int64]) -> Members:
        """Members of some objects by the index."""
        from ntupleml.ntuples.loops import members_by_index

        (branch,) = self.view.links(collection)
        index, counts = self.flat[branch].astype(np.int64), self.counts(self.view.rows.objects)
        lengths, member_counts = self._inner.get(branch, np.empty(0, np.int64)), self.counts(collection)
        is_row, found = np.zeros(counts.sum(), np.bool_), np.zeros(counts.sum(), np.int64)
        is_row[objects] = True
        places, beyond = members_by_index(index, lengths, member_counts, counts, is_row, found)
        if beyond >= 0:
            member = np.searchsorted(np.cumsum(lengths), beyond, side="right") if len(lengths) else beyond
            event = int(np.searchsorted(np.cumsum(member_counts), member, side="right"))
            raise NtuplemlError(
                f"{self._entry(event)}: branch '{branch}' is {index[beyond]}, "
                f"but there are {counts[event]} objects of '{self.view.rows.objects}'; an index counts from 0, "
                "and is negative where an object belongs to none"
            )
        return Members(places, found).of(objects)


class RowColumns:
    """Rows of a chunk: some of the objects."""

    def __init__(self, events: EventLists, objects: ObjectsOfEvents, matched: NDArray[np.int64] | None = None) -> None:
        self.objects = objects
        self._events = events
        self._matched = matched
        self._members: dict[str, Members] = {}

    def column(self, name: str) -> Column:
        """A branch of the rows."""
        events, view = self._events, self._events.view
        if name == view.index_branch:
            return self.objects.positions.astype(np.int32)
        collection = view.collections.get(name)
        if collection is None:
            return events.chunk.columns[name][self.objects.events]
        if collection == view.rows.objects:
            return events.flat[name][self.objects.kept]
        if collection not in view.rows.members:
            return events.flat[name][self._matched]
        members = self._members_of(collection)
        values = events.flat[name][members.places]
        if name in view.relative:
            branch, is_angle = view.relative[name]
            others = None if view.collections[branch] == collection else self.column(branch)
            values = members.relative(values, others, is_angle)
        return members.lists(values)

    def _members_of(self, collection: str) -> Members:
        if collection not in self._members:
            self._members[collection] = self._find_members(collection)
        return self._members[collection]

    def _find_members(self, collection: str) -> Members:
        events, view = self._events, self._events.view
        radius = view.rows.members[collection].radius
        if radius is None:
            members = events.linked_members(collection, self.objects.kept)
        else:
            eta, phi = events.directions(view.rows.objects)
            members = members_within(
                radius,
                (eta[self.objects.kept], phi[self.objects.kept]),
                self.objects.events,
                events.directions(collection),
                events.counts(collection),
            )

        def column(name: str) -> Column:
            if view.collections.get(name) == collection:
                return events.flat[name][members.places]
            return self.column(name)[members.owners]

        order, counts = view.choices[collection].made(column, members.counts)
        return Members(members.places[order], counts)
