"""Fold files whose inputs and weights are in friends inside the file: every step reads them as it reads others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import read_record
from ntupleml.config import TrainingConfig, load_config
from ntupleml.metrics import Undefined
from ntupleml.testing.held_out_rows import held_out_rows
from ntupleml.testing.inputs import validate_inputs
from ntupleml.testing.preparation import prepare, recorded_data, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step
from ntupleml.testing.training_part import training_part

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = ["signal", "background_1", "background_2"]


@pytest.fixture
def analysis(make_analysis: Callable[..., Any]) -> Any:
    made = make_analysis(of_friend=("y", "weights", "counts"))
    made.testing = {"spectators": ["counts", "x*y"]}
    made.write_configs()
    return made


def prepared(analysis: Any, fold: str = "all") -> Any:
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold)


def test_scored_events(analysis: Any) -> None:
    found = tested_events(prepared(analysis))
    for model in (0, 1):
        for index, name in enumerate(CLASSES):
            chosen = (found.models == model) & (found.truth == index)
            events = analysis.events[1 - model][name]
            np.testing.assert_array_equal(found.values_of("y")[chosen], events["y"])
            np.testing.assert_array_equal(found.weights[chosen], events["weights"])
            np.testing.assert_array_equal(found.values_of("counts")[chosen], events["counts"])
            np.testing.assert_array_equal(found.scores["keras"][chosen].argmax(axis=1), analysis.predicted(model, name))


def test_recorded_data(analysis: Any) -> None:
    analysis.testing["data_class"] = "background_2"
    analysis.write_configs()
    found = recorded_data(prepared(analysis))
    assert not isinstance(found, Undefined), found
    expected = np.concatenate([analysis.events[fold]["background_2"]["weights"] for fold in (1, 0)])
    np.testing.assert_array_equal(found.weights, expected)


def test_confusion_matrices(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])
    write_step(STEPS["confusion"], prepared(analysis, "0"))
    found = analysis.matrix("fold0_keras_confusion_standard")
    np.testing.assert_allclose(found, analysis.expected(0, "weights"), rtol=1e-12)


def test_inputs(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntupleml.testing.inputs.write_picture", lambda *_, **__: [])
    summary, _ = validate_inputs(analysis.folder / "training.yaml", analysis.folder / "testing.yaml")
    assert summary.classes == CLASSES


def test_rows_for_comparisons_of_engines(analysis: Any) -> None:
    training = load_config(analysis.folder / "training.yaml", TrainingConfig)
    record = read_record(analysis.folder / "out" / "fold0_keras_training.json")
    rows = held_out_rows(training, record, 30, "training.yaml")
    expected = np.concatenate([analysis.events[1][name]["y"][:10] for name in CLASSES])
    np.testing.assert_array_equal(rows.batch()["variables"][:, 1], expected)


def test_the_training_part(analysis: Any) -> None:
    found = training_part(prepared(analysis), "keras")
    assert not isinstance(found, Undefined), found
    everything = np.concatenate([analysis.events[fold][name]["weights"] for fold in (0, 1) for name in CLASSES])
    assert set(found.weights) <= set(everything)
