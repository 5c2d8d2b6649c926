"""Rows that are objects of a collection, such as jets: a view of an open ntuple."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples.branches import Branch, type_with_shape
from ntupleml.ntuples.members import Choice, directions
from ntupleml.ntuples.reading import Chunk, Ntuple
from ntupleml.ntuples.row_values import EventLists, ObjectsOfEvents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ntupleml.config import MatchConfig, MembersConfig, RowsConfig
    from ntupleml.expressions import Expression
    from ntupleml.ntuples.sources import Column

#: Added to the name of the collection: the branch of the position of a row in its event.
_INDEX = "_index"


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


@dataclass(frozen=True)
class ObjectRows(Ntuple):
    """An ntuple whose rows are objects; made by `rows_of`.

    The attributes are those of `Ntuple`: `num_entries` and the chunks count the events of the file; a chunk says which
    rows they make. Branches of the collection hold one number per row, as do those of the object that it is matched to;
    those of the members a list per row; what holds one value per event is repeated. Other lists cannot be read.
    """

    events: Ntuple
    rows: RowsConfig
    match: MatchConfig | None
    #: For each branch of a list, the collection that it is of.
    collections: dict[str, str]
    #: By collection: which objects there are, and in which order.
    choices: dict[str, Choice]
    #: Branches of members that are relative to that of the row, or to that of the leading member (None).
    relative: dict[str, _Reference]

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
        read = self._needed(wanted)
        # half as many as without rows: events and rows are in memory together
        step = entries_per_chunk or self.events.chunk_size(read) // 2
        for chunk in self.events.chunks_of_anything(read, step):
            rows = EventLists(self, chunk).rows()
            yield ObjectChunk.of(chunk, {name: rows.column(name) for name in wanted}, rows.objects)

    def _needed(self, names: Sequence[str]) -> list[str]:
        """Branches of the file that some branches of the rows are made from, those of the rows' collection first."""
        own = self.rows.objects
        needed = {*names, *self.choices[own].columns}
        if self.match is not None:
            needed |= {*directions(own), *directions(self.match.objects), *self.choices[self.match.objects].columns}
        for collection in {self.collections.get(name, own) for name in needed} & self.rows.members.keys():
            references = (one.branch for name, one in self.relative.items() if self.collections[name] == collection)
            needed |= {*self.links(collection), *self.choices[collection].columns, *references}
        needed.discard(self.index_branch)
        if not any(self.collections.get(name) == own for name in needed):
            of_rows = [name for name, of in self.collections.items() if of == own]
            needed.add(min(of_rows, key=lambda name: self.events.branches[name].bytes_per_entry))
        return [name for name in (*self.events.branches, ENTRY) if name in needed]

    def links(self, collection: str) -> tuple[str, ...]:
        """Branches that tell which members belong to which row: an index, or all directions."""
        index = self.rows.members[collection].index
        return (*directions(self.rows.objects), *directions(collection)) if index is None else (index,)


class _Reference(NamedTuple):
    """What a branch of members is relative to."""

    #: Branch of the row, or of the leading member.
    branch: str
    is_angle: bool


def rows_of(
    ntuple: Ntuple,
    rows: RowsConfig | None,
    where: str = "rows",
    match: MatchConfig | None = None,
    match_where: str = "match",
) -> Ntuple:
    """The ntuple itself, or with `rows` a view of it whose rows are objects, with `match` those near others.

    Raises
    ------
    NtuplemlError
        If there is no such collection, a branch that tells which members belong to a row or where they are is missing,
        a formula is none of its objects, or there is a branch already that is called like the position of a row.
    """
    if rows is None:
        return ntuple
    keys = {name: f"{where}.members.{name}" for name in rows.members} | {rows.objects: where}
    if rows.objects in rows.members:
        raise NtuplemlError(f"{where}.members.{rows.objects}: these are the rows themselves; choose another collection")
    if match is not None and match.objects in keys:
        raise NtuplemlError(
            f"{match_where}.objects: '{match.objects}' is rows or members already; choose another collection"
        )
    configs: dict[str, RowsConfig | MembersConfig | MatchConfig] = {rows.objects: rows, **rows.members}
    if match is not None:
        keys[match.objects], configs[match.objects] = match_where, match
    collections = _collections_of(ntuple, rows, keys)
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
    view = ObjectRows(
        **inherited,
        events=ntuple,
        rows=rows,
        match=match,
        collections=collections,
        choices={name: Choice.of(config, keys[name]) for name, config in configs.items()},
        relative=_references(ntuple, rows, collections, keys),
    )
    _check(view, keys)
    return view


