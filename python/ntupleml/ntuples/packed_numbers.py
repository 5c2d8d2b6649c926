"""Numbers that uproot does not unpack, or not always: `Double32_t` and `Float16_t`, and leaf lists that hold arrays.

ROOT stores a `Double32_t` as a float, a `Float16_t` as an exponent and 12 bits of the mantissa; a title such as
`[0,10,12]` asks for whole numbers that divide this range into 2¹² steps, `[0,0,10]` for 10 bits of the mantissa.
Sources: the documentation of ROOT's TBufferFile (WriteDouble32, WriteFloat16) and of TStreamerElement.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bits of the mantissa of a `Float16_t` without a title.
_FLOAT16_BITS = 12
#: ROOT gives a mantissa of so many bits or more no meaning.
_TOO_MANY_BITS = 15
_FULL_BITS = 32
_EXPONENT_AND_MANTISSA = np.dtype([("exponent", ">u1"), ("mantissa", ">u2")])
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_DIMENSION = re.compile(r"\[(\d+)\]")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_PLAIN_LEAVES = {
    "TLeafO": "?",
    "TLeafB": "i1",
    "TLeafS": "i2",
    "TLeafI": "i4",
    "TLeafL": "i8",
    "TLeafG": "i8",
    "TLeafF": "f4",
    "TLeafD": "f8",
}
_PACKED_LEAVES = {"TLeafD32": "f8", "TLeafF16": "f4"}
#: ROOT's numbers of Double32_t and Float16_t as a member; 20 is added for an array and 40 for a pointer.
_DOUBLE32, _FLOAT16, _FORMS, _POINTER = 9, 19, 20, 2
#: ROOT's types of branches that hold a member of the objects in a TClonesArray or a container.
_IN_COLLECTIONS = (31, 41)
_VECTOR = re.compile(r"(?:std::)?vector<(Double32_t|Float16_t)>")
#: Bytes before the numbers of a vector: length and version of its record, then how many there are.
_VECTOR_HEADER, _POINTER_HEADER = 10, 1


class UnreadableLeavesError(Exception):
    """A branch whose leaves cannot be decoded, with the reason."""


class Packing(NamedTuple):
    """How ROOT stores a number: as a float, as bits of a float, or in steps of a range."""

    #: Type of the number in memory: `f8` for `Double32_t`, `f4` for `Float16_t`.
    to: str
    #: Bits of the mantissa that are kept; 0 where the number is stored as a float or in steps.
    bits: int = 0
    #: Steps per unit; 0 where it is not stored in steps.
    factor: float = 0.0
    #: Lower end of the range.
    minimum: float = 0.0

    @property
    def stored(self) -> np.dtype[Any]:
        """Type of the number in the file."""
        if self.factor:
            return np.dtype(">u4")
        return _EXPONENT_AND_MANTISSA if self.bits else np.dtype(">f4")

    def unpack(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Numbers of an array of the type `stored`."""
        if self.factor:
            return (stored / self.factor + self.minimum).astype(self.to)
        if not self.bits:
            return stored.astype(self.to)
        mantissa = stored["mantissa"].astype(np.uint32)
        bits = stored["exponent"].astype(np.uint32) << 23
        bits |= (mantissa & ((1 << (self.bits + 1)) - 1)) << (23 - self.bits)
        bits |= (mantissa >> (self.bits + 1) & 1) << 31
        return bits.view(np.float32).astype(self.to)


