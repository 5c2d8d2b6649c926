"""The whole training: files, record, overwriting, continuation, reproducibility, and what is refused."""

from __future__ import annotations

import json
import logging
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import yaml
from sklearn.preprocessing import StandardScaler

from ntupleml.artifacts import load_keras_model, model_files, read_record
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.folds import chosen_models
from ntupleml.models import ACTIVATIONS, build_model, matrix, network_of
from ntupleml.training import TrainingOptions, epochs, train_keras
from ntupleml.training.checkpoint import checkpoint_path
from ntupleml.training.compiled_epoch import EpochRunner
from ntupleml.training.data import MemoryData
from ntupleml.training.keras_training import unexported_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

Make = "Callable[..., TrainingConfig]"


def weights_of(config: TrainingConfig, fold: int = 0) -> list[NDArray[Any]]:
    weights: list[NDArray[Any]] = load_keras_model(model_files(config.output_path, fold).model).get_weights()
    return weights


def same(one: list[NDArray[Any]], two: list[NDArray[Any]]) -> bool:
    return all((first == second).all() for first, second in zip(one, two, strict=True))


def test_files_and_record(make_config: Make, columns: Callable[..., dict[str, NDArray[Any]]]) -> None:
    config = make_config(model={"epochs": 2})
    (record,) = train_keras(config, [1])
    files = model_files(config.output_path, 1)
    assert all(path.stat().st_size > 0 for path in files)
    assert read_record(files.record) == record
    assert (record.trained_on, record.held_out_fold, record.epochs) == ([1], 0, 2)
    assert record.split is not None
    assert (record.split.training, record.split.validation) == (600, 200)
    assert set(record.history) >= {"loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", "seconds"}
    assert record.network["optimizer"] == "adam"
    assert record.datasets[0].classes["bkg"].negative_share == (columns(1, 1, 500)["weight"] < 0).mean()
    assert record.onnx_check is not None
    assert record.onnx_check.events == 200
    assert record.onnx_check.largest_difference < 1e-5
    # Plain scikit-learn, Keras and ONNX Runtime read them and agree on raw variables.
    scaler = pickle.loads(files.pickle.read_bytes())
    assert isinstance(scaler, StandardScaler)
    np.testing.assert_array_equal(json.loads(files.preprocessing.read_text())["scaler"]["mean_"], scaler.mean_)
    assert {files.preprocessing.name, files.pickle.name} < record.sha256.keys()
    sig = columns(0, 0, 300)
    raw = np.column_stack([sig[name] for name in "xyn"]).astype(np.float32)
    keras_scores = np.asarray(load_keras_model(files.model)(scaler.transform(raw.astype(float))))
    session = onnxruntime.InferenceSession(files.onnx.read_bytes(), providers=["CPUExecutionProvider"])
    (onnx_scores,) = session.run(None, {"variables": raw})
    np.testing.assert_allclose(onnx_scores, keras_scores, atol=1e-5)
    log_text = files.log.read_text()
    assert "epoch 2: loss" in log_text
    assert "with negative weight" in log_text


def test_the_network_learns(make_config: Make, columns: Callable[..., dict[str, NDArray[Any]]]) -> None:
    """Gaussians at 0 and 1 in x, and at 0 and 10 with a width of 10 in y: the best AUC is Φ(√2/√2) = 0.841."""
    from sklearn.metrics import roc_auc_score

    config = make_config(model={"epochs": 30, "early_stopping": 5, "learning_rate": 0.01})
    train_keras(config, [0])
    files = model_files(config.output_path, 0)
    sig, bkg = columns(1, 0, 300), columns(1, 1, 500)
    raw = np.column_stack([np.concatenate([sig[name], bkg[name]]) for name in "xyn"]).astype(np.float32)
    session = onnxruntime.InferenceSession(files.onnx.read_bytes(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"variables": raw})
    assert abs(roc_auc_score(np.repeat([1, 0], [300, 500]), scores[:, 0]) - 0.841) < 0.05


