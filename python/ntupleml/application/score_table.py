"""Scores of the rows of any number of ntuples as one HDF5 or Parquet table: with event numbers and chosen columns."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.application.friend_trees import identity_types
from ntupleml.application.inputs import open_input
from ntupleml.application.progress import rate
from ntupleml.application.scores import scored_rows, values_of_branches
from ntupleml.application.selection import EventCounts
from ntupleml.datasets.table_records import FILE_ENTRY, ORIGIN
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import required_branches
from ntupleml.ntuples.input_files import expand_inputs, require_no_input
from ntupleml.ntuples.table_files import FILE_INDEX, new_table_file, require_table_name
from ntupleml.ntuples.variables import variable_values
from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.application.plan import Plan
    from ntupleml.application.scores import ScoredRows
    from ntupleml.ntuples import Ntuple

log = logging.getLogger(__name__)

#: Group of an HDF5 file that has the columns.
TREE_PATH = "scores"
FORMAT_VERSION = 1


class _Input(NamedTuple):
    """A file, and what its columns are."""

    path: str
    uuid: str
    entries: int
    types: dict[str, np.dtype[Any]]


def write_score_table(
    plan: Plan,
    inputs: Sequence[str],
    tree_path: str,
    output: str | Path,
    columns: Mapping[str, str] | None = None,
    *,
    overwrite: bool = False,
) -> int:
    """Score ntuples, and write one table with a row for each event, or object, that was scored.

    Its columns are `file_index` and `file_entry` (file and entry that a row is from), the event branch, the position
    in the event where rows are objects (``{objects}_index``), the columns that are asked for, and the scores by the
    names of the plan's branches. Rows that the selection leaves out are not in it.

    Parameters
    ----------
    inputs : sequence of str
        See `ntupleml.ntuples.input_files.expand_inputs`.
    output : path
        HDF5 or Parquet, as its name says.
    columns : mapping of str to str, optional
        Branches or formulas by the names that their columns get.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    NtuplemlError
        Before anything is written, for whatever is wrong with a file, a column or the name of the table; and for
        values that cannot be scored.
    """
    require_table_name(output)
    columns = dict(columns or {})
    paths = expand_inputs(inputs)
    require_no_input(Path(output), paths)
    _require_names(plan, columns)
    opened = [_looked_at(plan, path, tree_path, columns) for path in paths]
    for other in opened[1:]:
        _require_same_types(opened[0], other)
    start, rows, counts = time.monotonic(), 0, EventCounts()
    most = sum(one.entries for one in opened)
    with (
        new_table_file(output, TREE_PATH, opened[0].types, most, overwrite=overwrite) as table,
        progress_bar(most) as advance,
    ):
        for index, path in enumerate(paths):
            with open_input(plan, path, tree_path) as ntuple:
                needed = required_branches(_formulas(plan, columns), ntuple.branches, ntuple.where)
                for scored in scored_rows(plan, ntuple, needed):
                    table.extend(_columns(plan, scored, index, columns, ntuple.where))
                    rows += len(scored.rows)
                    counts = counts.plus(scored.counts)
                    advance(path, scored.chunk.stop - scored.chunk.start)
        table.finish(json.dumps(_record(plan, opened, tree_path, columns)))
    left_out = counts.failed + counts.trained + counts.missing
    log.info("%s: %s rows of %s", output, f"{rows:,}", rate(counts.events, start))
    if left_out:
        log.info("%s: left out: %s of its rows, which the selection does not take", output, f"{left_out:,}")
    return rows


def _require_names(plan: Plan, columns: Mapping[str, str]) -> None:
    if plan.scorer.per_step:
        raise NtuplemlError(
            f"{plan.where}: the model gives a list of scores per row, which no table has; write friends"
        )
    names = [*_first_columns(plan), *columns, *plan.all_branches]
    if unnamed := next((name for name in columns if not name.isidentifier()), None):
        raise NtuplemlError(f"--branch '{unnamed}': a formula needs a name; give NAME={unnamed}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise NtuplemlError(f"--branch: the table would have two columns '{twice}'; give another name, NAME=FORMULA")


def _first_columns(plan: Plan) -> list[str]:
    """Which event, or object, a row is."""
    return [FILE_INDEX, FILE_ENTRY, *_identity(plan), *([] if plan.rows is None else [f"{plan.rows.objects}_index"])]


def _identity(plan: Plan) -> list[str]:
    """Columns that tell an event, besides file and entry."""
    return [name for name, own in plan.identity.items() if own is not None]


def _formulas(plan: Plan, columns: Mapping[str, str]) -> list[str]:
    return [*([] if plan.rows is None else [f"{plan.rows.objects}_index"]), *columns.values()]


def _looked_at(plan: Plan, path: str, tree_path: str, columns: Mapping[str, str]) -> _Input:
    """Check a file, before any is scored."""
    with open_input(plan, path, tree_path) as ntuple:
        ntuple.require(required_branches(_formulas(plan, columns), ntuple.branches, f"{ntuple.where}: --branch"))
        types = dict.fromkeys(_first_columns(plan), np.dtype(np.int32)) | ORIGIN
        types |= {name: kind for name, kind in identity_types(plan, ntuple).items() if name in _identity(plan)}
        types |= {name: _type_of(formula, ntuple) for name, formula in columns.items()}
        types |= {name: np.dtype(kind) for name, kind in plan.number_types.items()}
        return _Input(path, ntuple.uuid, ntuple.num_entries, types)


def _type_of(formula: str, ntuple: Ntuple) -> np.dtype[Any]:
    """That of a branch; formulas are computed in float64."""
    branch = ntuple.branches.get(formula)
    return np.dtype(np.float64) if branch is None or branch.dtype is None else branch.dtype


def _require_same_types(first: _Input, other: _Input) -> None:
    for name, dtype in first.types.items():
        if other.types[name] != dtype:
            raise NtuplemlError(
                f"{other.path}: column '{name}' is of type {other.types[name]}, but in {first.path} of type {dtype}; "
                "write two tables"
            )


def _columns(plan: Plan, scored: ScoredRows, index: int, columns: Mapping[str, str], where: str) -> dict[str, Any]:
    """Columns of the rows of a chunk that were scored."""
    chunk, rows, objects = scored.chunk, scored.rows, scored.chunk.objects
    entries = chunk.entries[rows]
    found: dict[str, Any] = {FILE_INDEX: np.full(len(rows), index, np.int32), FILE_ENTRY: entries}
    found |= {name: scored.identity[name][entries - chunk.start] for name in _identity(plan)}
    if objects is not None and plan.rows is not None:
        found[f"{plan.rows.objects}_index"] = objects.positions[rows].astype(np.int32)
    for name, formula in columns.items():
        found[name] = variable_values(formula, chunk.columns, chunk.num_rows, f"{where}: --branch")[rows]
    found |= {name: chunk.columns[name][rows] for name in plan.branches_before}
    return found | dict(zip(plan.branch_names, values_of_branches(plan, scored), strict=True))


def _record(plan: Plan, opened: Sequence[_Input], tree_path: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """How the table was made."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": "scores",
        "tree": tree_path,
        "files": [{"path": one.path, "uuid": one.uuid, "entries": one.entries} for one in opened],
        "columns": dict(columns),
        "scores": plan.all_branches,
        "models": list(plan.models),
        "selection": plan.selection.as_key(),
    }
