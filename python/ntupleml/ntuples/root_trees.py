"""Filling new branches of an existing tree with ROOT, in a compiled loop.

Python takes over a microsecond per value that `TBranch::Fill` is called for; ROOT's interpreter compiles the loop in
a few milliseconds, after which compression is what costs.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
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
#: Uncompressed size of a basket: 32,000 floats, quick to read in bulk and small in memory.
BASKET_SIZE = 128_000
#: ROOT's numbers of the compression algorithms that are fast at level 1 (times 100).
_LZ4, _ZSTD, _ZLIB = 400, 500, 100

_COMPILED = r"""
#include <string>
#include <unordered_set>
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


class Extension(NamedTuple):
    """What was done to a tree.

    Attributes
    ----------
    checksums : dict of str to int
        CRC-32 of the values of each new branch, in the byte order of this machine.
    freed : list of Range
        Where the baskets of replaced branches were.
    """

    checksums: dict[str, int]
    freed: list[Range]


def extend_tree(
    path: Path,
    key: Key,
    other_trees: Sequence[Key],
    branch_types: Mapping[str, DTypeLike],
    chunks: Iterable[Mapping[str, NDArray[Any]]],
    where: str,
    mark: Mark | None = None,
) -> Extension:
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
        Values of all new branches for consecutive entries, from the first entry to the last.
    where : str
        Beginning of the message.
    mark : Mark, optional
        Left in the tree's user information, where it takes the place of marks of the same branches.

    Raises
    ------
    NtuplemlError
        If ROOT cannot read or write the file, or a branch that is to be replaced holds more than a number per event.
    """
    root = import_root()
    with _root_errors(root, where):
        try:
            file = root.TFile(str(path), "UPDATE")
        except OSError as error:
            raise NtuplemlError(f"{where}: ROOT cannot open the copy of its file") from error
        try:
            tree = _object(file, key)
            freed = _remove_branches(root, file, tree, list(branch_types), other_trees, where)
            checksums = _fill_branches(root, tree, branch_types, chunks, _compression(file), where)
            _replace_marks(root, tree, list(branch_types), mark)
            if tree.GetDirectory().WriteTObject(tree, key.name, "Overwrite") <= 0:
                raise NtuplemlError(f"{where}: ROOT could not write the tree's header")
        finally:
            file.Close()
    return Extension(checksums, freed)


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
    root: Any, file: Any, tree: Any, names: Sequence[str], other_trees: Sequence[Key], where: str
) -> list[Range]:
    """Take branches out of a tree, and give their space back to the file unless another tree uses it too."""
    replaced = [branch for branch in list(tree.GetListOfBranches()) if str(branch.GetName()) in names]
    for branch in replaced:
        leaves = branch.GetListOfLeaves()
        alone = str(branch.ClassName()) == "TBranch" and len(leaves) == 1 and len(branch.GetListOfBranches()) == 0
        if not alone or leaves[0].GetLeafCount() or leaves[0].IsRange() or leaves[0].GetLen() != 1:
            raise NtuplemlError(
                f"{where}: branch '{branch.GetName()}' holds more than one number per event, so it is not replaced; "
                "choose other names for the new branches"
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
    branch_types: Mapping[str, DTypeLike],
    chunks: Iterable[Mapping[str, NDArray[Any]]],
    compression: int,
    where: str,
) -> dict[str, int]:
    """Make and fill new branches; checksum of the values of each."""
    dtypes = {name: np.dtype(dtype) for name, dtype in branch_types.items()}
    slots = {name: np.zeros(1, dtype) for name, dtype in dtypes.items()}
    branches = {}
    for name, dtype in dtypes.items():
        branch = tree.Branch(name, slots[name], f"{name}/{LEAF_TYPES[dtype]}", BASKET_SIZE)
        branch.SetCompressionSettings(compression)
        branches[name] = branch
    fill = _compiled(root).fill
    checksums = dict.fromkeys(dtypes, 0)
    filled = 0
    for columns in chunks:
        number = _common_length(columns, dtypes, where)
        filled += number
        if filled > tree.GetEntries():
            break
        for name, dtype in dtypes.items():
            values = np.ascontiguousarray(columns[name], dtype=dtype)
            checksums[name] = zlib.crc32(values.data, checksums[name])
            if number and fill(branches[name], values, number, dtype.itemsize) != number:
                raise NtuplemlError(f"{where}: ROOT could not write branch '{name}'")
    if filled != tree.GetEntries():
        raise ValueError(f"{where}: {filled} values or more for the {tree.GetEntries()} entries of the tree")
    for branch in branches.values():
        branch.FlushBaskets()
        branch.ResetAddress()
    return checksums


def _common_length(columns: Mapping[str, NDArray[Any]], dtypes: Mapping[str, Any], where: str) -> int:
    lengths = {name: np.shape(column) for name, column in columns.items()}
    shapes = set(lengths.values())
    if set(columns) != set(dtypes) or len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"{where}: a chunk has columns {lengths}; one-dimensional {sorted(dtypes)} are needed")
    return int(next(iter(shapes))[0])