def _collections_of(ntuple: Ntuple, rows: RowsConfig, keys: dict[str, str]) -> dict[str, str]:
    """For each branch of a list, the collection that it is of: that of an index, or else the longest name that fits."""
    lists = {
        name: own
        for name, (_, own) in ntuple.addresses.items()
        if own not in ntuple.duplicates and (ntuple.branches[name].kind in ("vector", "array"))
    }
    collections: dict[str, str] = {}
    for name, own in lists.items():
        of = next((one for one in sorted(keys, key=len, reverse=True) if own.startswith((f"{one}_", f"{one}."))), None)
        if of is not None and (of not in rows.members or ntuple.branches[name].kind == "vector"):
            collections[name] = of
    for name, where in keys.items():
        if name not in collections.values():
            others = sorted({own.replace(".", "_").rpartition("_")[0] for own in lists.values()} - {""})
            key = where if name in rows.members else f"{where}.objects"
            raise NtuplemlError(
                f"{key}: no lists '{name}_…' or '{name}.…' in {ntuple.where}{did_you_mean(name, others)}"
            )
    for name, members in rows.members.items():
        if members.index is not None:
            ntuple.require([members.index], keys[name], nested=True)
            if collections.get(members.index, name) != name:
                raise NtuplemlError(
                    f"{keys[name]}: branch '{members.index}' of {ntuple.where} is no list of the collection '{name}'"
                )
            collections |= dict.fromkeys(_aliases(ntuple, members.index), name)
    return collections


def _aliases(ntuple: Ntuple, name: str) -> list[str]:
    """All names of a branch."""
    return [other for other, address in ntuple.addresses.items() if address == ntuple.addresses[name]]


def _references(
    ntuple: Ntuple, rows: RowsConfig, collections: dict[str, str], keys: dict[str, str]
) -> dict[str, _Reference]:
    """For each branch of members that is relative to another, by all its names: which."""
    found: dict[str, _Reference] = {}
    for collection, members in rows.members.items():
        if members.relative is None:
            continue
        where = f"{keys[collection]}.relative"
        given = (members.relative.eta, members.relative.phi)
        for names, default, of_row in zip(given, directions(collection), directions(rows.objects), strict=True):
            for name in names or [default]:
                _check_lists(ntuple, collections, collection, [name], where)
                reference = _Reference(of_row if members.relative.to == "row" else name, default.endswith("phi"))
                found |= dict.fromkeys(_aliases(ntuple, name), reference)
            if members.relative.to == "row":
                _check_lists(ntuple, collections, rows.objects, [of_row], where)
    return found


def _check_lists(
    ntuple: Ntuple, collections: dict[str, str], collection: str, names: Iterable[str], where: str
) -> None:
    """Check that branches are lists of floating-point numbers, one for each object of a collection."""
    ntuple.require(names, where)
    for name in names:
        branch = ntuple.branches[name]
        if collections.get(name) != collection or branch.kind != "vector":
            raise NtuplemlError(
                f"{where}: branch '{name}' of {ntuple.where} is no list of the collection '{collection}'"
            )
        if branch.dtype is None or branch.dtype.kind != "f":
            raise NtuplemlError(
                f"{where}: branch '{name}' of {ntuple.where} is of type {branch.type_name}; η and φ are "
                "floating-point numbers"
            )


def _check(view: ObjectRows, keys: dict[str, str]) -> None:
    """Check the branches that tell what belongs together, and the formulas."""
    own = view.rows.objects
    close = [own, view.match.objects] if view.match is not None else []
    for name, members in view.rows.members.items():
        if members.index is None:
            close += [own, name]
            continue
        index = view.events.branches[members.index]
        if (index.kind != "vector" and not index.is_nested) or not np.issubdtype(index.dtype, np.integer):
            raise NtuplemlError(
                f"{keys[name]}.index: branch '{members.index}' of {view.where} is of type {index.type_name}; an index "
                "is a list of integers for each event, or a list of such lists"
            )
    for name in close:
        where = keys[name] if name != own else keys[close[-1]]
        _check_lists(view.events, view.collections, name, directions(name), where)
    match = [] if view.match is None else [view.match.objects]
    usable = {own: [own, *view.rows.members], **{name: [name, own] for name in view.rows.members}}
    for name, choice in view.choices.items():
        for formula in choice.formulas:
            _check_formula(view, formula, name, usable.get(name, match))


def _check_formula(view: ObjectRows, formula: Expression, collection: str, usable: Sequence[str]) -> None:
    formula.check_branches(view.branches)
    for name in sorted(formula.branches):
        of = view.rows.objects if name == view.index_branch else view.collections.get(name)
        if of is not None and of not in usable:
            raise NtuplemlError(
                f"{formula.where}: branch '{name}' is of the collection '{of}'; a formula of '{collection}' may use "
                f"branches of {' and '.join(map(repr, usable))}, and of the event"
            )
    view.require(sorted(formula.branches), formula.where)


def _row_branch(branch: Branch, collection: str | None, rows: RowsConfig) -> Branch:
    """What a branch of the file is for a row."""
    if branch.is_nested:
        return replace(
            branch, dtype=None, shape=(), problem="it is a list of lists, which only tells members their rows"
        )
    if collection is None and branch.kind == "vector":
        problem = f"it is a list per event, and a row is one of '{rows.objects}'; add its collection to rows.members"
        return replace(branch, dtype=None, shape=(), problem=problem)
    if collection is None or branch.dtype is None:
        return branch
    shape = (None,) if collection in rows.members else branch.shape[1:]
    return replace(branch, type_name=type_with_shape(str(branch.dtype), shape), shape=shape)
