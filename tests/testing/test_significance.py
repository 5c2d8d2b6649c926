"""The steps of the significance, from the fold files to the files written, against sums made here by hand."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.config import TestingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.signals import signals_of
from ntupleml.testing.significance_numbers import ams_scores
from ntupleml.testing.steps import write_step

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from conftest import Analysis

    from ntupleml.testing.preparation import Preparation

CLASSES = ["signal", "background_1", "background_2"]
CLASS_WEIGHTS = {"signal": 10.0, "background_1": 1.0, "background_2": 2.5}
#: Slopes of the networks' scores, as conftest has them.
SLOPES = [np.array([[0.0, 1, -1], [0.5, 0.2, -0.4]]), np.array([[1, -0.3, 0.1], [0, 0.6, 0.9]])]


@pytest.fixture
def prepared(analysis: Analysis) -> Callable[..., Preparation]:
    def make(fold: str = "0", **options: Any) -> Preparation:
        analysis.write_configs()
        return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)

    return make


def ams(signal: float, background: float, b_reg: float) -> float:
    """As the HiggsML challenge prints it."""
    return math.sqrt(2 * ((signal + background + b_reg) * math.log(1 + signal / (background + b_reg)) - signal))


def scores_of(analysis: Analysis, model: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, true classes and weights of a model's held-out fold, by the formula of the network."""
    events = analysis.events[(model + 1) % 2]
    logits = np.concatenate([np.stack([events[name]["x"], events[name]["y"]], 1) for name in CLASSES]) @ SLOPES[model]
    exponentials = np.exp(logits)
    truth = np.repeat(np.arange(3), [len(events[name]["x"]) for name in CLASSES])
    weights = np.concatenate([events[name]["weights"] for name in CLASSES])
    return exponentials / exponentials.sum(axis=1, keepdims=True), truth, weights


def empty_class(analysis: Analysis, class_name: str) -> None:
    with uproot.recreate(analysis.folder / "fold1.root") as file:
        for name, columns in analysis.events[1].items():
            tree = file.mktree(name, {branch: column.dtype for branch, column in columns.items()})
            if name != class_name:
                tree.extend(columns)


