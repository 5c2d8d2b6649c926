"""Files that are complete or not there: written beside their place and renamed when finished."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def replace_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside a file, and rename it to the file when the block ends without an exception.

    The folder is made if need be. The temporary file has the suffix of the final one and is removed if the block
    raises. A kill at any moment leaves the old file or the new one.

    Parameters
    ----------
    path : path
        The file to write.
    overwrite : bool, default: False
        Whether an existing file may be replaced.

    Yields
    ------
    Path
        Where to write. Nothing is there yet.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    _refuse_existing(path, overwrite)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot write there: {error.strerror}; choose another path") from None
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _refuse_existing(path, overwrite)
        temporary.replace(path)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise NtuplemlError(f"{path}: cannot be written: {error.strerror}") from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise NtuplemlError(f"{path}: is a folder; a file is to be written there")
    if path.exists() and not overwrite:
        raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
