"""Columns of one table in chunks, and files that hold tables: what ROOT, HDF5 and Parquet have in common."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.opening import one_line
from ntupleml.ntuples.root_opinion import Place, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.ntuples.branches import Branch

#: One value per event (numpy), or an array (numpy), or a list per event (awkward array; regular where all lists are of
#: one length by type).
Column = Any
#: What is said of a file that cannot be read.
DAMAGED = "the file is damaged or incomplete; copy or make it anew"
#: Parts of a file whose bytes tell it from others, and their size.
_SAMPLES, _SAMPLE_BYTES = 64, 16_384
TableKind = Literal["TTree", "RNTuple", "HDF5", "Parquet"]


class TreeContent(NamedTuple):
    """A table of a file: path, kind, entries, number of branches; or why it cannot be read."""

    tree_path: str
    kind: str
    num_entries: int = 0
    num_branches: int = 0
    problem: str | None = None


class Source(Protocol):
    """One table of one file."""

    #: Table and file, for messages.
    label: str
    #: The same, after what asks for it.
    where: str
    kind: TableKind
    num_entries: int
    branches: dict[str, Branch]
    #: Names that the table holds more than once.
    duplicates: set[str]

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        """Columns of consecutive `step` entries, keyed by the given names."""
        ...


class TableFile(Protocol):
    """An open file."""

    #: ROOT's UUID of the file; of another file, a number of this form made from its bytes.
    uuid: str
    #: In bytes.
    size: int

    def tables(self) -> list[TreeContent]:
        """What is in the file, tables in folders included."""
        ...

    def source(self, tree_path: str, where: str = "") -> Source:
        """One of its tables.

        Raises
        ------
        NtuplemlError
            If there is no such table, or it cannot be read.
        """
        ...


class UnreadableBranchError(NtuplemlError):
    """A branch some of whose entries cannot be read.

    Attributes
    ----------
    branch : str
        Its name.
    reason : str
        What the library that reads it says.
    place : Place or None
        In a ROOT file; None where the reason says all.
    """

    def __init__(self, message: str, branch: str, reason: str, place: Place | None) -> None:
        super().__init__(message)
        self.branch = branch
        self.reason = reason
        self.place = place

    @classmethod
    def found(
        cls, where: str, branch: str, error: Exception | str, start: int, place: Place | None = None
    ) -> UnreadableBranchError:
        """The error for what the library says, from an entry on."""
        reason = one_line(error) if isinstance(error, Exception) else error
        message = f"{where}: branch '{branch}' cannot be read at entries {start} and following: {reason}"
        return cls(message, branch, reason, place)

    def judged(self) -> UnreadableBranchError:
        """The same error with what ROOT says of the file."""
        if self.place is None:
            return self
        return UnreadableBranchError(f"{self}; {verdict(self.place)}", self.branch, self.reason, self.place)


def recut(
    blocks: Iterator[dict[str, Column]], names: Sequence[str], step: int, num_entries: int
) -> Iterator[dict[str, Column]]:
    """Columns of consecutive `step` entries, from blocks of any numbers of entries."""
    held: dict[str, list[Column]] = {name: [] for name in names}
    held_start = held_stop = 0
    for start in range(0, num_entries, step):
        stop = min(start + step, num_entries)
        while held_stop < stop:
            block = next(blocks)
            held_stop += len(block[names[0]])
            for name in names:
                held[name].append(block[name])
        joined = {name: _joined(columns) for name, columns in held.items()}
        yield {name: column[start - held_start : stop - held_start] for name, column in joined.items()}
        rest = {name: column[stop - held_start :] for name, column in joined.items()}
        held = {name: [column] if len(column) else [] for name, column in rest.items()}
        held_start = stop


def lists_of(content: Column, counts: NDArray[Any]) -> Column:
    """Column of lists from the numbers, or lists, of all of them."""
    import awkward as ak

    offsets = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    inner = ak.contents.NumpyArray(content) if isinstance(content, np.ndarray) else content.layout
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), inner))


def _joined(columns: Sequence[Column]) -> Column:
    if len(columns) == 1:
        return columns[0]
    if isinstance(columns[0], np.ndarray):
        return np.concatenate(columns)
    import awkward as ak

    return ak.concatenate(columns)


def plain_column(array: Any, branch: Branch) -> Column:
    """One numpy array for numbers and arrays, an awkward one for lists; of regular type where all have one length."""
    import awkward as ak

    has_lists = branch.kind == "vector" or branch.is_nested
    if isinstance(array, np.ndarray) or not has_lists:
        array = array if isinstance(array, np.ndarray) else ak.to_numpy(array)
        array = np.ascontiguousarray(array, dtype=branch.dtype)
    if not has_lists:
        return array
    values = ak.Array(array)
    content = values.type.content.content
    stored = (
        content.content if branch.is_nested else content
    ).primitive  # RNTuples may hold a double as a float of 16 bits
    return values if stored == branch.dtype else ak.values_astype(values, branch.dtype)


def as_numpy(column: Column) -> NDArray[Any]:
    """All numbers of a column in one array: of lists and arrays, the content."""
    if isinstance(column, np.ndarray):
        return column.reshape(-1)
    import awkward as ak

    return np.asarray(ak.flatten(column, axis=1))


def file_identity(path: Path) -> tuple[str, int]:
    """What stands for the UUID of a file that has none, and its size in bytes.

    The UUID is made from the size, the time of the last change and a sample of the bytes.
    """
    status = path.stat()
    digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode())
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(number * max(status.st_size - _SAMPLE_BYTES, 0) // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return str(uuid.UUID(bytes=digest.digest()[:16])), status.st_size
