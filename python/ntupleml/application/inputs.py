"""An ntuple to score: its name, its friends, and the branches that the models need of it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.application.chains import with_scores
from ntupleml.application.needed import branches_to_read
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import FriendFile, open_ntuple
from ntupleml.ntuples.friends import FRIEND_ENDINGS, friend_file_names, friend_of
from ntupleml.ntuples.given import with_columns
from ntupleml.ntuples.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

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
        `--keep-names` writes it; with the ending of its own format, such as `.root`), where name is that of the folder
        of the input file, or else `{folder}/{name}/{name}.root` (or `.h5`, `.parquet`), or else
        `{folder}/{file name}`.
    """
    name, names = ntuple_name(path), friend_file_names(path)
    friends: list[FriendFile] = []
    for folder in friend_paths:
        own = [f"{name}/{one}" for one in [*names, *(name + ending for ending in FRIEND_ENDINGS.values())]]
        candidates = [Path(folder) / one for one in dict.fromkeys([*own, *names])]
        found = [candidate for candidate in candidates if candidate.is_file()]
        if not found:
            *others, last = (str(one) for one in candidates if one.suffix in (".root", Path(path).suffix))
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
    """Open an ntuple with its friends, its rows where these are objects, and check that the models can score it.

    Models that score first give it further branches.
    """
    with open_ntuple(path, tree_path, friends_of(path, tree_path, plan.friend_paths)) as ntuple:
        for name in dict.fromkeys(name for one in (plan, *plan.before) for name in one.fold_rule.branches):
            _require_event_branch(ntuple, name)
        ntuple = _with_parameters(ntuple, plan, path)
        ntuple = rows_of(ntuple, plan.rows, f"{path}: rows of the dataset config")
        for one in (*plan.before, plan):
            ntuple.require(branches_to_read(one, ntuple), str(path))
            if one is not plan:
                ntuple = with_scores(ntuple, one)
        yield ntuple


def _with_parameters(ntuple: Ntuple, plan: Plan, path: str | Path) -> Ntuple:
    """The ntuple with the numbers that stand for branches."""
    givers = {name: partial(_constant, value=value) for name, value in plan.parameters.items()}
    ntuple = with_columns(ntuple, givers)
    absent = [name for name in plan.asked_parameters if name not in ntuple.branches]
    if absent:
        raise NtuplemlError(
            f"{path}: no branch '{absent[0]}', which is a parameter of the training; give its number in parameters of "
            f"{plan.where}, or as --parameter {absent[0]}=NUMBER"
        )
    return ntuple


def _constant(entries: NDArray[np.int64], value: float) -> NDArray[np.float64]:
    return np.full(len(entries), value)


def _require_event_branch(ntuple: Ntuple, name: str) -> None:
    ntuple.require(
        [name], f"{ntuple.path}: event branch (the dataset config's event_branch or fold_by, or --event-branch)"
    )
    branch = ntuple.branches[name]
    if branch.kind != "scalar":
        raise NtuplemlError(
            f"{ntuple.path}: event branch: branch '{name}' is of type {branch.type_name}; one "
            "integer per event is needed"
        )
