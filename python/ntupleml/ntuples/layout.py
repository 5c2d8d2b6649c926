"""Where the records of a ROOT file lie, read from its own tables, to tell whether a program left them as they were.

Sources: the description of the format in ROOT's documentation of TFile, TKey, TDirectoryFile and TFree. All numbers
are big-endian; positions have eight bytes where a version number says so, else four.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Added by ROOT to the version of a record whose positions have eight bytes.
_LARGE_VERSION = 1_000
_LARGE_FILE_VERSION = 1_000_000
#: Size of a folder's numbers in all files but those of the first versions of ROOT.
_FOLDER_SIZE = 60
_FIRST_VERSION_WITH_THAT_SIZE = 40_000
DIRECTORY_CLASSES = ("TDirectory", "TDirectoryFile")


class Range(NamedTuple):
    """Bytes of a file, from `start` to before `stop`."""

    start: int
    stop: int


class Key(NamedTuple):
    """An object in a folder of the file: what the folder's list says of it."""

    folder: str
    name: str
    cycle: int
    class_name: str
    seek: int
    size: int

    @property
    def path(self) -> str:
        """Path in the file, without cycle."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    @property
    def range(self) -> Range:
        """Bytes of its record."""
        return Range(self.seek, self.seek + self.size)


class Folder(NamedTuple):
    """A folder of the file."""

    path: str
    #: Its own record, without name and title.
    header: Range
    key_list: Range
    #: Whether its record is shorter than ROOT's, which would write over what follows (as in files of go-hep's groot).
    is_short: bool


class Layout(NamedTuple):
    """Tables of a ROOT file."""

    #: Where the file ends according to its header.
    end: int
    #: The file's header.
    header: Range
    #: Gaps that hold nothing, and the list of them.
    free: list[Range]
    #: The description of the classes.
    streamer_info: Range
    #: The path of the top folder is empty.
    folders: list[Folder]
    #: All objects in all folders, every cycle.
    keys: list[Key]


class _Record(NamedTuple):
    """The head that each record of a ROOT file starts with (TKey)."""

    size: int
    head_size: int
    cycle: int
    seek: int
    class_name: str
    name: str


class _OverwrittenError(ValueError):
    """A record does not begin with its head."""


def require_room(layout: Layout, tree_path: str, where: str) -> None:
    """Check that a program which writes folders as ROOT does can write those of a tree."""
    short = [folder.path for folder in layout.folders if folder.is_short]
    if any(not path or tree_path.startswith(f"{path}/") for path in short):
        raise NtuplemlError(
            f"{where}: the file's folders have shorter records than ROOT's (as those of go-hep's groot), so ROOT would "
            "write over what follows them; write the scores into a friend tree (--friend), or let ROOT copy the file "
            "first (hadd new.root old.root)"
        )


def require_objects(path: Path, layout: Layout, where: str) -> None:
    """Check that a record with the right head begins wherever the lists of a file say that there is an object."""
    with path.open("rb") as file:
        for key in layout.keys:
            if not _begins_at(file, key):
                raise NtuplemlError(
                    f"{where}: another record lies where '{key.path};{key.cycle}' should be in its extended copy; the "
                    "file was left as it was"
                )


def _begins_at(file: BinaryIO, key: Key) -> bool:
    try:
        head = _record_at(file, key.seek)
    except (struct.error, ValueError):
        return False
    return (head.seek, head.size, head.name, head.class_name) == (key.seek, key.size, key.name, key.class_name)


def read_layout(path: str | Path) -> Layout:
    """Read the tables of a ROOT file."""
    try:
        with Path(path).open("rb") as file:
            return _read_layout(file)
    except _OverwrittenError as error:
        raise NtuplemlError(
            f"{path}: {error}; nothing can be added to the file safely, write the scores into a friend tree (--friend)"
        ) from error
    except (struct.error, UnicodeError, ValueError) as error:
        raise NtuplemlError(
            f"{path}: the tables of the file cannot be read ({error}); it was not closed when it was written, "
            "so make it anew, or let ROOT recover it"
        ) from error


def _read_layout(file: BinaryIO) -> Layout:
    head = _read(file, 0, 64)
    magic, version, begin = struct.unpack(">4sii", head[:12])
    if magic != b"root":
        raise ValueError("no ROOT file")
    form = ">qqiiiBiqi" if version >= _LARGE_FILE_VERSION else ">iiiiiBiii"
    end, seek_free, size_free, _, size_name, _, _, seek_info, size_info = struct.unpack_from(form, head, 12)
    if file.seek(0, 2) < end:
        raise ValueError("it ends too early")
    if not begin <= seek_free < end or not begin <= seek_info < end:
        raise ValueError("no list of free segments or no description of classes")
    folders: list[Folder] = []
    keys: list[Key] = []
    _read_folder(file, "", begin, size_name, folders, keys)
    if version % _LARGE_FILE_VERSION < _FIRST_VERSION_WITH_THAT_SIZE:
        folders = [folder._replace(is_short=False) for folder in folders]
    _require_record(file, seek_free, size_free, "the list of free segments")
    _require_record(file, seek_info, size_info, "the description of classes")
    free = [*_free_segments(file, seek_free, size_free), Range(seek_free, seek_free + size_free)]
    return Layout(end, Range(0, begin), free, Range(seek_info, seek_info + size_info), folders, keys)


def _read_folder(file: BinaryIO, path: str, seek: int, size_name: int, folders: list[Folder], keys: list[Key]) -> None:
    """Add a folder and all that is in it. Its record is `size_name` bytes of names, then its own numbers."""
    record = _record_at(file, seek)
    numbers = _read(file, seek + size_name, 42)
    (version,) = struct.unpack_from(">h", numbers)
    _, _, size_keys, _, _, _, seek_keys = struct.unpack_from(
        ">IIiiqqq" if version > _LARGE_VERSION else ">IIiiiii", numbers, 2
    )
    header = Range(seek + size_name, seek + record.size)
    if any(folder.header == header for folder in folders):
        raise ValueError(f"folder '{path}' lies within itself")
    is_short = header.stop - header.start < _FOLDER_SIZE
    folders.append(Folder(path, header, Range(seek_keys, seek_keys + size_keys), is_short))
    if seek_keys == 0:  # an empty folder whose list was never written
        return
    _require_record(file, seek_keys, size_keys, f"the list of objects in '/{path}'")
    content = _read(file, seek_keys, size_keys)
    position = _record(content, 0).head_size
    (number,) = struct.unpack_from(">i", content, position)
    position += 4
    for _ in range(number):
        entry = _record(content, position)
        position += entry.head_size
        key = Key(path, entry.name, entry.cycle, entry.class_name, entry.seek, entry.size)
        keys.append(key)
        if entry.class_name in DIRECTORY_CLASSES:
            _read_folder(file, key.path, entry.seek, entry.head_size, folders, keys)


def _require_record(file: BinaryIO, seek: int, size: int, what: str) -> _Record:
    """Head of a record that the tables of the file name; it has to say the same of itself."""
    record = _record_at(file, seek)
    if record.seek != seek or not 0 < record.size <= size:
        raise _OverwrittenError(f"the record of {what} does not begin where it should, or was written over")
    return record


def _free_segments(file: BinaryIO, seek: int, size: int) -> Iterator[Range]:
    content = _read(file, seek, size)
    position = _record(content, 0).head_size
    while position + 10 <= len(content):
        (version,) = struct.unpack_from(">h", content, position)
        form = ">qq" if version > _LARGE_VERSION else ">ii"
        first, last = struct.unpack_from(form, content, position + 2)
        position += 2 + struct.calcsize(form)
        yield Range(first, last + 1)


def _record_at(file: BinaryIO, seek: int) -> _Record:
    file.seek(seek)
    return _record(file.read(4096), 0)


def _record(content: bytes, position: int) -> _Record:
    size, version, _, _, head_size, cycle = struct.unpack_from(">ihiIhh", content, position)
    form = ">qq" if version > _LARGE_VERSION else ">ii"
    seek, _ = struct.unpack_from(form, content, position + 18)
    class_name, place = _text(content, position + 18 + struct.calcsize(form))
    name, _ = _text(content, place)
    return _Record(size, head_size, cycle, seek, class_name, name)


def _text(content: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">B", content, position)
    position += 1
    if length == 255:  # a long text has its length in four more bytes
        (length,) = struct.unpack_from(">i", content, position)
        position += 4
    text = content[position : position + length]
    if len(text) != length:
        raise ValueError("a name ends too early")
    return text.decode("utf-8", errors="surrogateescape"), position + length


def _read(file: BinaryIO, seek: int, size: int) -> bytes:
    if size < 0 or seek < 0:
        raise ValueError("a negative size or position")
    file.seek(seek)
    return file.read(size)
