"""Copying the selected events of an input file, with cut and weight, into the trees of the folds."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.inputs import opened_rows
from ntupleml.datasets.records import WeightSums
from ntupleml.datasets.sampling import passing_rows
from ntupleml.errors import NtuplemlError
from ntupleml.events.fold_numbers import fold_numbers
from ntupleml.events.reading import require_same_events
from ntupleml.expressions import parse
from ntupleml.folds import fold_of_events, hashed_numbers, rule_of
from ntupleml.ntuples import TreeFile, UnreadableBranchError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import InputFile, Process
    from ntupleml.datasets.repeated_events import RepeatedEvents
    from ntupleml.expressions import Expression
    from ntupleml.ntuples import Chunk, Ntuple, Tree

log = logging.getLogger(__name__)

#: What all trees that are being written may gather together, in bytes.
_GATHERED_BYTES = 128_000_000


class _Selected(NamedTuple):
    """Events of one fold in a chunk."""

    #: Event numbers (or entry numbers) of the fold, before the cut.
    numbers: NDArray[np.int64]
    #: Positions in the chunk of the events kept.
    rows: NDArray[np.intp]
    #: Shape (len(rows),).
    weights: NDArray[np.float32]
    #: Shape (len(rows),). What tells the events; none where nothing does, or several rows are of one.
    hashes: NDArray[np.int64] | None


def _select(config: DatasetConfig, chunk: Chunk, process: Process, file: InputFile) -> list[_Selected]:
    """Apply cut and weight of a process to a chunk of one of its files.

    Parameters
    ----------
    chunk : Chunk
        With the branches of the formulas, the event number and its copies in friends.

    Returns
    -------
    list of _Selected
        One for each fold. An event is kept where the cut is not zero, for any element of a vector, as in ROOT.
    """
    number = chunk.num_rows
    rule = rule_of(config)
    events = fold_numbers(rule, chunk.columns, chunk.entries, file.path)
    folds = fold_of_events(events, config.num_folds)
    kept = passing_rows(config, chunk, process, file)
    weights = process.formulas.weight.per_event(chunk.columns, number)
    hashes = _hashes(config, chunk, file)
    selected = []
    for fold in range(config.num_folds):
        in_fold = folds == fold
        rows = np.flatnonzero(in_fold & kept)
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite, and that is reported
            scaled = (weights.take(rows) * process.scale).astype(np.float32)
        selected.append(_Selected(events[in_fold], rows, scaled, hashes if hashes is None else hashes[rows]))
    return selected


def _hashes(config: DatasetConfig, chunk: Chunk, file: InputFile) -> NDArray[np.int64] | None:
    rule = rule_of(config)
    if config.rows is not None or not rule.branches:
        return None
    numbers = rule.numbers(chunk.columns, chunk.entries, file.path)
    return numbers if rule.fold_by else hashed_numbers([numbers])


class WrittenFold(NamedTuple):
    """A fold file that is complete."""

    name: str
    uuid: str
    #: For each class, its branches and their types.
    branches: dict[str, dict[str, str]]


@contextmanager
def new_fold_files(
    config: DatasetConfig, places: Sequence[Path], final_paths: Sequence[Path]
) -> Iterator[list[TreeFile]]:
    """Files for the folds, written at some places; `finish` completes them."""
    cluster_bytes = min(16_000_000, _GATHERED_BYTES // config.num_folds)
    with ExitStack() as stack:
        files = []
        for place, path in zip(places, final_paths, strict=True):
            files.append(TreeFile(place, path, cluster_bytes))
            stack.callback(files[-1].close)
        yield files


def finish(file: TreeFile) -> WrittenFold:
    """Complete and check a file."""
    file.finish()
    branches = {
        name: {branch: str(kind) for branch, kind in tree.branch_types.items()} for name, tree in file.trees.items()
    }
    return WrittenFold(file.final_path.name, file.uuid, branches)


def branch_types(config: DatasetConfig, process: Process) -> dict[str, Any]:
    """Types of the branches of a process's tree, the weight last."""
    types: dict[str, Any] = {name: branch.type for name, branch in process.files[0].copied.items()}
    types[config.training_weight_branch] = np.dtype(np.float32)
    return types


