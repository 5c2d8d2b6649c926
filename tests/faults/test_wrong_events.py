"""Friends of another length or order, in every command that reads them; classes whose weights are all negative."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.cli import main

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENTRIES = 200
KEYS = ["run", "event"]


def columns(seed: int = 3) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    return {
        "run": np.repeat(np.array([1, 2], "u4"), ENTRIES // 2),
        "event": np.tile(np.arange(ENTRIES // 2), 2) + 2**60,
        "x": random.normal(size=ENTRIES),
    }


def write(path: Path, table: dict[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        file.mktree("t", {name: values.dtype for name, values in table.items()}).extend(table)


def write_yaml(name: str, content: dict[str, Any]) -> None:
    Path(f"{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ntuple, configs, and a model that nothing has to open, as friends are looked at first."""
    monkeypatch.chdir(tmp_path)
    write(Path("sig/sig.root"), columns())
    dataset = {"output_path": "out", "output_filename": "d.root", "tree_path": "t", "friend_paths": ["extra"]}
    dataset |= {"processes": {"sig": {"files": "sig/sig.root"}}, "fold_by": KEYS}
    write_yaml("dataset", dataset)
    return tmp_path


SWAPPED = np.arange(ENTRIES)
SWAPPED[[50, 150]] = [150, 50]  # two events of one number, of two runs


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (slice(0, ENTRIES - 1), "has 200 entries, but its friend extra/sig/sig.root has 199"),
        (np.append(np.arange(ENTRIES), 7), "has 200 entries, but its friend extra/sig/sig.root has 201"),
        (np.roll(np.arange(ENTRIES), 1), "entry 0 is run 1, but 2 in the friend 'extra'"),
        (np.r_[1, 0, 2:ENTRIES], f"entry 0 is event {2**60}, but {2**60 + 1} in the friend 'extra'"),
        (SWAPPED, "entry 50 is run 1, but 2 in the friend 'extra'"),
    ],
)
def test_friends_of_other_events(folder: Path, capsys: pytest.CaptureFixture[str], rows: Any, message: str) -> None:
    """Of another length, shifted, two events swapped, and two that one number alone does not tell apart."""
    table = {name: values[rows] for name, values in (columns() | {"z": np.arange(float(ENTRIES))}).items()}
    table.pop("x")
    write(Path("extra/sig/sig.root"), table)
    assert main(["dataset", "dataset.yaml"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "friend" in line]
    assert message in line
    assert not Path("out").exists() or not list(Path("out").glob("*.root"))


@pytest.mark.parametrize("where", ["one class", "all"])
def test_classes_whose_weights_are_all_negative(folder: Path, capsys: pytest.CaptureFixture[str], where: str) -> None:
    """The build warns, and the training refuses in one line that names class, branch and sum."""
    processes = {
        name: {"files": "sig/sig.root", "cut_string": f"x {cut} 0", "weight_string": weight}
        for name, cut, weight in (("sig", ">", "-1"), ("bkg", "<=", "1" if where == "one class" else "-0.5"))
    }
    dataset = yaml.safe_load(Path("dataset.yaml").read_text()) | {"processes": processes}
    dataset.pop("friend_paths")
    write_yaml("dataset", dataset)
    assert main(["dataset", "dataset.yaml"]) == 0
    assert "processes.sig: the weights '-1' sum to -" in capsys.readouterr().err
    training = {
        "datasets": ["out/fold0_d.root", "out/fold1_d.root"], "output_path": "out", "classes": ["sig", "bkg"],
        "variables": ["x"], "event_weights": "training_weight",
        "boosted_trees": [{"name": "bdt", "type": "hist_gradient_boosting", "rounds": 2}],
    }  # fmt: skip
    write_yaml("training", training)
    assert main(["train-bdt", "training.yaml", "0"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "class 'sig': branch 'training_weight': the weights of its" in last
    assert "negative" in last
    assert not list(Path("out").glob("*bdt_model*"))
