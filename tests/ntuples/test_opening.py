"""Files that are kept open are opened once, and closed at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples import opening as module
from ntupleml.ntuples.opening import files_kept_open, open_root_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with new_tree_file(tmp_path / "a.root") as file:
        for name, start in (("first", 0), ("second", 10)):
            file.tree(name, {"x": "f4"}).extend({"x": np.arange(start, start + 3, dtype="f4")})
    return tmp_path / "a.root"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What uproot has opened."""
    files: list[Any] = []
    original = uproot.open

    def counting(*arguments: Any, **options: Any) -> Any:
        files.append(original(*arguments, **options))
        return files[-1]

    monkeypatch.setattr(uproot, "open", counting)
    return files


def content(path: Path, tree: str) -> list[float]:
    with open_ntuple(path, tree) as ntuple:
        return [value for chunk in ntuple.chunks(["x"], 2) for value in chunk.columns["x"].tolist()]


def test_each_file_is_opened_once_and_each_tree_read_once(path: Path, opened: list[Any]) -> None:
    with files_kept_open():
        with files_kept_open():  # the outer block counts
            assert content(path, "first") == [0, 1, 2]
        assert [content(path, name) for name in ("second", "first", "second")] == [
            [10, 11, 12],
            [0, 1, 2],
            [10, 11, 12],
        ]
        with open_root_file(path) as one, open_root_file(str(path)) as other:
            assert one["first"] is other["first"]
        assert len(opened) == 1
        assert not opened[0].closed
    assert opened[0].closed
    assert content(path, "first") == [0, 1, 2]
    assert len(opened) == 2
    assert opened[1].closed


def test_files_are_closed_after_an_error(path: Path, opened: list[Any]) -> None:
    with pytest.raises(NtuplemlError, match="no tree 'frist'"), files_kept_open():
        content(path, "frist")
    assert [file.closed for file in opened] == [True]


def test_only_so_many_files_are_kept(path: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT_OPEN", 0)
    with files_kept_open():
        assert content(path, "first") == [0, 1, 2]
        assert opened[0].closed
