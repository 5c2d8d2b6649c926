"""Searches for settings: what is found, by what events, going on after a kill, several processes, what is refused."""

from __future__ import annotations

import csv
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import uproot
import yaml
from sklearn.model_selection import train_test_split

from ntupleml.cli import main
from ntupleml.cluster import ClusterOptions
from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.tuning import TuningOptions, tune
from ntupleml.tuning.results import read_result
from ntupleml.tuning.storage import claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.tuning.results import StudyResult

_SCRIPT = Path(__file__).resolve().parents[2] / "training" / "tune.py"


def found(result: StudyResult) -> list[tuple[dict[str, Any], float | None]]:
    """Settings and values of the trials that were not killed."""
    return [(trial.settings, trial.value) for trial in result.trials if "killed" not in trial.reason]


def test_the_best_settings_train_as_the_trial_did(make_config: Callable[..., Path], tmp_path: Path) -> None:
    config = make_config()
    result = tune(config, [0])
    assert [trial.state for trial in result.trials] == ["complete"] * 4
    best = max(result.trials, key=lambda trial: trial.value or 0)
    assert result.best == best.number
    for trial in result.trials:
        assert set(trial.settings) == set(load_config(config, TrainingConfig).tune.space)  # type: ignore[union-attr]
        assert isinstance(trial.settings["boosted_trees.xgb.options.max_depth"], int)
        assert 1 <= trial.settings["boosted_trees.xgb.options.max_depth"] <= 4
        assert 0.05 <= float(trial.settings["boosted_trees.xgb.options.learning_rate"]) <= 0.5
    folder = tmp_path / "training" / "tuning_xgb"
    text = (folder / "best_training.yaml").read_text()
    assert text.splitlines()[1] == "# A training."
    assert yaml.safe_load(text)["boosted_trees"][0]["options"] == {
        name.rpartition(".")[2]: value for name, value in best.settings.items()
    }
    assert main(["train-bdt", str(folder / "best_training.yaml"), "0", "--method", "xgb"]) == 0

    events = uproot.open(tmp_path / "fold0.root")
    columns = [events[name].arrays(["x", "y", "weight"], library="np") for name in ("sig", "bkg")]
    _, rows = train_test_split(np.arange(800), test_size=0.25, random_state=7)
    x, y, weight = (np.concatenate([one[name] for one in columns])[rows] for name in ("x", "y", "weight"))
    truth = rows < 400
    model = onnxruntime.InferenceSession(tmp_path / "training" / "fold0_xgb_model.onnx")
    scores = model.run(None, {"variables": np.stack([x, y], axis=1).astype("f4")})[0][:, 0]
    wins = np.sign(scores[truth][:, np.newaxis] - scores[~truth]) / 2 + 0.5
    area = weight[truth] @ wins @ weight[~truth] / (weight[truth].sum() * weight[~truth].sum())
    assert best.value == pytest.approx(area, abs=1e-6)

    with (folder / "trials.csv").open() as file:
        rows_of_table = list(csv.DictReader(file))
    assert [float(row["roc auc"]) for row in rows_of_table] == [trial.value for trial in result.trials]
    assert {path.name for path in folder.glob("*.p*")} >= {
        f"{name}.{ending}" for name in ("history", "importance", "parallel_coordinates") for ending in ("png", "pdf")
    }
    assert not list(folder.glob(".trial*"))
    assert not list(folder.glob("**/*.onnx"))


def test_the_held_out_fold_is_not_opened(make_config: Callable[..., Path], tmp_path: Path) -> None:
    expected = found(tune(make_config(name="first"), [0]))
    (tmp_path / "fold1.root").write_bytes(b"not a ROOT file")
    assert found(tune(make_config(name="second"), [0])) == expected
    with pytest.raises(NtuplemlError, match=r"fold1\.root"):
        tune(make_config(name="third"), [1])


def test_the_mean_over_the_folds(make_config: Callable[..., Path]) -> None:
    result = tune(make_config({"trials": 2, "objective": "brier score", "boosted_trees.hist.rounds": [2, 9],
                               "boosted_trees.hist.negative_weights": {"choices": ["IgnoreNegWeightsInTraining"]}}),
                  [0, 1], TuningOptions(keep_models=True))  # fmt: skip
    for trial in result.trials:
        assert set(trial.of_folds) == {0, 1}
        assert trial.value == pytest.approx(sum(trial.of_folds.values()) / 2)
    assert result.best == min(result.trials, key=lambda trial: trial.value or 9).number


