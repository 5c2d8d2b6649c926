"""Friends: found by the name of the input file, reachable by name, never of another length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import FriendFile, friend_files, open_ntuple

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, tree: str, **columns: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: column.dtype for name, column in columns.items()}).extend(columns)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    x = np.arange(10.0)
    write(tmp_path / "ntuples/a.root", "dir/t", x=x, event=np.arange(10))
    write(tmp_path / "friends/SVFit/a.root", "dir/t", m_sv=x + 100, x=x + 200, chi2=x)
    write(tmp_path / "friends/MELA/a.root", "dir/t", kd=x + 300, chi2=x + 400)
    return tmp_path


def test_names_of_friend_branches(files: Path) -> None:
    folders = [str(files / "friends/SVFit"), str(files / "friends/MELA/")]
    friends = friend_files(folders, "a.root", "dir/t")
    assert [friend.name for friend in friends] == ["SVFit", "MELA"]
    with open_ntuple(files / "ntuples/a.root", "dir/t", friends) as ntuple:
        assert ntuple.main_branches == ("x", "event")
        assert set(ntuple.branches) == {
            *("x", "event", "m_sv", "kd"),
            *("SVFit.m_sv", "SVFit.x", "SVFit.chi2", "MELA.kd", "MELA.chi2"),
            *("SVFit_x", "SVFit_chi2", "MELA_chi2"),
        }  # chi2 alone is either of two, so it is neither
        names = ["SVFit.x", "x", "kd", "MELA.chi2", "m_sv", "SVFit.m_sv", "SVFit_x", "MELA_chi2"]
        chunks = list(ntuple.chunks(names, 4))
        columns = {name: np.concatenate([chunk.columns[name] for chunk in chunks]) for name in names}
        assert [chunk.stop for chunk in chunks] == [4, 8, 10]
    for name, offset in zip(names, [200, 0, 300, 400, 100, 100, 200, 400], strict=True):
        np.testing.assert_array_equal(columns[name], np.arange(10.0) + offset)


def test_a_friend_of_another_length(files: Path) -> None:
    write(files / "friends/SVFit/a.root", "dir/t", m_sv=np.arange(9.0))
    friends = friend_files([str(files / "friends/SVFit")], "a.root", "dir/t")
    with (
        pytest.raises(NtuplemlError, match=r"has 10 entries, but its friend .*SVFit/a.root has 9;"),
        open_ntuple(files / "ntuples/a.root", "dir/t", friends),
    ):
        pass


def test_a_missing_friend(files: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"^processes.a: .*NNScore/a.root: no such file; each folder"):
        friend_files([str(files / "NNScore")], "a.root", "dir/t", "processes.a")


def test_friends_of_one_name(files: Path) -> None:
    write(files / "other/SVFit/a.root", "dir/t", m_sv=np.arange(10.0))
    with pytest.raises(NtuplemlError, match="two folders are called 'SVFit'"):
        friend_files([str(files / "friends/SVFit"), str(files / "other/SVFit")], "a.root", "dir/t")


def test_a_friend_without_the_tree(files: Path) -> None:
    friend = FriendFile(str(files / "friends/SVFit/a.root"), "dir/u", "SVFit")
    with (
        pytest.raises(NtuplemlError, match=r"SVFit/a.root: no tree 'dir/u'; nearest: 'dir/t'"),
        open_ntuple(files / "ntuples/a.root", "dir/t", [friend]),
    ):
        pass


def test_an_rntuple_with_a_ttree_as_friend(files: Path) -> None:
    with uproot.recreate(files / "ntuples/b.root") as file:
        file.mkrntuple("t", {"x": np.arange(10.0)})
    write(files / "friends/SVFit/b.root", "t", m_sv=np.arange(10.0) + 100)
    friends = friend_files([str(files / "friends/SVFit")], "b.root", "t")
    with open_ntuple(files / "ntuples/b.root", "t", friends) as ntuple:
        assert ntuple.kind == "RNTuple"
        for chunk in ntuple.chunks(["m_sv", "x"], 3):
            np.testing.assert_array_equal(chunk.columns["m_sv"], chunk.columns["x"] + 100)
