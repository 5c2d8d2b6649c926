"""What a branch of a tree holds, told from its type without reading it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["scalar", "vector", "other"]

_NUMBER_KINDS = "biuf"

_RNTUPLE_NUMBERS = {
    "bool": "bool",
    "float": "f4",
    "double": "f8",
    "std::int8_t": "i1",
    "std::uint8_t": "u1",
    "std::int16_t": "i2",
    "std::uint16_t": "u2",
    "std::int32_t": "i4",
    "std::uint32_t": "u4",
    "std::int64_t": "i8",
    "std::uint64_t": "u8",
}
_RNTUPLE_LIST = re.compile(r"(?:std::vector|ROOT::VecOps::RVec|ROOT::RVec)<(?P<item>[^<>]+)>")
_RNTUPLE_ARRAY = re.compile(r"std::array<(?P<item>[^<>]+),(?P<length>\d+)>")


@dataclass(frozen=True)
class Branch:
    """A branch (TTree) or field (RNTuple) of numbers, of lists of numbers, or of something else.

    Attributes
    ----------
    name : str
        Name as ROOT's formulas have it: that of the branch, or `branch.leaf` for a branch of several leaves.
    type_name : str
        Type in C++, for messages and tables.
    kind : {'scalar', 'vector', 'other'}
        One number per event, a list of numbers per event, or what this package cannot use (strings, objects).
    dtype : numpy.dtype or None
        Type of the numbers in native byte order; None for `other`.
    length : int or None
        Length of each event's list where all are of one length (a C array such as `x[3]`).
    bytes_per_entry : float
        Uncompressed size, roughly.
    """

    name: str
    type_name: str
    kind: Kind
    dtype: np.dtype[Any] | None
    length: int | None = None
    bytes_per_entry: float = 8.0


class TreeBranch(NamedTuple):
    """A branch of a TTree and how uproot reads it: path in the tree, interpretation, and leaf of a struct."""

    branch: Branch
    path: str
    interpretation: Any
    leaf: str | None
    num_entries: int


def tree_branches(tree: Any) -> Iterator[TreeBranch]:
    """Branches of a TTree, those of split objects included, in the order of the file.

    Parameters
    ----------
    tree : uproot TTree

    Yields
    ------
    TreeBranch
        A name may come twice: trees can hold that.
    """
    for path, branch in tree.iteritems(recursive=True, full_paths=True):
        if len(branch.branches) > 0:
            continue  # a group: what it holds comes by itself
        name = branch.name.split("[")[0]
        interpretation = branch.interpretation
        entries = int(branch.num_entries)
        size = branch.uncompressed_bytes / max(1, entries)
        struct = _struct_of_numbers(interpretation)
        if struct is None:
            kind, dtype, length = _kind_in_tree(interpretation)
            found = Branch(name, branch.typename, kind, dtype, length, size)
            yield TreeBranch(found, path, interpretation, None, entries)
            continue
        for leaf in struct.names or ():
            kind, dtype, length = _kind_of_dtype(struct[leaf])
            type_name = str(dtype) if length is None else f"{dtype}[{length}]"
            found = Branch(f"{name}.{leaf}", type_name, kind, dtype, length, size)
            yield TreeBranch(found, path, interpretation, leaf, entries)


def ntuple_fields(ntuple: Any) -> Iterator[Branch]:
    """Top-level fields of an RNTuple, in the order of the file."""
    for field in ntuple.fields:
        yield _rntuple_branch(field.name, field.typename)


def _struct_of_numbers(interpretation: Any) -> np.dtype[Any] | None:
    """Type of a branch with several leaves (leaf list)."""
    from uproot.interpretation.numerical import AsDtype

    if type(interpretation) is AsDtype and interpretation.to_dtype.names is not None:
        dtype: np.dtype[Any] = interpretation.to_dtype
        return dtype
    return None


def _kind_in_tree(interpretation: Any) -> tuple[Kind, np.dtype[Any] | None, int | None]:
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import AsDouble32, AsDtype, AsFloat16

    if isinstance(interpretation, AsJagged):
        kind, dtype, _ = _kind_in_tree(interpretation.content)
        return ("vector", dtype, None) if kind == "scalar" else ("other", None, None)
    if isinstance(interpretation, AsDtype | AsDouble32 | AsFloat16):
        return _kind_of_dtype(np.dtype(interpretation.to_dtype))
    return "other", None, None


def _kind_of_dtype(dtype: np.dtype[Any]) -> tuple[Kind, np.dtype[Any] | None, int | None]:
    """Numbers, lists of a fixed length, or neither (records, arrays of several dimensions)."""
    base, shape = dtype.base, dtype.shape
    if base.names is not None or base.kind not in _NUMBER_KINDS or len(shape) > 1:
        return "other", None, None
    native = base.newbyteorder("=")
    return ("vector", native, shape[0]) if shape else ("scalar", native, None)


def _rntuple_branch(name: str, type_name: str) -> Branch:
    if type_name in _RNTUPLE_NUMBERS:
        dtype = np.dtype(_RNTUPLE_NUMBERS[type_name])
        return Branch(name, type_name, "scalar", dtype, None, dtype.itemsize)
    for pattern in (_RNTUPLE_LIST, _RNTUPLE_ARRAY):
        match = pattern.fullmatch(type_name)
        if match and match["item"] in _RNTUPLE_NUMBERS:
            dtype = np.dtype(_RNTUPLE_NUMBERS[match["item"]])
            length = int(match["length"]) if "length" in match.groupdict() else None
            # The length of lists is not in the schema; ten numbers are a guess for the size of chunks.
            return Branch(name, type_name, "vector", dtype, length, dtype.itemsize * (length or 10))
    return Branch(name, type_name, "other", None, None, 0.0)
