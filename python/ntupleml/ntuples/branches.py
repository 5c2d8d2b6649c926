"""What a branch of a tree holds, told from its type without reading it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ntupleml.errors import one_line
from ntupleml.ntuples.packed_numbers import UnreadableLeavesError, leaf_interpretation

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["scalar", "vector", "array", "other"]
#: Lengths of the lists in lists of numbers of one event, the outermost first; None where they differ between events.
Shape = tuple[int | None, ...]

_NUMBER_KINDS = "biuf"
#: Numbers in a list whose length is not known before it is read: a guess for the size of chunks.
_NUMBERS_PER_LIST = 10
#: ROOT's number for the bits of a TObject in the description of a class (`TStreamerInfo::kBits`).
_OBJECT_BITS = 15
#: Types of RNTuple that are stored as numbers and are none.
_NO_NUMBERS = ("char", "std::byte")


@dataclass(frozen=True)
class Branch:
    """A column of numbers, of lists of numbers, of arrays of one shape, or of something else."""

    #: Name as ROOT's formulas have it: that of the branch, or `branch.leaf` for a branch of several leaves.
    name: str
    #: Type in C++ or NumPy, for messages and tables.
    type_name: str
    #: Type of the numbers in native byte order; None for what this package cannot use (strings, objects).
    dtype: np.dtype[Any] | None
    #: Of each event: `()` for a number, `(3,)` for a C array `x[3]`, `(None,)` for a list of any length, `(50, 64)` for
    #: an array of two dimensions, `(None, None)` for lists of lists, of which only an index of members is read.
    shape: Shape = ()
    #: Uncompressed size, roughly.
    bytes_per_entry: float = 8.0
    #: Why it cannot be read, where that is known without reading it; its kind is `other` then.
    problem: str | None = None

    @property
    def kind(self) -> Kind:
        """Number, list of numbers, or array of two dimensions or more per event, or what cannot be used."""
        if self.dtype is None or self.is_nested:
            return "other"
        return "scalar" if not self.shape else "vector" if len(self.shape) == 1 else "array"

    @property
    def is_nested(self) -> bool:
        """Whether each event has a list of lists of numbers."""
        return self.shape == (None, None)

    @property
    def length(self) -> int | None:
        """Length of each event's list where all are of one length (a C array such as `x[3]`)."""
        return self.shape[0] if len(self.shape) == 1 else None


def number_branch(
    name: str, type_name: str, dtype: np.dtype[Any], shape: Shape, bytes_per_entry: float | None = None
) -> Branch:
    """Branch of numbers of a type and a shape, or of kind `other` where they are no numbers, or of no use here.

    Examples
    --------
    >>> number_branch("x", "float", np.dtype(">f4"), (50, 64)).kind
    'array'
    >>> number_branch("x", "float", np.dtype("f4"), (None, 3)).kind
    'other'
    >>> number_branch("x", "int", np.dtype("i4"), (None, None)).is_nested
    True
    """
    if "[" in name:
        return unreadable_branch(name, type_name, "no formula and no branch of a ROOT file can be called so; rename it")
    is_number = dtype.kind in _NUMBER_KINDS and dtype.names is None
    if not is_number or 0 in shape or (None in shape and shape not in ((None,), (None, None))):
        return Branch(name, type_name, None, (), 0.0)
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        dtype = np.dtype("f4" if dtype.itemsize < 4 else "f8")
    if bytes_per_entry is None:
        bytes_per_entry = dtype.itemsize * math.prod(length or _NUMBERS_PER_LIST for length in shape)
    return Branch(name, type_name, np.dtype(dtype.newbyteorder("=").str), shape, bytes_per_entry)


class TreeBranch(NamedTuple):
    """A branch of a TTree and how uproot reads it: path in the tree, interpretation, and leaf of a struct."""

    branch: Branch
    path: str
    interpretation: Any
    leaf: str | None = None