def packing(to: str, title: str) -> Packing:
    """How a `Double32_t` (to = f8) or `Float16_t` (f4) of a title is stored.

    Examples
    --------
    >>> packing("f8", "[0,10,12] energy")
    Packing(to='f8', bits=0, factor=409.6, minimum=0.0)
    >>> packing("f4", "")
    Packing(to='f4', bits=12, factor=0.0, minimum=0.0)
    """
    default = _FLOAT16_BITS if to == "f4" else 0
    # The first brackets may give the length of an array; then the next ones count, and no later ones.
    parts = next((found for found in _BRACKETS.findall(title)[:2] if "," in found), "").split(",")
    if len(parts) < 2:
        return Packing(to, default)
    low, high = _limit(parts[0]), _limit(parts[1])
    number = _NUMBER.match(parts[2]) if len(parts) > 2 else None
    bits = int(float(number[0])) if number else _FULL_BITS
    if not 2 <= bits <= _FULL_BITS:
        bits = _FULL_BITS
    if low < high:
        steps = 2**_FULL_BITS - 1 if bits == _FULL_BITS else 2**bits
        return Packing(to, 0, steps / (high - low), low)
    return Packing(to, (bits if bits < _TOO_MANY_BITS else int(low)) or default)


def _limit(text: str) -> float:
    """End of a range as ROOT reads it: a number, or one of its few ways to write a multiple of π."""
    text = text.lower().replace(" ", "")
    if "pi" not in text:
        number = _NUMBER.match(text)
        return float(number[0]) if number else 0.0
    multiples = {"2pi": 2.0, "2*pi": 2.0, "twopi": 2.0, "pi/2": 0.5, "pi/4": 0.25}
    size = next((multiple for written, multiple in multiples.items() if written in text), 1.0) * math.pi
    return -size if "-" in text else size


class Leaf(NamedTuple):
    """A leaf of a branch: its name, how its numbers are stored, and their number per entry (none: one)."""

    name: str
    stored: np.dtype[Any]
    unpacked: np.dtype[Any]
    packing: Packing | None
    dimensions: tuple[int, ...]

    @property
    def type_name(self) -> str:
        """Type as ROOT calls it, with the lengths of its array."""
        of_memory = {"f4": "Float16_t", "f8": "Double32_t"}
        plain = str(self.unpacked) if self.packing is None else of_memory[self.packing.to]
        return plain + "".join(f"[{length}]" for length in self.dimensions)


def leaf_interpretation(branch: Any) -> Any:
    """Interpretation of a branch of packed numbers or of several leaves; None where uproot's own is right.

    Raises
    ------
    UnreadableLeavesError
        For several leaves of which one is text, or has a length that differs from entry to entry.
    """
    from uproot.interpretation.jagged import AsJagged

    leaves = branch.member("fLeaves")
    if len(leaves) > 1:
        return _as_leaves()([_leaf_of_list(leaf) for leaf in leaves])
    leaf = leaves[0] if len(leaves) else None
    found = None if leaf is None else _packed_leaf(branch, leaf)
    if leaf is None or found is None:
        return None
    numbers, header = found
    content = _as_leaves()([numbers])
    return AsJagged(content, header) if header or leaf.member("fLeafCount") is not None else content


def _leaf_of_list(leaf: Any) -> Leaf:
    name, kind = str(leaf.member("fName")), leaf.classname
    if leaf.member("fLeafCount") is not None:
        raise UnreadableLeavesError(f"its leaf '{name}', beside others, has another length in each entry")
    dimensions, title = _dimensions(leaf)
    if kind in _PACKED_LEAVES:
        return _packed(name, packing(_PACKED_LEAVES[kind], title), dimensions)
    if kind not in _PLAIN_LEAVES:
        raise UnreadableLeavesError(f"its leaf '{name}', beside others, holds text or an object ({kind})")
    plain = np.dtype(_PLAIN_LEAVES[kind])
    if plain.kind == "i" and leaf.member("fIsUnsigned"):
        plain = np.dtype(f"u{plain.itemsize}")
    return Leaf(name, plain.newbyteorder(">"), plain, None, dimensions)


