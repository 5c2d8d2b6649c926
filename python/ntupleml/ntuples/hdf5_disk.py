"""New HDF5 files on disks that may be full or fail."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer


class Disk(io.FileIO):
    """A file on disk that HDF5 writes to.

    If HDF5 meets a full disk or one that fails, it crashes when the file is closed. So it is told that all is well, and
    the first failure is kept.
    """

    failure: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Write all, or keep why that is not possible."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while len(left):
                left = left[super().write(left) or 0 :]
        except OSError as error:
            self.failure = self.failure or error
            self.seek(len(left), io.SEEK_CUR)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Change the size, or keep why that is not possible."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def require_written(self) -> None:
        """Raise the first failure.

        Raises
        ------
        OSError
        """
        if self.failure is not None:
            raise self.failure


@contextmanager
def new_hdf5(path: Path, **options: Any) -> Iterator[tuple[Any, Disk]]:
    """Give a new HDF5 file, and its disk, which may be asked whether all is well so far.

    The format is that of version 1.8, for attributes of any length, or newer, unless the options say otherwise.

    Parameters
    ----------
    **options
        For `h5py.File`.

    Raises
    ------
    OSError
        If not all could be written.
    """
    import h5py

    with Disk(path, "w+") as disk:
        try:
            with h5py.File(disk, "w", **{"libver": ("v108", "latest"), "track_order": True, **options}) as file:
                yield file, disk
        finally:
            disk.require_written()
