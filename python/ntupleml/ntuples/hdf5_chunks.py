"""Packed chunks of an HDF5 dataset that unpack to more than a chunk has, found before HDF5 makes room for them.

HDF5 unpacks a chunk to its end, whatever its size, and compares sizes then.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

#: HDF5's numbers of filters that leave the number of bytes as it is, up to a few; of that of zlib.
_SAME_SIZE, _ZLIB = (2, 3), 1
#: Stored bytes that need no look: zlib gains a factor of a thousand at best.
_HARMLESS = 1_000_000
#: That a packed chunk may have more than its numbers: HDF5 leaves out a filter that does not help.
_OVERHEAD = 4096
#: Unpacked at a time.
_BLOCK = 1_048_576


def filters_of(dataset: Any) -> list[int]:
    """HDF5's numbers of the filters that pack a dataset, in their order."""
    plan = dataset.id.get_create_plist()
    return [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]


def is_packed_twice(dataset: Any) -> bool:
    """Whether more than one filter packs its chunks, so that each gains its factor."""
    return len([one for one in filters_of(dataset) if one not in _SAME_SIZE]) > 1


class PackedChunks:
    """Chunks of a dataset that are looked at before they are read."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._large: list[Any] = []
        filters = [] if dataset.chunks is None else filters_of(dataset)
        if not filters:
            return
        self._size: int = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
        #: Bit of the mask of a chunk that says that it is not packed by zlib.
        self._unpacked = 1 << filters.index(_ZLIB) if _ZLIB in filters else 0
        most = 2 * self._size + _OVERHEAD

        def note(chunk: Any) -> None:
            is_large = self._unpacked and chunk.size > _HARMLESS and not chunk.filter_mask & self._unpacked
            if chunk.size > most or is_large:
                self._large.append(chunk)

        dataset.id.chunk_iter(note)

    def require(self, start: int, stop: int) -> None:
        """Refuse chunks of some rows that unpack to more than their numbers.

        Raises
        ------
        OSError
            Naming the first row of such a chunk.
        """
        for chunk in self._large:
            row = chunk.chunk_offset[0]
            if row < stop and start < row + self._dataset.chunks[0] and not self._fits(chunk.chunk_offset):
                raise OSError(f"the chunk of row {row} has more than its {self._size:,} bytes")

    def _fits(self, place: Sequence[int]) -> bool:
        _, content = self._dataset.id.read_direct_chunk(place)
        most = self._size + _OVERHEAD
        if not self._unpacked:
            return len(content) <= most
        unpacker, unpacked = zlib.decompressobj(), 0
        while content and not unpacker.eof and unpacked <= most:
            try:
                unpacked += len(unpacker.decompress(content, _BLOCK))
            except zlib.error:  # HDF5 says so, too
                break
            content = unpacker.unconsumed_tail
        return unpacked <= most
