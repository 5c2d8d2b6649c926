"""Scores of a converted table come back to the right events of the ntuples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from ntupleml.application.returning import return_scores
from ntupleml.config import ConversionConfig, load_config
from ntupleml.datasets.converting import convert
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    RunScript = Callable[..., subprocess.CompletedProcess[str]]

#: Event numbers, in no order; events of an odd number are not in the table.
NUMBERS = {"a": np.array([2**60, 7, 4, 12]), "b": np.array([3, 8, 2]), "c": np.array([5, 9])}


def score(numbers: np.ndarray) -> np.ndarray:
    return (numbers % 97 / 100).astype(np.float32)


@pytest.fixture(params=["h5", "parquet"])
def table(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A table of all files, and beside it `scores.root`, its friend."""
    paths = []
    for name, numbers in NUMBERS.items():
        paths.append(tmp_path / "mc" / f"{name}.root")
        paths[0].parent.mkdir(exist_ok=True)
        with uproot.recreate(paths[-1]) as file:
            file.mktree("folder/ntuple", {"event": "i8"}).extend({"event": numbers})
    path = tmp_path / f"table.{request.param}"
    config = load_config({"variables": ["event"], "selection": "event % 2 == 0"}, ConversionConfig)
    convert([str(one) for one in paths], path, config)
    with open_ntuple(path, "folder/ntuple") as ntuple:
        events = np.concatenate([chunk.columns["event"] for chunk in ntuple.chunks(["event"], 2)])
    write_friend(tmp_path / "scores.root", "ntuple" if request.param == "h5" else "table", events)
    return path


def write_friend(path: Path, tree: str, events: np.ndarray) -> None:
    with uproot.recreate(path) as file:
        types = {"s_signal": "f4", "s_max_index": "f4", "event": "i8"}
        columns = {"s_signal": score(events), "s_max_index": np.zeros(len(events), "f4"), "event": events}
        file.mktree(tree, types).extend(columns)


def test_each_event_gets_its_score(tmp_path: Path, table: Path, run_script: RunScript) -> None:
    done = run_script(
        "application/return_scores.py", table, tmp_path / "scores.root", "-o", tmp_path / "back", "--default-score", -9
    )
    assert done.returncode == 0, done.stderr
    for name, numbers in NUMBERS.items():
        with uproot.open(tmp_path / f"back/mc/{name}.root") as file:
            found = file["folder/ntuple"].arrays(library="np")
        assert found["event"].tolist() == numbers.tolist()
        even = numbers % 2 == 0
        np.testing.assert_array_equal(found["s_signal"], np.where(even, score(numbers), np.float32(-9)))
        np.testing.assert_array_equal(found["s_max_index"], np.where(even, 0, -1))
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        return_scores(table, tmp_path / "scores.root", tmp_path / "back")


def test_what_does_not_belong_together(tmp_path: Path, table: Path) -> None:
    tree = "ntuple" if table.suffix == ".h5" else "table"
    write_friend(tmp_path / "scores.root", tree, np.array([2**60, 4, 12, 2, 8]))
    with pytest.raises(NtuplemlError, match="'event' differs between it and the friend"):
        return_scores(table, tmp_path / "scores.root", tmp_path / "back")
    write_friend(tmp_path / "scores.root", tree, np.array([2**60, 4, 12, 8, 2]))
    with uproot.recreate(tmp_path / "mc/b.root") as file:
        file.mktree("folder/ntuple", {"event": "i8"}).extend({"event": np.arange(3)})
    with pytest.raises(NtuplemlError, match=r"b\.root: has changed since it was converted; convert it again"):
        return_scores(table, tmp_path / "scores.root", tmp_path / "back")
    with pytest.raises(NtuplemlError, match=r"scores\.root: was not written by ntupleml convert"):
        return_scores(tmp_path / "scores.root", tmp_path / "scores.root", tmp_path / "back")
