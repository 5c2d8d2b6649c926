"""An ntuple to score: its name, its friends, and the branches that the models need of it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import FriendFile, open_ntuple, required_branches
from ntupleml.ntuples.friends import friend_file_name, friend_of
from ntupleml.ntuples.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.application.plan import Plan
    from ntupleml.ntuples import Ntuple


def ntuple_name(path: str | Path) -> str:
    """Name of an ntuple: that of the folder that holds its file, as in htt-ml.

    Examples
    --------
    >>> ntuple_name("ntuples/ggh_2018/ggh_2018.root")
    'ggh_2018'
    """
    # abspath, not resolve: where a file is a link, its name is the one that the user gave it
    name = Path(os.path.abspath(path)).parent.name  # noqa: PTH100
    if not name:
        raise NtuplemlError(f"{path}: lies in no folder, and the name of its folder is that of its friend; move it")
    return name


def friends_of(path: str | Path, tree_path: str, friend_paths: Sequence[str]) -> list[FriendFile]:
    """Friends of an input file, one in each friend folder.

    Parameters
    ----------
    path : path
        The input file.
    tree_path : str
        Tree in it; that of a friend has the same path (see `ntupleml.ntuples.friends.friend_tree_path`).
    friend_paths : sequence of str
        Folders of friends; the last part of each is the friend's name. A friend is `{folder}/{name}/{file name}` (as
        `--keep-names` writes it; with the ending `.root` beside an HDF5 or Parquet file), where name is that of the
        folder of the input file, or else `{folder}/{name}/{name}.root`, or else `{folder}/{file name}`.
    """
    name, file_name = ntuple_name(path), Path(path).name
    friends: list[FriendFile] = []
    for folder in friend_paths:
        names = (file_name, friend_file_name(path))
        own = [*(Path(folder) / name / one for one in names), Path(folder) / name / f"{name}.root"]
        candidates = list(dict.fromkeys([*own, *(Path(folder) / one for one in names)]))
        found = [candidate for candidate in candidates if candidate.is_file()]
        if not found:
            *others, last = map(str, candidates)
            neither = f"neither {', '.join(others)} nor {last}"
            raise NtuplemlError(f"{path}: no friend of it in '{folder}' of friend_paths: {neither} is there")
        friend = friend_of(path, tree_path, found[0], Path(folder).resolve().name)
        if friend.name in [other.name for other in friends]:
            raise NtuplemlError(
                f"friend_paths: two folders are called '{friend.name}', and friends are told apart by that; rename one"
            )
        friends.append(friend)
    return friends


@contextmanager
def open_input(plan: Plan, path: str | Path, tree_path: str) -> Iterator[Ntuple]:
    """Open an ntuple with its friends, its rows where these are objects, and check that the models can score it."""
    with open_ntuple(path, tree_path, friends_of(path, tree_path, plan.friend_paths)) as ntuple:
        if plan.event_branch is not None:
            _require_event_branch(ntuple, plan.event_branch)
        ntuple = rows_of(ntuple, plan.rows, f"{path}: rows of the dataset config")
        ntuple.require(branches_to_read(plan, ntuple), str(path))
        yield ntuple


def _require_event_branch(ntuple: Ntuple, name: str) -> None:
    ntuple.require([name], f"{ntuple.path}: event branch (the dataset config's event_branch, or --event-branch)")
    branch = ntuple.branches[name]
    if branch.kind != "scalar":
        raise NtuplemlError(
            f"{ntuple.path}: event branch: branch '{name}' is of type {branch.type_name}; one "
            "integer per event is needed"
        )


def branches_to_read(plan: Plan, ntuple: Ntuple) -> list[str]:
    """Branches of the variables and the selection, that of the event numbers, and its copies in friends."""
    where = f"{ntuple.path}: tree '{ntuple.tree_path}'"
    needed = required_branches(variables_in(plan, ntuple), ntuple.branches, where)
    needed += plan.selection.branches(ntuple)
    if plan.event_branch is not None:
        needed += [plan.event_branch, *ntuple.copies_in_friends(plan.event_branch)]
    return list(dict.fromkeys(needed))


def variables_in(plan: Plan, ntuple: Ntuple) -> list[str]:
    """The variables of the models, as this ntuple has them: formulas of its branches, or else labels.

    A variable of TMVA weights is its expression, as for TMVA itself. Only where the ntuple lacks a branch that the
    expression needs, but has one that is called as the variable's label, that branch is taken.
    """
    return [_as_label(name, plan, ntuple) for name in plan.scorer.variables]


def _as_label(variable: str, plan: Plan, ntuple: Ntuple) -> str:
    label = plan.labels.get(variable)
    if label is None or label not in ntuple.branches:
        return variable
    try:
        required_branches([variable], ntuple.branches, ntuple.path)
    except NtuplemlError:
        return label
    return variable
