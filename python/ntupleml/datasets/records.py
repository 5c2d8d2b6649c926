"""What a fold file was made from: the JSON file beside it, and the table of the whole dataset."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from ntupleml.errors import NtuplemlError
from ntupleml.folds import FoldFileRecord, FoldRule, rule_of
from ntupleml.notebook_html import shown, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

#: Version of the record's layout; a program reads the layouts up to its own.
FORMAT_VERSION = 1


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class _Head(pydantic.BaseModel):
    """What is read of a record first: a later layout may have other fields."""

    format_version: int = pydantic.Field(default=FORMAT_VERSION, ge=1)
    dataset: str = ""


class InputFileRecord(_Part):
    """A file that events came from."""

    path: str
    tree_path: str
    #: UUID that ROOT gave the file.
    uuid: str
    #: In bytes.
    size: int
    #: Of the tree.
    entries: int
    #: Paths of its friends.
    friends: list[str] = []


class ProcessRecord(_Part):
    """One process in one fold."""

    #: Tree of the fold file that holds it.
    class_name: str
    cut_string: str
    weight_string: str
    #: Whether these are recorded data, which are never trained on.
    data: bool = False
    #: Factor of the weights, of luminosity and cross section.
    scale: float = 1.0
    #: Events of the fold in the input files.
    events_read: int
    #: Those that pass the cut.
    events_kept: int
    #: Of the events kept, and its statistical uncertainty √Σw².
    sum_of_weights: float
    uncertainty: float
    #: Events kept whose weight is negative.
    negative_events: int
    #: Their share in the events kept, from 0 to 1.
    negative_share: float
    files: list[InputFileRecord]


class FoldRecord(_Part):
    """How a fold file came to be: the content of `fold{k}_{name}.json`."""

    #: Version of this layout.
    format_version: int = FORMAT_VERSION
    #: Identity of the dataset: the same in the records of all its folds, and in no other.
    dataset: str
    #: Name of the fold file and its ROOT UUID.
    file: str
    uuid: str
    fold: int
    num_folds: int
    #: Branch whose value modulo `num_folds` is the fold; None where the entry number in each input file decides.
    event_branch: str | None
    #: Branches whose hash decides in its place (`ntupleml.folds.hashed_numbers`).
    fold_by: list[str] = []
    #: File that has the fold of each event.
    fold_file: FoldFileRecord | None = None
    #: What decides, in words.
    decided_by: str
    training_weight_branch: str
    #: For each class, the copied branches and their types.
    branches: dict[str, dict[str, str]]
    processes: dict[str, ProcessRecord]
    #: The dataset config.
    config: dict[str, Any]
    #: Time in UTC.
    created: str
    #: Versions of the libraries.
    versions: dict[str, str]

    @property
    def fold_rule(self) -> FoldRule:
        """What decides the fold."""
        return rule_of(self)

    @property
    def rows(self) -> dict[str, Any]:
        """The config's block on rows that are objects; {} where rows are events."""
        return self.config.get("rows") or {}


#: Columns of the table of a dataset.
_HEADER = ("process", "class", "fold", "events read", "events kept", "sum of weights", "±", "negative")


@dataclass(frozen=True)
class DatasetSummary:
    """The records of all folds of a dataset, and where the files are."""

    #: Fold files; the index is the fold.
    files: tuple[Path, ...]
    records: tuple[FoldRecord, ...]

    def __str__(self) -> str:
        """Table of processes and folds."""
        return text_table(_HEADER, self._rows(), right_aligned_from=2)

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return shown(f"Dataset of {len(self.files)} folds, {self.files[0]} and so on", table(_HEADER, self._rows()))

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                name,
                process.class_name,
                str(record.fold),
                f"{process.events_read:,}",
                f"{process.events_kept:,}",
                f"{process.sum_of_weights:.6g}",
                f"{process.uncertainty:.3g}",
                f"{process.negative_share:.1%}",
            )
            for name in self.records[0].processes
            for record in self.records
            for process in [record.processes[name]]
        ]


def record_path(fold_file: str | Path) -> Path:
    """Path of the record beside a fold file."""
    return Path(fold_file).with_suffix(".json")


def read_fold_record(fold_file: str | Path, uuid: str | None = None) -> FoldRecord | None:
    """Record of a fold file, or None if there is none beside it.

    Parameters
    ----------
    uuid : str, optional
        UUID of the fold file, which must be that in the record.

    Raises
    ------
    NtuplemlError
        If there is a record that cannot be read, of a later version, or of another file.
    """
    path = record_path(fold_file)
    content = _content(path)
    if content is None:
        return None
    _head(content, path)
    with _damage_as_error(path):
        record = FoldRecord.model_validate_json(content)
    if uuid is not None and record.uuid != uuid:
        raise NtuplemlError(
            f"{path}: is the record of another file than {fold_file}, whose UUID is {uuid}; build the dataset anew"
        )
    return record


