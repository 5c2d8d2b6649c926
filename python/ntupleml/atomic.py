"""Files that are complete or not there: written beside their place by one command at a time, renamed when finished."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
import shutil
import socket
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError
from ntupleml.stopping import unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

log = logging.getLogger(__name__)

#: Linux' flag PF_EXITING of a process.
_IS_EXITING = 0x4
#: What disks and servers of files do, and what is said of the file that was being written then.
_DISK_ERRORS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS), "cannot be written"),
    **dict.fromkeys(
        (errno.EIO, errno.EREMOTEIO, errno.ESTALE, errno.ETIMEDOUT),
        "cannot be written, or what it is made from cannot be read",
    ),
}
#: What a lock is called after, of a long name.
_LONGEST_NAME = 200
#: How long a command that holds a lock waits for another one, in seconds: two may wait for each other.
_PATIENCE = 60.0
#: Bytes that have to be there for temporary files.
_ROOM = 1_000_000
#: Locks that are held: process, thread and file.
_held: set[tuple[int, int, Path]] = set()


class _Finished(NamedTuple):
    """A file that is complete but not yet in its place."""

    temporary: Path
    path: Path
    overwrite: bool
    made: list[Path]
    #: What lets other commands write the file.
    lock: ExitStack


#: Files that were put in their places while `noting_written` is on.
_written: dict[Path, None] | None = None
_waiting: ContextVar[list[_Finished] | None] = ContextVar("waiting", default=None)


def note_written(*paths: str | Path) -> None:
    """Note files that were written in another way than with `replace_file`, or by another process."""
    if _written is not None:
        _written.update(dict.fromkeys(map(Path, paths)))


@contextmanager
def noting_written() -> Iterator[dict[Path, None]]:
    """Give what is put in its place within the block, also by workers; files that are gone again are in it, too."""
    global _written
    before, _written = _written, {}
    try:
        yield _written
    finally:
        _written = before


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
        rename_all([Renaming(file.temporary, file.path, _temporary(file.path)) for file in finished])
    finally:
        _waiting.reset(token)
        for file in finished:
            remove_unfinished(file.temporary)
        for file in reversed(finished):
            file.lock.close()
            _remove_empty(file.made)


class Renaming(NamedTuple):
    """A file that is complete, its place, and a name on the same disk for what lies there now."""

    temporary: Path
    path: Path
    before: Path


def rename_all(files: Sequence[Renaming]) -> None:
    """Put files in their places; if one cannot be, all places hold again what they held.

    What was there has a second name meanwhile, where the system knows hard links; elsewhere it is not put back.

    Raises
    ------
    OSError
    """
    done: list[tuple[Path, Path | None]] = []
    try:
        for file in files:
            try:
                file.before.hardlink_to(file.path)
            except FileNotFoundError:
                done.append((file.path, None))
            except OSError:
                log.debug("%s: no second name", file.path)
            else:
                done.append((file.path, file.before))
            file.temporary.replace(file.path)
    except BaseException:
        for path, before in reversed(done):
            with suppress(OSError):
                if before is None:
                    path.unlink(missing_ok=True)
                else:
                    before.replace(path)
        raise
    finally:
        for file in files:
            file.before.unlink(missing_ok=True)
    note_written(*(file.path for file in files))


@contextmanager
def locked(path: str | Path, *, wait: bool = True) -> Iterator[None]:
    """Keep other commands from writing a file until the block ends; where one writes it now, wait for its end.

    The lock is a hidden file `.{name}.lock` beside the file, which is made with its folder if need be and goes away at
    the end. That of a process which was killed counts for nothing, and goes away with the next one. Where the system
    has no locks, or the folder cannot be written to, the block is entered without one. A thread that holds the lock may
    take it again.

    Parameters
    ----------
    wait : bool, default: True
        Wait as long as it takes, if this thread holds no other lock, else a minute.

    Raises
    ------
    NtuplemlError
        If another command goes on writing the file.
    """
    target = Path(path).resolve()
    place = target.with_name(f".{target.name[:_LONGEST_NAME]}.lock")
    key = (os.getpid(), threading.get_ident(), place)
    if key in _held:
        yield
        return
    made = [folder for folder in target.parents if not folder.exists()]
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(place, path, _patience(key) if wait else 0.0)
    try:
        if descriptor is not None:
            _held.add(key)
        yield
    finally:
        if descriptor is not None:
            _held.discard(key)
            remove_unfinished(place)  # before it is let go of: who gets it then sees that it is no more
            os.close(descriptor)
        _remove_empty(made)


def _patience(key: tuple[int, int, Path]) -> float:
    return _PATIENCE if any(held[:2] == key[:2] for held in _held) else float("inf")


def _lock(place: Path, path: str | Path, patience: float) -> int | None:
    """Descriptor of a lock, or None where there are none."""
    end = time.monotonic() + patience
    pause = 0.0
    while True:
        try:
            descriptor = os.open(place, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:  # no such folder, no permission, no space: who writes the file says so
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same(descriptor, place):
                note_unfinished(place)
                return descriptor
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(descriptor)
                raise NtuplemlError(f"{path}: another command is writing it; try again at its end") from None
            if not pause:
                log.info("%s: another command is writing it; waiting for its end", path)
            pause = min(pause + 0.05, 1.0)
            time.sleep(pause)
        except OSError:  # a file system without locks
            place.unlink(missing_ok=True)
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_same(descriptor: int, place: Path) -> bool:
    """Whether an open file still lies where it was opened."""
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except FileNotFoundError:
        return False


@contextmanager
def replace_file(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path beside a file, and rename it to the file when the block ends without an exception.

    The folder is made if need be. The temporary file has the suffix of the final one and is removed if the block
    raises, and so are the folders that were made for it. A kill at any moment leaves the old file or the new one.
    While another command writes the file, this one waits (see `locked`). Inside `all_or_none` the renaming waits for
    the end of that block.

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
    temporary = _temporary(path)
    with _unwritable_as_error(path):  # names may be too long to be looked for
        _refuse_existing(path, overwrite)
        made = [folder for folder in path.parents if not folder.exists()]
    waiting = _waiting.get()
    with ExitStack() as stack:
        stack.callback(_remove_empty, made)
        with _unwritable_as_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context(ExitStack())
        lock.enter_context(locked(path))
        with _unwritable_as_error(path):
            _refuse_existing(path, overwrite)
            remove_left_over(path, _beginning(path), path.suffix)
            temporary.touch(exist_ok=False)
            temporary.unlink()
        note_unfinished(temporary)
        stack.callback(remove_unfinished, temporary)
        try:
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            _refuse_existing(path, overwrite)
            if waiting is None:
                temporary.replace(path)
                note_written(path)
            else:
                waiting.append(_Finished(temporary, path, overwrite, made, lock.pop_all()))
                stack.pop_all()
        except OSError as error:
            if error.errno in _DISK_ERRORS:
                reason = os.strerror(error.errno).lower()
                raise NtuplemlError(f"{path}: {_DISK_ERRORS[error.errno]}: {reason}") from None
            raise


def _beginning(path: Path) -> str:
    return f".{path.stem}.{host()}-"


def _temporary(path: Path) -> Path:
    """A new name beside a file, which `remove_left_over` knows."""
    return path.with_name(f"{_beginning(path)}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")


@contextmanager
def _unwritable_as_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = _lower(error)
        if isinstance(error, FileExistsError):
            reason = f"'{path.parent}' is not a folder"
        raise NtuplemlError(f"{path}: cannot write there: {reason}; choose another path") from None


@contextmanager
def hidden_folder(folder: Path, beginning: str) -> Iterator[Path]:
    """Give a new folder for unfinished files, `{beginning}{host}-{process}-…` in another one.

    It goes away at the end, or with the next one of this beginning if the process is killed.
    """
    start = f"{beginning}{host()}-"
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_over(folder / start, start, "")
    hidden = folder / f"{start}{os.getpid()}-{secrets.token_hex(4)}"
    note_unfinished(hidden)
    hidden.mkdir()
    try:
        yield hidden
    finally:
        remove_unfinished(hidden)


def note_unfinished(path: Path) -> None:
    """Note a file or folder that is to go away even if a signal ends the process at once."""
    unfinished.add((os.getpid(), str(path)))


def remove_unfinished(path: Path) -> None:
    """Remove a file or folder that was noted; it may be gone already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    unfinished.discard((os.getpid(), str(path)))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a new folder among the temporary files, which goes away at the end.

    Raises
    ------
    NtuplemlError
        If there is no place for it; or no room in it for a megabyte, after whatever else was raised in the block:
        libraries have many words for that.
    """
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:
        raise NtuplemlError(f"no folder for temporary files: {_lower(error)}; set TMPDIR to one") from None
    with folder:
        try:
            yield Path(folder.name)
        except Exception as error:
            try:
                (Path(folder.name) / "room").write_bytes(bytes(_ROOM))
            except OSError as full:
                place = tempfile.gettempdir()
                raise NtuplemlError(
                    f"{place}: no room for temporary files: {_lower(full)}; set TMPDIR to another folder"
                ) from error
            raise


def _lower(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


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
