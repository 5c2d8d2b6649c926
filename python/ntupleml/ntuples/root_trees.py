"""Filling new branches of an existing tree with ROOT, in a compiled loop.

Python takes over a microsecond per value that `TBranch::Fill` is called for; ROOT's interpreter compiles the loop in
a few milliseconds, after which compression is what costs.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branch_types import number_type, vector_item
from ntupleml.ntuples.layout import Key, Range
from ntupleml.ntuples.marks import MARK_NAME
from ntupleml.root import import_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
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

_COMPILED = r"""
#include <string>
#include <unordered_set>
#include <vector>
namespace ntupleml {
std::string first_error;
ErrorHandlerFunc_t previous_handler = nullptr;

void collect(int level, Bool_t abort, const char *location, const char *message) {
   if (abort) DefaultErrorHandler(level, abort, location, message);
   if (level >= kError && first_error.empty()) first_error = std::string(location) + ": " + message;
}
void begin_collecting() { first_error.clear(); previous_handler = SetErrorHandler(collect); }
void end_collecting() { SetErrorHandler(previous_handler); }

/// Fill a branch of one number; number of entries filled before the first failure.
Long64_t fill(TBranch *branch, const void *values, Long64_t entries, Int_t size) {
   char *slot = branch->GetAddress();
   const char *value = static_cast<const char *>(values);
   for (Long64_t entry = 0; entry < entries; ++entry, value += size) {
      memcpy(slot, value, size);
      if (branch->Fill() < 0) return entry;
   }
   return entries;
}

/// A new branch of vectors, and the vector that is filled into it.
template <typename T>
struct VectorBranch {
   std::vector<T> slot;
   TBranch *branch;

   VectorBranch(TTree *tree, const char *name, Int_t basket_size) : branch(tree->Branch(name, &slot, basket_size, 0)) {}

   /// Number of entries filled before the first failure; the content of all lies in one piece.
   Long64_t fill(const void *content, const void *counts, Long64_t entries) {
      const T *value = static_cast<const T *>(content);
      const Long64_t *count = static_cast<const Long64_t *>(counts);
      for (Long64_t entry = 0; entry < entries; value += count[entry++]) {
         slot.assign(value, value + count[entry]);
         if (branch->Fill() < 0) return entry;
      }
      return entries;
   }
};

void add_baskets(TObjArray *branches, std::unordered_set<Long64_t> &seeks) {
   for (TObject *object : *branches) {
      auto branch = static_cast<TBranch *>(object);
      for (Int_t basket = 0; basket <= branch->GetWriteBasket(); ++basket) seeks.insert(branch->GetBasketSeek(basket));
      add_baskets(branch->GetListOfBranches(), seeks);
   }
}
/// Whether a tree uses any basket of a branch.
bool uses_baskets(TTree *tree, TBranch *branch) {
   std::unordered_set<Long64_t> seeks;
   add_baskets(tree->GetListOfBranches(), seeks);
   for (Int_t basket = 0; basket < branch->GetWriteBasket(); ++basket)
      if (branch->GetBasketSeek(basket) && seeks.count(branch->GetBasketSeek(basket))) return true;
   return false;
}
}
"""


def is_writable(branch_type: DTypeLike | str) -> bool:
    """Whether a branch of a type can be added."""
    letter = LEAF_TYPES.get(number_type(branch_type))
    return letter is not None and (vector_item(branch_type) is None or letter in _CXX_TYPES)


def extend_tree(
    path: Path,
    key: Key,
    other_trees: Sequence[Key],
    branch_types: Mapping[str, DTypeLike | str],
    chunks: Iterable[Mapping[str, tuple[NDArray[Any], ...]]],
    where: str,
    mark: Mark | None = None,
) -> list[Range]:
    """Add branches to a tree of a ROOT file, in place, and write the tree's header anew.

    The file is not safe while this runs: give a copy.

    Parameters
    ----------
    path : Path
        The file.
    key : Key
        The tree: its newest cycle.
    other_trees : sequence of Key
        All other trees and cycles in the file, which may share baskets with this one.
    branch_types : mapping
        Type of each new branch. A branch of such a name that the tree has already is replaced.
    chunks : iterable of mappings
        Values of all new branches for consecutive entries, from the first entry to the last, as
        `ntupleml.ntuples.branch_types.plain_arrays` gives them.
    where : str
        Beginning of the message.
    mark : Mark, optional
        Left in the tree's user information, where it takes the place of marks of the same branches.

    Returns
    -------
    list of Range
        Where the baskets of replaced branches were.

    Raises
    ------
    NtuplemlError
        If ROOT cannot read or write the file, or a branch that is to be replaced holds something else per event than
        the new one: a list, an object.
    """
    root = import_root()
    with _root_errors(root, where):
        try:
            file = root.TFile(str(path), "UPDATE")
        except OSError as error:
            raise NtuplemlError(f"{where}: ROOT cannot open the copy of its file") from error
        try:
            tree = _object(file, key)
            freed = _remove_branches(root, file, tree, branch_types, other_trees, where)
            _fill_branches(root, tree, branch_types, chunks, _compression(file), where)
            _replace_marks(root, tree, list(branch_types), mark)
            if tree.GetDirectory().WriteTObject(tree, key.name, "Overwrite") <= 0:
                raise NtuplemlError(f"{where}: ROOT could not write the tree's header")
        finally:
            file.Close()
    return freed


@cache
def _compiled(root: Any) -> Any:
    root.gSystem.Load("libTree")  # what is declared is linked with the libraries that are loaded
    if not root.gInterpreter.Declare(_COMPILED):
        raise RuntimeError("ROOT's interpreter could not compile the loop that fills branches")
    return root.ntupleml


@contextmanager
def _root_errors(root: Any, where: str) -> Iterator[None]:
    """Turn ROOT's messages on the terminal into an error of ours; the first one tells the cause."""
    compiled = _compiled(root)
    compiled.begin_collecting()
    failure: NtuplemlError | None = None
    try:
        yield
    except NtuplemlError as error:
        failure = error
    finally:
        compiled.end_collecting()
    message = " ".join(str(compiled.first_error).split())
    if failure is not None and message and str(failure).startswith(f"{where}: ROOT"):
        raise NtuplemlError(f"{failure} ({message}); the file was left as it was") from failure
    if failure is not None:
        raise failure
    if message:
        raise NtuplemlError(f"{where}: ROOT failed ({message}); the file was left as it was")


