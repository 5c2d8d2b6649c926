"""ROC curves from fold files to files and pictures, against scikit-learn's areas of scores that are computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml
from sklearn.metrics import roc_auc_score

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots import plot_style
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from conftest import Analysis

CLASSES = ["signal", "background_1", "background_2"]
NAMES = [*(f"roc_{name}" for name in CLASSES), *(f"roc_pairs_{name}" for name in CLASSES)]
#: The network of conftest, by model.
SLOPES = [np.array([[0.0, 1, -1], [0.5, 0.2, -0.4]]), np.array([[1, -0.3, 0.1], [0, 0.6, 0.9]])]


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing is tested elsewhere."""
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])


def pooled(analysis: Analysis, weight: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, classes and weights of both held-out folds."""
    scores, truth, weights = [], [], []
    for model in (0, 1):
        for index, name in enumerate(CLASSES):
            events = analysis.events[1 - model][name]
            logits = np.stack([events["x"], events["y"]], axis=1).astype("f8") @ SLOPES[model]
            scores.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
            truth.append(np.full(len(logits), index))
            weights.append(events[weight].astype("f8"))
    return np.concatenate(scores), np.concatenate(truth), np.concatenate(weights)


def prepared(analysis: Analysis, fold: str = "all", **options: Any) -> Any:
    analysis.write_configs()
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)


def test_all_folds_pooled_have_scikit_learns_areas(analysis: Analysis, no_pictures: None) -> None:
    analysis.testing["weight_branch"] = "weights_f4"
    paths, _ = write_step(STEPS["roc"], prepared(analysis))
    assert [path.name for path in paths] == [f"foldall_keras_{name}.yaml" for name in NAMES]
    scores, truth, weights = pooled(analysis, "weights_f4")
    for index, name in enumerate(CLASSES):
        found = yaml.safe_load((analysis.folder / "out" / f"foldall_keras_roc_{name}.yaml").read_text())
        area = roc_auc_score(truth == index, scores[:, index], sample_weight=weights)
        assert found["methods"]["keras"]["auc"]["value"] == pytest.approx(area, abs=1e-5)  # scores are float32
        assert found["background"] == [other for other in CLASSES if other != name]
        assert found["methods"]["keras"]["signal_entries"] == (truth == index).sum()
        pairs = yaml.safe_load((analysis.folder / "out" / f"foldall_keras_roc_pairs_{name}.yaml").read_text())
        for number, other in enumerate(CLASSES):
            if other == name:
                assert other not in pairs["against"]
                continue
            two = (truth == index) | (truth == number)
            area = roc_auc_score(truth[two] == index, scores[two, index], sample_weight=weights[two])
            assert pairs["against"][other]["keras"]["auc"]["value"] == pytest.approx(area, abs=1e-5)


def test_pictures_are_announced_and_have_tables_with_the_numbers(analysis: Analysis) -> None:
    preparation = prepared(analysis, "1")
    pictures = list(STEPS["roc"](preparation).pictures.values())
    assert [picture.name for picture in pictures] == NAMES
    table = pictures[0].tables[0]
    assert table.header[:3] == ("Method", "AUC", "1/ε_B at ε_S = 0.3")
    method, area, *rejections = table.rows[0]
    assert method == "keras"
    assert isinstance(area, Measurement)
    assert area.value == pictures[0].numbers["methods"]["keras"]["auc"]["value"]
    assert len(rejections) == 5
    assert pictures[0].tables[1].rows[0][1].value == pictures[0].numbers["average_auc"]["keras"]["value"]
    assert [row[:2] for row in pictures[3].tables[0].rows] == [("background_1", "keras"), ("background_2", "keras")]
    assert pictures[0].caption.count("step back") == 1  # some weights are negative
    (together, *_) = STEPS["roc"](Material(preparation, for_page=True)).pictures.values()
    assert together.caption.count("step back") == 1
    assert "(keras for '" in together.caption


def test_the_script_overlays_methods_and_overwrites_nothing(
    analysis: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    analysis.training["tmva"] = {"methods": [{"name": "Py", "type": "kPyKeras"}]}
    analysis.add_method(0, "Py", SLOPES[1].astype("f4"))
    analysis.write_configs()
    script = ("testing/roc_curves.py", "training.yaml", "testing.yaml", "0", "--method", "keras,Py")
    result = run_script(*script, cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    assert "Py: AUC 0." in result.stderr
    files = {path.name for path in (analysis.folder / "out").glob("fold0_methods_roc_*")}
    assert files == {f"fold0_methods_{name}.{end}" for name in NAMES for end in ("png", "pdf", "yaml")}
    with pytest.raises(NtuplemlError, match=r"fold0_methods_roc_signal\.png: exists already; give --overwrite"):
        write_step(STEPS["roc"], prepared(analysis, "0", methods=["keras", "Py"]))
    with pytest.raises(NtuplemlError, match=r"'kerass'; nearest: 'keras'"):
        prepared(analysis, "0", methods=["kerass"])


def events_of(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray, classes: list[str]) -> TestedEvents:
    return TestedEvents(
        classes, {"m": scores.astype("f4")}, truth, weights, 0 * truth, [], np.empty((len(truth), 0), "f4"), {}, {}
    )


@pytest.mark.parametrize("case", ["no class", "one event", "no event", "zero", "negative", "constant"])
def test_bad_input_is_said_and_the_rest_is_made(case: str) -> None:
    random = np.random.default_rng(1)
    truth, scores, weights = random.integers(0, 3, 90), random.random((90, 3)), np.ones(90)
    some = {"no class": truth != 0, "one event": slice(0, 1), "no event": slice(0, 0)}.get(case, slice(None))
    weights = {"zero": 0 * weights, "negative": np.where(truth == 0, -1.0, 1.0)}.get(case, weights)
    scores = np.full((90, 3), 1 / 3) if case == "constant" else scores
    events = events_of(truth[some], scores[some], weights[some], CLASSES)
    answer = STEPS["roc"](events)
    pictures = list(answer.pictures.values())
    assert [picture.name for picture in pictures] == NAMES
    first = answer.numbers["m"].against_rest["signal"]
    if case == "constant":
        assert "All events have the same score by m" in pictures[0].caption
        assert not isinstance(first, Undefined)
    else:
        assert isinstance(first, Undefined)
        assert pictures[0].numbers["methods"]["m"].startswith("undefined: ")
        assert pictures[0].tables[0].rows[0][1] == first
    for picture in pictures:
        with plot_style(PlotConfig()):
            picture.draw(PlotConfig()).canvas.draw()


def test_two_classes_are_one_picture() -> None:
    random = np.random.default_rng(2)
    truth, score = random.integers(0, 2, 50), random.random(50)
    answer = STEPS["roc"](events_of(truth, np.stack([score, 1 - score], axis=1), np.ones(50), ["s", "b"]))
    pictures = list(answer.pictures.values())
    assert [picture.name for picture in pictures] == ["roc_s"]
    assert "'s' against 'b'" in pictures[0].caption


def test_scores_that_are_not_finite_are_refused(analysis: Analysis) -> None:
    with uproot.recreate(analysis.folder / "fold1.root") as file:
        for name, columns in analysis.events[1].items():
            changed = {**columns, "x": np.full_like(columns["x"], 3e38), "y": np.full_like(columns["y"], 3e38)}
            file.mktree(name, {key: column.dtype for key, column in changed.items()}).extend(changed)
    with pytest.raises(NtuplemlError, match=r"fold1\.root: tree 'signal': the scores of 'keras' are NaN or infinite"):
        write_step(STEPS["roc"], prepared(analysis, "0"))
    assert not list((analysis.folder / "out").glob("*roc*"))
