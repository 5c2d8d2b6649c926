"""Friend trees: files that hold more branches for the same events, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

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


FriendFormat = Literal["root", "hdf5", "parquet"]
#: Ends of the names of friends.
FRIEND_ENDINGS: dict[FriendFormat, str] = {"root": ".root", "hdf5": ".h5", "parquet": ".parquet"}


def friend_file_name(path: str | Path, kind: FriendFormat = "root") -> str:
    """Name of the file of a friend: that of the ntuple, with the ending of its own format where that is another."""
    own = format_of(path)
    is_same = kind == ("root" if own is None else own.name.lower())
    return Path(path).name if is_same else f"{Path(path).stem}{FRIEND_ENDINGS[kind]}"


def friend_file_names(path: str | Path) -> list[str]:
    """Names that the file of a friend may have, whatever its format: first that of the ntuple, then a ROOT file."""
    return list(dict.fromkeys([Path(path).name, *(friend_file_name(path, kind) for kind in FRIEND_ENDINGS)]))


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
    """Friends of an input file: the file of the same name in each friend folder, or one of another format.

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
        path = next((one for name in friend_file_names(own) if (one := path.with_name(name)).is_file()), path)
        if not path.is_file():
            raise NtuplemlError(f"{start}{path}: no such file; each folder of friend_paths needs a friend of '{file}'")
        if any(friend.name == name for friend in friends):
            raise NtuplemlError(
                f"{start}friend_paths: two folders are called '{name}', and friends are told apart by that; rename one"
            )
        friends.append(friend_of(own, tree_path, path, name))
    return friends
