"""What is done already: scores carry a mark of all that they were made from, in the header of their tree."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.application.inputs import friends_of
from ntupleml.folds import record_of_table
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.inspection import has_table
from ntupleml.ntuples.marks import Mark, read_marks
from ntupleml.ntuples.opening import find_tree, is_rntuple, open_root_file
from ntupleml.ntuples.tree_headers import basket_list

if TYPE_CHECKING:
    from ntupleml.application.plan import Plan

#: How much of a basket is compared; the last one ends before the end of the file by more than that.
_COMPARED_BYTES = 64


def plan_key(plan: Plan) -> str:
    """SHA-256 of what a plan makes of an event: the models, the inputs, the selection and the new branches."""
    scorer = plan.scorer
    return _digest(
        {
            "models": plan.models,
            "variables": scorer.variables,
            "classes": scorer.outputs,
            "conditions": scorer.conditions,
            "non_finite": scorer.non_finite,
            "num_folds": scorer.num_folds,
            "branches": plan.branch_names,
            "max_branches": plan.max_branches,
            "event_branch": plan.fold_rule.event_branch,
            **({"fold_by": plan.fold_rule.fold_by} if plan.fold_rule.fold_by else {}),
            **({} if (table := record_of_table(plan.fold_rule)) is None else {"fold_file": table.model_dump()}),
            "friend_paths": plan.friend_paths,
            "condition": plan.condition,
            "labels": dict(plan.labels),
            **plan.selection.as_key(),
            **({"parameters": dict(plan.parameters)} if plan.parameters else {}),
            **({} if plan.rows is None else {"rows": plan.rows.model_dump()}),
            **({} if plan.accept is None else {"accept": plan.accept._asdict()}),
            **({"before": [plan_key(one) for one in plan.before]} if plan.before else {}),
        }
    )


def scores_mark(plan: Plan, input_path: str | Path, tree_path: str, *, in_place: bool) -> Mark | None:
    """Mark of the scores of an ntuple, or None for a plan whose models have no checksums.

    The ntuple and its friends are known by the UUIDs of their files, their entries and sizes. Scores in place change
    size and UUID (ROOT makes a new one whenever it writes to a file): there the baskets of all branches that are not
    scores tell the ntuple, by their places, sizes and the beginning of the first one.

    Parameters
    ----------
    in_place : bool
        Whether the scores go into the tree itself or a copy of it.
    """
    if not plan.models:
        return None
    scored = _scored_branches(plan, input_path, tree_path) if in_place else None
    files = [_identity(input_path, tree_path, scored)]
    for friend in friends_of(input_path, tree_path, plan.friend_paths):
        files.append(_identity(friend.path, friend.tree_path, None))
    return Mark(_digest({"plan": plan_key(plan), "files": files}), tuple(plan.all_branches))


def _scored_branches(plan: Plan, path: str | Path, tree_path: str) -> set[str]:
    """Branches of this run and of all others that left a mark."""
    marked = [name for mark in read_marks(path, tree_path) for name in mark.branches]
    return {*plan.all_branches, *marked}


def _identity(path: str | Path, tree_path: str, scored: set[str] | None) -> list[Any]:
    """UUID, entries and size, or where there are scores in place: entries and baskets."""
    if format_of(path) is not None:
        with open_ntuple(path, tree_path) as ntuple:
            return [ntuple.uuid, ntuple.num_entries, ntuple.size]
    with open_root_file(path) as file:
        tree = find_tree(file, path, tree_path)
        if scored is None or is_rntuple(tree):
            return [str(file.file.uuid), int(tree.num_entries), int(file.file.fEND)]
        baskets = basket_list(tree, scored)
        return [int(tree.num_entries), baskets, [_beginning(file, places[0]) for *_, places in baskets]]


def _beginning(file: Any, place: int) -> int:
    """CRC-32 of the first bytes of a basket, which say when it was written and what is in it."""
    if place == 0:
        return 0
    return zlib.crc32(bytes(file.file.source.chunk(place, place + _COMPARED_BYTES).raw_data))


def is_finished(mark: Mark | None, output_path: str | Path, tree_path: str) -> bool:
    """Whether a file holds the scores that a mark stands for, every branch of them complete."""
    if mark is None or not Path(output_path).exists():
        return False
    if format_of(output_path) is not None:  # is there with its mark when it is complete
        return has_table(output_path, tree_path) and mark in read_marks(output_path, tree_path)
    with open_root_file(output_path) as file:
        if not _has_tree(file, tree_path):
            return False
        tree = find_tree(file, output_path, tree_path)
        entries = {branch.name: branch.num_entries for branch in tree.branches} if not is_rntuple(tree) else {}
        if any(entries.get(name) != tree.num_entries for name in mark.branches):
            return False
    return mark in read_marks(output_path, tree_path)


def _has_tree(file: Any, tree_path: str) -> bool:
    return tree_path.strip("/") in file.keys(recursive=True, cycle=False)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=int).encode()).hexdigest()