def require_one_build(fold_files: Sequence[str | Path]) -> None:
    """Refuse fold files that were not made together, as far as they have records: an event may be in several of them.

    Raises
    ------
    NtuplemlError
        Naming the first that is of another build than the one before it.
    """
    before: tuple[str, str | Path] | None = None
    for file in fold_files:
        content = _content(record_path(file))
        if content is None:
            continue
        dataset = _head(content, record_path(file)).dataset
        if before is not None and before[0] != dataset:
            raise NtuplemlError(
                f"datasets: {file} and {before[1]} were not made together, so an event may be in both; build the "
                "dataset anew"
            )
        before = dataset, file


def _content(path: Path) -> bytes | None:
    """Content of a record; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _head(content: bytes, path: Path) -> _Head:
    with _damage_as_error(path):
        head = _Head.model_validate_json(content)
    if head.format_version > FORMAT_VERSION:
        raise NtuplemlError(
            f"{path}: is of format {head.format_version}, which a later version of ntupleml wrote; this one reads "
            f"formats up to {FORMAT_VERSION}: update it, or build the dataset anew"
        )
    return head


@contextmanager
def _damage_as_error(path: Path) -> Iterator[None]:
    try:
        yield
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise NtuplemlError(
            f"{path}: not the record of a fold file: {where + ': ' if where else ''}{first['msg']}; "
            "build the dataset anew"
        ) from error


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], right_aligned_from: int) -> str:
    """Aligned plain text: for logs and files as well as for terminals.

    Examples
    --------
    >>> print(text_table(("class", "events"), [("signal", "10"), ("tt", "2,000")], right_aligned_from=1))
    class   events
    ------  ------
    signal      10
    tt       2,000
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    aligned = [
        "  ".join(
            cell.ljust(width) if column < right_aligned_from else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in aligned)


class NumberRange:
    """Range of event numbers, and a bound on how many different ones there are, taken chunk by chunk.

    Attributes
    ----------
    smallest, largest : int or None
        None without events.
    """

    def __init__(self) -> None:
        self.smallest: int | None = None
        self.largest: int | None = None
        self._runs = 0

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Take in the numbers of a chunk."""
        if len(numbers):
            runs = 1 + int(np.count_nonzero(numbers[1:] != numbers[:-1]))
            self._widen(int(numbers.min()), int(numbers.max()), runs)

    def add_range(self, other: NumberRange) -> None:
        """Take over the range of other events."""
        if other.smallest is not None and other.largest is not None:
            self._widen(other.smallest, other.largest, other._runs)

    def _widen(self, smallest: int, largest: int, runs: int) -> None:
        self.smallest = smallest if self.smallest is None else min(self.smallest, smallest)
        self.largest = largest if self.largest is None else max(self.largest, largest)
        self._runs += runs

    @property
    def most_different(self) -> int:
        """Not more numbers than this are different: as runs of one number there are, or integers in the range."""
        if self.smallest is None or self.largest is None:
            return 0
        return min(self._runs, self.largest - self.smallest + 1)


class WeightSums:
    """Sums over the weights, and the numbers, of the events of one process in one fold, taken chunk by chunk."""

    def __init__(self) -> None:
        self.events_read = 0
        self.events_kept = 0
        self.negative_events = 0
        self.events_of_weight_zero = 0
        self._sum = 0.0
        self._sum_of_squares = 0.0
        self.numbers = NumberRange()
        #: Kept events without a finite value of a variable, by its formula.
        self.undefined: Counter[str] = Counter()

    def add(self, numbers: NDArray[np.int64], weights: Any) -> None:
        """Count a chunk: the numbers of the events of the fold, and the weights of those kept."""
        weights = weights.astype("f8")
        self.events_read += len(numbers)
        self.numbers.add(numbers)
        self.events_kept += len(weights)
        self.negative_events += int((weights < 0).sum())
        self.events_of_weight_zero += int((weights == 0).sum())
        self._sum += float(weights.sum())
        self._sum_of_squares += float((weights**2).sum())

    def add_sums(self, other: WeightSums) -> None:
        """Take over what was counted of other events."""
        self.events_read += other.events_read
        self.numbers.add_range(other.numbers)
        self.undefined += other.undefined
        self.events_kept += other.events_kept
        self.negative_events += other.negative_events
        self.events_of_weight_zero += other.events_of_weight_zero
        self._sum += other._sum
        self._sum_of_squares += other._sum_of_squares

    @property
    def sum(self) -> float:
        """Sum of weights."""
        return self._sum

    @property
    def uncertainty(self) -> float:
        """Statistical uncertainty of the sum, √Σw²."""
        return math.sqrt(self._sum_of_squares)

    @property
    def negative_share(self) -> float:
        """Share of the kept events whose weight is negative."""
        return self.negative_events / max(self.events_kept, 1)
