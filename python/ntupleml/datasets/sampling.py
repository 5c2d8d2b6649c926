"""Which rows of a process are kept: those that pass its cuts, or an exact number of them, chosen at random."""

from __future__ import annotations

import logging
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.datasets.inputs import opened_rows
from ntupleml.datasets.splitting import hash_of
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.cluster.tasks import FinishedTasks
    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import InputFile, Process
    from ntupleml.ntuples import Chunk

log = logging.getLogger(__name__)

#: Bits of a row's number that are left for its place among the rows of its event.
_ROW_BITS = 20


class _Passing(NamedTuple):
    """Rows of a file that pass."""

    number: int
    #: The smallest of their keys, not more than are asked for.
    keys: NDArray[np.uint64]


def passing_rows(config: DatasetConfig, chunk: Chunk, process: Process, file: InputFile) -> NDArray[np.bool_]:
    """Rows of a chunk that pass the cuts and, where a number is asked for, are among the chosen ones."""
    passed = np.ones(chunk.num_rows, np.bool_)
    for cut in process.formulas.cuts:
        passed &= cut.passes(chunk.columns, chunk.num_rows)
    if process.largest_key is not None:
        passed &= row_keys(config, chunk, process, file) <= np.uint64(process.largest_key)
    return passed


def row_keys(config: DatasetConfig, chunk: Chunk, process: Process, file: InputFile) -> NDArray[np.uint64]:
    """A random number for each row, different for all rows of a process.

    It depends on the seed, the process, the entry of all its files, and the place of the row in its event: not on
    chunks, nor on who reads.
    """
    entries = chunk.entries
    first = np.concatenate([[True], entries[1:] != entries[:-1]])[: len(entries)]
    starts = np.flatnonzero(first)
    places = np.arange(len(entries)) - starts[np.cumsum(first) - 1]
    numbers = ((file.entries_before + entries) << _ROW_BITS) + places
    return hash_of(numbers, config.seed, zlib.crc32(process.name.encode()))


def with_chosen_rows(
    config: DatasetConfig, processes: Sequence[Process], finished_tasks: FinishedTasks
) -> list[Process]:
    """The processes; those with `num_events` know the largest key of the rows that are kept.

    The files of these are read once more for it.
    """
    tasks = [
        (config, replace(process, files=(file,)))
        for process in processes
        if process.config.num_events
        for file in process.files
    ]
    found: dict[str, list[_Passing]] = {}
    for place, passing, error in finished_tasks(find_passing, tasks):
        if error is not None:
            raise NtuplemlError(error)
        found.setdefault(tasks[place][1].name, []).append(passing)
    return [_with_largest_key(process, found.get(process.name)) for process in processes]


def find_passing(config: DatasetConfig, process: Process) -> _Passing:
    """Count the rows of the one file of a process that pass."""
    (file,) = process.files
    names = sorted(frozenset().union(*(cut.columns for cut in process.formulas.cuts)))
    wanted = process.config.num_events or 0
    number, keys = 0, np.empty(0, np.uint64)
    with opened_rows(config, process.name, file.path, file.friends) as rows:
        for chunk in rows.chunks(names):
            new = row_keys(config, chunk, process, file)[passing_rows(config, chunk, process, file)]
            number += len(new)
            keys = _smallest(np.concatenate([keys, new]), wanted)
    return _Passing(number, keys)


def _smallest(keys: NDArray[np.uint64], number: int) -> NDArray[np.uint64]:
    return keys if len(keys) <= number else np.partition(keys, number - 1)[:number]


def _with_largest_key(process: Process, found: Sequence[_Passing] | None) -> Process:
    number = process.config.num_events
    if found is None or number is None:
        return process
    passing = sum(one.number for one in found)
    where = f"processes.{process.name}.num_events"
    if passing < number:
        log.warning("%s: %s asked for, but only %s rows pass; all are kept", where, f"{number:,}", f"{passing:,}")
        return process
    log.info("%s: %s of %s rows that pass are kept", where, f"{number:,}", f"{passing:,}")
    keys = _smallest(np.concatenate([one.keys for one in found]), number)
    return replace(process, largest_key=int(keys.max()))
