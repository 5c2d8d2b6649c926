"""Scores as friends: one file per ntuple, a ROOT, HDF5 or Parquet one, with one entry per entry of the ntuple."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ntupleml.application.inputs import ntuple_name, open_input
from ntupleml.application.outputs import Job, require_own_outputs
from ntupleml.application.plan import make_plan
from ntupleml.application.progress import rate, shown
from ntupleml.application.resuming import scores_mark
from ntupleml.application.scores import scored_chunks
from ntupleml.application.selection import EventCounts
from ntupleml.atomic import locked
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.ntuples.extending import added_tree, objects_in
from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.friends import FRIEND_ENDINGS, friend_file_name, friend_tree_path
from ntupleml.ntuples.inspection import list_trees
from ntupleml.ntuples.marks import MARK_KEY
from ntupleml.ntuples.table_files import new_table_file, require_table_name
from ntupleml.ntuples.tree_files import require_tree_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike

    from ntupleml.application.plan import Plan
    from ntupleml.ntuples import Ntuple

log = logging.getLogger(__name__)

#: Version of the record of a friend that is no ROOT file.
FORMAT_VERSION = 1


class _Writable(Protocol):
    def extend(self, columns: Mapping[str, Any]) -> None: ...


def write_friends(
    dataset_path: str | Path,
    training_path: str | Path,
    application_path: str | Path,
    input_paths: Sequence[str | Path],
    tree_path: str,
    overwrite: bool = False,
) -> list[Path]:
    """Score ntuples and write the scores into friends, `{output_directory}/{name}/{name}.root` (or `.h5`, `.parquet`).

    The name is that of the folder that holds the input file. The friend has the same path in its file as the tree (see
    `ntupleml.ntuples.friends.friend_tree_path`), and besides the scores a copy of the event branch (of the entry number
    where there is none), so that a friend of other events can be noticed. A friend file that holds other trees keeps
    them. Everything is checked before anything is written.

    Parameters
    ----------
    dataset_path, training_path, application_path : path
        The configs; `output_directory` of the last one says where the friends go.
    input_paths : sequence of path
        ROOT, HDF5 or Parquet files.
    tree_path : str
        Tree in them (TTree or RNTuple), or group.
    overwrite : bool, default: False
        Whether friend trees that exist are replaced.

    Returns
    -------
    list of Path
        The friend files, in the order of the input files.
    """
    plan = make_plan(dataset_path, training_path, application_path)
    return write_planned_friends(plan, input_paths, tree_path, overwrite=overwrite)


def write_planned_friends(
    plan: Plan, input_paths: Sequence[str | Path], tree_path: str, *, overwrite: bool = False
) -> list[Path]:
    """Write friends by a plan that is made already; otherwise as `write_friends`."""
    require_friends(plan, tree_path)
    jobs = friend_jobs(plan, list(map(_as_given, input_paths)))
    for job in jobs:
        require_new(job, tree_path, overwrite=overwrite)
    for job in jobs:
        with open_input(plan, job.input_path, tree_path):
            pass
    for job in jobs:
        write_friend(plan, job, tree_path, overwrite=overwrite)
    return [job.output_path for job in jobs]


def _as_given(path: str | Path) -> str:
    return str(path)


def require_friends(plan: Plan, tree_path: str) -> None:
    """Check that friends can be written by a plan, whatever the inputs."""
    require_branch_names([*plan.all_branches, *plan.identity], plan.where)
    if plan.friend_format != "root":
        require_table_name(f"friends{FRIEND_ENDINGS[plan.friend_format]}")
    elif tree_path.strip("/"):  # not the root of an HDF5 file, or a Parquet file: there the name of the file is taken
        require_tree_path(tree_path.strip("/"), "friend trees")
    if plan.output_directory is None and plan.where == "--weights":
        raise NtuplemlError("--friend: give --output-directory (or an application config), the folder of the friends")
    if plan.output_directory is None:
        raise NtuplemlError(f"{plan.where}: key 'output_directory' is missing; friend files are written there")


def friend_jobs(plan: Plan, input_paths: Sequence[str], *, keep_names: bool = False) -> list[Job]:
    """Friend of each input, checked against each other.

    Parameters
    ----------
    plan : Plan
        With an output directory, see `require_friends`.
    keep_names : bool, default: False
        Whether a friend is called as its input, `{output_directory}/{folder}/{file}`; where several inputs lie in one
        folder it always is.
    """
    folder, kind = Path(plan.output_directory or ""), plan.friend_format
    names = [ntuple_name(path) for path in input_paths]
    times = Counter(names)
    jobs = []
    for name, path in zip(names, input_paths, strict=True):
        is_kept = keep_names or times[name] > 1
        file_name = friend_file_name(path, kind) if is_kept else f"{name}{FRIEND_ENDINGS[kind]}"
        jobs.append(Job(path, folder / name / file_name))
    require_own_outputs(jobs, "its friend")
    return jobs


def require_new(job: Job, tree_path: str, *, overwrite: bool) -> bool:
    """Whether the friend's file exists and holds more than the tree that is to be written."""
    if not job.output_path.exists():
        return False
    if format_of(job.output_path) is not None:
        _require_own_table(job.output_path, tree_path, overwrite=overwrite)
        return False
    objects = objects_in(job.output_path)
    tree_path = friend_tree_path(job.input_path, tree_path)
    if tree_path in objects and not overwrite:
        raise NtuplemlError(f"{job.output_path}: has a tree '{tree_path}' already; give --overwrite to replace it")
    return bool(objects - {tree_path})


