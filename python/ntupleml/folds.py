"""Which fold an event is in, and which model may score it.

Model i is held out from fold (i + 1) mod k and trained on all the others: for two folds, model i is trained on fold
i and scores the other one, as in htt-ml.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pydantic

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: The largest integer up to which every integer has a float32 of its own.
LARGEST_EXACT_FLOAT32 = 2**24
#: The same for float64.
LARGEST_EXACT_FLOAT64 = 2**53


def event_numbers(values: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Event numbers as 64-bit integers, without loss.

    Parameters
    ----------
    values : array, shape (n_events,)
        Values of the event branch: integers, or floats that hold integers exactly.

    Returns
    -------
    array of int64, shape (n_events,)

    Raises
    ------
    NtuplemlError
        If the branch is a float whose values are not integers, are not finite, or are so large (2²⁴ for float32,
        2⁵³ for float64) that neighbouring event numbers coincide and their parity is lost.
    """
    values = np.asarray(values)
    if values.dtype.kind == "b" or values.dtype.kind not in "iuf":
        raise NtuplemlError(f"{where}: event numbers are of type {values.dtype}; an integer branch is needed")
    if values.dtype.kind in "iu":
        if values.dtype.kind == "u" and values.dtype.itemsize == 8 and (values > np.iinfo(np.int64).max).any():
            raise NtuplemlError(f"{where}: event number {values.max()} does not fit into a signed 64-bit integer")
        return values.astype(np.int64)
    limit = LARGEST_EXACT_FLOAT32 if values.dtype.itemsize <= 4 else LARGEST_EXACT_FLOAT64
    with np.errstate(invalid="ignore"):
        lost = ~(np.abs(values) <= limit)
    if lost.any() and not np.isfinite(values[lost][0]):
        raise NtuplemlError(f"{where}: event number {values[lost][0]} is not an integer; choose another event_branch")
    if lost.any():
        raise NtuplemlError(
            f"{where}: event number {values[lost][0]:.0f} is stored as {values.dtype}, which loses its parity above "
            f"{limit}; store the branch as a 64-bit integer, or leave out event_branch to use the entry number"
        )
    numbers = values.astype(np.int64)
    if (numbers != values).any():
        wrong = values[numbers != values][0]
        raise NtuplemlError(f"{where}: event number {wrong} is not an integer; choose another event_branch")
    return numbers


def fold_of_events(events: NDArray[Any], num_folds: int) -> NDArray[np.int64]:
    """Fold of each event: its number modulo the number of folds, never negative.

    Parameters
    ----------
    events : array of int, shape (n_events,)
        Event numbers (or entry numbers), signed or unsigned.
    num_folds : int
        Number of folds, at least 2.

    Examples
    --------
    >>> fold_of_events(np.array([4, 5, -1]), 2)
    array([0, 1, 1])
    """
    return np.asarray(events % events.dtype.type(num_folds)).astype(np.int64)


def held_out_fold(model: int, num_folds: int) -> int:
    """Fold that a model never saw, on which it is tested and which it scores."""
    return (model + 1) % num_folds


def trained_on(model: int, num_folds: int) -> frozenset[int]:
    """Folds that a model is trained on: all but the one held out."""
    return frozenset(range(num_folds)) - {held_out_fold(model, num_folds)}


def scoring_model(fold: int, num_folds: int) -> int:
    """Model that may score the events of a fold."""
    return (fold - 1) % num_folds


def chosen_models(text: str, num_folds: int, where: str) -> list[int]:
    """Models that the argument FOLD of a script means: one by its index, or `all`.

    Raises
    ------
    NtuplemlError
        If there is no such fold; `where` is the config that has the folds.

    Examples
    --------
    >>> chosen_models("all", 3, "training.yaml")
    [0, 1, 2]
    """
    if text == "all":
        return list(range(num_folds))
    if text.isascii() and text.isdigit() and int(text) < num_folds:
        return [int(text)]
    known = ", ".join(str(index) for index in range(num_folds))
    raise NtuplemlError(f"fold '{text}': {where} has the folds {known}; give one of them, or 'all'")


class FoldTable(NamedTuple):
    """A file that has the fold of each event."""

    path: str
    #: Tree or group; None for the only one.
    tree: str | None = None
    column: str = "fold"
    #: What becomes of events that it lacks: `refused`, or `hash`.
    others: str = "refused"
    #: Checksum that the file must have; empty: any.
    sha256: str = ""

    def decides_as(self, other: FoldTable | None) -> bool:
        """Whether another table gives each event the same fold."""
        own = self.sha256 or sha256_of_table(self.path)
        return other is not None and (own, self.column, self.others, self.tree) == (
            other.sha256 or sha256_of_table(other.path),
            other.column,
            other.others,
            other.tree,
        )


