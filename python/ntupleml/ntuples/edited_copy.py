"""Changing a file without ever leaving it half changed: a copy beside it is edited, checked and renamed over it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.atomic import (
    host,
    locked,
    note_unfinished,
    note_written,
    remove_left_over,
    remove_unfinished,
    replace_file,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LONGEST_NAME = 120
_BLOCK = 8_000_000


@contextmanager
def edited_copy(path: str | Path, output_path: Path | None = None, *, overwrite: bool = False) -> Iterator[Path]:
    """Copy a file beside itself, and rename the copy over it when the block ends without an exception.

    A kill at any moment leaves the old file or the new one. The copy's name starts with a dot and does not end in
    `.root`, so that no wildcard takes it for data; it holds host and process, so that the next edit of the file
    removes what a killed process left. A symbolic link stays, and the file that it points to is replaced. Permissions
    and extended attributes are kept, the owner where the system lets us. While another command writes the file, this
    one waits.

    Parameters
    ----------
    output_path : Path, optional
        Where the copy goes instead: the file itself stays as it is. The folder is made if need be.

    Yields
    ------
    Path
        The copy, readable and writable.
    """
    target = Path(path).resolve()
    if output_path is not None:
        with replace_file(output_path, overwrite=overwrite) as copy:
            _copy(target, copy, path)
            yield copy
        return
    _require_writable(target, path)
    with locked(target), _copy_of(target, path) as copy:
        yield copy


@contextmanager
def _copy_of(target: Path, path: str | Path) -> Iterator[Path]:
    remove_left_over(target, _beginning(target), ".partial")
    copy = target.with_name(f"{_beginning(target)}{os.getpid()}-{secrets.token_hex(4)}.partial")
    before = _identity(target)
    note_unfinished(copy)
    try:
        _copy(target, copy, path)
        yield copy
        _dress_as(copy, target)
        _force_to_disk(copy)
        if _identity(target) != before:
            raise NtuplemlError(
                f"{path}: was changed by another program while it was being extended; it is as that left it, try again"
            )
        copy.replace(target)
        note_written(path)
        _force_to_disk(target.parent)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise NtuplemlError(
                f"{path}: no space for a copy beside it: {_reason(error)}; the file was left as it was"
            ) from error
        raise
    finally:
        remove_unfinished(copy)


def _require_writable(target: Path, path: str | Path) -> None:
    try:
        protected = not os.access(target, os.W_OK) or target.stat().st_mode & 0o222 == 0
        only_read = os.statvfs(target).f_flag & os.ST_RDONLY
    except OSError as error:
        raise NtuplemlError(f"{path}: {_reason(error)}") from error
    if only_read:
        raise NtuplemlError(
            f"{path}: lies on a read-only file system; write the scores into a friend tree elsewhere (--friend "
            "--output-directory)"
        )
    if protected:  # to the superuser every file is writable, but its owner may have meant it otherwise
        raise NtuplemlError(
            f"{path}: no permission to write; change it (chmod u+w), or write the scores into a friend tree"
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise NtuplemlError(
            f"{path}: no permission to write in its folder, where a copy has to be made; "
            "or write the scores into a friend tree"
        )


def _copy(target: Path, copy: Path, path: str | Path) -> None:
    try:
        descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise
        raise NtuplemlError(f"{path}: no copy can be made in its folder: {_reason(error)}") from error
    with target.open("rb") as source, os.fdopen(descriptor, "wb") as destination:
        size = os.fstat(source.fileno()).st_size
        if _copy_in_kernel(source.fileno(), destination.fileno()) != size:
            source.seek(0)
            destination.seek(0)
            destination.truncate()
            shutil.copyfileobj(source, destination, _BLOCK)


def _copy_in_kernel(source: int, destination: int) -> int:
    """Copy within the kernel, which shares the blocks where the file system can; number of bytes copied."""
    copied = 0
    try:
        while number := os.copy_file_range(source, destination, 2**30):
            copied += number
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise
        return -1  # this kernel or file system cannot
    return copied


def _dress_as(copy: Path, target: Path) -> None:
    status = target.stat()
    with suppress(PermissionError):  # only the superuser may give files away
        os.chown(copy, status.st_uid, status.st_gid)
    shutil.copystat(target, copy)
    os.utime(copy)


def _identity(target: Path) -> tuple[int, int, int]:
    status = target.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beginning(target: Path) -> str:
    """Beginning of the names of copies that this host makes of a file."""
    return f".{target.name[:_LONGEST_NAME]}.{host()}-"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
