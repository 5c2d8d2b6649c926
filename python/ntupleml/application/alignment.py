"""Whether a friend tree belongs to its tree, entry by entry."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.application.plan import ENTRY_BRANCH
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.friends import friend_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ENTRIES_PER_CHUNK = 1_000_000


def require_aligned(
    path: str | Path, friend_path: str | Path, tree_path: str, event_branch: str | Sequence[str] | None = None
) -> None:
    """Check that a friend tree holds the same events as its tree, in the same order.

    Parameters
    ----------
    path : path
        File of the ntuple.
    friend_path : path
        File of the friend.
    tree_path : str
        Tree, of the same path in both (see `ntupleml.ntuples.friends.friend_of`).
    event_branch : str or sequence of str, optional
        Branches that tell an event; None where the dataset config has none, so that only the number of entries and the
        friend's own count can be compared.
    """
    own = [event_branch] if isinstance(event_branch, str) else list(event_branch or ())
    names = [name.rsplit(".", 1)[-1] for name in own] or [ENTRY_BRANCH]
    with ExitStack() as stack:
        main = stack.enter_context(open_ntuple(path, tree_path))
        friend = stack.enter_context(open_ntuple(friend_path, friend_of(path, tree_path, friend_path, "").tree_path))
        main.require(own, str(path))
        friend.require(names, str(friend_path))
        if friend.num_entries != main.num_entries:
            raise NtuplemlError(
                f"{friend_path}: tree '{tree_path}' has {friend.num_entries} entries, that of {path} has "
                f"{main.num_entries}; write the friend anew"
            )
        ours, theirs = main.chunks(own, _ENTRIES_PER_CHUNK), friend.chunks(names, _ENTRIES_PER_CHUNK)
        for (start, stop, columns), (_, _, friend_columns) in zip(ours, theirs, strict=True):
            expected = [columns[name] for name in own] or [np.arange(start, stop)]
            for name, values in zip(names, expected, strict=True):
                different = np.flatnonzero(np.asarray(values) != friend_columns[name])
                if len(different):
                    first, what = int(different[0]), "event" if isinstance(event_branch, str | None) else name
                    raise NtuplemlError(
                        f"{friend_path}: entry {start + first} of tree '{tree_path}' is {what} "
                        f"{friend_columns[name][first]}, in {path} it is {what} {values[first]}; write the friend anew"
                    )
