"""Writing new ROOT files with TTrees, in chunks, complete or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branch_types import counter_names, uproot_type, vector_item
from ntupleml.ntuples.wide_headers import write_wide_headers_quickly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import DTypeLike

#: Entries that are gathered before they are written: one basket per branch.
ENTRIES_PER_BASKET = 100_000
#: Size of what is gathered for one tree, which bounds the memory.
BYTES_PER_CLUSTER = 16_000_000


class Tree:
    """A TTree that is being written; made by `TreeFile.tree`."""

    def __init__(
        self, writable: Any, branch_types: Mapping[str, DTypeLike | str], where: str, bytes_per_cluster: int
    ) -> None:
        self.num_entries = 0
        self.branch_types = dict(branch_types)
        self._writable = writable
        self._where = where
        self._bytes_per_cluster = bytes_per_cluster
        self._pending: dict[str, list[Any]] = {name: [] for name in branch_types}
        self._pending_entries = 0
        self._pending_bytes = 0

    def extend(self, columns: Mapping[str, Any]) -> None:
        """Append entries.

        Parameters
        ----------
        columns : mapping of str to array
            One array per branch, all of one length: numpy of shape (n,), or for lists a jagged awkward array or
            numpy of shape (n, length).
            They are kept until enough for a basket has come, so leave them unchanged.
        """
        lengths = {name: len(columns[name]) for name in self._pending}
        number = next(iter(lengths.values()))
        if len(columns) != len(lengths) or set(lengths.values()) != {number}:
            raise ValueError(f"{self._where}: columns of different lengths or unknown ones: {lengths}")
        if number == 0:
            return
        for name, parts in self._pending.items():
            parts.append(columns[name])
            self._pending_bytes += columns[name].nbytes
        self._pending_entries += number
        self.num_entries += number
        if self._pending_entries >= ENTRIES_PER_BASKET or self._pending_bytes >= self._bytes_per_cluster:
            self.flush()

    def flush(self) -> None:
        """Write what has been gathered, which frees its memory."""
        if self._pending_entries == 0:
            return
        self._writable.extend(
            {name: _as_written(parts, self.branch_types[name]) for name, parts in self._pending.items()}
        )
        for parts in self._pending.values():
            parts.clear()
        self._pending_entries = self._pending_bytes = 0


class TreeFile:
    """A ROOT file that is being written; `new_tree_file` makes one and puts it in its place when complete.

    Parameters
    ----------
    path : Path
        Where it is written.
    final_path : Path
        Where it will be, for messages.
    bytes_per_cluster : int, optional
        What each tree may gather in memory before it is written.
    """

    def __init__(self, path: Path, final_path: Path, bytes_per_cluster: int = BYTES_PER_CLUSTER) -> None:
        import uproot

        write_wide_headers_quickly()
        self.path = path
        self.final_path = final_path
        self._bytes_per_cluster = bytes_per_cluster
        self.trees: dict[str, Tree] = {}
        # ZSTD at level 1 packs floats as tightly as ROOT's default (zlib, level 1) in a twentieth of the time.
        self._file = uproot.recreate(path.absolute(), compression=uproot.ZSTD(1))

    def tree(self, tree_path: str, branch_types: Mapping[str, DTypeLike | str], title: str = "") -> Tree:
        """Start a tree.

        Parameters
        ----------
        tree_path : str
            Name of the tree, with its folders in the file, which are made.
        branch_types : mapping
            Type of each branch: a numpy type of numbers or bools, with a shape of one dimension for lists of one
            length (`np.dtype(("f4", (3,)))`), or `"vector of f4"` for lists of any length.

        Raises
        ------
        NtuplemlError
            If the name has a cycle, or no name between two slashes.
        """
        require_tree_path(tree_path, str(self.final_path))
        if tree_path in self.trees:
            raise ValueError(f"{self.final_path}: a second tree '{tree_path}'")
        counters = counter_names(branch_types)
        writable = self._file.mktree(
            tree_path,
            {name: uproot_type(branch_type) for name, branch_type in branch_types.items()},
            counter_name=lambda name: counters[name],
            title=title,
        )
        self.trees[tree_path] = Tree(
            writable, branch_types, f"{self.final_path}: tree '{tree_path}'", self._bytes_per_cluster
        )
        return self.trees[tree_path]

    @property
    def uuid(self) -> str:
        """UUID of the ROOT file."""
        return str(self._file.file.uuid)

    def finish(self) -> None:
        """Write what is left, close the file, check it and force it to disk.

        Raises
        ------
        NtuplemlError
            If what is on disk is not what was written.
        """
        for tree in self.trees.values():
            tree.flush()
        self._file.close()
        self._verify()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the file as it is, after a failure."""
        self._file.close()

    def _verify(self) -> None:
        from ntupleml.ntuples.reading import open_ntuple

        for tree_path, tree in self.trees.items():
            with open_ntuple(self.path, tree_path) as written:
                missing = [name for name in tree.branch_types if name not in written.branches]
                if written.num_entries != tree.num_entries or missing:
                    raise NtuplemlError(
                        f"{self.final_path}: tree '{tree_path}' has {written.num_entries} of {tree.num_entries} "
                        f"entries on disk, and lacks {missing}; the disk or its quota may be full"
                    )


@contextmanager
def new_tree_file(path: str | Path, overwrite: bool = False) -> Iterator[TreeFile]:
    """Write a new ROOT file with TTrees; it appears in its place when complete.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made if need be.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import awkward as ak
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_tree_file(f"{folder}/new.root") as file:
    ...         tree = file.tree("folder/ntuple", {"x": "f4", "jet_pt": "vector of f4"})
    ...         tree.extend({"x": np.zeros(2, dtype="f4"), "jet_pt": ak.Array([[30.5], []])})
    ...     tree.num_entries
    2
    """
    with replace_file(path, overwrite=overwrite) as temporary:
        file = TreeFile(temporary, Path(path))
        try:
            yield file
            file.finish()
        finally:
            file.close()


def require_tree_path(tree_path: str, where: str) -> None:
    """Check that a tree of this name and folder can be written.

    Raises
    ------
    NtuplemlError
        If the name has a cycle (`ntuple;1`), or no name between two slashes.
    """
    if ";" in tree_path or not all(tree_path.split("/")):
        raise NtuplemlError(
            f"{where}: no tree can be written as '{tree_path}'; give its name, with its folders but without a cycle, "
            "e.g. 'folder/ntuple'"
        )


def _as_written(parts: list[Any], branch_type: DTypeLike | str) -> Any:
    """One array in the byte order of ROOT files, so that it is copied once."""
    item = vector_item(branch_type)
    if item is not None:
        import awkward as ak

        lists = [ak.from_regular(part) for part in parts]
        return ak.values_astype(lists[0] if len(lists) == 1 else ak.concatenate(lists), item)
    dtype = np.dtype(branch_type)
    if dtype.shape:
        import awkward as ak

        return np.concatenate([np.asarray(ak.to_numpy(part), dtype=dtype.base) for part in parts])
    joined = np.empty(sum(len(part) for part in parts), dtype=dtype.newbyteorder(">"))
    return np.concatenate(parts, out=joined, casting="same_kind")
