"""Searches and control regions, from the fold files to the files written, against loops over the events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.errors import NtuplemlError
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step

from .conftest import CLASSES, SLOPES, draw_events, write_fold_file, write_fold_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.testing.steps import Answer

CONTROL = {"classes": ["background_1", "background_2"], "slices": {"variable": "x + 1", "edges": [0.5, 2]}}


@pytest.fixture
def answer(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Answer of a step, of the events of model 0, with its numbers in files."""
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])

    def ask(name: str, fold: str = "0", **options: Any) -> Answer:
        analysis.write_configs()
        _, found = write_step(STEPS[name], prepared(analysis, fold), overwrite=True, **options)
        return found

    return ask


def prepared(analysis: Any, fold: str = "0") -> Any:
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold)


def scored(events: dict[str, NDArray[Any]], model: int = 0) -> NDArray[Any]:
    logits = np.stack([events["x"], events["y"]], axis=1) @ SLOPES[model]
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def held_out(analysis: Any) -> tuple[NDArray[Any], NDArray[Any], dict[str, NDArray[Any]]]:
    """Scores, true classes and columns of the events that model 0 never saw."""
    events = analysis.events[1]
    columns = {name: np.concatenate([events[one][name] for one in CLASSES]) for name in events[CLASSES[0]]}
    truth = np.repeat(np.arange(3), [len(events[one]["x"]) for one in CLASSES])
    return scored(columns), truth, columns


def distance(first: NDArray[Any], second: NDArray[Any], weights: tuple[NDArray[Any], NDArray[Any]]) -> float:
    points = np.concatenate([first, second])
    shares = [
        np.array([of_sample[sample <= point].sum() for point in points]) / of_sample.sum()
        for sample, of_sample in zip((first, second), weights, strict=True)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))


@pytest.mark.parametrize("named_by", ["testing", "training", "own files"])
def test_distances_of_a_control_region(analysis: Any, answer: Callable[..., Answer], named_by: str) -> None:
    """Held-out rows of simulation and data in slices; a row on an edge is above it."""
    analysis.training["event_weights"] = "weights_f4"
    events = analysis.events[1]
    if named_by == "testing":
        analysis.testing["control"] = CONTROL
    elif named_by == "training":
        analysis.training |= {"adversary": {"against": CONTROL}}
    else:
        paths = [analysis.folder / f"control{fold}.root" for fold in range(2)]
        for fold, path in enumerate(paths):
            write_fold_record(path, fold, write_fold_file(path, draw_events(50 + fold)))
        events = draw_events(51)
        control = {name: one for name, one in CONTROL.items() if name != "slices"}
        analysis.testing |= {"control": {**control, "datasets": list(map(str, paths))}, "slices": CONTROL["slices"]}
    found = answer("control-region").numbers["keras"]
    simulation, data = events["background_1"], events["background_2"]
    scores = scored(simulation), scored(data)
    for score, name in enumerate(CLASSES):
        for number, low, high in ((0, -np.inf, 0.5), (1, 0.5, 2), (2, 2, np.inf)):
            inside = [(one["x"] + 1 >= low) & (one["x"] + 1 < high) for one in (simulation, data)]
            weights = simulation["weights_f4"][inside[0]], data["weights_f4"][inside[1]]
            expected = distance(scores[0][inside[0], score], scores[1][inside[1], score], weights)
            one = found.tests[3 * score + number]
            assert one.score == name
            assert one.test.statistic == pytest.approx(expected, abs=1e-5)
            for entries, of_sample in zip(one.entries, weights, strict=True):
                assert entries == pytest.approx(of_sample.sum() ** 2 / (of_sample**2).sum())
    sums = analysis.result("fold0_keras_control_region")["sums"]
    assert sums["signal"] == pytest.approx(sum(one.test.statistic for one in found.tests[:3]))
    slices = analysis.result("fold0_keras_control_signal")["slices"]
    assert list(slices) == ["x + 1 < 0.5", "0.5 <= x + 1 < 2", "x + 1 >= 2"]
    total = {side: sum(sum(one[side]["sums_of_weights"]) for one in slices.values()) for side in ("simulation", "data")}
    assert total["simulation"] == pytest.approx(total["data"]) == pytest.approx(data["weights_f4"].sum())