def sha256_of_table(path: str) -> str:
    """Checksum of a file, which is computed once as long as it does not change; empty where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ""
    return _sha256(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=8)
def _sha256(path: str, *_: int) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


class FoldRule(NamedTuple):
    """What decides the fold of an event: its number, a hash of several numbers, or its entry.

    Examples
    --------
    >>> print(FoldRule("event"))
    branch 'event' decides the fold
    >>> print(FoldRule(fold_by=("run", "lumi", "event")))
    a hash of run, lumi, event decides the fold
    >>> print(FoldRule())
    the entry number decides the fold
    """

    #: Branch of event numbers, whose value modulo the number of folds is the fold unless `fold_by` is given.
    event_branch: str | None = None
    #: Branches whose hash modulo the number of folds is the fold.
    fold_by: tuple[str, ...] = ()
    #: Table that has the fold of each event, which these branches tell.
    table: FoldTable | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """Branches that tell an event from others, those that decide the fold among them; none by entry number."""
        own = () if self.event_branch is None else (self.event_branch,)
        return tuple(dict.fromkeys((*self.fold_by, *own)))

    def decides_as(self, other: FoldRule) -> bool:
        """Whether another rule puts each event into the same fold."""
        same_table = self.table is other.table if self.table is None else self.table.decides_as(other.table)
        return self._deciding == other._deciding and same_table

    @property
    def _deciding(self) -> tuple[str | None, tuple[str, ...]]:
        return (None if self.fold_by else self.event_branch), self.fold_by

    @property
    def key(self) -> str:
        """Key of the dataset config that names what decides."""
        return "fold_by" if self.fold_by else "event_branch"

    def __str__(self) -> str:
        """What decides, as part of a sentence."""
        return f"{self.what} decides the fold"

    @property
    def what(self) -> str:
        """What decides, in words."""
        if self.table is not None:
            checksum = self.table.sha256 or sha256_of_table(self.table.path)
            return f"{self.table.path} ({', '.join(self.fold_by)}; SHA-256 {checksum[:8]}…)"
        if self.fold_by:
            return f"a hash of {', '.join(self.fold_by)}"
        return "the entry number" if self.event_branch is None else f"branch '{self.event_branch}'"

    def numbers(self, columns: Mapping[str, Any], entries: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        """Event numbers, hashes or entry numbers, whose remainder is the fold where no table decides.

        Parameters as for `ntupleml.events.fold_numbers.fold_numbers`, which looks tables up as well.

        Raises
        ------
        NtuplemlError
            As `event_numbers`.
        """
        if self.fold_by:
            return hashed_numbers([whole_numbers(columns[name], f"{where}: branch '{name}'") for name in self.fold_by])
        if self.event_branch is None:
            return entries
        return event_numbers(columns[self.event_branch], f"{where}: branch '{self.event_branch}'")


#: By the entry number.
BY_ENTRY = FoldRule()


class DividedByTable(Protocol):
    """Block of a config or a record that says which file has the folds."""

    @property
    def path(self) -> str:
        """Of the file."""

    @property
    def tree(self) -> str | None:
        """Tree or group."""

    @property
    def column(self) -> str:
        """Column of the folds."""

    @property
    def others(self) -> str:
        """What becomes of events that it lacks."""

    @property
    def sha256(self) -> str:
        """Checksum, or nothing."""


class Divided(Protocol):
    """A config or a record that says what decides the fold."""

    @property
    def event_branch(self) -> str | None:
        """Branch of event numbers."""

    @property
    def fold_by(self) -> Sequence[str] | None:
        """Branches whose hash decides in its place."""

    @property
    def fold_file(self) -> DividedByTable | None:
        """File that has the fold of each event."""


def rule_of(source: Divided) -> FoldRule:
    """What decides the fold by a config or a record."""
    block = source.fold_file
    table = None if block is None else FoldTable(block.path, block.tree, block.column, block.others, block.sha256)
    return FoldRule(source.event_branch, tuple(source.fold_by or ()), table)


class FoldFileRecord(pydantic.BaseModel):
    """What a record says of the file that has the fold of each event."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    path: str
    tree: str | None = None
    column: str = "fold"
    others: str = "refused"
    #: Checksum when the dataset was built.
    sha256: str


def record_of_table(rule: FoldRule) -> FoldFileRecord | None:
    """What a record keeps of a rule's table."""
    table = rule.table
    if table is None:
        return None
    return FoldFileRecord(**table._replace(sha256=table.sha256 or sha256_of_table(table.path))._asdict())


def whole_numbers(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Integers of up to 64 bits, with or without sign, without loss.

    Raises
    ------
    NtuplemlError
        As `event_numbers`, which differs in that it takes nothing from 2⁶³ on.
    """
    values = np.asarray(values)
    return values if values.dtype.kind == "u" else event_numbers(values, where)


_STEP, _FIRST_FACTOR, _SECOND_FACTOR = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def hashed_numbers(columns: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Hash of several integers per event, from 0 to 2⁶³ − 1: other programs compute the same.

    Parameters
    ----------
    columns : sequence of array of int, shape (n_events,)
        Signed or unsigned, of at most 64 bits; their order counts.

    Notes
    -----
    The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), value by value: from h = 0, with the value v as 64
    bits (two's complement where it has a sign) and sums and products modulo 2⁶⁴::

        h = (h ^ v) + 0x9E3779B97F4A7C15
        h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9
        h = (h ^ (h >> 27)) * 0x94D049BB133111EB
        h = h ^ (h >> 31)

    The result is h >> 1, which integers with a sign can hold as well.

    Examples
    --------
    >>> int(hashed_numbers([np.array([0])])[0]) == 0xE220A8397B1DCDAF >> 1  # first of SplitMix64 with seed 0
    True
    """
    bits = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        wide = column.astype(np.int64 if column.dtype.kind == "i" else np.uint64, copy=False).view(np.uint64)
        bits = (bits ^ wide) + np.uint64(_STEP)
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_FIRST_FACTOR)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_SECOND_FACTOR)
        bits = bits ^ (bits >> np.uint64(31))
    return (bits >> np.uint64(1)).astype(np.int64)