def test_ams_of_what_is_predicted_to_be_each_class(
    analysis: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The background is what is predicted to be of the class and is not, of all other classes."""
    command = ("testing/keras_ams_score.py", "training.yaml", "testing.yaml", "0", "--b-reg", "3")
    result = run_script(*command, cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    matrix = analysis.expected(0, "weights")
    content = analysis.result("fold0_keras_ams_score")
    assert content["b_reg"] == 3
    for index, name in enumerate(CLASSES):
        signal, background = matrix[index, index], matrix[:, index].sum() - matrix[index, index]
        found: Any = content["classes"][name]
        assert found["signal"]["value"] == pytest.approx(signal)
        assert found["background"]["value"] == pytest.approx(background)
        assert found["ams"]["value"] == pytest.approx(ams(signal, background, 3))
        assert f"class '{name}': AMS " in result.stderr
    predicted = [analysis.predicted(0, name) == 0 for name in CLASSES]
    others = [analysis.events[1][name]["weights"][chosen] for name, chosen in zip(CLASSES, predicted, strict=True)][1:]
    expected = math.sqrt(sum(float(weights @ weights) for weights in others))
    assert content["classes"]["signal"]["background"]["uncertainty"] == pytest.approx(expected)  # type: ignore[index]
    again = run_script(*command, cwd=analysis.folder)
    assert again.returncode == 2
    assert "fold0_keras_ams_score.yaml: exists already; give --overwrite" in again.stderr


def test_ams_with_the_regularisation_of_the_config_and_class_weights(
    analysis: Analysis, prepared: Callable[..., Preparation]
) -> None:
    analysis.testing["significance"] = {"b_reg": 20}
    write_step(STEPS["ams"], prepared("1", class_weights=True))
    matrix = analysis.expected(1, "weights", CLASS_WEIGHTS)
    content: Any = analysis.result("fold1_keras_ams_score")
    expected = ams(matrix[0, 0], matrix[1:, 0].sum(), 20)
    assert content["classes"]["signal"]["ams"]["value"] == pytest.approx(expected)


def test_ams_of_a_class_without_events_is_undefined(analysis: Analysis, prepared: Callable[..., Preparation]) -> None:
    empty_class(analysis, "signal")
    results = ams_scores(tested_events(prepared()), "keras", 10)
    assert results["signal"]["ams"] == Undefined("no 'signal' events")
    assert isinstance(results["background_1"]["ams"], Measurement)


def test_performance_of_a_cut(analysis: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Both folds together: every event once, by the model that never saw it."""
    command = ("testing/keras_check_performance.py", "training.yaml", "testing.yaml", "all", "background_1")
    result = run_script(*command, "0.4", cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    parts = [scores_of(analysis, model) for model in (0, 1)]
    scores, truth, weights = (np.concatenate([part[index] for part in parts]) for index in range(3))
    above, is_signal = scores[:, 1] > 0.4, truth == 1
    signal, background = weights[above & is_signal], weights[above & ~is_signal]
    content: Any = analysis.result("foldall_keras_performance_background_1")
    assert content["entries"] == {"signal": len(signal), "background": len(background)}
    s, b = signal.sum(), background.sum()
    expected = {
        "signal": s,
        "background": b,
        "signal_efficiency": s / weights[is_signal].sum(),
        "background_efficiency": b / weights[~is_signal].sum(),
        "purity": s / (s + b),
        "s_over_sqrt_b": s / math.sqrt(b),
        "s_over_sqrt_s_plus_b": s / math.sqrt(s + b),
        "asimov": ams(s, b, 0),
        "ams": ams(s, b, 10),
    }
    for name, value in expected.items():
        assert content[name]["value"] == pytest.approx(value), name
    assert content["signal"]["uncertainty"] == pytest.approx(math.sqrt(signal @ signal))
    assert "purity S/(S+B): " in result.stderr
    again = run_script(*command, "0.9", cwd=analysis.folder)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_a_cut_beyond_all_scores(
    analysis: Analysis, prepared: Callable[..., Preparation], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        write_step(STEPS["performance"], prepared(), target_class="signal", cut=1.5)
    scores = scores_of(analysis, 0)[0][:, 0]
    text = f"CUT: 1.5 is outside the range of the scores of 'signal', {scores.min():.6g} to {scores.max():.6g}"
    assert text in caplog.text
    content: Any = analysis.result("fold0_keras_performance_signal")
    assert content["purity"] == content["asimov"] == "undefined: no events have a score above 1.5"


def test_an_unknown_class_is_one_line_with_the_nearest_names(prepared: Callable[..., Preparation]) -> None:
    with pytest.raises(NtuplemlError, match=r"TARGET_CLASS: .*training.yaml has no class 'singal'; nearest: 'signal'"):
        write_step(STEPS["performance"], prepared(), target_class="singal", cut=0.5)


def test_a_scan_for_each_class_as_signal(
    analysis: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    analysis.testing["significance"] = {"b_reg": 4, "background_uncertainty": 0.1, "bins": 5}
    analysis.write_configs()
    before = set((analysis.folder / "out").iterdir())
    command = ("testing/significance_scan.py", "training.yaml", "testing.yaml", "0")
    result = run_script(*command, cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("largest Asimov significance") == 3
    assert "keras, class '" in result.stderr
    written = {path.name for path in set((analysis.folder / "out").iterdir()) - before}
    assert written == {f"fold0_keras_significance_{name}.{end}" for name in CLASSES for end in ("png", "pdf", "yaml")}
    again = run_script(*command, cwd=analysis.folder)
    assert again.returncode == 2
    assert "fold0_keras_significance_signal.png: exists already; give --overwrite" in again.stderr
    scores, truth, weights = scores_of(analysis, 0)
    content: Any = analysis.result("fold0_keras_significance_background_2")
    scan, binned = content["scan"], content["binned"]
    assert (scan["b_reg"], scan["background_uncertainty"], binned["bins_before_merging"]) == (4, 0.1, 5)
    cuts = np.array(scan["cuts"])
    clear = int(np.abs(scores[:, 2] - cuts[1:, np.newaxis]).min(axis=1).argmax()) + 1  # of the rounding of any score
    for index, above in ((0, np.ones(len(truth), dtype=bool)), (clear, scores[:, 2] > cuts[clear])):
        signal = weights[above & (truth == 2)].sum()
        assert scan["signal"]["value"][index] == pytest.approx(signal)
        assert scan["ams"]["value"][index] == pytest.approx(ams(signal, weights[above & (truth != 2)].sum(), 4))
    assert sum(binned["signal"]["value"]) == pytest.approx(weights[truth == 2].sum())


def test_pictures_have_numbers_and_tables(prepared: Callable[..., Preparation]) -> None:
    preparation = prepared("all")
    events = tested_events(preparation)
    pictures = list(STEPS["significance"](preparation).pictures.values())
    assert [picture.name for picture in pictures] == [f"significance_{name}" for name in CLASSES]
    same = STEPS["significance"](events).pictures.values()
    assert [picture.numbers for picture in same] == [picture.numbers for picture in pictures]
    for picture in pictures:
        significances, yields = picture.tables
        assert [row[0] for row in significances.rows] == ["Asimov Z", "AMS", "S/√B", "S/√(S+B)"]
        assert all(len(row) == len(table.header) for table in picture.tables for row in table.rows)
        assert isinstance(yields.rows[0][1], Measurement)
        assert f"the {len(events)} tested events, not scaled" in picture.caption
        yaml.safe_dump(picture.numbers)


def test_signals_alone_have_significances(analysis: Analysis, prepared: Callable[..., Preparation]) -> None:
    """A page has those of the class called signal, Asimov's first; files are of all classes, or of those named."""
    page = STEPS["significance"](Material(prepared("all"), for_page=True))
    assert [(group.title, group.is_open) for group in page.groups] == [
        ("keras", True),
        ("keras: other definitions", False),
    ]
    first, others = (group.pictures[0].tables[0] for group in page.groups)
    assert [row[:2] for row in first.rows] == [("signal", "Asimov Z")]
    assert [row[1] for row in others.rows] == ["Asimov Z", "AMS", "S/√B", "S/√(S+B)"]
    analysis.testing["signals"] = ["background_2"]
    assert list(STEPS["significance"](prepared("all")).pictures) == ["significance_background_2"]
    analysis.testing["signals"] = ["backgroundd_2"]
    with pytest.raises(NtuplemlError, match=r"signals: no class 'backgroundd_2'; nearest: 'background_2'"):
        prepared("all")


@pytest.mark.parametrize(
    ("testing", "classes", "signals"),
    [
        ({"signals": ["b"]}, ["a", "b", "signal"], ["b"]),
        ({"search": {"signal": "b"}}, ["a", "b", "signal"], ["b"]),
        ({}, ["ggh_Signal", "b", "signal"], ["ggh_Signal", "signal"]),
        ({}, ["hh", "tt"], ["hh"]),
        ({}, ["hh", "tt", "w"], []),
    ],
)
def test_which_classes_are_signals(testing: dict[str, Any], classes: list[str], signals: list[str]) -> None:
    assert signals_of(TestingConfig.model_validate(testing), classes) == signals


def test_a_class_without_events_is_said_and_the_others_are_made(
    analysis: Analysis, prepared: Callable[..., Preparation], caplog: pytest.LogCaptureFixture
) -> None:
    empty_class(analysis, "signal")
    preparation = prepared()
    with caplog.at_level(logging.WARNING):
        pictures = list(STEPS["significance"](preparation).pictures.values())
    assert "class 'signal': significance undefined: no signal events" in caplog.text
    reason = Undefined("no signal events")
    assert pictures[0].numbers["scan"] == pictures[0].numbers["binned"] == str(reason)
    assert pictures[0].tables[0].rows == ((reason,),)
    assert pictures[1].numbers["scan"]["best"]["asimov"]["significance"]["value"] > 0
