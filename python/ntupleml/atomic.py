"""Files that are complete or not there: written beside their place and renamed when finished."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import shutil
import socket
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

#: Linux' flag PF_EXITING of a process.
_IS_EXITING = 0x4
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _Finished(NamedTuple):
    """A file that is complete but not yet in its place."""

    temporary: Path
    path: Path
    overwrite: bool
    made: list[Path]


_waiting: ContextVar[list[_Finished] | None] = ContextVar("waiting", default=None)


@contextmanager
def all_or_none() -> Iterator[None]:
    """Let all files that are written with `replace_file` in the block appear at its end, or none if it raises.

    Until then they are not in their places, so they cannot be read back there.

    Raises
    ------
    NtuplemlError
        As `replace_file`.
    """
    finished: list[_Finished] = []
    token = _waiting.set(finished)
    try:
        yield
        for file in finished:
            _refuse_existing(file.path, file.overwrite)
        for file in finished:
            file.temporary.replace(file.path)
    finally:
        _waiting.reset(token)
        for file in finished:
            file.temporary.unlink(missing_ok=True)
        for file in reversed(finished):
            _remove_empty(file.made)


@contextmanager
def replace_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside a file, and rename it to the file when the block ends without an exception.

    The folder is made if need be. The temporary file has the suffix of the final one and is removed if the block
    raises, and so are the folders that were made for it. A kill at any moment leaves the old file or the new one.
    Inside `all_or_none` the renaming waits for the end of that block.

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
    beginning = f".{path.stem}.{host()}-"
    temporary = path.with_name(f"{beginning}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path, beginning, path.suffix)
        temporary.touch(exist_ok=False)
        temporary.unlink()
    except OSError as error:
        _remove_empty(made)
        reason = (error.strerror or str(error)).lower()
        if isinstance(error, FileExistsError):
            reason = f"'{path.parent}' is not a folder"
        raise NtuplemlError(f"{path}: cannot write there: {reason}; choose another path") from None
    waiting = _waiting.get()
    is_waiting = False
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _refuse_existing(path, overwrite)
        if waiting is None:
            temporary.replace(path)
        else:
            waiting.append(_Finished(temporary, path, overwrite, made))
            is_waiting = True
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise NtuplemlError(f"{path}: cannot be written: {error.strerror}") from None
        raise
    finally:
        if not is_waiting:
            temporary.unlink(missing_ok=True)
            _remove_empty(made)


def host() -> str:
    """Name of this machine, as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:40]


def remove_left_over(path: Path, beginning: str, ending: str) -> None:
    """Remove the unfinished files and folders beside a file whose processes, on this machine, are gone.

    Parameters
    ----------
    beginning, ending : str
        What stands before the number of the process, `-` and eight digits, and after them.
    """
    pattern = re.compile(re.escape(beginning) + r"(\d+)-[0-9a-f]{8}" + re.escape(ending))
    for name in os.listdir(path.parent):  # noqa: PTH208 - the names alone
        match = pattern.fullmatch(name)
        if match and not _is_running(int(match[1])):
            log.info("%s: removed, left over from a run that was killed", path.with_name(name))
            if path.with_name(name).is_dir():
                shutil.rmtree(path.with_name(name), ignore_errors=True)
            else:
                path.with_name(name).unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return not _has_ended(process)


def _has_ended(process: int) -> bool:
    """Whether Linux says of a process that it has ended, though nobody has waited for it yet."""
    try:
        state, *numbers = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # another system, or the process is gone by now: the next run finds it so
        return False
    return state in {"Z", "X"} or bool(int(numbers[5]) & _IS_EXITING)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, the innermost first, as far as nothing is in them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise NtuplemlError(f"{path}: is a folder; a file is to be written there")
    if path.exists() and not path.is_file():  # root may rename a file even over /dev/null
        raise NtuplemlError(f"{path}: is a device or pipe; a file is to be written there")
    if path.exists() and not overwrite:
        raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
