"""The main job with folds by a hash: the commands as a user types them, from ntuples to scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

import ntupleml
from ntupleml.artifacts import read_record
from ntupleml.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

KEYS = ["run", "lumi", "event"]
VARIABLES = ["x", "y"]
FOLDS = 3
CONFIGS = ["dataset.yaml", "training.yaml", "application.yaml"]


def columns_of(name: str, entries: int = 300) -> dict[str, NDArray[Any]]:
    """Even event numbers from 2⁶³ on, so that they alone would leave folds empty."""
    random = np.random.default_rng(len(name))
    shift = 1.0 if name == "signal" else 0.0
    return {
        "run": random.integers(1, 5, entries).astype("u4"),
        "lumi": random.integers(-3, 3, entries).astype("i2"),
        "event": np.arange(0, 12 * entries, 12, dtype="u8") + np.uint64(2**63),
        "x": random.normal(shift, 1, entries).astype("f4"),
        "y": random.normal(-shift, 1, entries),
    }


def write_configs(**dataset: Any) -> None:
    contents: dict[str, dict[str, Any]] = {
        "dataset": {
            "output_path": "out", "output_filename": "data.root", "tree_path": "events", "num_folds": FOLDS,
            "fold_by": KEYS,
            "processes": {name: {"files": f"{name}/{name}.root"} for name in ("signal", "background")}, **dataset,
        },
        "training": {
            "output_path": "out", "datasets": [f"out/fold{fold}_data.root" for fold in range(FOLDS)],
            "classes": ["signal", "background"], "variables": VARIABLES, "event_weights": "training_weight",
            "boosted_trees": [{"name": "bdt", "type": "hist_gradient_boosting", "rounds": 3}],
        },
        "testing": {},
        "application": {"method": "bdt", "output_directory": "friends"},
    }  # fmt: skip
    for name, content in contents.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content))


def write_ntuples() -> None:
    for name in ("signal", "background"):
        Path(name).mkdir()
        with uproot.recreate(f"{name}/{name}.root") as file:
            columns = columns_of(name)
            file.mktree("events", {key: one.dtype for key, one in columns.items()}).extend(columns)


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_hash: Callable[..., int]) -> dict[str, NDArray[Any]]:
    """Ntuples and configs in the current folder; the hash of each event of each class, by integers of Python."""
    monkeypatch.chdir(tmp_path)
    write_ntuples()
    write_configs()
    return {
        name: np.array(
            [python_hash(*row) for row in zip(*(columns_of(name)[key].tolist() for key in KEYS), strict=True)]
        )
        for name in ("signal", "background")
    }


@pytest.mark.slow
def test_from_ntuples_to_scores(job: dict[str, NDArray[Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "dataset.yaml"]) == 0
    for fold in range(FOLDS):
        with uproot.open(f"out/fold{fold}_data.root") as file:
            for name, hashes in job.items():
                events = columns_of(name)["event"][hashes % FOLDS == fold]
                np.testing.assert_array_equal(file[name]["event"].array(library="np"), events)
    record = json.loads(Path("out/fold1_data.json").read_text())
    assert (record["fold_by"], record["decided_by"]) == (KEYS, "a hash of run, lumi, event")
    assert main(["train-bdt", "training.yaml", "all"]) == 0
    assert read_record("out/fold0_bdt_training.json").fold_by == KEYS
    assert main(["working-points", "training.yaml", "testing.yaml", "all", "--method", "bdt"]) == 0
    assert main(["apply-bdt", "--friend", *CONFIGS, "signal/signal.root", "events"]) == 0
    with uproot.open("friends/signal/signal.root") as file:
        scores = file["events"]["ml_score_signal"].array(library="np")
    columns = columns_of("signal")
    # The model of each fold, asked alone: model i was held out from fold (i + 1) mod k.
    sessions = [onnxruntime.InferenceSession(f"out/fold{model}_bdt_model.onnx") for model in range(FOLDS)]
    matrix = np.stack([columns[name] for name in VARIABLES], axis=1).astype("f4")
    by_model = np.stack([session.run(None, {"variables": matrix})[0][:, 0] for session in sessions])
    expected = by_model[(job["signal"] % FOLDS - 1) % FOLDS, np.arange(len(matrix))]
    assert len(np.unique(by_model[:, 0])) == FOLDS
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_allclose(ntupleml.load_model("training.yaml").score(columns)[:, 0], expected, atol=1e-6)
    assert main(["inputs", "training.yaml", "signal/signal.root", "events", "inputs.npz"]) == 0
    np.testing.assert_array_equal(np.load("inputs.npz")["fold"], job["signal"] % FOLDS)
    assert "a hash of run, lumi, event decides the fold" in capsys.readouterr().err
    # One file with all models: its input `event` takes the hash, and its metadata say so.
    assert main(["export-to-onnx", "training.yaml", "all", "--single", "--method", "bdt", "--output", "."]) == 0
    (path,) = Path().glob("*.onnx")
    session = onnxruntime.InferenceSession(path)
    described = json.loads(session.get_modelmeta().custom_metadata_map["ntupleml"])
    assert described["training"]["fold_by"] == KEYS
    np.testing.assert_allclose(
        session.run(None, {"variables": matrix, "event": job["signal"]})[0][:, 0], expected, atol=1e-6
    )
    np.testing.assert_allclose(ntupleml.load_model(path).score(columns)[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["run", "lumis"], "fold_by: no branch 'lumis' in"),
        (["run", "x"], "branch 'x': event number"),
        (["run", "run"], "fold_by: named twice: 'run'"),
    ],
)
def test_mistakes_are_one_line(
    job: dict[str, NDArray[Any]], capsys: pytest.CaptureFixture[str], keys: list[str], message: str
) -> None:
    write_configs(fold_by=keys)
    assert main(["dataset", "dataset.yaml"]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(Path("out").glob("*.root"))


def test_a_number_that_cannot_be_told_puts_all_into_one_fold(
    job: dict[str, NDArray[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("signal/signal.root").unlink()
    with uproot.recreate("signal/signal.root") as file:
        columns = columns_of("signal") | {key: np.zeros(300, "i8") for key in KEYS}
        file.mktree("events", {key: one.dtype for key, one in columns.items()}).extend(columns)
    assert main(["dataset", "dataset.yaml"]) == 2
    assert "the hash of run, lumi, event puts all 300 events elsewhere" in capsys.readouterr().err
