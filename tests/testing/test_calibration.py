"""The step of reliability curves: which mixture of events is calibrated, files, and bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import brier_score_loss

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.calibration import Calibration
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.testing.calibration import (
    PLAIN,
    WITH_CLASS_WEIGHTS,
    calibration_pictures,
    calibration_summary,
)
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

CLASS_WEIGHTS = {"a": 4.0, "b": 1.0, "c": 2.0}


def made_up(number: int = 20_000, **changes: Any) -> TestedEvents:
    """Scores that are the probabilities where class weights count: class i is thinned out by its class weight."""
    random = np.random.default_rng(1)
    scores = random.dirichlet([1, 1, 1], number)
    truth = (random.random(number)[:, None] > np.cumsum(scores, axis=1)).sum(axis=1)
    kept = random.random(number) < 1 / np.array(list(CLASS_WEIGHTS.values()))[truth]
    content = {
        "classes": ["a", "b", "c"],
        "scores": {"keras": scores[kept].astype("f4")},
        "truth": truth[kept],
        "weights": np.ones(np.count_nonzero(kept)),
        "models": np.zeros(np.count_nonzero(kept), np.int64),
        "variables": [],
        "values": np.zeros((np.count_nonzero(kept), 0), "f4"),
        "sampled": {},
        "left_out": {},
    }
    return TestedEvents(**{**content, **changes})  # type: ignore[arg-type]


def test_scores_are_judged_in_the_mixture_that_they_were_trained_for() -> None:
    events = made_up()
    summary = calibration_summary(events, None, CLASS_WEIGHTS)
    assert list(summary.brier) == [PLAIN, WITH_CLASS_WEIGHTS]
    assert summary.verdict.level == "good"
    assert "(with class weights)" in summary.verdict.text
    assert calibration_summary(events, "keras", {}).verdict.level == "attention"
    for name, by_mixture in summary.classes.items():
        plain, weighted = by_mixture[PLAIN], by_mixture[WITH_CLASS_WEIGHTS]
        assert isinstance(plain, Calibration)
        assert isinstance(weighted, Calibration)
        index = events.classes.index(name)
        factors = np.array(list(CLASS_WEIGHTS.values()))[events.truth]
        expected = brier_score_loss(events.truth == index, events.scores["keras"][:, index], sample_weight=factors)
        assert weighted.brier.value == pytest.approx(expected, abs=1e-7)


def test_equal_class_weights_are_one_mixture() -> None:
    events = made_up()
    assert list(calibration_summary(events, None, dict.fromkeys("abc", 3.0)).brier) == [PLAIN]
    assert list(calibration_summary(events, None, CLASS_WEIGHTS, included=True).brier) == [WITH_CLASS_WEIGHTS]


def of_signal(events: TestedEvents) -> Calibration | Undefined:
    return calibration_summary(events).classes["a"][PLAIN]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda events: events.chosen(np.arange(0)), "no signal events", id="no events"),
        pytest.param(
            lambda events: events.chosen(np.flatnonzero(events.truth)[:1]), "no signal events", id="one event"
        ),
        pytest.param(lambda events: events.chosen(events.truth == 0), "no background events", id="only one class"),
        pytest.param(
            lambda events: made_up(weights=np.zeros(len(events))), "sum of signal weights is zero", id="zero weights"
        ),
        pytest.param(
            lambda events: made_up(weights=-np.ones(len(events))), "sum of signal weights is negative", id="negative"
        ),
        pytest.param(
            lambda events: made_up(scores={"bdt": np.linspace(-1, 1, 3 * len(events), dtype="f4").reshape(-1, 3)}),
            "the scores, from -1 to ",
            id="responses of a BDT",
        ),
    ],
)
def test_bad_input_is_said(spoil: Callable[[TestedEvents], TestedEvents], reason: str) -> None:
    events = spoil(made_up())
    assert str(of_signal(events)).startswith(f"undefined: {reason}")
    (picture,) = calibration_pictures(events, calibration_summary(events))
    yaml.safe_dump(picture.numbers)
    config = PlotConfig()
    with plot_style(config, PARAMETERS):
        picture.draw(config)


def test_a_constant_score_works() -> None:
    events = made_up()
    found = of_signal(made_up(scores={"keras": np.full((len(events), 3), 1 / 3, "f4")}))
    assert isinstance(found, Calibration)
    assert isinstance(found.brier, Measurement)
    share = np.mean(events.truth == 0)
    assert found.error.value.value == pytest.approx(abs(share - 1 / 3), abs=1e-6)


def test_unknown_method() -> None:
    with pytest.raises(NtuplemlError, match="nearest: 'keras'"):
        calibration_summary(made_up(), "keraz")


def test_files(analysis: Any) -> None:
    analysis.write_configs()
    configs = analysis.folder / "training.yaml", analysis.folder / "testing.yaml"
    paths, answer = write_step(STEPS["calibration"], prepare(*configs, "all"))
    summary = answer.numbers["keras"]
    assert [path.name for path in paths] == [f"foldall_keras_calibration.{ending}" for ending in ("png", "pdf", "yaml")]
    content = analysis.result("foldall_keras_calibration")
    assert content["text"] == summary.verdict.text
    assert set(content["classes"]["signal"]) == {PLAIN, WITH_CLASS_WEIGHTS}
    counts = content["classes"]["signal"][PLAIN]["curve"]
    weights = sum(analysis.events[fold]["signal"]["weights"].sum() for fold in range(2))
    assert sum(counts["signal"]) == pytest.approx(weights)
    included, only = write_step(STEPS["calibration"], prepare(*configs, "0", class_weights=True))
    assert len(included) == 3
    assert list(only.numbers["keras"].brier) == [WITH_CLASS_WEIGHTS]


def test_the_script(analysis: Any, run_script: Callable[..., CompletedProcess[str]]) -> None:
    configs = [analysis.folder / "training.yaml", analysis.folder / "testing.yaml"]
    result = run_script("testing/calibration.py", *configs, "1")
    assert result.returncode == 0, result.stderr
    assert "is it calibrated: " in result.stderr + result.stdout
    assert (analysis.folder / "out" / "fold1_keras_calibration.pdf").exists()