def test_a_control_sample_of_another_fold_is_refused(analysis: Any, answer: Callable[..., Answer]) -> None:
    paths = [analysis.folder / f"control{fold}.root" for fold in range(2)]
    for fold, path in enumerate(paths):
        write_fold_record(path, 1 - fold, write_fold_file(path, draw_events(50 + fold)))
    analysis.testing["control"] = {**CONTROL, "datasets": list(map(str, paths))}
    with pytest.raises(NtuplemlError, match=r"control: datasets\[1\]: .*control1.root is fold 0 of 2, but fold 1 of 2"):
        answer("control-region")


def test_control_region_of_all_folds_uses_each_row_once(analysis: Any) -> None:
    analysis.testing["control"] = {**CONTROL, "rescale": False}
    analysis.write_configs()
    material = Material(prepared(analysis, "all"))
    assert len(material.control) == sum(len(one[name]["x"]) for one in analysis.events for name in CLASSES[1:])
    expected = sum(one[name]["weights"].sum() for one in analysis.events for name in CLASSES[1:])
    assert material.control.weights.sum() == pytest.approx(expected)
    assert material.control.outputs == CLASSES


@pytest.mark.parametrize(
    ("control", "message"),
    [
        (
            None,
            r"testing\.yaml: control: no control sample is named here, nor as adversary: against in .*training\.yaml",
        ),
        ({"classes": ["background_1", "dataa"]}, r"fold1\.root: no tree 'dataa'.*"),
        (
            {**CONTROL, "event_weights": "wieghts"},
            r"testing\.yaml: control: event_weights: no branch 'wieghts'.*'weights'",
        ),
        ({**CONTROL, "datasets": ["fold0.root"]}, r"control: datasets: fold 1 is wanted, but there are 1 files"),
        (
            {"classes": ["background_1", "empty"]},
            r"testing\.yaml: control: classes: no 'empty' events; both need rows with weights",
        ),
        (
            {**CONTROL, "slices": {"variable": "xx", "edges": [1]}},
            r"fold1\.root: tree 'background_1': slices: variable: no branch 'xx'",
        ),
    ],
)
def test_control_samples_that_are_refused(
    analysis: Any, answer: Callable[..., Answer], control: dict[str, Any] | None, message: str
) -> None:
    if control is not None:
        analysis.testing["control"] = control
    with uproot.update(analysis.folder / "fold1.root") as file:
        file.mktree("empty", {name: column.dtype for name, column in analysis.events[1]["signal"].items()})
    with pytest.raises(NtuplemlError, match=message):
        answer("control-region")


