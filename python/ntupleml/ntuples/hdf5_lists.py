"""Lengths of the lists of an HDF5 dataset, looked at before HDF5 takes the memory that they ask for.

Each list is a place in the file and a length, which HDF5 believes. These 16 bytes are read here as they lie there;
where they are packed, HDF5 unpacks them, in a file in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A list as the file has it: how many numbers it has, and where they are.
_LIST = np.dtype([("length", "<u4"), ("heap", "<u8"), ("index", "<u4")])


def lists_are_compact(dataset: Any) -> bool:
    """Whether the lists lie in the head of the dataset, where their lengths cannot be looked at."""
    import h5py

    return bool(dataset.id.get_create_plist().get_layout() == h5py.h5d.COMPACT)


def require_lists_in_file(dataset: Any, fields: tuple[str, ...], start: int, stop: int, size: int) -> None:
    """Refuse lists that are longer than the file: none of them is packed, and no two share their numbers.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of one dimension.
    fields : tuple of str
        Where it is compound, the field of the lists, and the field in that; else nothing.
    start, stop : int
        Rows that are to be read.
    size : int
        Of the file, in bytes.

    Raises
    ------
    OSError
        Naming the first row whose list is too long, or that with which they are too many; or if the collections in
        which they lie are damaged.
    """
    kind = dataset.id.get_type()
    offset = 0
    for field in fields:
        number = kind.get_member_index(field.encode())
        offset, kind = offset + kind.get_member_offset(number), kind.get_member_type(number)
    item = kind.get_super().get_size()
    row_size = dataset.id.get_type().get_size()
    rows = _raw_rows(dataset, row_size, start, stop).view(np.uint8).reshape(-1, row_size)
    lists = np.ascontiguousarray(rows[:, offset : offset + _LIST.itemsize]).view(_LIST).ravel()
    needed = np.cumsum(lists["length"], dtype=np.float64) * item
    too_long = np.flatnonzero(needed > size)
    if too_long.size:
        first = int(too_long[0])
        raise OSError(
            f"the list of row {start + first} has {lists['length'][first]:,} numbers, with which the lists are longer "
            f"than the file ({size:,} bytes)"
        )
    _require_heaps(dataset, np.unique(lists["heap"][lists["length"] > 0]), size)


def _require_heaps(dataset: Any, places: NDArray[np.uint64], size: int) -> None:
    """Refuse collections of lists in which HDF5 would not find an end."""
    from ntupleml.ntuples.heap_loops import HEAD, heap_ends

    left, start = size, dataset.file.userblock_size
    with Path(dataset.file.filename).open("rb") as file:
        for place in map(int, places):
            head = b""
            if place < size:
                file.seek(start + place)
                head = file.read(HEAD)
            length = int.from_bytes(head[8:], "little")
            left -= length
            if len(head) < HEAD or head[:5] != b"GCOL\1" or length < HEAD or left < 0:
                raise OSError(f"no lists lie at byte {place}, where they should")
            content = head + file.read(length - HEAD)
            if len(content) < length or not heap_ends(np.frombuffer(content, np.uint8)):
                raise OSError(f"the lists at byte {place} do not end")


def _raw_rows(dataset: Any, row_size: int, start: int, stop: int) -> NDArray[np.void]:
    """Rows as they lie in the file, unpacked; those that nobody wrote are zeros."""
    row = np.dtype((np.void, row_size))
    if dataset.chunks is None:
        place = dataset.id.get_offset()
        if place is None:
            return np.zeros(stop - start, row)
        with Path(dataset.file.filename).open("rb") as file:
            file.seek(place + start * row_size)
            content = file.read((stop - start) * row_size)
        if len(content) < (stop - start) * row_size:
            raise OSError("the file is cut off")
        return np.frombuffer(content, row)
    (length,) = dataset.chunks
    first = start // length
    unpack = _Unpacking(dataset, row_size, length)
    chunks = [unpack(number * length) for number in range(first, -(-stop // length))]
    return np.concatenate(chunks)[start - first * length : stop - first * length]


class _Unpacking:
    """Chunks of a dataset as plain bytes: unpacked by HDF5, as rows of a type without lists."""

    def __init__(self, dataset: Any, row_size: int, length: int) -> None:
        import h5py

        self._source, self._row, self._length = dataset.id, np.dtype((np.void, row_size)), length
        self._file = h5py.File("rows", "w", driver="core", backing_store=False)
        #: By which of its filters a chunk has not been through: a dataset for such chunks.
        self._targets: dict[int, Any] = {}

    def __call__(self, start: int) -> NDArray[np.void]:
        rows = np.zeros(self._length, self._row)
        if self._source.get_chunk_info_by_coord((start,)).byte_offset is not None:
            left_out, content = self._source.read_direct_chunk((start,))
            target = self._targets.get(left_out) or self._targets.setdefault(left_out, self._target(left_out))
            target.write_direct_chunk((0,), content)
            target.read(self._space(), self._space(), rows)
        return rows

    def _target(self, left_out: int) -> Any:
        import h5py

        packing, plan = self._source.get_create_plist(), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((self._length,))
        for number in range(packing.get_nfilters()):
            if not left_out >> number & 1:
                plan.set_filter(*packing.get_filter(number)[:3])
        kind = h5py.h5t.py_create(self._row)
        return h5py.h5d.create(self._file.id, f"rows{left_out}".encode(), kind, self._space(), dcpl=plan)

    def _space(self) -> Any:
        import h5py

        return h5py.h5s.create_simple((self._length,))