def copy_events(
    config: DatasetConfig,
    process: Process,
    file: InputFile,
    trees: Sequence[Tree],
    repeated: RepeatedEvents,
    advance: Callable[[str, int], None],
) -> list[WeightSums]:
    """Copy the selected events of one file of a process.

    Parameters
    ----------
    trees : sequence of Tree
        One for each fold.
    repeated : RepeatedEvents
        Gets the selected events.
    advance : callable
        Takes a description and the number of events read since the last call.

    Returns
    -------
    list of WeightSums
        What was read and kept for each fold.
    """
    sums = [WeightSums() for _ in trees]
    formulas = process.formulas
    rule = rule_of(config)
    needed = {*formulas.weight.columns, *file.event_copies, *rule.branches}.union(
        *(one.columns for one in formulas.cuts)
    )
    names = [*needed, *(branch.source for branch in file.copied.values())]
    bad_weights = _BadWeights()
    with (
        _way_round_unreadable(config.branches, needed),
        opened_rows(config, process.name, file.path, file.friends) as ntuple,
    ):
        if (ntuple.uuid, ntuple.size, ntuple.num_entries) != (file.uuid, file.size, file.num_entries):
            raise NtuplemlError(
                f"processes.{process.name}: {file.path}: has changed since the build began; build again"
            )
        variables = _Variables(config, ntuple)
        for chunk in ntuple.chunks([*names, *variables.columns]):
            require_same_events(ntuple, rule, chunk.columns, chunk.entries, file.path)
            selected = _select(config, chunk, process, file)
            undefined = variables.undefined(chunk)
            for tree, fold_sums, (numbers, rows, weights, hashes) in zip(trees, sums, selected, strict=True):
                bad_weights.look(chunk, rows, weights)
                fold_sums.add(numbers, weights)
                fold_sums.undefined += Counter({name: int(bad[rows].sum()) for name, bad in undefined.items()})
                if hashes is not None:
                    repeated.add(hashes)
                columns = {name: _rows_of(chunk, branch.source, rows) for name, branch in file.copied.items()}
                tree.extend({**columns, config.training_weight_branch: weights})
            advance(f"process {process.name}", chunk.stop - chunk.start)
    if bad_weights.number:
        raise NtuplemlError(
            f"processes.{process.name}.weight_string: '{formulas.weight.text}' is NaN or infinite for "
            f"{bad_weights.number} of the selected events of {file.path}, first at entry {bad_weights.first_entry}; "
            "change the weight or cut these events away"
        )
    log.debug("read %s", file.path)
    return sums


class _Variables:
    """Variables of the config that may have no value in a row, such as an element of a list that is shorter."""

    def __init__(self, config: DatasetConfig, ntuple: Ntuple) -> None:
        branches = ntuple.branches
        self._formulas: dict[str, Expression | None] = {}
        for index, name in enumerate(config.variables or ()):
            if name in branches and branches[name].kind == "scalar":
                if branches[name].dtype in (np.float32, np.float64):
                    self._formulas[name] = None
            elif name not in branches:
                formula = parse(name, f"variables[{index}]")
                if formula.branches <= branches.keys():
                    self._formulas[name] = formula

    @property
    def columns(self) -> list[str]:
        """What is to be read for them."""
        needed = ({name} if formula is None else formula.columns for name, formula in self._formulas.items())
        return sorted(set().union(*needed))

    def undefined(self, chunk: Chunk) -> dict[str, NDArray[np.bool_]]:
        """Rows of a chunk without a finite value, by the variable; lists are left out."""
        found = {}
        for name, formula in self._formulas.items():
            values = chunk.columns[name] if formula is None else formula.evaluate(chunk.columns, chunk.num_rows)
            if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind == "f":
                found[name] = ~np.isfinite(values)
        return found


@contextmanager
def _way_round_unreadable(branches: str | Sequence[str], needed: Container[str]) -> Iterator[None]:
    """Say how to do without a branch that cannot be read to its end, where only its copy is asked for."""
    try:
        yield
    except UnreadableBranchError as error:
        if branches == "needed" or error.branch in needed:
            raise
        raise NtuplemlError(f"{error}, or leave it out: list the branches to copy under 'branches'") from error


def _rows_of(chunk: Chunk, name: str, rows: NDArray[np.intp]) -> NDArray[np.generic]:
    column = chunk.columns[name]
    taken: NDArray[np.generic] = column.take(rows, axis=0) if isinstance(column, np.ndarray) else column[rows]
    return taken


@dataclass
class _BadWeights:
    """_Selected events of a file whose weight is not a finite number."""

    number: int = 0
    first_entry: int | None = None

    def look(self, chunk: Chunk, rows: NDArray[np.intp], weights: NDArray[np.float32]) -> None:
        bad = np.flatnonzero(~np.isfinite(weights))
        if len(bad):
            entry = int(chunk.entries[rows[bad[0]]])
            self.first_entry = entry if self.first_entry is None else min(entry, self.first_entry)
            self.number += len(bad)
