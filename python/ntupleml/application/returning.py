"""Scores of a converted table back to the ntuples that it was made from, as friends."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.application.accepting import NOT_ACCEPTED
from ntupleml.application.inputs import ntuple_name
from ntupleml.application.outputs import Job, require_own_outputs
from ntupleml.application.plan import ENTRY_BRANCH
from ntupleml.atomic import all_or_none
from ntupleml.datasets.table_records import FILE_ENTRY, read_table_record
from ntupleml.errors import NtuplemlError
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples.friends import FriendFile, friend_file_name, friend_of, friend_tree_path
from ntupleml.ntuples.inspection import list_trees
from ntupleml.ntuples.table_files import FILE_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntupleml.datasets.table_records import SurveyedFile, TableRecord
    from ntupleml.ntuples import Ntuple

    Scores = dict[str, NDArray[Any]]

log = logging.getLogger(__name__)

#: Name of the friend while it is read; branches are `scores.…`.
_FRIEND = "scores"
_MAX_INDEX = "max_index"


def return_scores(
    table: str | Path,
    friend: str | Path,
    output_directory: str | Path,
    *,
    default_score: float = -1.0,
    overwrite: bool = False,
) -> list[Path]:
    """Write a friend of each ntuple that a table was converted from: `{output_directory}/{folder}/{file}`.

    Parameters
    ----------
    table : path
        As `convert` wrote it.
    friend : path
        Friend of the table with its scores.
    default_score : float, default: -1
        Of the events that are not in the table; `max_index` is −1 for them.

    Raises
    ------
    NtuplemlError
        If the table has no record, the friend is that of another table, an ntuple has changed since it was converted,
        or a friend exists and must not be overwritten.
    """
    record = read_table_record(Path(table))
    if record is None:
        raise NtuplemlError(f"{table}: was not written by ntupleml convert; only its tables know where a row is from")
    if record.objects is not None:
        raise NtuplemlError(
            f"{table}: its rows are objects of '{record.objects}', of which an event may have several; score the "
            "ntuples themselves"
        )
    jobs = []
    for one in record.files:
        path = one.file.path
        jobs.append(Job(path, Path(output_directory) / ntuple_name(path) / friend_file_name(path)))
    require_own_outputs(jobs, "its friend")
    for job in jobs:
        if job.output_path.exists() and not overwrite:
            raise NtuplemlError(f"{job.output_path}: exists already; give --overwrite to replace it")
    with all_or_none(), open_ntuple(table, record.group, [_friend_file(Path(table), record.group, friend)]) as ntuple:
        scores, copies = _branches(ntuple, str(friend))
        for index, values in _by_file(ntuple, record, scores, copies, default_score):
            _write(jobs[index], record.files[index].file, values, copies, overwrite)
            rows, entries = record.files[index].rows, record.files[index].file.entries
            log.info("%s: scores of %s of %s events", jobs[index].output_path, f"{rows:,}", f"{entries:,}")
    return [job.output_path for job in jobs]


def _friend_file(table: Path, group: str, friend: str | Path) -> FriendFile:
    """The only tree of the file, or the one that is called as a friend of the table is."""
    trees = [tree.tree_path for tree in list_trees(friend)]
    usual = friend_of(table, group, friend, _FRIEND)
    return usual._replace(tree_path=trees[0]) if len(trees) == 1 else usual


def _branches(ntuple: Ntuple, friend: str) -> tuple[list[str], list[str]]:
    """Score branches of the friend, and the branches shared with the table, by which events are compared."""
    names = [own for _, own in ntuple.friend_branches.values()]
    copies = [name for name in names if name in ntuple.main_branches]
    scores = [name for name in names if name not in (*copies, ENTRY_BRANCH)]
    for name in scores:
        if ntuple.branches[f"{_FRIEND}.{name}"].kind != "scalar":
            raise NtuplemlError(f"{friend}: branch '{name}' is not one number per event")
    if not scores:
        raise NtuplemlError(f"{friend}: holds no scores")
    return scores, copies


def _by_file(
    ntuple: Ntuple, record: TableRecord, scores: list[str], copies: list[str], default_score: float
) -> Iterator[tuple[int, Scores]]:
    """Scores of all events of one file after the other."""
    names = [*scores, *copies]
    missing = [one.rows for one in record.files]
    values: dict[int, Scores] = {}
    for index, rows in enumerate(missing):
        if rows == 0:
            yield index, _defaults(record.files[index].file, ntuple, scores, default_score)
    wanted = [FILE_INDEX, FILE_ENTRY, *copies, *(f"{_FRIEND}.{name}" for name in names)]
    for chunk in ntuple.chunks(wanted):
        for name in copies:
            if not np.array_equal(chunk.columns[name], chunk.columns[f"{_FRIEND}.{name}"]):
                raise NtuplemlError(f"{ntuple.path}: '{name}' differs between it and the friend: of other events")
        indices = chunk.columns[FILE_INDEX]
        for index in map(int, np.unique(indices)):
            of_file = np.flatnonzero(indices == index)
            if index not in values:
                values[index] = _defaults(record.files[index].file, ntuple, scores, default_score)
            for name in scores:
                values[index][name][chunk.columns[FILE_ENTRY][of_file]] = chunk.columns[f"{_FRIEND}.{name}"][of_file]
            missing[index] -= len(of_file)
            if missing[index] == 0:
                yield index, values.pop(index)


def _defaults(file: SurveyedFile, ntuple: Ntuple, scores: list[str], default_score: float) -> Scores:
    types = {name: np.dtype(ntuple.branches[f"{_FRIEND}.{name}"].dtype) for name in scores}
    return {name: np.full(file.entries, _default(name, types[name], default_score), types[name]) for name in scores}


def _default(name: str, dtype: np.dtype[Any], default_score: float) -> float:
    """What an event has that is not in the table; integers are accept bits."""
    if dtype.kind in "ub":
        return NOT_ACCEPTED
    return -1 if name.endswith(_MAX_INDEX) else default_score


def _write(job: Job, file: SurveyedFile, values: Scores, copies: list[str], overwrite: bool) -> None:
    """Write the friend of one ntuple, with what tells its events."""
    with (
        open_ntuple(file.path, file.tree_path) as ntuple,
        new_tree_file(job.output_path, overwrite=overwrite) as written,
    ):
        if (ntuple.uuid, ntuple.num_entries) != (file.uuid, file.entries):
            raise NtuplemlError(f"{file.path}: has changed since it was converted; convert it again")
        own = [name for name in copies if name in ntuple.main_branches and ntuple.branches[name].kind == "scalar"]
        types: dict[str, Any] = {name: column.dtype for name, column in values.items()}
        types |= {name: ntuple.branches[name].dtype for name in own} or {ENTRY_BRANCH: np.dtype(np.int64)}
        tree = written.tree(friend_tree_path(file.path, file.tree_path), types)
        for chunk in ntuple.chunks(own or [ENTRY]):
            identity = {name: chunk.columns[name] for name in own} or {ENTRY_BRANCH: chunk.columns[ENTRY]}
            tree.extend({**{name: one[chunk.start : chunk.stop] for name, one in values.items()}, **identity})
