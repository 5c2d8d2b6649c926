"""Scores: each event by the model that never saw it, as Keras and scikit-learn compute them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import models_by_fold, read_record, write_record
from ntupleml.errors import NtuplemlError
from ntupleml.folds import FoldRule
from ntupleml.scoring import BATCH_SIZE, Scorer, append_condition, load_scorer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def events(number: int = 5000, num_inputs: int = 3) -> np.ndarray:
    return np.random.default_rng(9).normal(50, 20, size=(number, num_inputs)).astype(np.float32)


def score(scorer: Scorer, rows: np.ndarray, folds: np.ndarray, where: str = "scoring") -> np.ndarray:
    """Scores of rows of variables, each by the model for its fold."""
    return scorer.score(dict(zip(scorer.variables, rows.T, strict=True)), folds, where=where)


def keras_prediction(trained: Any, model: int, rows: np.ndarray) -> np.ndarray:
    scaled = trained.scalers[model].transform(rows[:, :3].astype(np.float64))
    return trained.networks[model].predict(np.concatenate([scaled, rows[:, 3:]], axis=1), verbose=0)


@pytest.mark.parametrize("num_folds", [2, 3])
def test_each_event_is_scored_by_the_model_that_never_saw_it(num_folds: int, train: Callable[..., Any]) -> None:
    trained = train(num_folds)
    rows = events()
    folds = np.random.default_rng(1).integers(0, num_folds, len(rows))
    scores = score(load_scorer(trained.models), rows, folds)
    assert scores.dtype == np.float32
    for fold in range(num_folds):
        (model,) = [index for index in range(num_folds) if trained.models[index].record.held_out_fold == fold]
        assert fold not in trained.models[model].record.trained_on
        np.testing.assert_allclose(
            scores[folds == fold], keras_prediction(trained, model, rows)[folds == fold], atol=1e-6
        )
    # The models differ, so that a mistake in the folds would show.
    assert np.abs(keras_prediction(trained, 0, rows) - keras_prediction(trained, 1, rows)).max() > 0.01


@pytest.mark.parametrize("number", [0, 1, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 1, 3 * BATCH_SIZE + 7])
def test_any_number_of_events(number: int, train: Callable[..., Any]) -> None:
    trained = train()
    scores = score(load_scorer(trained.models), events(number), np.zeros(number, dtype=np.int64))
    assert scores.shape == (number, 3)
    if number:
        np.testing.assert_allclose(scores, keras_prediction(trained, 1, events(number)), atol=1e-6)


def test_several_threads_give_the_same_scores(train: Callable[..., Any]) -> None:
    models = train().models
    rows, folds = events(), np.arange(5000) % 2
    np.testing.assert_allclose(
        score(load_scorer(models, threads=2), rows, folds), score(load_scorer(models), rows, folds), atol=1e-6
    )


def test_scoring_does_not_import_tensorflow(
    train: Callable[..., Any], tmp_path: Path, training_of: Callable[..., Any]
) -> None:
    train()
    code = (
        "import sys, numpy as np\n"
        "from ntupleml.artifacts import models_by_fold\n"
        "from ntupleml.config import TrainingConfig\n"
        "from ntupleml.scoring import load_scorer\n"
        "training = TrainingConfig.model_validate_json(sys.argv[1])\n"
        "scorer = load_scorer(models_by_fold(training, where='c.yaml'))\n"
        "scorer.score(dict.fromkeys(scorer.variables, np.ones(4, np.float32)), np.array([0, 1, 0, 1]))\n"
        "print({'tensorflow', 'keras', 'sklearn', 'onnx'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, training_of(tmp_path).model_dump_json(exclude_defaults=True)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_named(value: float, train: Callable[..., Any]) -> None:
    rows = events(10)
    rows[3:5, 1] = value
    rows[0, 2] = value
    with pytest.raises(
        NtuplemlError, match=r"in\.root: variable 'pt_2' is NaN or infinite in 2 of 10 events \(and 1 more variables\)"
    ):
        score(load_scorer(train().models), rows, np.zeros(10, dtype=int), where="in.root")


def test_missing_inputs_are_replaced_where_the_training_did(train: Callable[..., Any]) -> None:
    trained = train(missing=-5.0)
    rows, replaced = events(10), events(10)
    rows[3, 1] = np.nan
    replaced[3, 1] = -5.0
    scores = score(load_scorer(trained.models), rows, np.zeros(10, dtype=int))
    np.testing.assert_allclose(scores, keras_prediction(trained, 1, replaced), atol=1e-6)


def test_conditions(train: Callable[..., Any]) -> None:
    trained = train(conditions=["2016", "2017"])
    scorer = load_scorer(trained.models)
    rows = append_condition(events(10), scorer.conditions, "2017", "config.yaml")
    np.testing.assert_array_equal(rows[:, 3:], [[0, 1]] * 10)
    scores = score(scorer.of_condition("2017", "config.yaml"), rows[:, :3], np.zeros(10, dtype=int))
    np.testing.assert_allclose(scores, keras_prediction(trained, 1, rows), atol=1e-6)


def test_what_the_scorer_knows(train: Callable[..., Any]) -> None:
    scorer = load_scorer(train(event_branch=None).models)
    assert scorer.variables == ["pt_1", "pt_2", "m_vis"]
    assert scorer.outputs == ["ggh", "qqh", "ztt"]
    assert (scorer.conditions, scorer.num_folds, scorer.fold_rule) == ([], 2, FoldRule())


def test_events_of_a_fold_whose_model_is_not_loaded_are_a_fault_of_the_program(train: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="events of fold 1, but the model that scores them is not loaded"):
        score(load_scorer(train().models[1:]), events(4), np.array([0, 1, 0, 1]))


def test_a_missing_onnx_file_is_made_once(
    train: Callable[..., Any], tmp_path: Path, training_of: Callable[..., Any]
) -> None:
    trained = train()
    rows, folds = events(), np.arange(5000) % 2
    expected = score(load_scorer(trained.models), rows, folds)
    for model in trained.models:
        model.files.onnx.unlink()
        # As a training leaves it that was killed before the ONNX file was written.
        write_record(model.files.record, model.record.model_copy(update={"sha256": {}}), overwrite=True)
    models = models_by_fold(training_of(tmp_path), where="config.yaml")
    np.testing.assert_allclose(score(load_scorer(models), rows, folds), expected, atol=1e-6)
    made = [model.files.onnx.stat().st_mtime_ns for model in models]
    again = models_by_fold(training_of(tmp_path), where="config.yaml")
    assert again[0].record.onnx_check is not None
    assert again[0].record.onnx_check.largest_difference < 1e-6
    assert list(again[0].record.sha256) == ["fold0_keras_model.onnx"]
    np.testing.assert_allclose(score(load_scorer(again), rows, folds), expected, atol=1e-6)
    assert [model.files.onnx.stat().st_mtime_ns for model in models] == made


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(
    train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trained = train()
    for model in trained.models:
        model.files.onnx.unlink()

    def refuse(*arguments: object, **options: object) -> None:
        raise NtuplemlError("cannot write there: permission denied")

    monkeypatch.setattr("ntupleml.scoring.onnx_files.write_record", refuse)
    scores = score(load_scorer(trained.models), events(10), np.zeros(10, dtype=int))
    np.testing.assert_allclose(scores, keras_prediction(trained, 1, events(10)), atol=1e-6)
    assert "the ONNX file is used but not kept: cannot write there" in caplog.text


def test_neither_onnx_nor_keras(train: Callable[..., Any]) -> None:
    models = train().models
    models[1].files.onnx.unlink()
    models[1].files.model.unlink()
    with pytest.raises(NtuplemlError, match=r"fold1_keras_model\.onnx: no such file, nor .* to make it from"):
        load_scorer(models)


def test_a_changed_onnx_file_is_refused(train: Callable[..., Any]) -> None:
    models = train().models
    with models[0].files.onnx.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(NtuplemlError, match=r"fold0_keras_model\.onnx: not the file that the training wrote"):
        load_scorer(models)


def test_swapped_onnx_files_are_refused_also_without_checksums(
    train: Callable[..., Any], tmp_path: Path, training_of: Callable[..., Any]
) -> None:
    models = train().models
    zero, one = (model.files.onnx for model in models)
    content = zero.read_bytes()
    zero.write_bytes(one.read_bytes())
    one.write_bytes(content)
    for model in models:
        write_record(model.files.record, model.record.model_copy(update={"sha256": {}}), overwrite=True)
    with pytest.raises(NtuplemlError, match=r"is not of the training that .* records: record_hash is"):
        load_scorer(models_by_fold(training_of(tmp_path), where="config.yaml"))


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x08"])
def test_a_file_that_is_no_graph_is_one_line(
    content: bytes, train: Callable[..., Any], tmp_path: Path, training_of: Callable[..., Any]
) -> None:
    models = train().models
    models[0].files.onnx.write_bytes(content)
    record = read_record(models[0].files.record).model_copy(update={"sha256": {}})
    write_record(models[0].files.record, record, overwrite=True)
    with pytest.raises(
        NtuplemlError, match=r"fold0_keras_model\.onnx: (not an ONNX graph|not written by ntupleml)"
    ) as error:
        load_scorer(models_by_fold(training_of(tmp_path), where="config.yaml"))
    assert "\n" not in str(error.value)