def test_failed_trials_say_why(make_config: Callable[..., Path], tmp_path: Path) -> None:
    """Histogram boosting takes no negative weights, which only the training finds out."""
    space = {"boosted_trees.hist.negative_weights": ["Pray", "IgnoreNegWeightsInTraining"]}
    result = tune(make_config({"trials": 6, **space}), [0])
    states = {trial.settings["boosted_trees.hist.negative_weights"]: trial.state for trial in result.trials}
    assert states == {"Pray": "failed", "IgnoreNegWeightsInTraining": "complete"}
    assert all("negative weights" in trial.reason for trial in result.trials if trial.state == "failed")
    space = {"boosted_trees.hist.negative_weights": {"choices": ["Pray"]}}
    with pytest.raises(NtuplemlError, match=r"tune: none of 2 trials was completed; the first failed: .*negative"):
        tune(make_config({"trials": 2, **space}, name="none"), [0])


def run(config: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(_SCRIPT), str(config), "--folds", "0", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
def test_a_killed_study_goes_on_as_if_it_had_not_been(make_config: Callable[..., Path], tmp_path: Path) -> None:
    space = make_config(name="whole", boosted_trees=[{"name": "xgb", "rounds": 300}])
    expected = found(tune(space, [0]))
    config = make_config(name="killed", boosted_trees=[{"name": "xgb", "rounds": 300}])
    process = run(config)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("trial 1"):
            break
    folder = tmp_path / "killed" / "tuning_xgb"
    while not (folder / ".trial2" / "lock").exists():
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    result = tune(config, [0], TuningOptions(continue_study=True))
    assert found(result) == expected
    killed = [trial for trial in result.trials if trial.reason]
    assert [(trial.number, trial.state, trial.reason) for trial in killed] == [
        (2, "failed", "its process was killed; tried again")
    ]
    assert result.trials[3].settings == killed[0].settings
    assert not list(folder.glob(".trial*"))
    again = tune(config, [0], TuningOptions(trials=5, continue_study=True))
    assert found(again)[:4] == expected
    assert len(found(again)) == 5


@pytest.mark.slow
def test_processes_share_a_study(make_config: Callable[..., Path], tmp_path: Path) -> None:
    config = make_config({"trials": 6, "boosted_trees.xgb.options.max_depth": [1, 8]})
    processes = [run(config, "--continue") for _ in range(2)]
    for process in processes:
        _, text = process.communicate(timeout=120)
        assert process.returncode == 0, text
    result = read_result(tmp_path / "training" / "tuning_xgb" / "study.json")
    assert [trial.state for trial in result.trials] == ["complete"] * 6
    more = tune(config, [0], TuningOptions(trials=9, continue_study=True, cluster=ClusterOptions(2)))
    assert [trial.state for trial in more.trials] == ["complete"] * 9


@pytest.mark.slow
def test_networks_and_what_gives_them_up(make_config: Callable[..., Path]) -> None:
    """A rate of learning that learns nothing is given up after its first epochs, by those that learn."""
    rates = {"model.learning_rate": [1e-6, 1e-2, 2e-2, 3e-2], "model.hidden": {"choices": [[8], [8, 8]]}}
    config = make_config({"trials": 8, **rates}, model={"hidden": [8], "epochs": 6}, seed=21)
    result = tune(config, [0])
    assert result.method == "keras"
    states = {trial.number: trial.state for trial in result.trials}
    slow = [trial.number for trial in result.trials if trial.settings["model.learning_rate"] == "1.0e-06"]
    assert result.best not in slow
    assert slow
    assert min(slow) >= 5  # so many trials are not given up, whatever they promise
    assert all(states[number] == "pruned" for number in slow)
    assert not any(result.trials[number].of_folds for number in slow)
    values = {str(trial.settings): trial.value for trial in result.trials if trial.value is not None}
    twice = [trial for trial in result.trials if trial.value is not None]
    assert all(values[str(trial.settings)] == trial.value for trial in twice)  # the same settings, the same bits


@pytest.mark.parametrize(
    ("tune_block", "message"),
    [
        (None, "no block tune; say what is searched"),
        ({"model.dropot": [0, 0.5]}, "tune: model: unknown key 'dropot'; nearest: 'dropout'"),
        ({"modle.dropout": [0, 0.5]}, "tune: unknown key 'modle.dropout'; nearest: 'model'"),
        ({"model.dropout": [0, 0.5], "trails": 3}, "tune: unknown key 'trails'; nearest: 'trials'"),
        ({"model.dropout": [0, 1.5]}, "tune: model.dropout: found 1.5, but less than 1 is needed"),
        ({"model.hidden": [1, 4]}, "tune: model.hidden: found 1, but a valid list is needed"),
        ({"model.dropout": [0.5, 0.5]}, "tune.space.model.dropout: the range ends at 0.5, not above its beginning"),
        ({"model.l2": {"range": [0, 1], "log": True}}, "log needs a range of positive numbers, but it begins at 0"),
        ({"seed": [1, 5]}, "tune: 'seed' cannot be searched: all trials are judged by the same events"),
        ({"boosted_trees.xbg.rounds": [1, 5]}, "boosted_trees.xbg.rounds: no entry 'xbg'; nearest: 'xgb'"),
        ({"boosted_trees.xgb.options.max_deph": [1, 5]}, "XGBoost has no parameter 'max_deph'; nearest: 'max_depth'"),
        ({"model.dropout": [0, 0.5], "method": "xgb"}, "'model.dropout' changes nothing of 'xgb'"),
        ({"boosted_trees.xgb.rounds": [1, 5], "objective": "auc"}, "tune.objective: no metric 'auc' of classes"),
    ],
)
def test_what_is_refused_before_anything_runs(
    make_config: Callable[..., Path], tmp_path: Path, tune_block: Any, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = make_config(tune_block or {})
    if tune_block is None:
        config.write_text(config.read_text().replace("tune: {}\n", ""))
    assert main(["tune", str(config)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert lines[0].startswith(f"ntupleml tune: {config}")
    assert not (tmp_path / "training").exists()


def test_studies_that_cannot_go_on(
    make_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config()
    tune(config, [0], TuningOptions(trials=1))
    with pytest.raises(NtuplemlError, match=r"study\.sqlite: exists already; give --continue"):
        tune(config, [0])
    go_on = TuningOptions(continue_study=True)
    make_config(seed=8)
    with pytest.raises(NtuplemlError, match=r"study\.sqlite: --continue: seed was 7 and is 8 now; only tune\.trials"):
        tune(config, [0], go_on)
    make_config()
    with pytest.raises(NtuplemlError, match=r"--folds was \[0\] and is \[1\] now"):
        tune(config, [1], go_on)
    study = tmp_path / "training" / "tuning_xgb" / "study.sqlite"
    monkeypatch.setattr("ntupleml.tuning.storage.PATIENCE", 0.1)
    with sqlite3.connect(study) as held:
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(NtuplemlError, match=r"study\.sqlite: database is locked: another process holds it"):
            tune(config, [0], go_on)
    held.close()
    with claim(study.parent, 9), pytest.raises(NtuplemlError, match=r"study\.sqlite: another process is at work on"):
        tune(config, [0], TuningOptions(overwrite=True))
    study.write_bytes(study.read_bytes()[:5000])
    with pytest.raises(NtuplemlError, match=r"study\.sqlite: .*(malformed|damaged|no study)"):
        tune(config, [0], go_on)
    study.write_bytes(b"no database" * 200)
    with pytest.raises(NtuplemlError, match=r"study\.sqlite: file is not a database: not a study, or damaged"):
        tune(config, [0], go_on)
    assert len(tune(config, [0], TuningOptions(trials=1, overwrite=True)).trials) == 1


def test_the_section_of_the_report(make_config: Callable[..., Path]) -> None:
    config = make_config()
    best = tune(config, [0]).best
    assert main(["train-bdt", str(config), "0", "--method", "xgb"]) == 0
    material = Material(prepare(config, TestingConfig(method="xgb"), "0"), for_page=True)
    assert STEPS["tuning"].is_shown(material)
    (group,) = STEPS["tuning"](material).groups
    assert [picture.name for picture in group.pictures] == [
        "tuning_history", "tuning_importance", "tuning_parallel_coordinates"
    ]  # fmt: skip
    assert group.pictures[0].tables[0].rows[0][0] == best
