"""Friend trees: files that hold more branches for the same events, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.remote import joined

if TYPE_CHECKING:
    from collections.abc import Sequence


class FriendFile(NamedTuple):
    """A friend of an ntuple: its file, its tree, and the name under which formulas may address its branches."""

    path: str
    tree_path: str
    name: str


def friend_file_name(path: str | Path) -> str:
    """Name of the file of a friend: that of the ntuple, but with the ending of a ROOT file, which friends are."""
    return Path(path).name if format_of(path) is None else f"{Path(path).stem}.root"


def friend_tree_path(path: str | Path, tree_path: str) -> str:
    """Path of the tree of a friend: that of the ntuple; of an HDF5 or Parquet file, the group's or the file's name."""
    return tree_path if format_of(path) is None else tree_path.strip("/").rpartition("/")[2] or Path(path).stem


def friend_of(path: str | Path, tree_path: str, friend_path: str | Path, name: str) -> FriendFile:
    """Friend of an ntuple in a file: a ROOT file, or one of another kind, where its table is called as the ntuple's."""
    is_alike = format_of(friend_path) is not None
    return FriendFile(str(friend_path), tree_path if is_alike else friend_tree_path(path, tree_path), name)


def friend_files(
    friend_paths: Sequence[str], file: str, tree_path: str, where: str = "", base_path: str = ""
) -> list[FriendFile]:
    """Friends of an input file: the file of the same name in each friend folder, or the ROOT file called so.

    Parameters
    ----------
    friend_paths : sequence of str
        Folders of friends; the last part of each is the friend's name.
    file : str
        Input file, relative to the folder of the input files.
    tree_path : str
        Tree in the input file, see `friend_tree_path`.
    base_path : str, optional
        Folder of the input files.

    Raises
    ------
    NtuplemlError
        If a friend file is missing, or two folders give friends of one name.
    """
    start = f"{where}: " if where else ""
    friends: list[FriendFile] = []
    own = joined(base_path, file)
    for folder in friend_paths:
        name = Path(folder).resolve().name
        path = Path(folder) / file
        if not path.is_file() and (as_root := path.with_name(friend_file_name(own))).is_file():
            path = as_root
        if not path.is_file():
            raise NtuplemlError(f"{start}{path}: no such file; each folder of friend_paths needs a friend of '{file}'")
        if any(friend.name == name for friend in friends):
            raise NtuplemlError(
                f"{start}friend_paths: two folders are called '{name}', and friends are told apart by that; rename one"
            )
        friends.append(friend_of(own, tree_path, path, name))
    return friends
