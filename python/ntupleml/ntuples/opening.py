"""Opening ROOT files and finding trees in them, with one line for whatever is wrong."""

from __future__ import annotations

import re
import struct
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.config.loading import elsewhere
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.ntuples.remote import is_remote, remote_call
from ntupleml.ntuples.root_integrity import unpack_safely
from ntupleml.ntuples.root_opinion import Place, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

_TREE_CLASSES = ("TTree", "TNtuple", "TNtupleD")
_RNTUPLE_CLASS = "ROOT::RNTuple"
#: RNTuples of releases before ROOT 6.34, whose format was not final: newer ROOT does not read them either.
_OLD_RNTUPLE_CLASS = "ROOT::Experimental::RNTuple"
_CLASSES = (*_TREE_CLASSES, _RNTUPLE_CLASS, _OLD_RNTUPLE_CLASS)
#: From this version on, positions in a ROOT file have eight bytes.
_LARGE_FILE_VERSION = 1_000_000
#: Position of the first record, which follows the word `root` and the version in every ROOT file: 100.
_BEGIN = struct.pack(">i", 100)
#: First byte of a pickle of protocol 2 or later, and how such files are called.
_PICKLE = 0x80
_PICKLE_ENDINGS = {".pkl", ".pickle"}
#: Beginning of an address in a network, as pathlib writes it.
_REMOTE = re.compile(r"(^|/)(roots?|xroots?|https?|davs?|s3|gsiftp):/")
#: Files that `files_kept_open` keeps; systems allow a process some hundred.
_MOST_KEPT_OPEN = 50


class _Kept(NamedTuple):
    """Open files by their paths, and what closes them."""

    files: dict[str, Any]
    stack: ExitStack


_kept: ContextVar[_Kept | None] = ContextVar("kept", default=None)


@contextmanager
def files_kept_open() -> Iterator[None]:
    """Let the files that are opened for reading in the block stay open until its end.

    Each is then opened once, and so is each tree, whose description takes uproot longer to read than many events: for
    steps that come back to the same files. Nothing in the block may write these files.
    """
    if _kept.get() is not None:
        yield
        return
    with ExitStack() as stack:
        token = _kept.set(_Kept({}, stack))
        try:
            yield
        finally:
            _kept.reset(token)


@contextmanager
def open_root_file(path: str | Path, where: str = "") -> Iterator[Any]:
    """Open a ROOT file for reading.

    Parameters
    ----------
    path : str or Path
        A local file, or the address of one, e.g. root://host//path.

    Raises
    ------
    NtuplemlError
        If there is no such file, it is not a ROOT file, or it is truncated or damaged.
    """
    kept = _kept.get()
    if kept is None or (str(path) not in kept.files and len(kept.files) >= _MOST_KEPT_OPEN):
        with _opened(path, where, None) as file:
            yield file
        return
    if str(path) not in kept.files:
        kept.files[str(path)] = kept.stack.enter_context(_opened(path, where, {}))
    yield kept.files[str(path)]


@contextmanager
def _opened(path: str | Path, where: str, trees: dict[str, Any] | None) -> Iterator[Any]:
    """An open file, with a place for the trees that are read from it."""
    start = f"{where}: " if where else ""
    if isinstance(path, str) and is_remote(path):
        with damage_as_error(f"{start}{path}", Place(str(path))):
            remote = remote_call(path, where, lambda: _open_remote(path, trees))
        with remote:
            yield remote
        return
    _check_header(Path(path), start)
    import uproot

    unpack_safely()
    with damage_as_error(f"{start}{path}", Place(str(path))):
        # Without a cache of arrays: what was read is not kept, so memory does not grow with the file. A Path, because
        # uproot takes what follows a colon in a string for the name of an object; absolute, because it has ideas of
        # its own about a path that begins with a tilde.
        file = uproot.open(Path(path).absolute(), object_cache=trees, array_cache=None)
    with file:
        yield file


def _open_remote(address: str, trees: dict[str, Any] | None) -> Any:
    """Open a file behind an address; the dictionary keeps uproot from taking a colon for the end of it."""
    import uproot

    unpack_safely()
    return uproot.open({address: None}, object_cache=trees, array_cache=None)


@contextmanager
def damage_as_error(what: str, place: Place) -> Iterator[None]:
    """Turn whatever uproot raises at a damaged file, or at one that it does not know, into one line."""
    try:
        yield
    except (NtuplemlError, MemoryError):
        raise
    except Exception as error:  # lengths and types read from damaged bytes make uproot raise nearly anything
        raise NtuplemlError(f"{what}: cannot be read: {one_line(error)}; {verdict(place)}") from error


