"""Files of XGBoost as plain data that is safe to look at, and safe for XGBoost's own parser.

They are JSON, or UBJSON, its binary form, which is read within bounds that no file can exceed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes of a file; a million trees of depth 4 have as many.
_MOST_BYTES = 2_000_000_000
#: With which a UBJSON document of XGBoost begins: an object, whose first name has a length of 8 bytes.
UBJSON_BEGINNING = b"{L"
#: Levels of objects and lists within each other that are read; XGBoost's models have seven.
DEEPEST = 32
_CONSTANTS: dict[str, Any] = {"Z": None, "T": True, "F": False}
#: Numbers by their marker, as big-endian types of numpy.
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_LENGTHS = "iUIlL"


def read_xgboost(path: Path) -> Any:
    """Content of a model file, whatever its name ends in.

    Raises
    ------
    NtuplemlError
        If it is too large, or see `parse_xgboost`.
    """
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise NtuplemlError(f"{path}: {size:,} bytes; at most {_MOST_BYTES:,} are read")
    return parse_xgboost(path.read_bytes(), str(path))


def parse_xgboost(content: bytes | bytearray, where: str) -> Any:
    """Content of JSON or UBJSON, which its beginning tells apart."""
    kind = "UBJSON" if content.startswith(UBJSON_BEGINNING) else "JSON"
    try:
        if kind == "UBJSON":
            return read_ubjson(content)
        parsed = json.loads(content, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise NtuplemlError(f"{where}: not {kind}, or cut off or damaged: {one_line(error, 100)}") from None
    _require_shallow(parsed, where)
    return parsed


def json_for_xgboost(content: Any) -> bytes:
    """JSON of what `parse_xgboost` gave and `forest_of_xgboost` accepted, for XGBoost's own parser.

    That one is not given the file itself: what it makes of another one than ours sees can end the process.
    """
    return json.dumps(content, default=np.ndarray.tolist, ensure_ascii=False).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("two members of one name in an object")
    return members


def _require_shallow(content: Any, where: str) -> None:
    level = [content]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise NtuplemlError(f"{where}: nested more than {DEEPEST} levels deep; not a model of XGBoost")


def read_ubjson(content: bytes | bytearray) -> Any:
    """Content of a UBJSON document; lists of numbers of one type are arrays.

    Parameters
    ----------
    content : bytes
        Never more memory is taken than a small multiple of its length.

    Raises
    ------
    ValueError
        If it is cut off or damaged, is nested more than 32 levels deep, or has what XGBoost does not write: optimised
        objects, lists of constants without content, numbers as text.
    """
    reader = _Reader(bytes(content))
    value = reader.value(reader.marker(), 0)
    if reader.left:
        raise ValueError(f"{reader.left} bytes after its end")
    return value


class _Reader:
    """A place in a document, which goes on as values are read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0

    @property
    def left(self) -> int:
        return len(self.content) - self.place

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise ValueError(f"cut off or damaged: {size} bytes are needed at byte {self.place}, {self.left} are left")
        self.place += size
        return self.content[self.place - size : self.place]

    def marker(self) -> str:
        return self.take(1).decode("latin-1")

    def unexpected(self, marker: str) -> ValueError:
        return ValueError(f"an unexpected {marker!r} at byte {self.place - 1}")

    def number(self, marker: str) -> int | float:
        kind = np.dtype(_NUMBERS[marker])
        return np.frombuffer(self.take(kind.itemsize), kind)[0].item()  # type: ignore[no-any-return]

    def length(self) -> int:
        """A number of bytes or elements, of which each takes a byte at least."""
        marker = self.marker()
        if marker not in _LENGTHS:
            raise self.unexpected(marker)
        length = int(self.number(marker))
        if not 0 <= length <= self.left:
            raise ValueError(f"a length of {length} at byte {self.place}, where {self.left} bytes are left")
        return length

    def value(self, marker: str, depth: int) -> Any:
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return self.number(marker)
        if marker == "C":
            return self.take(1).decode("latin-1")
        if marker == "S":
            return self.text()
        if depth == DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        if marker == "[":
            return self.list(depth + 1)
        if marker == "{":
            return self.object(depth + 1)
        raise self.unexpected(marker)

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while self.content[self.place : self.place + 1] != b"}":
            name = self.text()
            if name in members:
                raise ValueError(f"two members {name[:40]!r} in an object")
            members[name] = self.value(self.marker(), depth)
        self.place += 1
        return members

    def list(self, depth: int) -> Any:
        marker = self.marker()
        if marker == "$":
            return self.array()
        if marker == "#":
            return [self.value(self.marker(), depth) for _ in range(self.length())]
        values = []
        while marker != "]":
            values.append(self.value(marker, depth))
            marker = self.marker()
        return values

    def array(self) -> Any:
        """Numbers of one type, which only the list's head names."""
        marker = self.marker()
        if marker not in _NUMBERS:
            raise self.unexpected(marker)
        if (counted := self.marker()) != "#":
            raise self.unexpected(counted)
        kind = np.dtype(_NUMBERS[marker])
        values = np.frombuffer(self.take(self.length() * kind.itemsize), kind)
        return values.astype(kind.newbyteorder("="))