def test_existing_files_are_not_overwritten_unasked(make_config: Make) -> None:
    config = make_config(model={"epochs": 1})
    train_keras(config, [0])
    before = model_files(config.output_path, 0).model.read_bytes()
    with pytest.raises(NtuplemlError, match=r"exists already; give --overwrite to train anew, or --continue"):
        train_keras(config, [0, 1])
    assert model_files(config.output_path, 0).model.read_bytes() == before
    assert not model_files(config.output_path, 1).model.exists()
    train_keras(config, [0], TrainingOptions(overwrite=True))
    assert same(weights_of(config), weights_of(config))


def test_an_earlier_training_survives_one_that_cannot_be_written(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(model={"epochs": 1})
    train_keras(config, [0])
    *files, _ = model_files(config.output_path, 0)  # all but the log
    before = {path: path.read_bytes() for path in files}

    def full(*arguments: object, **options: object) -> None:
        raise NtuplemlError("no space left on device")

    monkeypatch.setattr("ntupleml.training.driver.write_record", full)
    with pytest.raises(NtuplemlError, match="no space left"):
        train_keras(config, [0], TrainingOptions(overwrite=True))
    assert {path: path.read_bytes() for path in files} == before
    assert not [path for path in model_files(config.output_path, 0).log.parent.iterdir() if path.name[0] == "."]


def test_what_cannot_be_written_is_refused_before_the_first_epoch(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An activation that Keras has and ONNX files of ours have not, as if the config admitted it."""
    monkeypatch.setitem(ACTIVATIONS, "sparsemax", "sparsemax")
    config = make_config(model={"activation": "sparsemax"})
    with pytest.raises(
        NtuplemlError, match=r"layer 'hidden_1': its setting activation=sparsemax is not read \(Dense\)"
    ):
        train_keras(config, [0])
    files = model_files(config.output_path, 0)
    assert [path.name for path in files.model.parent.iterdir()] == [files.log.name]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_failure_at_the_end_loses_no_weights(
    earlier: bool, make_config: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The network is kept beside whatever was there, and --continue writes the files from the checkpoint."""
    config = make_config(model={"epochs": 1})
    files, kept = model_files(config.output_path, 0), unexported_path(model_files(config.output_path, 0).model)
    if earlier:
        train_keras(config, [0])
        before = files.model.read_bytes()
        config = config.model_copy(update={"seed": 8})
    with monkeypatch.context() as patched:
        patched.setattr("ntupleml.onnx_models.sessions.TOLERANCE", -1.0)
        with pytest.raises(NtuplemlError, match="the ONNX graph differs from the Keras network"):
            train_keras(config, [0], TrainingOptions(overwrite=earlier))
    assert f"the trained network is kept: {kept}; --continue writes the files" in caplog.text
    assert (files.model.read_bytes() == before) if earlier else not files.model.exists()
    trained = load_keras_model(kept).get_weights()
    (record,) = train_keras(config, [0], TrainingOptions(continue_training=True))
    assert record.epochs == 1
    assert same(weights_of(config), trained)
    assert all(path.exists() for path in files)
    assert not kept.exists()


def test_fold_files_that_were_not_made_together_are_refused(tmp_path: Path) -> None:
    """With three folds a model is trained on two files, which must be of one dataset."""
    from ntupleml.config import DatasetConfig, TrainingConfig
    from ntupleml.datasets import create_training_dataset
    from ntupleml.ntuples import new_tree_file

    with new_tree_file(tmp_path / "in.root") as file:
        columns = {"x": np.arange(60, dtype="f4"), "event": np.arange(60)}
        file.tree("ntuple", {name: values.dtype for name, values in columns.items()}).extend(columns)
    for name in ("a", "b"):
        content = {"output_path": str(tmp_path), "output_filename": f"{name}.root", "base_path": str(tmp_path)}
        content |= {"tree_path": "ntuple", "event_branch": "event", "num_folds": 3}
        processes = {"sig": {"files": ["in.root"]}, "bkg": {"files": ["in.root"]}}
        create_training_dataset(DatasetConfig.model_validate({**content, "processes": processes}))
    names = ["fold0_a.root", "fold1_a.root", "fold2_b.root"]
    config = TrainingConfig.model_validate(
        {
            "datasets": [str(tmp_path / name) for name in names],
            "output_path": str(tmp_path / "out"),
            "classes": ["sig", "bkg"],
            "variables": ["x"],
        }
    )
    with pytest.raises(NtuplemlError, match=r"fold2_b\.root and the fold files before it were not made together"):
        train_keras(config, [0])


def test_folds_share_compiled_epochs(
    make_config: Make,
    fold_file: Callable[..., None],
    columns: Callable[..., dict[str, NDArray[Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where they differ in the number of events; the same bits as by programs of their own."""
    config = make_config(model={"epochs": 2})
    fold_file(
        Path(config.datasets[1]),
        {name: columns(1, index, 310 + 151 * index) for index, name in enumerate(("sig", "bkg"))},
    )
    train_keras(config, [0])
    with monkeypatch.context() as patched:
        patched.setattr("ntupleml.training.compiled_epoch.quick_draws", None)  # nothing more is traced
        train_keras(config, [1])
        wider = config.model_copy(update={"model": config.model.model_copy(update={"hidden": [9]})})
        with pytest.raises(TypeError):
            train_keras(wider, [0], TrainingOptions(overwrite=True))
    shared = weights_of(config, 1)
    monkeypatch.setattr("ntupleml.training.keras_training._last_runners", {})
    train_keras(config, [1], TrainingOptions(overwrite=True))
    assert same(weights_of(config, 1), shared)


@pytest.mark.parametrize("stream", [False, True])
def test_continuing_equals_training_at_once(make_config: Make, stream: bool) -> None:
    """3 + 3 epochs are 6 epochs, weight by weight, with dropout, batch normalisation and a reduced learning rate."""
    model = {"batch_norm": True, "reduce_lr_on_plateau": 1, "epochs": 3}
    config = make_config(model=model, stream=stream)
    train_keras(config, [0])
    longer = config.model_copy(update={"model": config.model.model_copy(update={"epochs": 6})})
    (continued,) = train_keras(longer, [0], TrainingOptions(continue_training=True))
    weights = weights_of(config)
    (at_once,) = train_keras(longer, [0], TrainingOptions(overwrite=True))
    assert same(weights_of(config), weights)
    timeless = [{**record.history, "seconds": []} for record in (continued, at_once)]
    assert timeless[0] == timeless[1]
    assert len(timeless[0]["loss"]) == 6


def test_continuing_a_finished_training_trains_no_more(make_config: Make, caplog: pytest.LogCaptureFixture) -> None:
    config = make_config(model={"epochs": 2})
    train_keras(config, [0])
    before = weights_of(config)
    (record,) = train_keras(config, [0], TrainingOptions(continue_training=True))
    assert record.epochs == 2
    assert same(weights_of(config), before)


def test_continuing_something_else_is_refused(make_config: Make) -> None:
    config = make_config(model={"epochs": 1})
    train_keras(config, [0])
    other = config.model_copy(update={"variables": ["x", "n"]})
    with pytest.raises(NtuplemlError, match=r'--continue: variables was \["x", "y", "n"\] and is \["x", "n"\] now'):
        train_keras(other, [0], TrainingOptions(continue_training=True))
    with pytest.raises(NtuplemlError, match="--balance-batches was false and is true now"):
        train_keras(config, [0], TrainingOptions(continue_training=True, balance_batches=True))
    checkpoint_path(config.output_path, 0).unlink()
    with pytest.raises(NtuplemlError, match=r"--continue: .*npz: no such file; train anew with --overwrite"):
        train_keras(config, [0], TrainingOptions(continue_training=True))


def saved_metrics(config: TrainingConfig) -> dict[str, float]:
    """Metrics of the validation, by the model that was saved."""
    data = MemoryData(config, class_trees(config, fold_files(config, 0, False)), 0, balanced=False, randomized=False)
    saved = build_model(network_of(config.model), matrix(3), 2, seed=1)
    saved.set_weights(weights_of(config))
    return EpochRunner(saved, 64).evaluate(data.validation_blocks())


def test_best_or_last_weights(make_config: Make) -> None:
    """The validation loss of the saved model is the lowest of all epochs, or that of the last epoch."""
    for save_best_only in (True, False):
        model = {"epochs": 9, "learning_rate": 0.3, "save_best_only": save_best_only}
        config = make_config(model=model)
        (record,) = train_keras(config, [0], TrainingOptions(overwrite=True))
        losses = record.history["val_loss"]
        best = int(np.argmin(losses))
        assert best != len(losses) - 1  # else this test could not fail
        assert record.best_epoch == (best + 1 if save_best_only else None)
        expected = losses[best] if save_best_only else losses[-1]
        assert saved_metrics(config)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("best_by", ["loss", "accuracy"])
def test_early_stopping_stops_and_restores_the_best(best_by: str, make_config: Make) -> None:
    model = {"epochs": 200, "early_stopping": 3, "learning_rate": 0.1, "save_best_only": False}
    config = make_config(model=model | ({} if best_by == "loss" else {"best_by": best_by}))
    (record,) = train_keras(config, [0])
    values = record.history[f"val_{best_by}"]
    best = int(np.argmin(values) if best_by == "loss" else np.argmax(values))
    assert record.best_epoch == best + 1
    assert record.epochs == len(values) == record.best_epoch + 3 < 200
    assert values[best] != values[-1]  # else this test could not fail
    assert saved_metrics(config)[best_by] == pytest.approx(values[best], rel=1e-5)


def test_what_is_not_followed_cannot_tell_the_best(make_config: Make) -> None:
    message = "model.best_by: no metric of this target 'mean_absolute_error'; there are: 'loss', 'accuracy'"
    with pytest.raises(NtuplemlError, match=message):
        train_keras(make_config(model={"best_by": "mean_absolute_error"}), [0])


def test_a_diverging_training_is_reported(make_config: Make) -> None:
    config = make_config(model={"epochs": 3, "optimizer": "sgd", "learning_rate": 1e30, "loss": "mean_squared_error"})
    config = config.model_copy(update={"global_weight_scale": 1e30})
    with pytest.raises(NtuplemlError, match=r"loss became (nan|inf) in epoch \d; lower model.learning_rate"):
        train_keras(config, [0])
    assert not model_files(config.output_path, 0).model.exists()


@pytest.mark.parametrize("batching", [{}, {"balance_batches": True}])
def test_options_train(make_config: Make, batching: dict[str, bool]) -> None:
    config = make_config(classes=("sig", "bkg", "tt"), model={"epochs": 2, "name": "example"})
    (record,) = train_keras(config, [0], TrainingOptions(**batching))
    assert record.classes == ["sig", "bkg", "tt"]


def test_conditions_are_inputs_of_the_onnx_file(
    make_config: Make, tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Any]
) -> None:
    conditions = {}
    for era in ("2016", "2017"):
        paths = [str(tmp_path / f"{fold}_{era}.root") for fold in (0, 1)]
        for path in paths:
            fold_file(path, {name: columns(int(era), index, 200) for index, name in enumerate(("sig", "bkg"))})
        conditions[era] = {"datasets": paths}
    config = make_config(datasets=None, conditions=conditions, model={"epochs": 1})
    (record,) = train_keras(config, [0], TrainingOptions(conditional=True))
    assert record.conditions == ["2016", "2017"]
    assert [dataset.condition for dataset in record.datasets] == ["2016", "2017"]
    session = onnxruntime.InferenceSession(
        model_files(config.output_path, 0).onnx.read_bytes(), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape[1] == 5
    with pytest.raises(NtuplemlError, match="datasets of conditions only; train with --conditional"):
        train_keras(config, [1])


def test_fold_argument() -> None:
    assert chosen_models("all", 3, "t.yaml") == [0, 1, 2]
    assert chosen_models("2", 3, "t.yaml") == [2]
    for text in ("3", "-1", "two", "1.0", "²"):
        with pytest.raises(NtuplemlError, match=f"fold '{text}': t.yaml has the folds 0, 1, 2; give one of them"):
            chosen_models(text, 3, "t.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overwrite": True, "continue_training": True}, "exclude each other"),
        ({"conditional": True}, "the training config has no conditions"),
        ({"randomization": True}, "it needs --conditional"),
    ],
)
def test_options_that_make_no_sense(make_config: Make, options: dict[str, bool], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        train_keras(make_config(), [0], TrainingOptions(**options))


def write_config(config: TrainingConfig, path: Path, **changes: Any) -> Path:
    content = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    content["model"] = {**content["model"], **changes.pop("model", {})}
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path


@pytest.mark.slow
def test_killed_and_continued_in_other_processes(
    make_config: Make, tmp_path: Path, project: Path, run_script: Callable[..., Any]
) -> None:
    """Killed in the middle, then continued: the same weights as a training of another process without a kill."""
    epochs_wanted = 100
    config = make_config(model={"epochs": epochs_wanted, "hidden": [200, 200], "batch_size": 8})
    straight = write_config(config, tmp_path / "straight.yaml", output_path=str(tmp_path / "straight"))
    killed = write_config(config, tmp_path / "killed.yaml", output_path=str(tmp_path / "killed"))
    command = [sys.executable, str(project / "training" / "keras_training.py"), str(killed), "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        log = tmp_path / "killed" / "training0.log"
        deadline = time.monotonic() + 120
        while not (log.exists() and "epoch 3:" in log.read_text()):
            assert time.monotonic() < deadline
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "fold0_keras_model.keras").exists()
    result = run_script("training/keras_training.py", killed, 0, "--continue", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "going on after epoch" in result.stderr
    result = run_script("training/keras_training.py", straight, 0, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    models = [load_keras_model(tmp_path / name / "fold0_keras_model.keras") for name in ("killed", "straight")]
    assert same(models[0].get_weights(), models[1].get_weights())
    records = [
        json.loads((tmp_path / name / "fold0_keras_training.json").read_text()) for name in ("killed", "straight")
    ]
    assert records[0]["history"]["loss"] == records[1]["history"]["loss"]
    assert len(records[0]["history"]["loss"]) == epochs_wanted


@pytest.mark.slow
def test_the_script_as_users_see_it(make_config: Make, tmp_path: Path, run_script: Callable[..., Any]) -> None:
    """Flags with and without True or False; nothing of TensorFlow on the terminal; one line for a mistake."""
    path = write_config(make_config(), tmp_path / "t.yaml", model={"epochs": 1})
    result = run_script("training/keras_training.py", path, "all", "--conditional", "False", "--balance-batches")
    assert result.returncode == 0, result.stderr
    assert "balanced batches of" in result.stderr
    for noise in ("oneDNN", "cpu_feature_guard", "absl", "WARNING", "Traceback"):
        assert noise not in result.stderr
    assert (tmp_path / "out" / "fold1_keras_model.onnx").exists()
    assert result.stdout == ""
    result = run_script("training/keras_training.py", path, "0")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "exists already" in result.stderr
    result = run_script("training/keras_training.py", path, "0", "--conditional", "maybe")
    assert result.returncode == 2
    assert "'maybe' is neither True nor False" in result.stderr


def test_checkpoints_are_rare(make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first epoch and at the end, when 30 s have not passed; after every epoch without that."""
    saved: list[int] = []
    original = epochs.save_checkpoint

    def save(path: Any, model: Any, progress: Any, identity: Any) -> None:
        saved.append(progress.epoch)
        original(path, model, progress, identity)

    monkeypatch.setattr(epochs, "save_checkpoint", save)
    train_keras(make_config(model={"epochs": 4}), [0])
    assert saved == [1, 4]
    monkeypatch.setattr(epochs, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(epochs, "CHECKPOINT_SHARE", 0.0)
    saved.clear()
    train_keras(make_config(model={"epochs": 3}), [0], TrainingOptions(overwrite=True))
    assert saved == [1, 2, 3, 3]


def test_what_streaming_trains(make_config: Make, caplog: pytest.LogCaptureFixture) -> None:
    config = make_config(stream=True, preprocessing="robust_scaler", model={"epochs": 2})
    with caplog.at_level(logging.INFO, logger="ntupleml"):
        (record,) = train_keras(config, [0])
    assert "streaming 800 events" in caplog.text
    assert record.split is not None
    assert record.preprocessing_events == record.split.training
    assert record.history["val_loss"][1] < record.history["val_loss"][0]
