"""TTrees and RNTuples of a ROOT file, read with uproot."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branches import TreeBranch, ntuple_fields, tree_branches
from ntupleml.ntuples.opening import damage_as_error, find_tree, is_rntuple, one_line, open_root_file, tree_paths
from ntupleml.ntuples.root_integrity import check_baskets, check_pages, require_branches
from ntupleml.ntuples.root_opinion import Place
from ntupleml.ntuples.sources import TreeContent, UnreadableBranchError, plain_column, recut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ntupleml.ntuples.sources import Column, Source, TableFile, TableKind


@contextmanager
def open_root_tables(path: str | Path, where: str = "") -> Iterator[TableFile]:
    """Open a ROOT file, local or behind an address, as `ntupleml.ntuples.opening.open_root_file` does."""
    with open_root_file(path, where) as file:
        yield _RootFile(file, path)


class _RootFile:
    """A ROOT file that uproot has opened."""

    def __init__(self, file: Any, path: str | Path) -> None:
        self.uuid = str(file.file.uuid)
        self.size = int(file.file.fEND)
        self._file = file
        self._path = path

    def tables(self) -> list[TreeContent]:
        return [self._content(tree_path) for tree_path in tree_paths(self._file)]

    def _content(self, tree_path: str) -> TreeContent:
        try:
            tree = find_tree(self._file, self._path, tree_path)
        except NtuplemlError as error:  # of one tree; the others can be read
            return TreeContent(tree_path, "–", problem=str(error))
        if is_rntuple(tree):
            return TreeContent(tree_path, "RNTuple", int(tree.num_entries), len(tree.fields))
        return TreeContent(tree_path, "TTree", int(tree.num_entries), len(tree.branches))

    def source(self, tree_path: str, where: str = "") -> Source:
        tree = find_tree(self._file, self._path, tree_path, where)
        label = f"tree '{tree_path}' of {self._path}"
        full = f"{where}: {label}" if where else label
        with damage_as_error(full, Place(str(tree.file.file_path), tree.object_path)):
            return _RNTupleSource(tree, label, full) if is_rntuple(tree) else _TreeSource(tree, label, full)


class _TreeSource:
    """A TTree, read with uproot's own iteration: each basket is decompressed once, wherever the chunks end."""

    kind: TableKind = "TTree"

    def __init__(self, tree: Any, label: str, where: str) -> None:
        self.label, self.where = label, where
        self.num_entries = int(tree.num_entries)
        self.duplicates: set[str] = set()
        require_branches(tree)
        self._tree = tree
        self._handles: dict[str, TreeBranch] = {}
        for handle in tree_branches(tree):
            name = handle.branch.name
            if name in self._handles:
                self.duplicates.add(name)
            else:
                self._handles[name] = handle
                check_baskets(handle.interpretation)
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
                return UnreadableBranchError.found(self.where, handle.branch.name, own_error, start, place)
        return NtuplemlError(f"{self.where}: cannot be read at entries {start} and following: {one_line(error)}")


class _RNTupleSource:
    """An RNTuple, read in whole clusters: its pages are not addressable by entry."""

    kind: TableKind = "RNTuple"

    def __init__(self, ntuple: Any, label: str, where: str) -> None:
        self.label, self.where = label, where
        self.num_entries = int(ntuple.num_entries)
        self.duplicates: set[str] = set()  # the format does not allow them
        check_pages(ntuple)
        fields = list(ntuple_fields(ntuple))
        self.branches = {branch.name: branch for branch, _ in fields}
        self._fields = {branch.name: field for branch, field in fields}
        self._ntuple = ntuple

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        bounds = [(int(c.num_first_entry), int(c.num_entries)) for c in self._ntuple.cluster_summaries]
        clusters = sorted((first, first + number) for first, number in bounds if number)
        return recut((self._read(names, *span) for span in _spans(clusters, step)), names, step, self.num_entries)

    def _read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Column]:
        columns = {}
        for name in names:
            try:
                array = self._fields[name].array(entry_start=start, entry_stop=stop)
            except MemoryError:
                raise
            except Exception as error:  # damaged pages make uproot raise nearly anything
                place = _place(self._ntuple, name, start, stop)
                raise UnreadableBranchError.found(self.where, name, error, start, place) from error
            columns[name] = plain_column(array, self.branches[name])
        return columns


def _spans(clusters: Sequence[tuple[int, int]], step: int) -> list[tuple[int, int]]:
    """Clusters, and neighbours together as far as they have no more than `step` entries.

    Whatever uproot reads, it looks at all clusters of the file; one by one that grows with the square of their number.
    """
    spans: list[tuple[int, int]] = []
    for start, stop in clusters:
        if spans and spans[-1][1] == start and stop - spans[-1][0] <= step:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return spans


def _place(tree: Any, path: str, start: int, stop: int) -> Place:
    return Place(str(tree.file.file_path), str(tree.object_path), path, start, stop)


def _is_jagged(handle: TreeBranch) -> bool:
    return None in handle.branch.shape


def _items(parts: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for part in parts:
        yield from part.items()


def _column(array: Any, handle: TreeBranch) -> Column:
    values = array if handle.leaf is None else array[handle.leaf]
    return plain_column(values, handle.branch)