def test_level_is_a_chance(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["control"] = CONTROL
    with pytest.raises(NtuplemlError, match=r"--level 5: a chance is wanted, between 0 and 1"):
        answer("control-region", level=5.0)


def test_rejection_after_a_veto_counts_all_events(analysis: Any, answer: Callable[..., Answer]) -> None:
    """Weights of one background scaled; events that look like the other are left out, but not out of the shares."""
    veto = {"class": "background_1", "share": 0.3}
    scale = {"background_2": 0.1, "background_1": "rows"}
    analysis.testing["search"] = {"points": ["counts"], "rejection": {"scale": scale, "veto": veto}}
    analysis.training["event_weights"] = "weights_f4"
    found = answer("rejection").numbers["keras"]
    scores, truth, columns = held_out(analysis)
    weights = columns["weights_f4"].astype("f8")
    own = truth == 1
    order = np.argsort(-scores[own, 1])
    reached = np.cumsum(weights[own][order]) / weights[own].sum()
    threshold = scores[own, 1][order][np.argmax(reached >= 0.3)]
    assert found.veto.threshold == pytest.approx(threshold, abs=1e-6)
    weights[truth == 2] *= 0.1
    weights[own] *= own.sum() / weights[own].sum()
    left = scores[:, 1] < threshold - 1e-7
    for name, kept in {"all backgrounds": truth >= 0, "background_2": truth != 1}.items():
        curve = found.backgrounds[name]
        reach = weights[left & (truth == 0)].sum() / weights[truth == 0].sum()
        assert curve.points.signal_efficiency[-1] <= reach + 1e-9
        signal, rest = (truth == 0) & kept, (truth != 0) & kept
        cut = np.sort(scores[signal & left, 0])[::-1]
        passed = np.array([weights[signal & left & (scores[:, 0] >= one)].sum() for one in cut]) / weights[signal].sum()
        background = np.array([weights[rest & left & (scores[:, 0] >= one)].sum() for one in cut]) / weights[rest].sum()
        expected = 1 / np.interp(0.5, passed, background)
        assert curve.rejections[0.5].value == pytest.approx(expected, rel=0.05)
    assert list(found.points) == [f"counts = {number}" for number in (1, 2, 3, 4)]
    numbers = analysis.result("fold0_keras_rejection")["veto"]["caught"]
    assert numbers["background_1"]["selected"] == np.count_nonzero(~left & own)


def test_rejection_beyond_a_veto_does_not_exist(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["search"] = {"rejection": {"veto": {"class": "background_2", "threshold": 0.25}}}
    analysis.training["event_weights"] = "weights_f4"
    curve = answer("rejection").numbers["keras"].backgrounds["all backgrounds"]
    scores, truth, columns = held_out(analysis)
    weights = columns["weights_f4"].astype("f8")[truth == 0]
    reach = weights[scores[truth == 0, 2] < 0.25].sum() / weights.sum()
    assert 0 < reach < 0.9
    assert str(curve.rejections[0.9]) == f"undefined: the veto leaves a signal efficiency of {reach:.3f}"
    assert curve.points.signal_efficiency[-1] <= reach + 1e-9


def test_cut_scan_of_a_search(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["search"] = {"points": ["counts"], "cut_scan": {"scale": {"background_1": "background_2"}}}
    found = answer("cut-scan").numbers["keras"]
    scores, truth, columns = held_out(analysis)
    weights = columns["weights"].copy()
    weights[truth == 1] *= weights[truth == 2].sum() / weights[truth == 1].sum()
    for name, signal in {"backgrounds": truth == 0, "counts = 2": (truth == 0) & (columns["counts"] == 2)}.items():
        scan = found.points[name] if "=" in name else found.backgrounds["all backgrounds"]
        passed = [scores[:, 0] > cut for cut in scan.cuts]
        background = np.array([weights[one & (truth != 0)].sum() for one in passed])
        assert (background > 10).all()
        expected = np.array([weights[one & signal].sum() for one in passed]) / np.sqrt(background)
        np.testing.assert_allclose(scan.values, expected, rtol=1e-3)
        assert scan.maximum.value == pytest.approx(expected.max(), rel=1e-3)
    assert analysis.result("fold0_keras_cut_scan")["scans"]["all backgrounds"]["area"]["value"] > 0


def test_efficiency_of_points(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["search"] = {"signal": "background_1", "points": ["counts", "int(x)"]}
    analysis.testing["search"]["points"][1] = "counts > 2"
    found = answer("point-efficiency").numbers["keras"]
    scores, truth, columns = held_out(analysis)
    chosen = scores.argmax(axis=1) == 1
    weights = columns["weights"]
    assert list(found.points) == [(1, 0), (2, 0), (3, 1), (4, 1)]
    for (counts, _), one in found.points.items():
        kept = (truth == 1) & (columns["counts"] == counts)
        assert one.share.value == pytest.approx(weights[kept & chosen].sum() / weights[kept].sum())
        assert one.entries == np.count_nonzero(kept)
    rest = truth != 1
    expected = weights[rest & chosen].sum() / weights[rest].sum()
    assert found.all_backgrounds.share.value == pytest.approx(expected)
    assert len(answer("point-efficiency").figure("point_efficiency_map").axes) == 2
    content = analysis.result("fold0_keras_point_efficiency")
    assert content["points"][0]["point"] == {"counts": 1.0, "counts > 2": 0.0}
    assert set(content["false_positives"]) == {"signal", "background_2", "all"}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"signal": "singal"}, r"testing\.yaml: search: signal: no class 'singal'; nearest: 'signal'"),
        (
            {"rejection": {"scale": {"background1": 2.0}}},
            r"search: rejection: scale: background1: no class 'background1'",
        ),
        ({"cut_scan": {"scale": {"signal": "bkg"}}}, r"search: cut_scan: scale: signal \(to\): no class 'bkg'"),
        ({"points": ["x"]}, r"search: points: x: \d+ different values of 'signal', but points are for at most 400"),
    ],
)
def test_searches_that_are_refused(analysis: Any, search: dict[str, Any], message: str) -> None:
    analysis.testing["search"] = search
    analysis.write_configs()
    if search.get("points"):
        for fold in range(2):
            analysis.events[fold] = draw_events(fold, 900)
            write_fold_file(analysis.folder / f"fold{fold}.root", analysis.events[fold])
    with pytest.raises(NtuplemlError, match=message):
        STEPS["point-efficiency"](prepared(analysis))


