"""Rows that are objects of a collection, such as jets: a view of an open ntuple."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions import parse
from ntupleml.ntuples.branches import Branch, type_with_shape
from ntupleml.ntuples.reading import Chunk, Ntuple
from ntupleml.ntuples.sources import as_numpy, lists_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import RowsConfig
    from ntupleml.expressions import Expression
    from ntupleml.ntuples.sources import Column

#: Pairs of an object and a possible member that are looked at together, which bounds the memory.
_PAIRS = 1_000_000
#: Added to the name of the collection: the branch of the position of a row in its event.
_INDEX = "_index"


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
        return self.kept - _starts(self.counts)[self.events]

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


class ObjectChunk(Chunk):
    """A chunk whose rows are objects."""

    _objects: ObjectsOfEvents
    _events: Chunk

    @classmethod
    def of(cls, chunk: Chunk, columns: dict[str, Column], objects: ObjectsOfEvents) -> ObjectChunk:
        """Rows of the events of a chunk."""
        new = cls(chunk.start, chunk.stop, columns)
        new._objects, new._events = objects, chunk
        return new

    @property
    def event_columns(self) -> dict[str, Column]:
        """What was read of the events themselves."""
        return self._events.columns

    @property
    def objects(self) -> ObjectsOfEvents:
        """Which objects of which events the rows are."""
        return self._objects


class _Members(NamedTuple):
    """Members of all objects of a chunk: places in the flat columns of their collection, and how many each has."""

    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    def lists(self, values: NDArray[Any], objects: NDArray[np.int64]) -> Column:
        """Values of the members of some objects."""
        counts = self.counts[objects]
        inside = np.arange(counts.sum()) - np.repeat(_starts(counts), counts)
        return lists_of(values[self.places[np.repeat(_starts(self.counts)[objects], counts) + inside]], counts)


@dataclass(frozen=True)
class ObjectRows(Ntuple):
    """An ntuple whose rows are objects; made by `rows_of`.

    The attributes are those of `Ntuple`: `num_entries` and the chunks count the events of the file; a chunk says which
    rows they make. Branches of the collection hold one number per row, those of the members a list per row; what holds
    one value per event is repeated. Other lists cannot be read.
    """

    events: Ntuple
    rows: RowsConfig
    #: For each branch of a list, the collection that it is of.
    collections: dict[str, str]
    selection: Expression | None

    @property
    def index_branch(self) -> str:
        """Branch of the position of a row in its event."""
        return f"{self.rows.objects}{_INDEX}"

    def chunks(self, branches: Sequence[str], entries_per_chunk: int | None = None) -> Iterator[Chunk]:
        """Read branches of the rows, a bounded number of events at a time.

        Parameters and errors as for `Ntuple.chunks`; moreover an event whose lists of one collection are of different
        lengths, or that has an index beyond its collection, is refused.
        """
        wanted = list(dict.fromkeys(branches))
        self.require(wanted)
        selection = [] if self.selection is None else sorted(self.selection.columns)
        read = list(dict.fromkeys(self._needed([*wanted, *selection])))
        # half as many as without rows: events and rows are in memory together
        for chunk in self.events.chunks(read, entries_per_chunk or self.events.chunk_size(read) // 2):
            view = _ChunkView(self, chunk)
            objects = ObjectsOfEvents(view.counts, np.arange(view.counts.sum()))
            if self.selection is not None:
                columns = {name: view.column(name, objects) for name in selection}
                objects = ObjectsOfEvents(
                    view.counts, np.flatnonzero(self.selection.passes(columns, len(objects.kept)))
                )
            yield ObjectChunk.of(chunk, {name: view.column(name, objects) for name in wanted}, objects)

    def _needed(self, names: Sequence[str]) -> Iterator[str]:
        """Branches of the file that some branches of the rows are made from."""
        of_rows = [name for name, of in self.collections.items() if of == self.rows.objects]
        if not set(of_rows) & set(names):
            yield min(of_rows, key=lambda name: self.events.branches[name].bytes_per_entry)
        for name in names:
            if name != self.index_branch:
                yield name
            collection = self.collections.get(name, self.rows.objects)
            if collection != self.rows.objects:
                yield from self.links(collection)

    def links(self, collection: str) -> dict[str, str]:
        """Branches that tell which members belong to which row, and their collections: an index, or all directions."""
        members = self.rows.members[collection]
        if members.index is not None:
            return {members.index: collection}
        return {f"{one}_{angle}": one for one in (self.rows.objects, collection) for angle in ("eta", "phi")}


class _ChunkView:
    """Events of a chunk on their way to rows."""

    def __init__(self, view: ObjectRows, chunk: Chunk) -> None:
        self._view = view
        self._chunk = chunk
        self._lengths: dict[str, tuple[str, NDArray[np.int64]]] = {}
        self._members: dict[str, _Members] = {}
        self._flat: dict[str, NDArray[Any]] = {}
        for name in chunk.columns:
            if name in view.collections:
                self._flatten(name, view.collections[name])
        self.counts = self._lengths[view.rows.objects][1]

    def _flatten(self, name: str, collection: str) -> None:
        """Keep the numbers of all events of a list, whose lengths must be those of its collection."""
        column = self._chunk.columns[name]
        if isinstance(column, np.ndarray):
            lengths = np.full(len(column), column.shape[1])
            self._flat[name] = column.reshape(-1, *column.shape[2:])
        else:
            import awkward as ak

            lengths = np.asarray(ak.num(column, axis=1), dtype=np.int64)
            self._flat[name] = as_numpy(column)
        first, expected = self._lengths.setdefault(collection, (name, lengths))
        different = np.flatnonzero(lengths != expected)
        if len(different):
            event = different[0]
            raise NtuplemlError(
                f"{self._view.where}: entry {self._chunk.start + event}: '{first}' has {expected[event]} values, but "
                f"'{name}' has {lengths[event]}; branches of the collection '{collection}' need one for each object"
            )

    def column(self, name: str, objects: ObjectsOfEvents) -> Column:
        """Column of some rows."""
        if name == self._view.index_branch:
            return objects.positions.astype(np.int32)
        collection = self._view.collections.get(name)
        if collection is None:
            return self._chunk.columns[name][objects.events]
        if collection == self._view.rows.objects:
            return self._flat[name][objects.kept]
        if collection not in self._members:
            self._members[collection] = self._find_members(collection)
        return self._members[collection].lists(self._flat[name], objects.kept)

    def _find_members(self, collection: str) -> _Members:
        counts = self._lengths[collection][1]
        radius = self._view.rows.members[collection].radius
        links = self._view.links(collection)
        if radius is not None:
            eta, phi, member_eta, member_phi = (self._flat[name].astype(np.float64) for name in links)
            return members_within(radius, (eta, phi), self.counts, (member_eta, member_phi), counts)
        (branch,) = links
        index = self._flat[branch].astype(np.int64)
        events = np.repeat(np.arange(len(counts)), counts)
        beyond = np.flatnonzero(index >= self.counts[events])
        if len(beyond):
            event = events[beyond[0]]
            raise NtuplemlError(
                f"{self._view.where}: entry {self._chunk.start + event}: branch '{branch}' is {index[beyond[0]]}, "
                f"but there are {self.counts[event]} objects of '{self._view.rows.objects}'; an index counts from 0, "
                "and is negative where an object belongs to none"
            )
        members = np.flatnonzero(index >= 0)
        owners = (_starts(self.counts)[events] + index)[members]
        return _Members(
            members[np.argsort(owners, kind="stable")], np.bincount(owners, minlength=int(self.counts.sum()))
        )


def _starts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(counts) - counts


def members_within(
    radius: float,
    objects: tuple[NDArray[np.float64], NDArray[np.float64]],
    counts: NDArray[np.int64],
    members: tuple[NDArray[np.float64], NDArray[np.float64]],
    member_counts: NDArray[np.int64],
) -> _Members:
    """Members whose ΔR = √(Δη² + Δφ²) from an object of their event is not larger than a radius.

    Parameters
    ----------
    objects, members : pair of arrays
        η and φ of all events, one event after the other; φ in radians, with any period.
    counts, member_counts : array of int64, shape (n_events,)
    """
    events = np.repeat(np.arange(len(counts)), counts)
    pairs = member_counts[events]
    firsts = _starts(member_counts)[events]
    turn = 2 * np.pi
    phi, member_phi = np.remainder(objects[1], turn), np.remainder(members[1], turn)
    places, owners = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    block = np.cumsum(pairs) // _PAIRS
    for start, stop in _equal_parts(block):
        owner = np.repeat(np.arange(start, stop), pairs[start:stop])
        inside = np.arange(len(owner)) - np.repeat(_starts(pairs[start:stop]), pairs[start:stop])
        place = firsts[owner] + inside
        d_phi = np.abs(phi[owner] - member_phi[place])
        d_phi = np.minimum(d_phi, turn - d_phi)
        near = np.flatnonzero((objects[0][owner] - members[0][place]) ** 2 + d_phi**2 <= radius**2)
        places.append(place[near])
        owners.append(owner[near])
    return _Members(np.concatenate(places), np.bincount(np.concatenate(owners), minlength=len(events)))


def _equal_parts(values: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges over which sorted values are the same."""
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    yield from pairwise(edges)


