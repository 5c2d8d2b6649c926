"""The trees of the classes in fold files, each with its friends of the same file: every reader opens them here."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ntupleml.ntuples import FriendFile, open_ntuple
from ntupleml.ntuples.opening import open_root_file, tree_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntupleml.datasets.hypotheses import Hypotheses
    from ntupleml.ntuples import Ntuple


def class_friends(path: str, name: str, where: str = "") -> tuple[FriendFile, ...]:
    """Friends of a class's tree in a fold file: the trees whose names begin with `{class}_friend`, as in htt-ml."""
    with open_root_file(path, where) as file:
        names = [tree for tree in tree_paths(file) if tree.startswith(f"{name}_friend")]
    return tuple(FriendFile(path, friend, friend) for friend in names)


@contextmanager
def open_class_tree(path: str, name: str, where: str = "", hypotheses: Hypotheses | None = None) -> Iterator[Ntuple]:
    """Open the tree of a class in a fold file, together with its friends.

    Parameters
    ----------
    path : str
        The fold file.
    name : str
        Class, and name of the tree.
    hypotheses : Hypotheses, optional
        Gives the parameters of the training to classes that have none.

    Raises
    ------
    NtuplemlError
        As `ntupleml.ntuples.open_ntuple`.
    """
    with open_ntuple(path, name, class_friends(path, name, where), where) as ntuple:
        yield ntuple if hypotheses is None else hypotheses.given_to(ntuple, name)
