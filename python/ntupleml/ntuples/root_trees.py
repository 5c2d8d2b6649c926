"""Adding branches to a tree with ROOT, and looking at the result; both run in a process of ROOT."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.atomic import scratch_folder
from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root, name_for_root
from ntupleml.ntuples.branch_types import number_type, vector_item
from ntupleml.ntuples.layout import Key, Range, read_layout
from ntupleml.ntuples.marks import MARK_NAME
from ntupleml.ntuples.root_code import compiled, root_errors

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from ntupleml.ntuples.marks import Mark

#: Letter of ROOT's leaf lists for each type of number.
LEAF_TYPES = {
    np.dtype(name): letter
    for name, letter in {
        "f4": "F",
        "f8": "D",
        "i1": "B",
        "u1": "b",
        "i2": "S",
        "u2": "s",
        "i4": "I",
        "u4": "i",
        "i8": "L",
        "u8": "l",
        "?": "O",
    }.items()
}
#: Type in C++ of each letter, for vectors; characters are left out, which TTree::Draw takes for text.
_CXX_TYPES = {
    "F": "float",
    "D": "double",
    "b": "unsigned char",
    "S": "short",
    "s": "unsigned short",
    "I": "int",
    "i": "unsigned int",
    "L": "Long64_t",
    "l": "ULong64_t",
    "O": "bool",
}
#: Uncompressed size of a basket: 32,000 floats, quick to read in bulk and small in memory.
BASKET_SIZE = 128_000
#: ROOT's numbers of the compression algorithms that are fast at level 1 (times 100).
_LZ4, _ZSTD, _ZLIB = 400, 500, 100


class Extension(NamedTuple):
    """What was done to a tree."""

    #: How ROOT saw the old branches that stay, see `described_tree`.
    description: list[str]
    #: Where the baskets of replaced branches were.
    freed: list[Range]


def warm_up() -> None:
    """Start ROOT and let it load what a tree needs, so that forks of this process have it."""
    root = import_root()
    with scratch_folder() as folder:
        path = folder / "warm_up.root"
        file = root.TFile(str(path), "RECREATE")
        tree = root.TTree("tree", "")
        tree.SetEntries(1)
        file.WriteTObject(tree)
        file.Close()
        chunk = {"x": (np.zeros(1, "f4"),)}
        extend_tree(path, _only_key(path), [], {"x": "f4"}, None, chunks=[chunk], where="warm-up")
        described_tree(path, _only_key(path), [_only_key(path)], (), where="warm-up")


def _only_key(path: Path) -> Key:
    (key,) = read_layout(path).keys
    return key


def is_writable(branch_type: DTypeLike | str) -> bool:
    """Whether a branch of a type can be added."""
    letter = LEAF_TYPES.get(number_type(branch_type))
    return letter is not None and (vector_item(branch_type) is None or letter in _CXX_TYPES)


def extend_tree(
    path: Path,
    key: Key,
    other_trees: Sequence[Key],
    branch_types: Mapping[str, DTypeLike | str],
    mark: Mark | None,
    *,
    chunks: Iterable[Mapping[str, tuple[NDArray[Any], ...]]],
    where: str,
) -> Extension:
    """Add branches to a tree of a ROOT file, in place, and write the tree's header anew.

    The file is not safe while this runs: give a copy.

    Parameters
    ----------
    key : Key
        The tree: its newest cycle.
    other_trees : sequence of Key
        All other trees and cycles in the file, which may share baskets with this one.
    branch_types : mapping
        Type of each new branch. A branch of such a name that the tree has already is replaced.
    mark : Mark, optional
        Left in the tree's user information, where it takes the place of marks of the same branches.
    chunks : iterable of mappings
        Values of all new branches for consecutive entries, from the first entry to the last, as
        `ntupleml.ntuples.branch_types.plain_arrays` gives them.
    """
    root = import_root()
    with root_errors(where), name_for_root(path) as name:
        file = compiled().ExtendedFile(name)
        if file.IsZombie():
            raise NtuplemlError(f"{where}: ROOT cannot open the copy of its file")
        try:
            tree = _tree(file, key, where)
            compiled().keep_embedded_baskets(tree.GetListOfBranches())
            described = _description(tree, branch_types)
            freed = _remove_branches(file, tree, branch_types, other_trees, where)
            _fill_branches(tree, branch_types, chunks, _compression(file), where)
            _replace_marks(root, tree, list(branch_types), mark)
            if tree.GetDirectory().WriteTObject(tree, key.name, "Overwrite") <= 0:
                raise NtuplemlError(f"{where}: ROOT could not write the tree's header")
        finally:
            file.Close()
    return Extension(described, freed)


def described_tree(path: Path, key: Key, all_keys: Sequence[Key], but: Container[str], *, where: str) -> list[str]:
    """Open a file that was extended as any reader would, and describe the tree as ROOT sees it.

    Parameters
    ----------
    key : Key
        The tree.
    all_keys : sequence of Key
        What ROOT has to find in the file.
    but : container of str
        New branches, which are left out.

    Returns
    -------
    list of str
        To be compared with that of `extend_tree`.
    """
    root = import_root()
    with root_errors(where), name_for_root(path) as name:
        try:
            file = root.TFile(name)
        except OSError as error:
            raise NtuplemlError(f"{where}: ROOT cannot open its extended copy") from error
        if file.TestBit(root.TFile.kRecovered):
            raise NtuplemlError(f"{where}: ROOT finds its extended copy damaged; the file was left as it was")
        for listed in all_keys:
            found = _folder(file, listed, where).GetKey(listed.name, listed.cycle)
            if not found or (found.GetSeekKey(), found.GetNbytes()) != (listed.seek, listed.size):
                raise NtuplemlError(
                    f"{where}: ROOT does not find '{listed.path}' in its extended copy; the file was left as it was"
                )
        described = _description(_tree(file, key, where), but)
        file.Close()
    return described


def _description(tree: Any, but: Container[str]) -> list[str]:
    """What decides how ROOT reads a tree: one text for itself, and a fingerprint per branch but some."""
    lists = [tree.GetListOfFriends(), tree.GetListOfAliases(), tree.GetUserInfo()]
    notes = [
        [str(thing.ClassName()), str(thing.GetName()), str(thing.GetTitle())]
        for things in lists
        for thing in (things or ())
        if str(thing.GetName()) != MARK_NAME
    ]
    index = tree.GetTreeIndex()
    names = [str(index.GetMajorName()), str(index.GetMinorName()), index.GetN()] if index else None
    texts = [str([str(tree.ClassName()), str(tree.GetTitle()), tree.GetEntries(), tree.GetWeight(), notes, names])]
    for branch in tree.GetListOfBranches():
        if str(branch.GetName()) not in but:
            texts.append(str(compiled().fingerprint(branch)))
    return texts


def _folder(file: Any, key: Key, where: str) -> Any:
    folder = file.GetDirectory(key.folder) if key.folder else file
    if not folder:
        raise NtuplemlError(f"{where}: ROOT does not find the folder '{key.folder}'")
    return folder


def _tree(file: Any, key: Key, where: str) -> Any:
    """Tree of a key, of exactly that cycle."""
    tree = _folder(file, key, where).GetKey(key.name, key.cycle).ReadObj()
    if not tree.InheritsFrom("TTree"):  # (asking whether there is a tree would open its friends)
        raise NtuplemlError(f"{where}: ROOT cannot read the tree '{key.name};{key.cycle}'")
    return tree


def _compression(file: Any) -> int:
    """Compression of new branches: the file's algorithm at level 1.

    Scores hardly compress, so higher levels cost time for nothing. LZMA, slow at every level, becomes zlib, which
    whatever reads the file knows.
    """
    settings = file.GetCompressionSettings()
    if settings % 100 == 0:
        return 0
    algorithm = settings - settings % 100
    return (algorithm if algorithm in (_LZ4, _ZSTD) else _ZLIB) + 1


def _remove_branches(
    file: Any,
    tree: Any,
    branch_types: Mapping[str, DTypeLike | str],
    other_trees: Sequence[Key],
    where: str,
) -> list[Range]:
    """Take branches out of a tree, and give their space back to the file unless another tree uses it too."""
    replaced = [branch for branch in list(tree.GetListOfBranches()) if str(branch.GetName()) in branch_types]
    for branch in replaced:
        if not _is_alike(branch, branch_types[str(branch.GetName())]):
            raise NtuplemlError(
                f"{where}: branch '{branch.GetName()}' holds something else per event than the new one of this name "
                "(a list, an object), so it is not replaced; choose other names for the new branches"
            )
    shared = _shared_branches(file, replaced, other_trees, where)
    freed = []
    for branch in replaced:
        if str(branch.GetName()) not in shared:
            sizes = branch.GetBasketBytes()
            for basket in range(branch.GetWriteBasket()):
                freed.append(Range(branch.GetBasketSeek(basket), branch.GetBasketSeek(basket) + sizes[basket]))
            branch.DeleteBaskets()
        for leaf in list(branch.GetListOfLeaves()):
            tree.GetListOfLeaves().Remove(leaf)
        tree.GetListOfBranches().Remove(branch)
    tree.GetListOfLeaves().Compress()
    tree.GetListOfBranches().Compress()
    return freed


def _is_alike(branch: Any, branch_type: DTypeLike | str) -> bool:
    """Whether an old and a new branch have the same layout: a number, a fixed array, or a vector."""
    leaves = branch.GetListOfLeaves()
    if len(leaves) != 1 or len(branch.GetListOfBranches()) > 0:
        return False
    if vector_item(branch_type) is not None:
        item = str(branch.GetClassName()).removeprefix("vector<").removesuffix(">")
        return str(branch.GetClassName()) == f"vector<{item}>" and item in _CXX_TYPES.values()
    is_plain = str(branch.ClassName()) == "TBranch" and not leaves[0].GetLeafCount() and not leaves[0].IsRange()
    return is_plain and leaves[0].GetLen() == math.prod(np.dtype(branch_type).shape)


def _replace_marks(root: Any, tree: Any, names: Sequence[str], mark: Mark | None) -> None:
    """Take away the marks of branches that are written anew, and leave the new one."""
    notes = tree.GetUserInfo()
    for note in list(notes):
        if str(note.GetName()) == MARK_NAME:
            written = str(note.GetTitle()).removesuffix(";").split(" ")[-1].split(",")
            if not set(written).isdisjoint(names):
                notes.Remove(note)
    if mark is not None:
        note = root.TNamed(MARK_NAME, str(mark))
        root.SetOwnership(note, False)  # the list of the tree owns it
        notes.Add(note)


def _shared_branches(file: Any, branches: Sequence[Any], other_trees: Sequence[Key], where: str) -> set[str]:
    """Names of branches whose baskets another tree, or another cycle of the tree, uses as well."""
    shared: set[str] = set()
    for key in other_trees if branches else ():
        other = _tree(file, key, where)
        shared |= {str(b.GetName()) for b in branches if compiled().uses_baskets(other, b)}
        other.Delete()
    return shared


def _fill_branches(
    tree: Any,
    branch_types: Mapping[str, DTypeLike | str],
    chunks: Iterable[Mapping[str, tuple[NDArray[Any], ...]]],
    compression: int,
    where: str,
) -> None:
    """Make and fill new branches."""
    branches = {name: _NewBranch(tree, name, kind) for name, kind in branch_types.items()}
    for branch in branches.values():
        branch.root_branch.SetCompressionSettings(compression)
    for columns in chunks:
        for name, branch in branches.items():
            if not branch.fill(columns[name]):
                raise NtuplemlError(f"{where}: ROOT could not write branch '{name}'")
    for branch in branches.values():
        branch.root_branch.FlushBaskets()
        branch.root_branch.ResetAddress()


class _NewBranch:
    """A branch of ROOT, with the place in memory that it is filled from."""

    def __init__(self, tree: Any, name: str, branch_type: DTypeLike | str) -> None:
        letter = LEAF_TYPES[number_type(branch_type)]
        self._is_vector = vector_item(branch_type) is not None
        if self._is_vector:
            self._slot = compiled().VectorBranch[_CXX_TYPES[letter]](tree, name, BASKET_SIZE)
            self.root_branch = self._slot.branch
            return
        dtype = np.dtype(branch_type)
        lengths = "".join(f"[{length}]" for length in dtype.shape)
        self._slot = np.zeros(max(1, math.prod(dtype.shape)), dtype.base)
        self._bytes_per_entry = dtype.itemsize
        self.root_branch = tree.Branch(name, self._slot, f"{name}{lengths}/{letter}", BASKET_SIZE)

    def fill(self, arrays: tuple[NDArray[Any], ...]) -> bool:
        """Fill entries, which `plain_arrays` gave; whether all were written."""
        if self._is_vector:
            counts, content = arrays
            return len(counts) == 0 or self._slot.fill(_not_empty(content), counts, len(counts)) == len(counts)
        (values,) = arrays
        entries = values.nbytes // self._bytes_per_entry
        return entries == 0 or compiled().fill(self.root_branch, values, entries, self._bytes_per_entry) == entries


def _not_empty(content: NDArray[Any]) -> NDArray[Any]:
    """The array, or one of a number where it has none, which is no array to PyROOT."""
    return content if len(content) else np.zeros(1, content.dtype)
