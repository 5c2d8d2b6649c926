"""Sizes that the pages of a Parquet file unpack to, and how deep its columns lie, looked at before pyarrow does.

A page is unpacked as a whole, to as many bytes as its head says. The heads are structures in Thrift's compact protocol:
for each field a byte with its type and the distance from the number of the one before, numbers in seven bits a byte.
Sources: parquet-format (parquet.thrift) and Thrift's description of the protocol.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Packings that gain too little to be looked at.
_HARMLESS = ("UNCOMPRESSED", "SNAPPY")
#: Bytes of a head that are read at once; it may hold extremes of the values, but no more than so many.
_HEAD, _MOST_HEAD = 512, 65_536
#: Numbers of the fields of a head.
_UNPACKED, _PACKED = 2, 3
#: Thrift's types.
_STOP, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 3, 7, 8, 9, 10, 12
_NUMBERS = (4, 5, 6)
_DEEPEST = 8
#: What a file ends with: the length of its description and a text; the number of the field of the description that
#: lists the columns and the groups that they lie in, and of theirs that counts what lies in a group.
_END, _SCHEMA, _CHILDREN = struct.Struct("<I4s"), 2, 5
#: Groups within groups.
_DEEPEST_COLUMN = 100


class PageError(ValueError):
    """The head of a page, or the description of a file, makes no sense."""


def require_shallow(file: BinaryIO) -> None:
    """Refuse columns that lie so deep that pyarrow (17 to 22) ends the process.

    Raises
    ------
    PageError
        Of columns in more than 100 groups within groups; what is damaged otherwise is left to pyarrow.
    """
    end = file.seek(0, 2) - _END.size
    if end < 0:
        return
    file.seek(end)
    size, _ = _END.unpack(file.read(_END.size))
    file.seek(max(end - size, 0))
    waiting: list[int] = []  # elements of the groups that the next one lies in
    try:
        for fields in _Reader(file.read(min(size, end))).structures(_SCHEMA):
            while waiting and waiting[-1] < 1:
                waiting.pop()
            if len(waiting) > _DEEPEST_COLUMN:
                raise PageError(f"its columns are too deeply nested, in more than {_DEEPEST_COLUMN} groups")
            if waiting:
                waiting[-1] -= 1
            if _CHILDREN in fields:
                waiting.append(fields[_CHILDREN])
    except IndexError:
        return


def largest_page(file: BinaryIO, chunk: Any) -> int:
    """Bytes that the largest page of a column in a row group unpacks to; 0 where its packing gains little.

    Parameters
    ----------
    chunk : pyarrow.parquet.ColumnChunkMetaData

    Raises
    ------
    PageError
        If the pages do not lie one behind the other.
    """
    if chunk.compression in _HARMLESS:
        return 0
    places = [chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None]
    start = min(place for place in places if place is not None)
    return max(_pages(file, start, start + chunk.total_compressed_size), default=0)


def _pages(file: BinaryIO, place: int, stop: int) -> Iterator[int]:
    while place < stop:
        head = _head_at(file, place)
        if head.unpacked < 0 or head.packed < 0:
            raise PageError(f"the page at byte {place} has a negative size")
        yield head.unpacked
        place += head.size + head.packed


class _Head(NamedTuple):
    size: int
    unpacked: int
    packed: int


def _head_at(file: BinaryIO, place: int) -> _Head:
    size = _HEAD
    while True:
        file.seek(max(place, 0))
        content = file.read(size)
        try:
            reader = _Reader(content)
            fields = reader.numbers()
        except IndexError:
            if len(content) < size or size >= _MOST_HEAD:
                raise PageError(f"no page begins at byte {place}") from None
            size *= 4
            continue
        if not {_UNPACKED, _PACKED} <= fields.keys():
            raise PageError(f"no page begins at byte {place}")
        return _Head(reader.place, fields[_UNPACKED], fields[_PACKED])


class _Reader:
    """Reads a structure; an IndexError is its end before the end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def structures(self, wanted: int) -> Iterator[dict[int, int]]:
        """Numbers of each structure of a list, which is the field of a structure with that number."""
        for field, kind in self._fields():
            if field == wanted and kind == _LIST:
                for _ in range(self._length(self._byte())):
                    yield self.numbers()
                return
            self._skip(kind, 0)

    def numbers(self, depth: int = 0) -> dict[int, int]:
        """Fields of a structure that are whole numbers; others are skipped."""
        if depth > _DEEPEST:
            raise PageError("the head of a page is nested too deeply")
        found: dict[int, int] = {}
        for field, kind in self._fields():
            if kind in _NUMBERS:
                found[field] = self._number()
            else:
                self._skip(kind, depth)
        return found

    def _fields(self) -> Iterator[tuple[int, int]]:
        """Numbers and types of the fields of a structure, each before its value."""
        field = 0
        while (head := self._byte()) != _STOP:
            field = field + (head >> 4) if head >> 4 else self._number()
            yield field, head & 15

    def _length(self, head: int) -> int:
        """Number of the elements of a list."""
        return head >> 4 if head >> 4 < 15 else self._unsigned()

    def _skip(self, kind: int, depth: int, *, in_list: bool = False) -> None:
        if kind in (1, 2):  # true and false, which stand in the head of the field
            self.place += in_list
        elif kind == _BYTE:
            self.place += 1
        elif kind in _NUMBERS:
            self._unsigned()
        elif kind == _DOUBLE:
            self.place += 8
        elif kind == _BINARY:
            size = self._unsigned()
            self.place += size
        elif kind in (_LIST, _SET):
            head = self._byte()
            for _ in range(self._length(head)):
                self._skip(head & 15, depth + 1, in_list=True)
        elif kind == _STRUCT:
            self.numbers(depth + 1)
        else:
            raise PageError(f"the head of a page has a field of type {kind}")
        if self.place > len(self._content):
            raise IndexError

    def _byte(self) -> int:
        byte = self._content[self.place]
        self.place += 1
        return byte

    def _unsigned(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def _number(self) -> int:
        number = self._unsigned()
        return number >> 1 ^ -(number & 1)