class NtupleField(NamedTuple):
    """A field of an RNTuple that holds no other fields, and uproot's object for it."""

    branch: Branch
    field: Any


def tree_branches(tree: Any) -> Iterator[TreeBranch]:
    """Branches of a TTree, those of split objects included, in the order of the file.

    Yields
    ------
    TreeBranch
        A name may come twice: trees can hold that. What cannot be read is among them, with the reason.
    """
    for path, branch in tree.iteritems(recursive=True, full_paths=True):
        if len(branch.branches) > 0:
            continue  # a group: what it holds comes by itself
        name = branch.name.split("[")[0]
        try:
            found = list(_leaves(name, path, branch))
        except MemoryError:
            raise
        except UnreadableLeavesError as error:
            found = [TreeBranch(unreadable_branch(name, _type_of_class(branch), str(error)), path, None)]
        except Exception as error:  # what uproot does not know makes it raise nearly anything
            problem = f"uproot cannot decode it ({one_line(error, 100)})"
            found = [TreeBranch(unreadable_branch(name, _type_of_class(branch), problem), path, None)]
        if branch.num_entries != tree.num_entries:
            problem = f"it has {branch.num_entries} entries, but the tree has {tree.num_entries}"
            found = [
                one._replace(branch=unreadable_branch(one.branch.name, one.branch.type_name, problem)) for one in found
            ]
        yield from found


def _leaves(name: str, path: str, branch: Any) -> Iterator[TreeBranch]:
    """A branch of numbers by itself, or each of its leaves where there are several."""
    if branch.member("fStreamerType", none_if_missing=True) == _OBJECT_BITS:
        raise UnreadableLeavesError("bits of a TObject are no numbers, and longer where a TRef points to it")
    interpretation = leaf_interpretation(branch) or branch.interpretation
    if isinstance(interpretation, Exception):  # uproot hands out its error in place of an interpretation
        raise interpretation
    size = branch.uncompressed_bytes / max(1, branch.num_entries)
    struct = _struct_of_numbers(interpretation)
    if struct is None:
        type_name = str(interpretation.typename)
        if "unknown" in type_name:
            type_name = _type_of_class(branch)
        numbers = _numbers_in_tree(interpretation)
        found = number_branch(name, type_name, *numbers, size) if numbers else Branch(name, type_name, None, (), size)
        yield TreeBranch(found, path, interpretation)
        return
    for leaf in struct.names or ():
        dtype = struct[leaf]
        found = number_branch(
            f"{name.removesuffix('.')}.{leaf}",
            type_with_shape(str(dtype.base), dtype.shape),
            dtype.base,
            dtype.shape,
            size,
        )
        yield TreeBranch(found, path, interpretation, leaf)


def type_with_shape(type_name: str, shape: Shape) -> str:
    """Name of the type of arrays.

    Examples
    --------
    >>> type_with_shape("float32", (None, 3))
    'float32[][3]'
    """
    return type_name + "".join(f"[{length or ''}]" for length in shape)


def _type_of_class(branch: Any) -> str:
    """Type of a branch as its class describes it, for what has no interpretation."""
    try:
        described = getattr(branch.streamer, "typename", None)
    except Exception:  # the descriptions of the classes cannot be read either
        described = None
    return str(described or branch.member("fClassName", none_if_missing=True) or branch.title)


def unreadable_branch(name: str, type_name: str, problem: str) -> Branch:
    """Branch that cannot be read, for a reason that is known already."""
    return Branch(name, type_name, None, (), 0.0, problem)