def find_tree(file: Any, path: str | Path, tree_path: str, where: str = "") -> Any:
    """Tree (TTree or RNTuple) of an open file.

    Raises
    ------
    NtuplemlError
        If there is no such tree, the object is not a tree, or it cannot be read.
    """
    start = f"{where}: " if where else ""
    found, class_name = None, None
    with damage_as_error(f"{start}tree '{tree_path}' of {path}", Place(str(path), tree_path)):
        class_name = _class_of(file, tree_path)
        if class_name == _OLD_RNTUPLE_CLASS:
            raise NtuplemlError(
                f"{start}{path}: '{tree_path}' is an RNTuple of a ROOT before 6.34, whose format was not final and is "
                "not read any more; read it with the ROOT that wrote it, and write it as a TTree"
            )
        if class_name in _CLASSES:
            found = file[tree_path]
        nearest = did_you_mean(tree_path, tree_paths(file)) if found is None else ""
    if found is None:
        what = f"'{tree_path}' is a {class_name}, not a tree" if class_name else f"no tree '{tree_path}'"
        raise NtuplemlError(f"{start}{path}: {what}{nearest}")
    return found


def _class_of(file: Any, tree_path: str) -> str | None:
    """Class of an object in a file, or None if there is none."""
    import uproot

    folder = file
    *folders, name = tree_path.split("/")
    try:
        for part in folders:
            if folder.key(part).fClassName not in ("TDirectory", "TDirectoryFile"):
                return None
            folder = folder[part]
        return str(folder.key(name).fClassName)
    except uproot.KeyInFileError:
        return None


def tree_paths(file: Any) -> list[str]:
    """Paths of all trees (TTree and RNTuple) in an open file, those in folders included."""
    names = file.iterclassnames(recursive=True, cycle=False)
    return list(dict.fromkeys(name for name, class_name in names if class_name in _CLASSES))


def is_rntuple(tree: Any) -> bool:
    """Whether an object of uproot is an RNTuple rather than a TTree."""
    return bool(tree.classname == _RNTUPLE_CLASS)


def one_line(error: BaseException) -> str:
    """First line of an error's message, or its kind where there is none."""
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(":") if lines and lines[0].strip() else type(error).__name__


def _check_header(path: Path, start: str) -> None:
    """Compare the size of a file with what its first bytes say: half a copy is found before anything is read."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(20)
    except FileNotFoundError:
        raise NtuplemlError(f"{start}{path}: {_what_is_missing(path)}") from None
    except OSError as error:
        raise NtuplemlError(f"{start}{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    if header[:4] != b"root" or (len(header) >= 12 and header[8:12] != _BEGIN):
        what = "is empty" if size == 0 else _what_pickle(path, header) or "is not a ROOT file"
        raise NtuplemlError(f"{start}{path}: {what}")
    if len(header) < 20:
        raise NtuplemlError(f"{start}{path}: is truncated: only {size} bytes are there; copy or make it anew")
    (version,) = struct.unpack(">i", header[4:8])
    is_large = version >= _LARGE_FILE_VERSION
    (end,) = struct.unpack(">q", header[12:20]) if is_large else struct.unpack(">i", header[12:16])
    if size < end:
        raise NtuplemlError(f"{start}{path}: is truncated: {size} of {end} bytes are there; copy or make it anew")


def _what_pickle(path: Path, header: bytes) -> str | None:
    """What to do with a table that pandas wrote as a pickle; None for other files."""
    if header[0] != _PICKLE and not {*path.suffixes} & _PICKLE_ENDINGS:  # `.pkl.gz` is one, too
        return None
    return (
        "is a pickle, which can run any program when it is read, so that it is not; if you trust where it is from: "
        f'python -c "import pandas; pandas.read_pickle({str(path)!r}).to_parquet({path.stem + ".parquet"!r})"'
    )


def _what_is_missing(path: Path) -> str:
    if path.is_symlink():
        return f"a link to {path.readlink()}, which is not there"
    if _REMOTE.search(str(path)):
        return "not a local file; copy it (e.g. with xrdcp) or give its path in a mounted folder"
    siblings = [item.name for item in path.parent.glob("*.root")] if path.parent.is_dir() else []
    return "no such file" + (did_you_mean(path.name, siblings) if siblings else elsewhere(path))
