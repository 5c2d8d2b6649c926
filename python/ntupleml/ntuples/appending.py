"""Adding branches to a tree of an existing ROOT file, such that nothing else in the file changes, or nothing at all."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.atomic import locked
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branch_types import add_to_checksum, no_checksum, plain_arrays
from ntupleml.ntuples.edited_copy import edited_copy
from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.layout import Key, Layout, read_layout, require_room
from ntupleml.ntuples.opening import find_tree, is_rntuple, open_root_file
from ntupleml.ntuples.root_process import run_with_root
from ntupleml.ntuples.root_trees import described_tree, extend_tree, is_writable
from ntupleml.ntuples.tree_headers import basket_list, differing_branch
from ntupleml.ntuples.verification import checksum_of_branch, require_rest_unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from ntupleml.ntuples.branch_types import Checksum
    from ntupleml.ntuples.marks import Mark
    from ntupleml.ntuples.root_trees import Extension

log = logging.getLogger(__name__)

_TREE_CLASSES = ("TTree", "TNtuple", "TNtupleD")
#: What ROOT's leaf lists and paths of branches use themselves.
_NOT_IN_NAMES = re.compile(r"[\s/:;.,\[\]{}()\"'\\\x00-\x1f\x7f]")


def append_branches(
    path: str | Path,
    tree_path: str,
    branch_types: Mapping[str, DTypeLike | str],
    chunks: Iterable[Mapping[str, Any]],
    overwrite: bool = False,
    *,
    output_path: Path | None = None,
    mark: Mark | None = None,
) -> None:
    """Add branches of numbers, or lists of numbers, to a TTree of a ROOT file.

    The work is done on a copy beside the file, which is checked and then renamed over it: a kill, a full disk or an
    exception at any moment leaves the old file, byte for byte, or the new one. Checked are: every byte of the old
    file outside the tree's header and ROOT's own tables, the list of all objects, position and size of all old
    baskets, the content of those that lie in the tree's header, the members of all old branches and leaves, the
    descriptions of classes, that ROOT opens the file anew and sees the same, and the new values, read back with
    uproot. So no old branch has to be decoded to prove that it reads as before.

    Parameters
    ----------
    path : path
        The file; a symbolic link stays one.
    tree_path : str
        The tree, with its folders. Its newest cycle is extended; older cycles stay.
    branch_types : mapping of str to numpy type
        Names and types of the new branches: numbers or bools, `np.dtype(("f4", (3,)))` for lists of one length
        (`name[3]/F`), or `"vector of f4"` for lists of any length (`std::vector<float>`).
    chunks : iterable of mappings of str to array
        Values of all new branches for consecutive entries, from the first to the last; they may be read from the file
        itself meanwhile. Lists are arrays of shape (n, length) or jagged ones of awkward.
    overwrite : bool, default: False
        Whether branches of the same names are replaced. Their space in the file is used again, unless another tree
        or an older cycle of the tree refers to it.
    output_path : Path, optional
        Where the file with the branches is written; the one given stays as it is.
    mark : Mark, optional
        Left in the tree, see `ntupleml.ntuples.marks`.

    Raises
    ------
    NtuplemlError
        If the file or tree is not there or is no TTree, branches are there already, the file may not be written to,
        the disk is full, or a check fails.
    ValueError
        If the chunks do not hold as many entries as the tree.

    Notes
    -----
    New branches have baskets of 128 kB, whatever the tree's clusters are, and the compression algorithm of the file
    at level 1 (zlib instead of LZMA). The copy needs as much space on disk as the file.
    """
    with locked(output_path or path):
        _append_branches(path, tree_path, branch_types, chunks, overwrite, output_path, mark)


def _append_branches(
    path: str | Path,
    tree_path: str,
    branch_types: Mapping[str, DTypeLike | str],
    chunks: Iterable[Mapping[str, Any]],
    overwrite: bool,
    output_path: Path | None,
    mark: Mark | None,
) -> None:
    where = f"{path}: tree '{tree_path}'"
    entries = require_appendable(path, tree_path, list(branch_types), overwrite=overwrite)
    unknown = [name for name, dtype in branch_types.items() if not is_writable(dtype)]
    if unknown:
        raise ValueError(f"{where}: no branch of {branch_types[unknown[0]]} can be written")
    target = Path(path).resolve()
    with edited_copy(path, output_path, overwrite=overwrite) as relative:
        copy = relative.absolute()  # the process of ROOT has a current folder of its own
        layout = read_layout(target)
        key = _newest(layout, tree_path)
        other_trees = [other for other in layout.keys if other.class_name in _TREE_CLASSES and other != key]
        written = _Written(branch_types, entries, where)
        extension: Extension = run_with_root(
            extend_tree, copy, key, other_trees, branch_types, mark, where=where, chunks=written.checked(chunks)
        )
        log.debug("%s: extended in the copy %s, which is now checked", where, copy)
        require_rest_unchanged(target, copy, key.path, where, replaced=[key], freed=extension.freed)
        _require_same_for_root(copy, tree_path, list(branch_types), extension, where)
        _require_branches(target, copy, tree_path, branch_types, written.checksums, where)


def require_appendable(path: str | Path, tree_path: str, names: Sequence[str], overwrite: bool = False) -> int:
    """Check that branches can be added to a tree, before anything is computed for them.

    Parameters
    ----------
    path, tree_path : path, str
        File and tree.
    names : sequence of str
        New branches.
    overwrite : bool, default: False
        Whether branches of these names may be there already.

    Returns
    -------
    int
        Entries of the tree.

    Raises
    ------
    NtuplemlError
        If the file or the tree is missing, the tree is an RNTuple, or a name is taken or not a name.
    """
    if ";" in tree_path:
        raise NtuplemlError(
            f"{path}: tree '{tree_path}': branches are added to the newest cycle; give the tree without ';…'"
        )
    require_branch_names(names)
    kind = format_of(path)
    if kind is not None:
        raise NtuplemlError(
            f"{path}: branches are added to ROOT files, and no {kind.name} file is one; write a friend tree "
            "(--friend, or keras_application_friend.py)"
        )
    with open_root_file(path) as file:
        tree = find_tree(file, path, tree_path)
        if is_rntuple(tree):
            raise NtuplemlError(
                f"{path}: '{tree_path}' is an RNTuple, to which no branch can be added; write a friend tree "
                "(--friend, or keras_application_friend.py)"
            )
        present = {branch.name for branch in tree.branches}
        entries = int(tree.num_entries)
    taken = [name for name in names if name in present]
    if taken and not overwrite:
        raise NtuplemlError(
            f"{path}: tree '{tree_path}' has {_named(taken)} already; give --overwrite to replace, or choose another "
            "branch_prefix"
        )
    require_room(read_layout(path), tree_path, f"{path}: tree '{tree_path}'")
    return entries


def require_branch_names(names: Sequence[str], where: str = "") -> None:
    """Check that names can be those of branches, and that none comes twice.

    Raises
    ------
    NtuplemlError
        For the first name that is empty, holds a character which ROOT's trees use themselves, or comes twice.
    """
    start = f"{where}: " if where else ""
    for name in names:
        if not name or _NOT_IN_NAMES.search(name):
            raise NtuplemlError(
                f"{start}'{name}' cannot be the name of a branch: spaces, slashes, dots, commas, colons, quotes and "
                "brackets are not for names"
            )
        if list(names).count(name) > 1:
            raise NtuplemlError(f"{start}two new branches would be called '{name}'; rename the class or the prefix")


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{'branch' if len(names) == 1 else 'branches'} {shown}"


def _newest(layout: Layout, tree_path: str) -> Key:
    """Newest cycle of an object."""
    return max((key for key in layout.keys if key.path == tree_path.strip("/")), key=lambda key: key.cycle)


class _Written:
    """The values of new branches on their way to the file."""

    def __init__(self, branch_types: Mapping[str, DTypeLike | str], entries: int, where: str) -> None:
        self.checksums = {name: no_checksum(kind) for name, kind in branch_types.items()}
        self._branch_types = dict(branch_types)
        self._entries = entries
        self._where = where

    def checked(self, chunks: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, tuple[NDArray[Any], ...]]]:
        """Plain arrays of each chunk, which have the right names and, all together, the right length."""
        filled = 0
        for columns in chunks:
            filled += self._length(columns)
            if filled > self._entries:
                break
            arrays = {name: plain_arrays(columns[name], kind) for name, kind in self._branch_types.items()}
            for name in arrays:
                self.checksums[name] = add_to_checksum(self.checksums[name], arrays[name])
            yield arrays
        if filled != self._entries:
            raise ValueError(f"{self._where}: {filled} values or more for the {self._entries} entries of the tree")

    def _length(self, columns: Mapping[str, Any]) -> int:
        lengths = {name: len(column) for name, column in columns.items()}
        if lengths.keys() != self._branch_types.keys() or len(set(lengths.values())) != 1:
            raise ValueError(
                f"{self._where}: a chunk has columns of lengths {lengths}; {sorted(self._branch_types)} of one length "
                "are needed"
            )
        return next(iter(lengths.values()))


def _require_same_for_root(copy: Path, tree_path: str, names: Sequence[str], extension: Extension, where: str) -> None:
    """Check that ROOT, which opens the copy anew, finds all objects and sees the old branches as before."""
    layout = read_layout(copy)
    described = run_with_root(described_tree, copy, _newest(layout, tree_path), layout.keys, names, where=where)
    if described != extension.description:
        raise NtuplemlError(f"{where}: ROOT reads its extended copy in another way; the file was left as it was")


def _require_branches(
    target: Path,
    copy: Path,
    tree_path: str,
    branch_types: Mapping[str, DTypeLike | str],
    checksums: Mapping[str, Checksum],
    where: str,
) -> None:
    """Check the old branches' baskets and the new branches' values in the copy."""
    with open_root_file(target) as old_file, open_root_file(copy) as new_file:
        old, new = find_tree(old_file, target, tree_path), find_tree(new_file, copy, tree_path)
        kept = [branch.name for branch in old.branches if branch.name not in branch_types]
        if [branch.name for branch in new.branches] != [*kept, *branch_types] or new.num_entries != old.num_entries:
            raise NtuplemlError(
                f"{where}: its extended copy has other branches or entries than it should; the file was left as it was"
            )
        if basket_list(old, branch_types) != basket_list(new, branch_types):
            raise NtuplemlError(f"{where}: branches of its extended copy differ; the file was left as it was")
        different = differing_branch(old, new, branch_types)
        if different is not None:
            raise NtuplemlError(
                f"{where}: branch '{different}' of its extended copy has another type or size; the file was left as it "
                "was"
            )
        added = {branch.name: branch for branch in new.branches if branch.name in branch_types}
        for name, dtype in branch_types.items():
            if checksum_of_branch(added[name], dtype, new.num_entries, where) != checksums[name]:
                raise NtuplemlError(
                    f"{where}: branch '{name}' of its extended copy does not hold what was written; the file was left "
                    "as it was"
                )