def test_scores_in_slices(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["slices"] = {"variable": "y", "edges": [0.0]}
    found = answer("score-slices")
    areas = found.numbers["keras"]["background_2"]
    assert list(areas) == ["all events", "y < 0", "y >= 0"]
    scores, truth, columns = held_out(analysis)
    inside = columns["y"] >= 0
    weights = columns["weights"]
    signal, rest = inside & (truth == 2), inside & (truth != 2)
    above = scores[signal, 2][:, None] > scores[rest, 2][None, :]
    expected = weights[signal] @ above @ weights[rest] / weights[signal].sum() / weights[rest].sum()
    assert areas["y >= 0"].value == pytest.approx(expected, abs=1e-4)
    content = analysis.result("fold0_keras_score_slices_signal")["slices"]["y < 0"]
    assert content["events"] == np.count_nonzero(~inside)
    assert len(content["densities"]) == 2


def test_sections_of_the_page(analysis: Any) -> None:
    """Searches, slices and control samples are on the page where a config names them."""
    material = Material(prepared(analysis), for_page=True)
    sections = ["score-slices", "control-region", "rejection", "cut-scan", "point-efficiency"]
    assert not any(STEPS[name].is_shown(material) for name in sections)
    analysis.testing |= {"slices": {"variable": "x*y", "edges": [0.0]}, "control": CONTROL, "search": {}}
    analysis.write_configs()
    material = Material(prepared(analysis), for_page=True)
    assert all(STEPS[name].is_shown(material) for name in sections)
    yaml.safe_dump({name: [str(one) for one in STEPS[name](material).verdicts] for name in sections})
    variables = [row.variable for row in STEPS["efficiency"](material).numbers["keras"]]
    assert set(variables) == {"x", "y"}
    assert STEPS["inputs"](material).numbers.variables == ["x", "y"]


def test_points_are_branches_of_the_signal(analysis: Any, answer: Callable[..., Answer]) -> None:
    """Other trees need not have them; that of the signal must."""
    analysis.testing["search"] = {"points": ["mass"]}
    with pytest.raises(NtuplemlError, match=r"fold1\.root: tree 'signal': search: points: no branch 'mass'"):
        answer("point-efficiency")
    events = analysis.events[1]
    masses = np.arange(len(events["signal"]["x"])) % 2
    write_fold_file(analysis.folder / "fold1.root", {**events, "signal": {**events["signal"], "mass": 50.0 * masses}})
    found = answer("point-efficiency").numbers["keras"]
    chosen = analysis.predicted(0, "signal") == 0
    assert {point: one.selected for point, one in found.points.items()} == {
        (0.0,): np.count_nonzero(chosen & (masses == 0)),
        (50.0,): np.count_nonzero(chosen & (masses == 1)),
    }
    assert set(answer("cut-scan").numbers["keras"].points) == {"mass = 0", "mass = 50"}
