"""Kinds of files with tables, told apart by their first bytes: a module and a line here for each."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.hdf5_sources import open_hdf5_tables
from ntupleml.ntuples.parquet_sources import open_parquet_tables
from ntupleml.ntuples.remote import is_remote
from ntupleml.ntuples.root_sources import open_root_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from ntupleml.ntuples.sources import TableFile


#: What is read of a file to tell its kind.
_MOST_BYTES = 4096


class Format(NamedTuple):
    """A kind of file besides ROOT's."""

    name: str
    #: What its files begin with.
    signature: bytes
    #: Positions at which the signature may stand.
    places: tuple[int, ...]
    #: Usual ends of its files' names.
    endings: tuple[str, ...]
    #: Takes the path, and the beginning of messages.
    open: Callable[[Path, str], AbstractContextManager[TableFile]]


FORMATS = (
    # behind a block of the user's own, if there is one
    Format("HDF5", b"\x89HDF\r\n\x1a\n", (0, 512, 1024, 2048), (".h5", ".hdf5", ".hdf"), open_hdf5_tables),
    Format("Parquet", b"PAR1", (0,), (".parquet", ".pq"), open_parquet_tables),
)


def format_of(path: str | Path, where: str = "") -> Format | None:
    """Kind of a file; None for a ROOT file, and for what is not there or of no kind known.

    Raises
    ------
    NtuplemlError
        If an address names an HDF5 or Parquet file, which only lies on disks, or a file is called like one and is none.
    """
    start = f"{where}: " if where else ""
    named = next((kind for kind in FORMATS if str(path).endswith(kind.endings)), None)
    if isinstance(path, str) and is_remote(path):
        if named is not None:
            raise NtuplemlError(
                f"{start}{path}: {named.name} files are read from disks only, ROOT files from addresses too; copy it"
            )
        return None
    try:
        with Path(path).open("rb") as file:
            beginning = file.read(_MOST_BYTES)
    except OSError:  # ROOT's reader says what is wrong
        return None
    for kind in FORMATS:
        if any(beginning[place:].startswith(kind.signature) for place in kind.places):
            return kind
    if named is not None and beginning and not beginning.startswith(b"root"):
        raise NtuplemlError(f"{start}{path}: is not the {named.name} file that its name says")
    return None


@contextmanager
def open_tables(path: str | Path, where: str = "") -> Iterator[TableFile]:
    """Open a file of any kind for reading.

    Parameters
    ----------
    path : str or Path
        A local file, or the address of a ROOT file, e.g. root://host//path.
    """
    kind = format_of(path, where)
    with open_root_tables(path, where) if kind is None else kind.open(Path(path), where) as file:
        yield file
