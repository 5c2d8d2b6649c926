"""Whether a friend tree belongs to its tree, entry by entry."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.application.friend_trees import event_branch_of_friend
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.friends import friend_of

if TYPE_CHECKING:
    from pathlib import Path

_ENTRIES_PER_CHUNK = 1_000_000


def require_aligned(path: str | Path, friend_path: str | Path, tree_path: str, event_branch: str | None = None) -> None:
    """Check that a friend tree holds the same events as its tree, in the same order.

    Parameters
    ----------
    path : path
        File of the ntuple.
    friend_path : path
        File of the friend.
    tree_path : str
        Tree, of the same path in both (see `ntupleml.ntuples.friends.friend_of`).
    event_branch : str, optional
        Branch of event numbers; None where the dataset config has none, so that only the number of entries and the
        friend's own count can be compared.
    """
    name = event_branch_of_friend(event_branch)
    with ExitStack() as stack:
        main = stack.enter_context(open_ntuple(path, tree_path))
        friend = stack.enter_context(open_ntuple(friend_path, friend_of(path, tree_path, friend_path, "").tree_path))
        main.require([event_branch] if event_branch is not None else [], str(path))
        friend.require([name], str(friend_path))
        if friend.num_entries != main.num_entries:
            raise NtuplemlError(
                f"{friend_path}: tree '{tree_path}' has {friend.num_entries} entries, that of {path} has "
                f"{main.num_entries}; write the friend anew"
            )
        ours = main.chunks([event_branch] if event_branch is not None else [], _ENTRIES_PER_CHUNK)
        theirs = friend.chunks([name], _ENTRIES_PER_CHUNK)
        for (start, stop, columns), (_, _, friend_columns) in zip(ours, theirs, strict=True):
            expected = np.arange(start, stop) if event_branch is None else columns[event_branch]
            different = np.flatnonzero(np.asarray(expected) != friend_columns[name])
            if len(different):
                first = int(different[0])
                raise NtuplemlError(
                    f"{friend_path}: entry {start + first} of tree '{tree_path}' is event "
                    f"{friend_columns[name][first]}, in {path} it is event {expected[first]}; write the friend anew"
                )
