"""Scores as new branches of the ntuple itself."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ntupleml.application.chains import read_from_files
from ntupleml.application.inputs import open_input
from ntupleml.application.needed import branches_to_read
from ntupleml.application.plan import branches_as_text, make_plan
from ntupleml.application.progress import rate, shown
from ntupleml.application.resuming import scores_mark
from ntupleml.application.scores import scored_chunks
from ntupleml.application.selection import EventCounts
from ntupleml.atomic import locked
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.appending import append_branches, require_appendable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ntupleml.application.plan import Plan

log = logging.getLogger(__name__)


def append_scores(
    dataset_path: str | Path,
    training_path: str | Path,
    application_path: str | Path,
    input_path: str | Path,
    tree_path: str,
    overwrite: bool = False,
) -> int:
    """Score an ntuple and append the scores to its tree; every other object and branch of the file stays.

    Parameters
    ----------
    dataset_path, training_path, application_path : path
        The configs.
    input_path, tree_path : path, str
        ROOT file and tree (TTree) in it.
    overwrite : bool, default: False
        Whether score branches that are there already are replaced.

    Returns
    -------
    int
        Number of events.
    """
    plan = make_plan(dataset_path, training_path, application_path)
    return append_planned_scores(plan, input_path, tree_path, overwrite=overwrite).events


def append_planned_scores(
    plan: Plan,
    input_path: str | Path,
    tree_path: str,
    *,
    overwrite: bool = False,
    output_path: Path | None = None,
    into: bool = False,
    level: int = logging.INFO,
) -> EventCounts:
    """Append scores by a plan that is made already; otherwise as `append_scores`.

    Parameters
    ----------
    overwrite : bool, default: False
        Whether score branches, and a file in the place of the output, are replaced.
    output_path : Path, optional
        Where a copy with the scores is written; the input stays as it is.
    into : bool, default: False
        Whether that copy is there already, and its tree gets the scores.
    level : int, optional
        Of the line in the log.

    Returns
    -------
    EventCounts
        Numbers of events: all, and those that were not scored.
    """
    with locked(output_path or input_path):
        extended = output_path if into and output_path is not None else None
        return _append(
            plan, input_path, tree_path, overwrite=overwrite, output_path=output_path, extended=extended, level=level
        )


def _append(
    plan: Plan,
    input_path: str | Path,
    tree_path: str,
    *,
    overwrite: bool,
    output_path: Path | None,
    extended: Path | None,
    level: int,
) -> EventCounts:
    require_appendable(extended or input_path, tree_path, plan.all_branches, overwrite=overwrite)
    mark = scores_mark(plan, input_path, tree_path, in_place=True)
    start = time.monotonic()
    with open_input(plan, input_path, tree_path) as ntuple:
        needed = [*branches_to_read(plan, ntuple), *plan.branches_before]
        clash = sorted(read_from_files(ntuple, needed) & set(plan.all_branches))
        if clash:
            raise NtuplemlError(
                f"{plan.where}: branch_prefix: new branch '{clash[0]}' would replace what its scores are made from; "
                "choose another prefix"
            )
        counts = EventCounts()

        def columns() -> Iterator[dict[str, Any]]:
            nonlocal counts
            for chunk in shown(scored_chunks(plan, ntuple), ntuple.num_entries, str(input_path)):
                counts = counts.plus(chunk.counts)
                yield chunk.columns

        append_branches(
            extended or input_path,
            tree_path,
            plan.branch_types,
            columns(),
            overwrite=overwrite,
            output_path=None if extended else output_path,
            mark=mark,
        )
        log.log(
            level,
            "%s: tree '%s': scores appended as %s (%s%s)",
            output_path or input_path,
            tree_path,
            branches_as_text(plan),
            rate(ntuple.num_entries, start),
            counts.as_text(plan),
        )
        return counts
