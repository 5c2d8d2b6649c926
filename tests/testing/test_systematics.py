"""The step of systematic variations: shifted weights, trees and fold files of a trained analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.plots import plot_style
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: As in conftest.py.
CLASSES = ["signal", "background_1", "background_2"]
SLOPES = [
    np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]], dtype=np.float32),
    np.array([[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]], dtype=np.float32),
]


def material(analysis: Any, **systematics: Any) -> Material:
    analysis.training["event_weights"] = "weights_f4"
    analysis.testing["systematics"] = systematics
    analysis.write_configs()
    return Material(prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all"))


def shifted_columns(analysis: Any) -> list[dict[str, dict[str, NDArray[Any]]]]:
    """The events of both folds with another x."""
    return [
        {name: columns | {"x": (1.1 * columns["x"] + 0.2).astype("f4")} for name, columns in fold.items()}
        for fold in analysis.events
    ]


def scores_of(folds: list[dict[str, dict[str, NDArray[Any]]]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Scores of all classes by the model that never saw the fold, truth and weights, from the formula."""
    scores, truth, weights = [], [], []
    for model in (0, 1):
        for index, name in enumerate(CLASSES):
            columns = folds[1 - model][name]
            logits = np.stack([columns["x"], columns["y"]], axis=1).astype("f8") @ SLOPES[model]
            exponentials = np.exp(logits)
            scores.append(exponentials / exponentials.sum(axis=1, keepdims=True))
            truth.append(np.full(len(logits), index))
            weights.append(columns["weights_f4"].astype("f8"))
    return np.concatenate(scores), np.concatenate(truth), np.concatenate(weights)


def area(scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[Any]) -> float:
    wins = scores[is_signal][:, np.newaxis] > scores[~is_signal]
    above, below = weights[is_signal], weights[~is_signal]
    return float(above @ wins @ below / above.sum() / below.sum())


def test_shifted_weights(analysis: Any) -> None:
    """Areas by all pairs of events; sums of weights by the formula."""
    found = material(analysis, pileup={"up": "1 + 0.1*x", "down": "1 - 0.1*x"})
    answer = STEPS["systematics"](found)
    changes = answer.numbers["keras"]["pileup"]
    scores, truth, weights = scores_of(analysis.events)
    x = np.concatenate([analysis.events[fold][name]["x"] for fold in (1, 0) for name in CLASSES]).astype("f8")
    for direction, sign in (("up", 1), ("down", -1)):
        shifted = weights * (1 + sign * 0.1 * x)
        for index, name in enumerate(CLASSES):
            one, own = changes[direction][name], truth == index
            assert one.area.nominal == pytest.approx(area(scores[:, index], own, weights), abs=1e-5)
            assert one.area.shifted == pytest.approx(area(scores[:, index], own, shifted), abs=1e-5)
            assert one.sum_of_weights.shifted == pytest.approx(shifted[own].sum() / weights[own].sum(), abs=1e-5)
            assert 0 < one.area.difference.uncertainty < 0.01
            for level, change in one.efficiencies.items():
                if not isinstance(change, Undefined):
                    assert 0 <= change.nominal < 1, level
    yaml.safe_dump(answer.pictures["systematics"].numbers)
    with plot_style(PlotConfig()):
        assert len(answer.figure("systematics").axes) == 6
    assert answer.remarks[0].startswith("keras: largest change of AUC: ")


@pytest.mark.parametrize("kind", ["datasets", "tree"])
def test_shifted_events(analysis: Any, kind: str) -> None:
    folds = shifted_columns(analysis)
    for fold, content in enumerate(folds):
        path = analysis.folder / f"fold{fold}{'_up' if kind == 'datasets' else ''}.root"
        with (uproot.recreate if kind == "datasets" else uproot.update)(path) as file:
            for name, columns in content.items():
                tree = name if kind == "datasets" else f"{name}_JES_up"
                file.mktree(tree, {key: one.dtype for key, one in columns.items()}).extend(columns)
    paths = [str(analysis.folder / f"fold{fold}_up.root") for fold in range(2)]
    shift = {"datasets": paths} if kind == "datasets" else {"tree": "{class}_JES_up"}
    changes = STEPS["systematics"](material(analysis, JES={"up": shift})).numbers["keras"]["JES"]
    assert list(changes) == ["up"]
    scores, truth, weights = scores_of(folds)
    for index, name in enumerate(CLASSES):
        one = changes["up"][name]
        assert one.area.shifted == pytest.approx(area(scores[:, index], truth == index, weights), abs=1e-5)
        assert one.sum_of_weights.shifted == pytest.approx(1)
        assert one.area.difference.uncertainty > 0.01  # as of other events


def test_data_need_no_weights_of_simulation(analysis: Any) -> None:
    for fold in range(2):
        with uproot.update(analysis.folder / f"fold{fold}.root") as file:
            file.mktree("data", {"x": "f4", "y": "f4"}).extend({"x": np.ones(5, "f4"), "y": np.ones(5, "f4")})
    found = material(analysis, counting={"up": "1 + 0.01*counts"})
    assert isinstance(found.data, TestedEvents)
    assert len(found.data) == 10


def test_files_and_page(analysis: Any) -> None:
    found = material(analysis, pileup={"up": "1 + 0.1*x"})
    assert STEPS["systematics"].is_shown(found)
    paths, _ = write_step(STEPS["systematics"], found.preparation)
    assert [path.name for path in paths] == [f"foldall_keras_systematics.{ending}" for ending in ("png", "pdf", "yaml")]
    assert not STEPS["systematics"].is_shown(material(analysis))


@pytest.mark.parametrize(
    ("systematics", "message"),
    [
        ({}, "systematics: no variation is there; give e.g. pileup"),
        ({"a": {"up": "w_up"}}, r"systematics: a: up: no branch 'w_up'"),
        ({"a": {"up": "exp(1000*(x*x + 1))"}}, "systematics: a: up: '.*' is NaN or infinite for 1,206 of 1,206 events"),
        ({"a": {"up": {"tree": "{class}_up"}}}, "systematics: a: up: tree.*no tree 'signal_up'"),
        ({"a": {"up": {"tree": "up"}}}, "tree: 'up' is the same for all classes"),
        ({"a": {"up": {"datasets": ["a.root"]}}}, r"datasets: fold 1 is wanted, but there are 1 files"),
        ({"a": {"up": {"weight": "x", "tree": "{class}_up"}}}, "give either weight, a formula, or shifted events"),
        ({"a": {"down": "x"}}, "systematics.a: key 'up' is missing"),
    ],
)
def test_mistakes_are_one_line(analysis: Any, systematics: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        STEPS["systematics"](material(analysis, **systematics))
