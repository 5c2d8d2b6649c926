"""Trainings followed in TensorBoard and MLflow, read back by their own readers; and the table of the epochs."""

from __future__ import annotations

import csv
import importlib.util
import logging
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.artifacts import Method, model_files
from ntupleml.errors import NtuplemlError
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.trackers.tensorboard import TensorBoard
from ntupleml.training.trackers.tracker import Run

if TYPE_CHECKING:
    from pathlib import Path

Make = "Callable[..., TrainingConfig]"
BDT = [{"name": "bdt", "rounds": 4}]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads of the one run in a folder."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (path,) = folder.iterdir()
    reader = accumulator.EventAccumulator(str(path))
    reader.Reload()
    assert "config/text_summary" in reader.Tags()["tensors"]
    return {tag: [(one.step, one.value) for one in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_tensorboard(make_config: Make, tmp_path: Path) -> None:
    """A network epoch by epoch and trees round by round, each in a folder of its own."""
    config = make_config(model={"epochs": 3}, boosted_trees=BDT, tracking={"tensorboard": {"folder": f"{tmp_path}/tb"}})
    for record, name in ((train_keras(config, [0])[0], "keras"), (train_boosted_trees(config, [0])[0], "bdt")):
        found = scalars(tmp_path / "tb" / f"fold0_{name}")
        assert found.keys() == record.history.keys()
        for metric, values in record.history.items():
            assert found[metric] == [(number, pytest.approx(value)) for number, value in enumerate(values, start=1)]


def test_a_continued_run_has_all_epochs(make_config: Make, tmp_path: Path) -> None:
    config = make_config(model={"epochs": 2})
    train_keras(config, [0])
    longer = config.model_copy(
        update={"model": config.model.model_copy(update={"epochs": 3}), "tracking": {"tensorboard": {}}}
    )
    (record,) = train_keras(longer, [0], TrainingOptions(continue_training=True))
    assert [step for step, _ in scalars(tmp_path / "out" / "tensorboard" / "fold0_keras")["loss"]] == [1, 2, 3]
    assert len(record.history["loss"]) == 3
    assert "tracking" not in record.config  # an address may hold a password


def test_mlflow(make_config: Make, tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    config = make_config(boosted_trees=BDT, tracking={"mlflow": {"experiment": "toy"}})
    (record,) = train_boosted_trees(config, [0])
    with pytest.raises(NtuplemlError, match="class 'sig'"):  # its run is there, and failed
        train_boosted_trees(config.model_copy(update={"class_weights": {"sig": 0.0, "bkg": 1.0}}), [1])
    client = tracking.MlflowClient(f"sqlite:///{tmp_path}/out/mlflow.db")
    experiment = client.get_experiment_by_name("toy")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {"fold0_bdt": "FINISHED", "fold1_bdt": "FAILED"}
    run = runs["fold0_bdt"]
    assert (run.data.params["seed"], run.data.params["classes"]) == ("7", '["sig", "bkg"]')
    for metric, values in record.history.items():
        history = client.get_metric_history(run.info.run_id, metric)
        assert [(one.step, one.value) for one in history] == list(enumerate(values, start=1))
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert artifacts >= {"fold0_bdt_model.onnx", "fold0_bdt_training.json", "fold0_bdt_training.csv"}
    assert not (tmp_path / "mlruns").exists()


def test_the_table_of_the_epochs(make_config: Make) -> None:
    config = make_config(model={"epochs": 2, "schedule": {"type": "steps", "after": {1: 0.5}}}, boosted_trees=BDT)
    (network,), (trees,) = train_keras(config, [0]), train_boosted_trees(config, [0])
    method = Method("boosted_trees", "bdt", "xgboost")
    for record, files, step in (
        (network, model_files(config.output_path, 0), "epoch"),
        (trees, model_files(config.output_path, 0, method), "round"),
    ):
        with files.record.with_suffix(".csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row[step] for row in rows] == [str(number + 1) for number in range(record.epochs)]
        for metric, values in record.history.items():
            assert [float(row[metric]) for row in rows] == values
    assert network.history["learning_rate"] == pytest.approx([1e-3, 0.5])


@pytest.mark.parametrize(
    ("tracking", "message"),
    [
        (["tensorbord"], "tracking.tensorbord: no tracker 'tensorbord'; nearest: 'tensorboard'"),
        ({"mlflow": {"name": "a"}}, "tracking.mlflow: unknown key 'name'"),
        ({"tensorboard": {"folder": "/proc/none"}}, "tracking.tensorboard: cannot begin: .*/proc/none"),
        ({"mlflow": {"uri": "http://127.0.0.1:9"}}, "tracking.mlflow: cannot begin: .*127.0.0.1"),
        ({"mlflow": {"uri": "nothing://x"}}, "tracking.mlflow: cannot begin: .*nothing"),
    ],
)
def test_what_cannot_begin(tracking: Any, message: str, make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = make_config(boosted_trees=BDT, tracking=tracking)
    with pytest.raises(NtuplemlError, match=message):
        train_boosted_trees(config, [0])
    assert not model_files(config.output_path, 0, Method("boosted_trees", "bdt", "xgboost")).model.exists()


def test_what_is_not_installed_is_named_with_its_extra(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else found(name))
    with pytest.raises(NtuplemlError, match=r'tracking.tensorboard: is not installed; .*pip install "ntupleml\[trac'):
        train_boosted_trees(make_config(boosted_trees=BDT, tracking="tensorboard"), [0])


@pytest.mark.parametrize("method", ["epochs", "end"])
def test_a_tracker_that_fails_later_loses_no_training(
    method: str, make_config: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """As on a disk that is full."""

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"ntupleml.training.trackers.tensorboard._Events.{method}", full)
    config = make_config(boosted_trees=BDT, tracking="tensorboard")
    with caplog.at_level(logging.WARNING, logger="ntupleml"):
        (record,) = train_boosted_trees(config, [0])
    assert record.epochs == 4
    assert [one.message for one in caplog.records if "tracking" in one.message] == [
        "tracking.tensorboard: [Errno 28] No space left on device; the training goes on without it"
    ]


def test_an_event_file_that_ends_early_is_read_to_its_end(tmp_path: Path) -> None:
    """As after a kill in the middle of a record."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    follower = TensorBoard(folder=str(tmp_path)).start(Run("fold0_keras", tmp_path, {"seed": 1}))
    follower.epochs({number: {"loss": 1 / number} for number in (1, 2, 3)})
    (path,) = tmp_path.rglob("events.out.tfevents*")
    path.write_bytes(path.read_bytes()[:-5])
    reader = accumulator.EventAccumulator(str(path))
    reader.Reload()
    assert [one.step for one in reader.Scalars("loss")] == [1, 2]
