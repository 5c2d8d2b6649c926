"""The weights in a Keras file (HDF5), checked before Keras reads them: plain numbers that are all in the file.

HDF5 can link to other files, keep data in them, compose data from them, and declare arrays far larger than what is
stored (CVE-2025-9905's kin, CVE-2026-0897, CVE-2026-1669); weights need none of that.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    import h5py

_MOST_OBJECTS = 100_000


def check_weights(data: bytes, where: str) -> None:
    """Refuse an HDF5 file unless it is a tree of plain arrays of numbers, stored in it as they are.

    Parameters
    ----------
    data : bytes
        Content of ``model.weights.h5``.
    where : str
        The file, for messages.

    Raises
    ------
    NtuplemlError
        Naming what is not allowed and its place.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            _walk(file, len(data), where)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # what h5py raises for damaged files
        raise NtuplemlError(f"{where}: its weights are damaged: {one_line(error)}") from error


def _walk(file: h5py.File, size: int, where: str) -> None:
    import h5py

    waiting: list[h5py.Group] = [file]
    seen: set[int] = set()
    declared = 0
    while waiting:
        group = waiting.pop()
        for name in group:
            place = one_line(f"{group.name.rstrip('/')}/{name}", 100)
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise NtuplemlError(f"{where}: refused: its weights hold a link, {place}, to elsewhere")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) > _MOST_OBJECTS:
                raise NtuplemlError(f"{where}: refused: its weights hold {place} twice, or too much")
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
                continue
            declared += _plain_size(item, place, where)
            if declared > size:
                raise NtuplemlError(
                    f"{where}: refused: its weights declare {declared:,} bytes or more, but hold {size:,}"
                )


def _plain_size(dataset: Any, place: str, where: str) -> int:
    """Size in bytes of a dataset that is plain numbers."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiub":
        raise NtuplemlError(f"{where}: refused: {place} in its weights is not an array of numbers")
    if dataset.external or dataset.is_virtual:
        raise NtuplemlError(f"{where}: refused: {place} in its weights takes its numbers from another file")
    if dataset.id.get_create_plist().get_nfilters():
        raise NtuplemlError(f"{where}: refused: {place} in its weights is compressed, which Keras never does")
    return int(dataset.size) * int(dataset.dtype.itemsize)
