"""Friend trees: files that hold more branches for the same events, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence


class FriendFile(NamedTuple):
    """A friend of an ntuple: its file, its tree, and the name under which formulas may address its branches."""

    path: str
    tree_path: str
    name: str


def friend_files(friend_paths: Sequence[str], file: str, tree_path: str, where: str = "") -> list[FriendFile]:
    """Friends of an input file: the file of the same name in each friend folder.

    Parameters
    ----------
    friend_paths : sequence of str
        Folders of friends; the last part of each is the friend's name.
    file : str
        Input file, relative to the folder of the input files.
    tree_path : str
        Tree in the input file; that of a friend has the same path.
    where : str, optional
        Beginning of the message.

    Raises
    ------
    NtuplemlError
        If a friend file is missing, or two folders give friends of one name.
    """
    start = f"{where}: " if where else ""
    friends: list[FriendFile] = []
    for folder in friend_paths:
        name = Path(folder).resolve().name
        path = Path(folder) / file
        if not path.is_file():
            raise NtuplemlError(f"{start}{path}: no such file; each folder of friend_paths needs a friend of '{file}'")
        if any(friend.name == name for friend in friends):
            raise NtuplemlError(
                f"{start}friend_paths: two folders are called '{name}', and friends are told apart by that; rename one"
            )
        friends.append(FriendFile(str(path), tree_path, name))
    return friends
