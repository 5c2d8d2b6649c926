"""Adding a tree to an existing ROOT file, such that all else in the file stays, or nothing changes at all."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import locked
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branch_types import (
    add_to_checksum,
    counter_names,
    no_checksum,
    plain_arrays,
    uproot_type,
    vector_item,
)
from ntupleml.ntuples.edited_copy import edited_copy
from ntupleml.ntuples.layout import DIRECTORY_CLASSES, Key, read_layout, require_room
from ntupleml.ntuples.opening import find_tree, one_line, open_root_file
from ntupleml.ntuples.verification import checksum_of_branch, require_rest_unchanged
from ntupleml.ntuples.wide_headers import write_wide_headers_quickly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import DTypeLike, NDArray


class AddedTree:
    """A tree that is being added to a file; made by `added_tree`."""

    def __init__(self, writable: Any, branch_types: Mapping[str, DTypeLike | str]) -> None:
        self.num_entries = 0
        self.checksums = {name: no_checksum(kind) for name, kind in branch_types.items()}
        self._writable = writable
        self._types = dict(branch_types)

    def extend(self, columns: Mapping[str, Any]) -> None:
        """Append entries, which become a basket of each branch.

        Parameters
        ----------
        columns : mapping of str to array
            One array per branch, all of one length: as `ntupleml.ntuples.branch_types.plain_arrays` takes them.
        """
        lengths = {len(values) for values in columns.values()}
        if len(lengths) != 1 or columns.keys() != self._types.keys():
            raise ValueError(f"columns {list(columns)} of lengths {lengths} for branches {list(self._types)}")
        if lengths == {0}:
            return
        written = {}
        for name, kind in self._types.items():
            arrays = plain_arrays(columns[name], kind)
            self.checksums[name] = add_to_checksum(self.checksums[name], arrays)
            written[name] = _for_uproot(arrays, kind)
        self._writable.extend(written)
        self.num_entries += lengths.pop()


@contextmanager
def added_tree(
    path: str | Path,
    tree_path: str,
    branch_types: Mapping[str, DTypeLike | str],
    overwrite: bool = False,
    title: str = "",
) -> Iterator[AddedTree]:
    """Add a TTree to an existing ROOT file, on a copy that is checked and renamed over the file when complete.

    Parameters
    ----------
    tree_path : str
        Name of the new tree, with its folders, which are made.
    branch_types : mapping of str to numpy type
        Type of each branch, as `ntupleml.ntuples.tree_files.TreeFile.tree` takes them.
    overwrite : bool, default: False
        Whether a tree of this name is replaced, all its cycles included. The space of its values is lost.
    title : str, optional
        Of the tree.

    Raises
    ------
    NtuplemlError
        If there is such an object already, the file cannot be read or written, or a check fails.
    """
    with locked(path), _added_tree(path, tree_path, branch_types, overwrite, title) as added:
        yield added


@contextmanager
def _added_tree(
    path: str | Path, tree_path: str, branch_types: Mapping[str, DTypeLike | str], overwrite: bool, title: str
) -> Iterator[AddedTree]:
    where = f"{path}: tree '{tree_path}'"
    with open_root_file(path):
        layout = read_layout(path)
    require_room(layout, tree_path, where)
    old = [key for key in layout.keys if key.path == tree_path]
    if old and not (overwrite and all(key.class_name == "TTree" for key in old)):
        advice = "give --overwrite to replace it" if old[0].class_name == "TTree" else "choose another file"
        raise NtuplemlError(f"{where}: the file has a {old[0].class_name} of this name already; {advice}")
    target = Path(path).resolve()
    with edited_copy(path) as copy:
        with _updated_file(copy, path) as file:
            _delete(file, old)
            added = AddedTree(_new_tree(file, tree_path, branch_types, title), branch_types)
            yield added
        require_rest_unchanged(target, copy, tree_path, where, replaced=old)
        with open_root_file(copy) as written_file:
            written = find_tree(written_file, copy, tree_path)
            found = {
                name: checksum_of_branch(written[name], kind, added.num_entries, where)
                for name, kind in branch_types.items()
            }
        if found != added.checksums:
            raise NtuplemlError(f"{where}: its copy does not hold what was written; the file was left as it was")


def objects_in(path: str | Path) -> set[str]:
    """Paths of all objects in a ROOT file, but not of the folders.

    Raises
    ------
    NtuplemlError
        If the file is not a complete ROOT file.
    """
    with open_root_file(path):
        return {key.path for key in read_layout(path).keys if key.class_name not in DIRECTORY_CLASSES}


@contextmanager
def _updated_file(copy: Path, path: str | Path) -> Iterator[Any]:
    import uproot

    try:
        file = uproot.update(copy)
    except Exception as error:  # what uproot cannot update makes it raise nearly anything
        raise NtuplemlError(f"{path}: no tree can be added to it: {one_line(error)}; the file is as it was") from error
    with file:
        yield file


def _new_tree(file: Any, tree_path: str, branch_types: Mapping[str, DTypeLike | str], title: str) -> Any:
    import uproot

    write_wide_headers_quickly()
    counters = counter_names(branch_types)
    tree = file.mktree(
        tree_path,
        {name: uproot_type(kind) for name, kind in branch_types.items()},
        counter_name=lambda name: counters[name],
        title=title,
        initial_basket_capacity=50,
    )
    tree.compression = uproot.ZSTD(1)  # of this tree: the file's own setting stays
    return tree


def _for_uproot(arrays: tuple[NDArray[Any], ...], branch_type: DTypeLike | str) -> Any:
    """Values as uproot writes them, from plain arrays."""
    if vector_item(branch_type) is not None:
        import awkward as ak

        counts, content = arrays
        return ak.unflatten(content, counts)
    return arrays[0].reshape(-1, *np.dtype(branch_type).shape)


def _delete(file: Any, keys: list[Key]) -> None:
    """Remove objects. uproot deletes nothing by a path with folders, so it is done in the folder itself."""
    for key in keys:
        folder = file[key.folder] if key.folder else file
        del folder[f"{key.name};{key.cycle}"]
