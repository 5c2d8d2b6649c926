"""Columns of one tree in chunks: a TTree or an RNTuple behind the same three attributes and one method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branches import Branch, TreeBranch, ntuple_fields, tree_branches
from ntupleml.ntuples.opening import damage_as_error, is_rntuple, one_line
from ntupleml.ntuples.root_opinion import Place, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

#: One value per event (numpy), or a list per event (awkward array; regular where a C array fixes the length).
Column = Any


class Source(Protocol):
    """One tree of one file.

    Attributes
    ----------
    where : str
        File and tree, for messages.
    num_entries : int
    branches : dict of Branch
    duplicates : set of str
        Names that the tree holds more than once.
    """

    where: str
    num_entries: int
    branches: dict[str, Branch]
    duplicates: set[str]

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        """Columns of consecutive `step` entries, keyed by the given names."""
        ...


class UnreadableBranchError(NtuplemlError):
    """A branch some of whose entries cannot be read.

    Attributes
    ----------
    branch : str
        Its name.
    reason : str
        What uproot says.
    place : Place
    """

    def __init__(self, message: str, branch: str, reason: str, place: Place) -> None:
        super().__init__(message)
        self.branch = branch
        self.reason = reason
        self.place = place

    @classmethod
    def found(cls, where: str, branch: str, error: Exception, place: Place) -> UnreadableBranchError:
        """The error for what uproot says."""
        reason = one_line(error)
        message = f"{where}: branch '{branch}' cannot be read at entries {place.start} and following: {reason}"
        return cls(message, branch, reason, place)

    def judged(self) -> UnreadableBranchError:
        """The same error with what ROOT says of the file."""
        return UnreadableBranchError(f"{self}; {verdict(self.place)}", self.branch, self.reason, self.place)


def open_source(tree: Any, where: str) -> Source:
    """Source of an open tree of uproot."""
    with damage_as_error(where, Place(str(tree.file.file_path), tree.object_path)):
        return _RNTupleSource(tree, where) if is_rntuple(tree) else _TreeSource(tree, where)


class _TreeSource:
    """A TTree, read with uproot's own iteration: each basket is decompressed once, wherever the chunks end."""

    def __init__(self, tree: Any, where: str) -> None:
        self.where = where
        self.num_entries = int(tree.num_entries)
        self.duplicates: set[str] = set()
        self._tree = tree
        self._handles: dict[str, TreeBranch] = {}
        for handle in tree_branches(tree):
            name = handle.branch.name
            if name in self._handles:
                self.duplicates.add(name)
            else:
                self._handles[name] = handle
        self.branches = {name: handle.branch for name, handle in self._handles.items()}

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        handles = {name: self._handles[name] for name in names}
        jagged = [name for name, handle in handles.items() if _is_jagged(handle)]
        flat = [name for name in names if name not in set(jagged)]
        readers = [
            self._iterate([handles[name] for name in some], step, library)
            for some, library in ((flat, "np"), (jagged, "ak"))
            if some
        ]
        for parts in zip(*readers, strict=True):
            arrays = parts[0] if len(parts) == 1 else dict(_items(parts))
            yield {name: _column(arrays[handle.path], handle) for name, handle in handles.items()}

    def _iterate(self, handles: Sequence[TreeBranch], step: int, library: str) -> Iterator[dict[str, Any]]:
        # Pairs of path and interpretation: uproot then takes a path for what it is, not for a formula.
        wanted = list({handle.path: (handle.path, handle.interpretation) for handle in handles}.values())
        reader = self._tree.iterate(wanted, step_size=step, library=library)
        start = 0
        while True:
            try:
                arrays = next(reader)
            except StopIteration:
                return
            except MemoryError:
                raise
            except Exception as error:  # damaged baskets make uproot raise nearly anything
                raise self._unreadable(handles, start, start + step, error) from error
            start += step
            yield arrays if library == "np" else {path: arrays[path] for path in arrays.fields}

    def _unreadable(self, handles: Sequence[TreeBranch], start: int, stop: int, error: Exception) -> Exception:
        """Error that names the branch: the first that cannot be read by itself either."""
        stop = min(stop, self.num_entries)
        for handle in handles:
            try:
                self._tree[handle.path].array(handle.interpretation, start, stop, library="np")
            except Exception as own_error:  # as above
                place = _place(self._tree, handle.path, start, stop)
                return UnreadableBranchError.found(self.where, handle.branch.name, own_error, place)
        return NtuplemlError(f"{self.where}: cannot be read at entries {start} and following: {one_line(error)}")


class _RNTupleSource:
    """An RNTuple, read cluster by cluster: its pages are not addressable by entry."""

    def __init__(self, ntuple: Any, where: str) -> None:
        self.where = where
        self.num_entries = int(ntuple.num_entries)
        self.duplicates: set[str] = set()  # the format does not allow them
        fields = list(ntuple_fields(ntuple))
        self.branches = {branch.name: branch for branch, _ in fields}
        self._fields = {branch.name: field for branch, field in fields}
        self._ntuple = ntuple

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        bounds = [(int(c.num_first_entry), int(c.num_entries)) for c in self._ntuple.cluster_summaries]
        clusters = iter(sorted((first, first + number) for first, number in bounds if number))
        held: dict[str, list[Column]] = {name: [] for name in names}
        held_start = held_stop = 0
        for start in range(0, self.num_entries, step):
            stop = min(start + step, self.num_entries)
            while held_stop < stop:
                _, held_stop = cluster = next(clusters)
                for name, column in self._read(names, *cluster).items():
                    held[name].append(column)
            joined = {name: _joined(columns) for name, columns in held.items()}
            yield {name: column[start - held_start : stop - held_start] for name, column in joined.items()}
            rest = {name: column[stop - held_start :] for name, column in joined.items()}
            held = {name: [column] if len(column) else [] for name, column in rest.items()}
            held_start = stop

    def _read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        columns = {}
        for name in names:
            try:
                array = self._fields[name].array(entry_start=start, entry_stop=stop)
            except MemoryError:
                raise
            except Exception as error:  # damaged pages make uproot raise nearly anything
                place = _place(self._ntuple, name, start, stop)
                raise UnreadableBranchError.found(self.where, name, error, place) from error
            columns[name] = _plain(array, self.branches[name])
        return columns


def _place(tree: Any, path: str, start: int, stop: int) -> Place:
    return Place(str(tree.file.file_path), str(tree.object_path), path, start, stop)


def _is_jagged(handle: TreeBranch) -> bool:
    return handle.branch.kind == "vector" and handle.branch.length is None


def _items(parts: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for part in parts:
        yield from part.items()


def _joined(columns: Sequence[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    import awkward as ak

    return ak.concatenate(columns)


def _column(array: Any, handle: TreeBranch) -> Column:
    values = array if handle.leaf is None else array[handle.leaf]
    return _plain(values, handle.branch)


def _plain(array: Any, branch: Branch) -> Column:
    """One numpy array for scalars, an awkward array for vectors; of regular type where all are of one length."""
    if branch.kind == "scalar":
        return np.ascontiguousarray(array, dtype=branch.dtype)
    import awkward as ak

    values = ak.Array(array)
    stored = values.type.content.content.primitive  # RNTuples may hold a double as a float of 16 bits
    return values if stored == branch.dtype else ak.values_astype(values, branch.dtype)


def as_numpy(column: Column) -> NDArray[Any]:
    """All numbers of a column in one array: of a jagged one, the content of its lists."""
    if isinstance(column, np.ndarray):
        return column
    import awkward as ak

    return np.asarray(ak.flatten(column, axis=1))