def _require_own_table(path: Path, tree_path: str, *, overwrite: bool) -> None:
    """Refuse to replace an HDF5 or Parquet file unless asked to, or one that has other tables."""
    others = [
        one for one in list_trees(path) if one.kind != "Parquet" and one.tree_path.strip("/") != tree_path.strip("/")
    ]
    if others:
        raise NtuplemlError(
            f"{path}: has a table '{others[0].tree_path}', which would be lost; choose another output_directory"
        )
    if not overwrite:
        raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")


def write_friend(
    plan: Plan, job: Job, tree_path: str, *, overwrite: bool = False, level: int = logging.INFO
) -> EventCounts:
    """Write one friend; numbers of its events, and of those that were not scored.

    Where another command writes the file, with this tree or another one, this one begins at its end.

    Parameters
    ----------
    level : int, optional
        Of the line in the log.
    """
    with locked(job.output_path):
        return _write_friend(plan, job, tree_path, overwrite=overwrite, level=level)


def _write_friend(plan: Plan, job: Job, tree_path: str, *, overwrite: bool, level: int) -> EventCounts:
    start, counts = time.monotonic(), EventCounts()
    extends = require_new(job, tree_path, overwrite=overwrite)
    with open_input(plan, job.input_path, tree_path) as ntuple:
        types: dict[str, DTypeLike | str] = {**plan.branch_types, **identity_types(plan, ntuple)}
        mark = str(scores_mark(plan, job.input_path, tree_path, in_place=False) or "")
        friend_tree = friend_tree_path(job.input_path, tree_path) if plan.friend_format == "root" else tree_path
        if plan.friend_format == "root":
            writer = _friend_tree(job.output_path, friend_tree, types, extends, overwrite, mark)
        else:
            writer = _friend_table(job.output_path, types, ntuple, mark, overwrite=overwrite)
        with writer as tree:
            for chunk in shown(scored_chunks(plan, ntuple), ntuple.num_entries, job.input_path):
                tree.extend({**chunk.columns, **chunk.identity})
                counts = counts.plus(chunk.counts)
        log.log(
            level,
            "%s: tree '%s': scores of %s (%s%s)",
            job.output_path,
            friend_tree,
            job.input_path,
            rate(ntuple.num_entries, start),
            counts.as_text(plan),
        )
        return counts


def identity_types(plan: Plan, ntuple: Ntuple) -> dict[str, np.dtype[Any]]:
    """Types of the columns that tell events: those of the branches where these are integers, or 64 bits."""
    types = {name: None if own is None else ntuple.branches[own].dtype for name, own in plan.identity.items()}
    return {name: kind if kind is not None and kind.kind in "iu" else np.dtype("i8") for name, kind in types.items()}


@contextmanager
def _friend_tree(
    path: Path, tree_path: str, types: Mapping[str, DTypeLike | str], extends: bool, overwrite: bool, title: str
) -> Iterator[_Writable]:
    """The tree to write, in a new file or beside the other trees of the file that exists."""
    if extends:
        with added_tree(path, tree_path, types, overwrite=overwrite, title=title) as tree:
            yield tree
        return
    with new_tree_file(path, overwrite=overwrite) as file:
        yield file.tree(tree_path, types, title)


@contextmanager
def _friend_table(
    path: Path, types: Mapping[str, DTypeLike | str], ntuple: Ntuple, mark: str, *, overwrite: bool
) -> Iterator[_Writable]:
    """The HDF5 or Parquet table to write, called as that of the ntuple."""
    of_ntuple = {
        "path": ntuple.path, "tree": ntuple.tree_path, "uuid": ntuple.uuid, "entries": ntuple.num_entries
    }  # fmt: skip
    record = {"format_version": FORMAT_VERSION, "kind": "friend", "ntuple": of_ntuple, MARK_KEY: mark}
    with new_table_file(path, ntuple.tree_path, types, ntuple.num_entries, overwrite=overwrite) as table:
        yield table
        table.finish(json.dumps(record))
