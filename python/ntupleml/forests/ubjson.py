"""Reading UBJSON, the binary form of JSON in which XGBoost writes its models, within bounds that no file can exceed."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Levels of objects and lists within each other that are read; XGBoost's models have seven.
DEEPEST = 32
_CONSTANTS: dict[str, Any] = {"Z": None, "T": True, "F": False}
#: Numbers by their marker, as big-endian types of numpy.
_NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_LENGTHS = "iUIlL"


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