def rows_of(ntuple: Ntuple, rows: RowsConfig | None, where: str = "rows") -> Ntuple:
    """The ntuple itself, or with `rows` a view of it whose rows are objects.

    Raises
    ------
    NtuplemlError
        If there is no such collection, a branch that tells which members belong to a row is missing, the selection is
        no formula of the rows, or there is a branch already that is called like the position of a row.
    """
    if rows is None:
        return ntuple
    collections = _collections_of(ntuple, rows, where)
    index = f"{rows.objects}{_INDEX}"
    if index in ntuple.branches:
        raise NtuplemlError(
            f"{where}.objects: {ntuple.where} has a branch '{index}' already, which is to be the position of a row in "
            "its event; rename that branch in the file"
        )
    branches = {name: _row_branch(branch, collections.get(name), rows) for name, branch in ntuple.branches.items()}
    left_out = {name for name, branch in branches.items() if branch.problem and not ntuple.branches[name].problem}
    branches[index] = Branch(index, "int32", np.dtype(np.int32), (), 4.0)
    source, _ = ntuple.addresses[next(iter(collections))]
    inherited = {one.name: getattr(ntuple, one.name) for one in fields(Ntuple)} | {
        "branches": branches,
        "main_branches": (*(name for name in ntuple.main_branches if name not in left_out), index),
        "friend_branches": {full: own for full, own in ntuple.friend_branches.items() if full not in left_out},
        "addresses": {**ntuple.addresses, index: (source, index)},
    }
    selection = None if rows.selection is None else parse(rows.selection, where=f"{where}.selection")
    view = ObjectRows(**inherited, events=ntuple, rows=rows, collections=collections, selection=selection)
    if selection is not None:
        selection.check_branches(branches)
        view.require(sorted(selection.branches), f"{where}.selection")
    for name in rows.members:
        _check_links(view, name, f"{where}.members.{name}")
    return view


