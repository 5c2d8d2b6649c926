"""Recorded data beside the classes: on all variables and scores, in no result, and not where they are blinded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined, histogram
from ntupleml.metrics.score_distributions import score_stack
from ntupleml.plots import plot_style
from ntupleml.plots.score_distributions import draw_all_score_stacks
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
BLIND = "ml_score_signal > 0.4 || counts >= 4"


@pytest.fixture
def data(analysis: Any) -> list[dict[str, NDArray[Any]]]:
    """Recorded data of each fold file."""
    random = np.random.default_rng(8)
    added = []
    for fold in range(2):
        number = 150 + fold
        columns = {name: random.normal(size=number).astype("f4") for name in ("x", "y")}
        columns["counts"] = random.integers(1, 5, number, dtype="i4")
        with uproot.update(analysis.folder / f"fold{fold}.root") as file:
            file.mktree("data", {name: column.dtype for name, column in columns.items()}).extend(columns)
        added.append(columns)
    return added


def material(analysis: Any, **options: Any) -> Material:
    analysis.write_configs()
    return Material(prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all"), **options)


def score_of_signal(columns: dict[str, NDArray[Any]], model: int) -> NDArray[np.float64]:
    logits = np.stack([columns["x"], columns["y"]], axis=1).astype("f8") @ SLOPES[model]
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights[:, 0] / weights.sum(axis=1)


def is_blinded(columns: dict[str, NDArray[Any]], fold: int) -> NDArray[np.bool_]:
    """By the model that never saw the fold."""
    return (score_of_signal(columns, 1 - fold) > 0.4) | (columns["counts"] >= 4)


def test_blinded_data_are_neither_shown_nor_counted(analysis: Any, data: list[dict[str, NDArray[Any]]]) -> None:
    analysis.testing["blind"] = BLIND
    found = material(analysis)
    events = found.data
    assert isinstance(events, TestedEvents)
    kept = [~is_blinded(columns, fold) for fold, columns in enumerate(data)]
    expected = np.concatenate([data[fold]["x"][kept[fold]] for fold in (1, 0)])  # model 0 scores fold 1
    np.testing.assert_array_equal(events.values_of("x"), expected)
    stack = STEPS["scores"](found).pictures["stack_signal"].numbers
    hidden = np.array(stack["blinded"])
    sums = np.array(stack["data"]["sums_of_weights"])
    edges = np.array(stack["data"]["edges"])
    assert hidden.any()
    assert not hidden.all() or sums.sum() == 0
    assert sums[hidden].sum() == 0
    # A bin is blinded where an event of the simulation is.
    scores = np.concatenate(
        [score_of_signal(analysis.events[fold][name], 1 - fold) for fold in (1, 0) for name in CLASSES]
    )
    is_hidden = np.concatenate([is_blinded(analysis.events[fold][name], fold) for fold in (1, 0) for name in CLASSES])
    np.testing.assert_array_equal(hidden, np.histogram(scores[is_hidden], edges)[0] > 0)


def test_scores_alone_hide_the_bins_above_the_threshold(analysis: Any, data: list[dict[str, NDArray[Any]]]) -> None:
    """Normalisation and ratio are of the bins that are open, of data and simulation."""
    analysis.testing["blind"] = "ml_score_signal > 0.4"
    analysis.training["event_weights"] = "weights_f4"
    stack = STEPS["scores"](material(analysis)).pictures["stack_signal"]
    numbers = stack.numbers
    low = np.array(numbers["data"]["edges"])[:-1]
    hidden = np.array(numbers["blinded"])
    assert not hidden[low < 0.39].any()
    total, sums = np.array(numbers["total"]["sums_of_weights"]), np.array(numbers["data"]["sums_of_weights"])
    assert numbers["normalisation"]["value"] == pytest.approx(sums.sum() / total[~hidden].sum())
    below = sum(int((score_of_signal(columns, 1 - fold) <= 0.4).sum()) for fold, columns in enumerate(data))
    assert sums.sum() == below
    assert total[hidden].sum() > 0
    assert "data in the hatched bins are blinded" in stack.caption


def test_no_point_is_drawn_in_hatched_bins() -> None:
    edges = np.linspace(0, 1, 5)
    simulated = histogram(np.array([0.1, 0.3, 0.6, 0.9]), None, edges)
    recorded = histogram(np.array([0.1, 0.35, 0.6, 0.6, 0.95]), None, edges)
    stack = score_stack({"signal": simulated}, recorded, np.array([False, False, True, True]))
    with plot_style(PlotConfig()):
        figure = draw_all_score_stacks({"signal": stack}, PlotConfig())
        axes, ratio = figure.axes[:2]
        points = [line.get_xdata() for line in axes.lines if line.get_marker() == "o"]
        np.testing.assert_allclose(points, [[0.125, 0.375]])
        hatched = [area for area in axes.collections if area.get_label() == "data blinded"]
        assert len(hatched) == 1
        assert hatched[0].get_paths()[0].get_extents().intervalx.tolist() == [0.5, 1.0]
        assert len(ratio.collections) > 1


def test_variables_are_drawn_outside_of_the_blinded_region(analysis: Any, data: list[dict[str, NDArray[Any]]]) -> None:
    analysis.testing |= {"blind": "counts >= 4", "spectators": ["x*y"]}
    analysis.training["event_weights"] = "weights_f4"
    found = material(analysis)
    assert STEPS["data"].is_shown(found)
    answer = STEPS["data"](found)
    assert list(answer.pictures) == ["data_x", "data_y", "data_x_y"]
    stack = answer.numbers["x"]
    assert stack.data.sums.sum() + stack.data.underflow[0] + stack.data.overflow[0] == sum(
        int((columns["counts"] < 4).sum()) for columns in data
    )
    np.testing.assert_allclose(stack.data.uncertainties, np.sqrt(stack.data.sums))
    for name in CLASSES:
        one = stack.classes[name]
        expected = sum(
            fold[name]["weights_f4"][fold[name]["counts"] < 4].astype("f8").sum() for fold in analysis.events
        )
        assert one.sums.sum() + one.underflow[0] + one.overflow[0] == pytest.approx(expected, rel=1e-6)
    with plot_style(PlotConfig()):
        assert len(answer.figure("data_x").axes) == 2
    on_page = STEPS["data"](material(analysis, for_page=True))
    assert list(on_page.pictures) == ["data_1"]
    yaml.safe_dump(on_page.pictures["data_1"].numbers)


def test_data_are_in_no_result(analysis: Any) -> None:
    """The same confusion and areas with and without a tree of data."""
    before = STEPS["roc"](material(analysis)).pictures["roc_signal"].numbers
    with uproot.update(analysis.folder / "fold0.root") as file:
        file.mktree("data", {"x": "f4", "y": "f4"}).extend({"x": np.ones(9, "f4"), "y": np.ones(9, "f4")})
    assert STEPS["roc"](material(analysis)).pictures["roc_signal"].numbers == before


def test_without_data_the_verb_says_so(analysis: Any) -> None:
    found = material(analysis)
    assert not STEPS["data"].is_shown(found)
    assert isinstance(found.data, Undefined)
    with pytest.raises(NtuplemlError, match=r"data_class: recorded data are not there: no tree 'data' in .*data: true"):
        STEPS["data"](found)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("ml_score_signl > 0.5", r"testing\.yaml: blind: no score 'ml_score_signl'; nearest: 'ml_score_signal'"),
        ("countss > 1", r"blind: no branch 'countss'.*nearest: 'counts'"),
        ("counts >", r"testing\.yaml: blind: "),
    ],
)
def test_formulas_that_are_wrong(
    analysis: Any, data: list[dict[str, NDArray[Any]]], formula: str, message: str
) -> None:
    analysis.testing["blind"] = formula
    with pytest.raises(NtuplemlError, match=message):
        _ = material(analysis).events


def test_the_files_are_written(analysis: Any, data: list[dict[str, NDArray[Any]]]) -> None:
    analysis.testing["blind"] = BLIND
    paths, _ = write_step(STEPS["data"], material(analysis).preparation)
    assert [path.name for path in paths if path.suffix == ".yaml"] == [
        f"foldall_keras_data_{name}.yaml" for name in ("x", "y")
    ]