def ntuple_fields(ntuple: Any) -> Iterator[NtupleField]:
    """Fields of an RNTuple that hold numbers or something else, but no other fields, in the order of the file.

    The fields of a record or of a collection of records have its name before theirs, as in `Jet.pt`.

    Yields
    ------
    NtupleField
        What cannot be read is among them, with the reason.
    """
    inside: dict[int, list[Any]] = {}  # what uproot says of one field takes it a look at all
    for field in ntuple.all_fields:
        if not field.top_level and not field.in_variant:
            inside.setdefault(field.parent.field_id, []).append(field)
    pending = [(field.name, field) for field in reversed(ntuple.fields)]
    while pending:
        name, field = pending.pop()
        inner = _named_fields(field, inside)
        pending += [(f"{name}.{one.name}", one) for one in reversed(inner)]
        if inner:
            continue
        around = _lists_around(field)
        type_name = type_with_shape(field.typename or "a record without fields", tuple(around))
        try:
            branch = _branch_of_field(name, type_name, around, ntuple.field_form(field.field_id, []), field.typename)
        except MemoryError:
            raise
        except Exception as error:  # as above
            branch = unreadable_branch(name, type_name, f"uproot cannot decode it ({one_line(error, 100)})")
        yield NtupleField(branch, field)


def _named_fields(field: Any, inside: dict[int, list[Any]]) -> list[Any]:
    """Fields right inside a field, through those that only say what a list or a base class holds."""
    named = []
    for one in inside.get(field.field_id, []):
        named += _named_fields(one, inside) if one.is_anonymous else [one]
    return named


def _lists_around(field: Any) -> list[int | None]:
    """Lengths of the lists of records that a field is in, the outermost first; None where they differ."""
    from uproot.const import RNTupleFieldRole

    lengths: list[int | None] = []
    while not field.top_level:
        field = field.parent
        if field.record.struct_role == RNTupleFieldRole.COLLECTION:
            lengths.insert(0, None)
        elif field.record.repetition:
            lengths.insert(0, int(field.record.repetition))
    return lengths


def _branch_of_field(name: str, type_name: str, around: list[int | None], form: Any, declared: str) -> Branch:
    """Branch of a field without fields: a number, a list of numbers, or something else."""
    from awkward.forms import ListOffsetForm, NumpyForm, RegularForm

    shape = list(around)
    while isinstance(form, ListOffsetForm | RegularForm) and not form.parameters:
        shape.append(form.size if isinstance(form, RegularForm) else None)
        form = form.content
    if not isinstance(form, NumpyForm) or declared in _NO_NUMBERS:
        return Branch(name, type_name, None, (), 0.0)
    dtype = np.dtype(form.primitive)
    if dtype.kind == "f":  # the file may hold fewer bits than there are in memory
        dtype = np.dtype("f8" if "double" in declared else "f4")
    return number_branch(name, type_name, dtype, tuple(shape))


def _struct_of_numbers(interpretation: Any) -> np.dtype[Any] | None:
    """Type of a branch with several leaves (leaf list)."""
    from uproot.interpretation.numerical import Numerical
    from uproot.interpretation.objects import AsStridedObjects

    if not isinstance(interpretation, Numerical) or isinstance(interpretation, AsStridedObjects):
        return None
    dtype: np.dtype[Any] = np.dtype(interpretation.to_dtype)
    return dtype if dtype.names is not None else None


def _numbers_in_tree(interpretation: Any) -> tuple[np.dtype[Any], Shape] | None:
    """Type and shape of the numbers that a branch holds; None for other things."""
    from uproot.containers import AsVector
    from uproot.interpretation.jagged import AsJagged
    from uproot.interpretation.numerical import Numerical
    from uproot.interpretation.objects import AsObjects

    if isinstance(interpretation, AsObjects):
        outer = interpretation.model
        inner = outer.values if isinstance(outer, AsVector) else None
        numbers = inner.values if isinstance(inner, AsVector) else None
        return (numbers, (None, None)) if isinstance(numbers, np.dtype) else None
    if isinstance(interpretation, AsJagged):
        inner = _numbers_in_tree(interpretation.content)
        return None if inner is None else (inner[0], (None, *inner[1]))
    if isinstance(interpretation, Numerical):
        dtype = np.dtype(interpretation.to_dtype)
        return dtype.base, dtype.shape
    return None