def _collections_of(ntuple: Ntuple, rows: RowsConfig, where: str) -> dict[str, str]:
    """For each branch of a list, the collection of rows or members that it is of: the longest name that fits."""
    names = sorted([rows.objects, *rows.members], key=len, reverse=True)
    lists = {
        name: ntuple.addresses[name][1] for name, one in ntuple.branches.items() if one.kind in ("vector", "array")
    }
    collections: dict[str, str] = {}
    for name, own in lists.items():
        if own in ntuple.duplicates:
            continue
        of = next((one for one in names if own.startswith((f"{one}_", f"{one}."))), None)
        if of == rows.objects or (of is not None and ntuple.branches[name].kind == "vector"):
            collections[name] = of
    for key, name in (("objects", rows.objects), *((f"members.{name}", name) for name in rows.members)):
        if name not in collections.values():
            others = sorted({own.replace(".", "_").rpartition("_")[0] for own in lists.values()} - {""})
            raise NtuplemlError(
                f"{where}.{key}: no lists '{name}_…' or '{name}.…' in {ntuple.where}{did_you_mean(name, others)}"
            )
    return collections


def _check_links(view: ObjectRows, collection: str, where: str) -> None:
    """Check the branches that tell which members belong to which row."""
    if collection == view.rows.objects:
        raise NtuplemlError(f"{where}: these are the rows themselves; choose another collection")
    links = view.links(collection)
    view.events.require(links, where)
    for name, of in links.items():
        if view.collections.get(name) != of or view.events.branches[name].kind != "vector":
            raise NtuplemlError(f"{where}: branch '{name}' of {view.where} is no list of the collection '{of}'")


def _row_branch(branch: Branch, collection: str | None, rows: RowsConfig) -> Branch:
    """What a branch of the file is for a row."""
    if collection is None and branch.kind == "vector":
        problem = f"it is a list per event, and a row is one of '{rows.objects}'; add its collection to rows.members"
        return replace(branch, dtype=None, shape=(), problem=problem)
    if collection is None or branch.dtype is None:
        return branch
    shape = branch.shape[1:] if collection == rows.objects else (None,)
    return replace(branch, type_name=type_with_shape(str(branch.dtype), shape), shape=shape)