def _object(file: Any, key: Key) -> Any:
    """Object of a key, of exactly that cycle."""
    folder = file.GetDirectory(key.folder) if key.folder else file
    return folder.GetKey(key.name, key.cycle).ReadObj()


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
    root: Any,
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
    shared = _shared_branches(root, file, replaced, other_trees)
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
    """Whether an old branch holds per event what a new one will: a number, as many numbers, or a vector of numbers."""
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


def _shared_branches(root: Any, file: Any, branches: Sequence[Any], other_trees: Sequence[Key]) -> set[str]:
    """Names of branches whose baskets another tree, or another cycle of the tree, uses as well."""
    shared: set[str] = set()
    for key in other_trees if branches else ():
        other = _object(file, key)
        shared |= {str(b.GetName()) for b in branches if _compiled(root).uses_baskets(other, b)}
        other.Delete()
    return shared


def _fill_branches(
    root: Any,
    tree: Any,
    branch_types: Mapping[str, DTypeLike | str],
    chunks: Iterable[Mapping[str, tuple[NDArray[Any], ...]]],
    compression: int,
    where: str,
) -> None:
    """Make and fill new branches."""
    branches = {name: _NewBranch(root, tree, name, kind) for name, kind in branch_types.items()}
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

    def __init__(self, root: Any, tree: Any, name: str, branch_type: DTypeLike | str) -> None:
        self._compiled = _compiled(root)
        letter = LEAF_TYPES[number_type(branch_type)]
        self._is_vector = vector_item(branch_type) is not None
        if self._is_vector:
            self._slot = self._compiled.VectorBranch[_CXX_TYPES[letter]](tree, name, BASKET_SIZE)
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
        return entries == 0 or self._compiled.fill(self.root_branch, values, entries, self._bytes_per_entry) == entries


def _not_empty(content: NDArray[Any]) -> NDArray[Any]:
    """The array, or one of a number where it has none, which is no array to PyROOT."""
    return content if len(content) else np.zeros(1, content.dtype)