def _packed_leaf(branch: Any, leaf: Any) -> tuple[Leaf, int] | None:
    """The only leaf of a branch, if it is packed, and the bytes before the numbers of each entry."""
    name = str(leaf.member("fName"))
    dimensions, title = _dimensions(leaf)
    if leaf.classname in _PACKED_LEAVES:
        return _packed(name, packing(_PACKED_LEAVES[leaf.classname], title), dimensions), 0
    if leaf.classname != "TLeafElement":
        return None
    member = branch.streamer
    in_collection = branch.member("fType") in _IN_COLLECTIONS
    vector = _VECTOR.fullmatch(str(getattr(member, "typename", branch.member("fClassName"))))
    if vector is not None and not in_collection:
        to = "f8" if vector[1] == "Double32_t" else "f4"
        return _packed(name, packing(to, ""), ()), _VECTOR_HEADER
    form, kind = divmod(leaf.member("fType"), _FORMS)
    is_pointer = form == _POINTER
    if kind not in (_DOUBLE32, _FLOAT16) or not 0 <= form <= _POINTER or (is_pointer and in_collection):
        return None
    numbers = packing("f8" if kind == _DOUBLE32 else "f4", _title_of_member(branch))
    return _packed(name, numbers, () if is_pointer else dimensions), _POINTER_HEADER if is_pointer else 0


def _title_of_member(branch: Any) -> str:
    """Title of the member of a class that a branch holds, if it is the same in all versions of the class."""
    parent = str(branch.member("fParentName"))
    name = branch.streamer.name
    titles = {
        str(member.title)
        for version in (branch.file.streamers.get(parent) or {}).values()
        for member in version.elements
        if member.name == name
    }
    if len(titles) > 1:
        raise UnreadableLeavesError(f"the versions of class {parent} in the file pack '{name}' in different ways")
    return str(branch.streamer.title)


def _packed(name: str, numbers: Packing, dimensions: tuple[int, ...]) -> Leaf:
    return Leaf(name, numbers.stored, np.dtype(numbers.to), numbers, dimensions)


def _dimensions(leaf: Any) -> tuple[tuple[int, ...], str]:
    """Fixed lengths of a leaf's array, and the rest of its title, which is about the packing."""
    name, _, rest = str(leaf.member("fTitle")).partition("/")
    length = int(leaf.member("fLen"))
    dimensions = tuple(int(size) for size in _DIMENSION.findall(name))
    if math.prod(dimensions) != length:
        dimensions = (length,)
    return dimensions, rest


@cache
def _as_leaves() -> Any:
    """Class of uproot's interpretations; made on demand, since importing uproot takes a while."""
    from uproot.interpretation.numerical import Numerical

    class AsLeaves(Numerical):  # type: ignore[misc]
        """Leaves of fixed size after one another: one plain array for one leaf, else an array of records."""

        def __init__(self, leaves: list[Leaf]) -> None:
            self._leaves = leaves
            self.from_dtype = np.dtype([(leaf.name, leaf.stored, leaf.dimensions) for leaf in leaves])
            unpacked = [(leaf.name, leaf.unpacked, leaf.dimensions) for leaf in leaves]
            self.to_dtype = np.dtype(unpacked) if len(leaves) > 1 else np.dtype(unpacked[0][1:])
            self.itemsize = self.from_dtype.itemsize

        @property
        def numpy_dtype(self) -> np.dtype[Any]:
            return self.to_dtype

        @property
        def cache_key(self) -> str:
            return f"AsLeaves({self._leaves})"

        @property
        def typename(self) -> str:
            (leaf, *others) = self._leaves
            return "struct" if others else leaf.type_name

        def basket_array(self, data: NDArray[np.uint8], *_: Any) -> NDArray[Any]:
            """Values of the bytes of a basket."""
            stored = data.view(self.from_dtype)
            if len(self._leaves) == 1:
                return self._unpacked(stored, self._leaves[0])
            values = np.empty(len(stored), self.to_dtype)
            for leaf in self._leaves:
                values[leaf.name] = self._unpacked(stored, leaf)
            return values

        @staticmethod
        def _unpacked(stored: NDArray[Any], leaf: Leaf) -> NDArray[Any]:
            values: NDArray[Any] = stored[leaf.name]
            return values if leaf.packing is None else leaf.packing.unpack(values)

    return AsLeaves
