"""Inputs that are replaced, cut or deleted while they are read: noticed, and told as what it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import FriendFile, open_ntuple
from ntupleml.ntuples.table_files import new_table_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRIES = 20_000


def _root(path: Path, seed: int = 1) -> Path:
    """A file of ten baskets, whose layout is the same whatever the numbers are."""
    random = np.random.default_rng(seed)
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("ntuple", {"x": "f8"})
        for _ in range(10):
            tree.extend({"x": random.random(ENTRIES // 10)})
    return path


def _hdf5(path: Path, seed: int = 1) -> Path:
    with new_table_file(path, "ntuple", {"x": "f8"}, ENTRIES, overwrite=True) as table:
        table.extend({"x": np.random.default_rng(seed).random(ENTRIES)})
        table.finish("")
    return path


def _replace(path: Path, write: Callable[..., Path]) -> None:
    write(path.with_name("other" + path.suffix), 2).replace(path)


def _cut(path: Path, _write: Callable[..., Path]) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _delete(path: Path, _write: Callable[..., Path]) -> None:
    path.unlink()


def _read(path: Path, change: Callable[[], None], friends: tuple[FriendFile, ...] = ()) -> None:
    with open_ntuple(path, "ntuple", friends) as ntuple:
        chunks = ntuple.chunks(["x", "y"] if friends else ["x"], ENTRIES // 10)
        next(chunks)
        change()
        for _ in chunks:
            pass


@pytest.mark.parametrize(("name", "write"), [("a.root", _root), ("a.h5", _hdf5)])
@pytest.mark.parametrize(
    ("change", "message"), [(_replace, "was replaced"), (_cut, "was cut"), (_delete, "was deleted")]
)
def test_what_became_of_the_file_is_said(name: str, write: Any, change: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    with pytest.raises(NtuplemlError, match=f"{name}: {message}.* while it was being read"):
        _read(path, lambda: change(path, write))


def test_a_friend_counts_as_well(tmp_path: Path) -> None:
    path, friend = _root(tmp_path / "a.root"), tmp_path / "friend.root"

    def write(place: Path, seed: int) -> Path:
        with uproot.recreate(place) as file:
            file.mktree("ntuple", {"y": "f8"}).extend({"y": np.random.default_rng(seed).random(ENTRIES)})
        return place

    with pytest.raises(NtuplemlError, match=r"friend\.root: was replaced"):
        _read(path, lambda: _replace(friend, write), (FriendFile(str(write(friend, 1)), "ntuple", "f"),))


def test_a_touch_changes_nothing(tmp_path: Path) -> None:
    path = _root(tmp_path / "a.root")
    _read(path, path.touch)
