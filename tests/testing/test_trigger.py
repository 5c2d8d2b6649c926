"""Steps of an anomaly trigger, from the fold files to the files written, against plain sums over the events."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.plots.trigger import draw_trigger_numbers
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step

from .conftest import CLASSES, SLOPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.testing.steps import Answer

#: The score of `signal` decides; `background_1` is what the rates are of.
TRIGGER: dict[str, Any] = {
    "background": "background_1",
    "score": "signal",
    "l1": {"score": "x + y", "triggered": "counts == 2", "input_rate": 4000, "target_rate": 900},
    "hlt": {"triggered": "counts == 3", "input_rate": 500, "target_rate": 60},
    "variables": {
        "x": {"formula": "x", "edges": [-2, -1, 0, 1], "label": "x (GeV)"},
        "counts": {"formula": "counts"},
    },
}
STEPS_OF_TRIGGERS = ("trigger-rates", "trigger-efficiency", "low-rate-roc")


@pytest.fixture
def answer(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Answer of a step, by default of all events, with its numbers in files."""
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])
    analysis.training["event_weights"] = "weights_f4"
    analysis.testing["trigger"] = TRIGGER

    def ask(name: str, fold: str = "all") -> Answer:
        analysis.write_configs()
        return write_step(STEPS[name], prepared(analysis, fold), overwrite=True)[1]

    return ask


def require_drawn(answer: Answer) -> None:
    config = PlotConfig(label="Preliminary", class_labels={"signal": r"$HH \to bb\tau\tau$"})
    with plot_style(config, PARAMETERS):
        for picture in answer.pictures.values():
            assert picture.draw is not None
            assert picture.draw(config).get_tightbbox().width > 1


def prepared(analysis: Any, fold: str = "all") -> Any:
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold)


class Events:
    """Columns of all events, each with the score of the model that never saw it."""

    def __init__(self, analysis: Any, folds: tuple[int, ...] = (0, 1)) -> None:
        parts: list[dict[str, NDArray[Any]]] = []
        for fold in folds:
            for index, name in enumerate(CLASSES):
                columns = dict(analysis.events[fold][name])
                logits = np.stack([columns["x"], columns["y"]], axis=1) @ SLOPES[1 - fold]
                columns["score"] = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[:, 0]
                columns["truth"] = np.full(len(logits), index)
                columns["model"] = np.full(len(logits), 1 - fold)
                parts.append(columns)
        self.columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self.l1, self.hlt = self.columns["counts"] == 2, self.columns["counts"] == 3
        self.weights = self.columns["weights_f4"].astype("f8")
        self.l1_scores = self.columns["x"] + self.columns["y"]

    def rate(self, passed: NDArray[Any], among: NDArray[Any], input_rate: float) -> float:
        background = self.columns["truth"] == 1
        return (
            float(self.weights[passed & among & background].sum() / self.weights[among & background].sum()) * input_rate
        )


def test_thresholds_are_those_of_the_rates(analysis: Any, answer: Callable[..., Answer]) -> None:
    answer("trigger-rates")
    found, events = analysis.result("foldall_keras_trigger_rates"), Events(analysis)
    thresholds = found["thresholds"]
    assert list(thresholds) == ["l1", "l1Seeded", "l1All"]
    whole = np.ones(len(events.weights), np.bool_)
    l1_anomalous = events.l1_scores >= thresholds["l1"]
    l1_rate = events.rate(l1_anomalous, whole, 4000)
    levels = {
        "l1": (events.l1_scores, events.l1, whole, 4000, 900),
        "l1Seeded": (events.columns["score"], events.hlt, l1_anomalous, l1_rate, 60),
        "l1All": (events.columns["score"], events.hlt, l1_anomalous | events.l1, 500, 60),
    }
    background = events.columns["truth"] == 1
    for name, (scores, already, among, input_rate, target) in levels.items():
        tolerance = 1e-6 * abs(thresholds[name])
        passed = scores >= thresholds[name] - tolerance
        assert found["rates"][name]["pure_rate"]["value"] == pytest.approx(
            events.rate(passed & ~already, among, input_rate), rel=1e-5
        )
        assert found["rates"][name]["total_rate"]["value"] == pytest.approx(
            events.rate(passed, among, input_rate), rel=1e-5
        )
        looser = scores[background & among & ~already & ~passed].max()
        assert found["rates"][name]["pure_rate"]["value"] < target
        assert events.rate((scores >= looser) & ~already, among, input_rate) >= target
        assert found["rates"][name]["entries"] == np.count_nonzero(background & among)
        assert found["rates"][name]["pure_entries"] == np.count_nonzero(background & among & passed & ~already)


def test_each_model_has_a_threshold_of_its_own_beside_the_common_one(
    analysis: Any, answer: Callable[..., Answer]
) -> None:
    answer("trigger-rates")
    found = analysis.result("foldall_keras_trigger_rates")
    for scheme in ("l1Seeded", "l1All"):
        models = found["of_models"][scheme]
        assert list(models) == [0, 1]
        assert sum(one["own"]["entries"] for one in models.values()) == found["rates"][scheme]["entries"]
        assert {one["pooled"]["threshold"] for one in models.values()} == {found["thresholds"][scheme]}
        pooled = [one["pooled"]["pure_rate"]["value"] for one in models.values()]
        assert min(pooled) <= found["rates"][scheme]["pure_rate"]["value"] <= max(pooled)
        assert all(one["own"]["pure_rate"]["value"] < 60 for one in models.values())
    answer("trigger-rates", "1")
    assert analysis.result("fold1_keras_trigger_rates")["of_models"] == {}


def test_regions_and_efficiencies_are_those_of_sums(analysis: Any, answer: Callable[..., Answer]) -> None:
    answer("trigger-rates")
    events = Events(analysis)
    thresholds = analysis.result("foldall_keras_trigger_rates")["thresholds"]
    efficiencies = analysis.result("foldall_keras_trigger_efficiencies")["schemes"]
    l1_anomalous = events.l1_scores >= thresholds["l1"] * (1 - 1e-6)
    for scheme in ("l1Seeded", "l1All"):
        seeds = l1_anomalous if scheme == "l1Seeded" else l1_anomalous | events.l1
        anomalous = seeds & (events.columns["score"] >= thresholds[scheme] * (1 - 1e-6))
        for index, name in enumerate(CLASSES):
            own = events.columns["truth"] == index
            e = events.weights[own & anomalous & ~events.hlt].sum()
            sums = efficiencies[scheme]["sums"][name]
            assert sums["A"]["value"] == pytest.approx(events.weights[own].sum(), rel=1e-5)
            assert sums["E"]["value"] == pytest.approx(e, rel=1e-5)
            shares = efficiencies[scheme]["efficiencies"][name]
            assert shares["raw"]["value"] == pytest.approx(
                events.weights[own & anomalous].sum() / events.weights[own & seeds].sum(), rel=1e-5
            )
            accepted = own & (l1_anomalous | events.l1) & events.hlt
            assert shares["hlt"]["value"] == pytest.approx(
                events.weights[accepted].sum() / events.weights[own].sum(), rel=1e-5
            )
            assert shares["e_over_b"]["value"] == pytest.approx(
                e / events.weights[own & l1_anomalous & ~events.l1].sum(), rel=1e-5
            )


def test_the_efficiency_at_the_rate_in_use_is_the_raw_one(analysis: Any, answer: Callable[..., Answer]) -> None:
    answer("trigger-rates")
    rates = analysis.result("foldall_keras_trigger_fixed_rates")["schemes"]
    raw = analysis.result("foldall_keras_trigger_efficiencies")["schemes"]
    for scheme, classes in rates.items():
        for name, points in classes.items():
            (used,) = [point for point in points if point["rate"]["target_rate"] == pytest.approx(60)]
            assert used["efficiency"] == pytest.approx(raw[scheme]["efficiencies"][name]["raw"])
            efficiencies = [point["efficiency"]["value"] for point in points]
            assert efficiencies == sorted(efficiencies)


def test_efficiency_in_bins_of_a_variable(analysis: Any, answer: Callable[..., Answer]) -> None:
    found = answer("trigger-efficiency")
    assert set(found.pictures) == {"trigger_efficiency_x", "trigger_efficiency_counts"}
    answer("trigger-rates")
    events, thresholds = Events(analysis), analysis.result("foldall_keras_trigger_rates")["thresholds"]
    numbers = analysis.result("foldall_keras_trigger_efficiency_x")
    assert numbers["edges"] == [-2, -1, 0, 1]
    x = events.columns["x"]
    assert numbers["left_out"] == np.count_nonzero((x < -2) | (x >= 1))
    seeds = events.l1 | (events.l1_scores >= thresholds["l1"] * (1 - 1e-6))
    passed = seeds & (events.columns["score"] >= thresholds["l1All"] * (1 - 1e-6))
    for index, name in enumerate(CLASSES):
        for place, low in enumerate(numbers["edges"][:-1]):
            inside = seeds & (events.columns["truth"] == index) & (x >= low) & (x < low + 1)
            found_here = numbers["schemes"]["l1All"][name][place]
            if not inside.any():
                assert found_here == "undefined: no events"
                continue
            expected = events.weights[inside & passed].sum() / events.weights[inside].sum()
            assert found_here["value"] == pytest.approx(expected, rel=1e-5, abs=1e-12)
    assert analysis.result("foldall_keras_trigger_efficiency_counts")["edges"] == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_the_working_point_of_a_roc_curve_is_the_raw_efficiency(analysis: Any, answer: Callable[..., Answer]) -> None:
    answer("low-rate-roc")
    answer("trigger-rates")
    curves = analysis.result("foldall_keras_low_rate_roc")["schemes"]
    raw = analysis.result("foldall_keras_trigger_efficiencies")["schemes"]
    for scheme, by_class in curves.items():
        assert list(by_class) == ["signal", "background_2"]
        for name, curve in by_class.items():
            shares = raw[scheme]["efficiencies"]
            assert curve["working_point"]["signal_efficiency"] == pytest.approx(shares[name]["raw"])
            assert curve["working_point"]["background_efficiency"] == pytest.approx(shares["background_1"]["raw"])
            assert curve["background_efficiency"][-1] == curve["signal_efficiency"][-1] == 1


def test_a_rate_that_no_threshold_has_accepts_nothing(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["trigger"] = TRIGGER | {"hlt": TRIGGER["hlt"] | {"triggered": "counts == 9", "target_rate": 0.001}}
    found = answer("trigger-rates")
    assert analysis.result("foldall_keras_trigger_rates")["thresholds"]["l1All"] is None
    assert found.verdicts[0][1].level == "attention"
    assert "accepts nothing: the first events alone have a pure rate above 0.001 Hz" in found.verdicts[0][1].text
    sums = analysis.result("foldall_keras_trigger_efficiencies")["schemes"]["l1All"]["sums"]["signal"]
    assert (sums["E"]["value"], sums["F"]["value"]) == (0, 0)
    analysis.testing["trigger"] = TRIGGER | {"l1": TRIGGER["l1"] | {"triggered": "counts == 9", "target_rate": 0.001}}
    found = answer("trigger-rates")
    assert found.verdicts[0][1].level == "attention"
    assert analysis.result("foldall_keras_trigger_rates")["rates"]["l1Seeded"] == "undefined: no events"
    assert analysis.result("foldall_keras_trigger_efficiencies")["schemes"] == {}
    for name in STEPS_OF_TRIGGERS:
        require_drawn(answer(name))


def test_how_many_events_a_rate_is_of_is_said(analysis: Any, answer: Callable[..., Answer]) -> None:
    """Of few, also a model of which none passes is no other than the rest."""
    analysis.testing["trigger"] = TRIGGER | {"hlt": TRIGGER["hlt"] | {"target_rate": 3}}
    text = answer("trigger-rates").verdicts[0][1].text
    rates = analysis.result("foldall_keras_trigger_rates")
    number = rates["rates"]["l1All"]["pure_entries"]
    assert 0 < number < 10
    assert re.search(rf"l1All has .* Hz above \S+, of {number} background events? alone; more are needed", text)
    assert min(one["pooled"]["pure_rate"]["value"] for one in rates["of_models"]["l1All"].values()) < 1.5
    assert "models differ" not in text


@pytest.mark.parametrize(("largest", "scale"), [(300.0, "log"), (3.0, "linear")])
def test_numbers_that_span_orders_have_a_logarithmic_axis(largest: float, scale: str) -> None:
    values = {"a": Measurement(1.0, 0.1), "b": Measurement(largest, 1.0), "c": Undefined("no events")}
    with plot_style(PlotConfig(), PARAMETERS):
        figure = draw_trigger_numbers({"l1All": {"gain": values}}, "Ratio", PlotConfig(), spans=True)
    axes = figure.axes[0]
    assert axes.get_yscale() == scale
    assert axes.get_ylim()[0] < 1 < largest < axes.get_ylim()[1]


def test_weights_that_are_negative_count(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.training["event_weights"] = "weights"
    answer("trigger-rates")
    sums = analysis.result("foldall_keras_trigger_efficiencies")["schemes"]["l1All"]["sums"]["signal"]
    expected = sum(analysis.events[fold]["signal"]["weights"].sum() for fold in range(2))
    assert sums["A"]["value"] == pytest.approx(expected)


def test_a_formula_in_place_of_the_score_of_the_model(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["trigger"] = TRIGGER | {"hlt": TRIGGER["hlt"] | {"score": "y*y"}}
    answer("trigger-rates")
    threshold = analysis.result("foldall_keras_trigger_rates")["thresholds"]["l1All"]
    scores = Events(analysis).columns["y"] ** 2
    assert np.abs(scores / threshold - 1).min() < 1e-6


@pytest.mark.parametrize("name", STEPS_OF_TRIGGERS)
def test_every_picture_can_be_drawn(analysis: Any, answer: Callable[..., Answer], name: str) -> None:
    require_drawn(answer(name))
    assert STEPS[name].is_shown(Material(prepared(analysis)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"background": "backgrund_1"}, "trigger: background: no class 'backgrund_1'; nearest: 'background_1'"),
        ({"score": "signl"}, "trigger: score: no score 'signl'; nearest: 'signal'"),
        ({"l1": TRIGGER["l1"] | {"score": "L1_score"}}, r"trigger: l1: score: no branch 'L1_score'"),
        (
            {"hlt": TRIGGER["hlt"] | {"triggered": "pow(x, 0.5)"}},
            r"trigger: hlt: triggered: 'pow\(x, 0.5\)' is NaN in \d+ of",
        ),
        ({"hlt": TRIGGER["hlt"] | {"target_rate": 0}}, r"trigger\.hlt\.target_rate: found 0, but greater than 0"),
        ({"variables": {"x": {"formula": "x", "edges": [1, 1]}}}, "1.0 is not below 1.0; give ascending edges"),
    ],
)
def test_what_is_wrong_is_said(
    analysis: Any, answer: Callable[..., Answer], change: dict[str, Any], message: str
) -> None:
    analysis.testing["trigger"] = TRIGGER | change
    with pytest.raises(NtuplemlError, match=message):
        answer("trigger-rates")


def test_without_variables_there_is_nothing_to_show_efficiency_against(
    analysis: Any, answer: Callable[..., Answer]
) -> None:
    analysis.testing["trigger"] = {key: value for key, value in TRIGGER.items() if key != "variables"}
    with pytest.raises(NtuplemlError, match=r"testing\.yaml: trigger: variables: none are named; give name: "):
        answer("trigger-efficiency")
    assert not STEPS["trigger-efficiency"].is_shown(Material(prepared(analysis)))


def test_a_variable_without_values_is_undefined(analysis: Any, answer: Callable[..., Answer]) -> None:
    analysis.testing["trigger"] = TRIGGER | {"variables": {"none": {"formula": "pow(-1 - x*x, 0.5)"}}}
    found = answer("trigger-efficiency")
    assert analysis.result("foldall_keras_trigger_efficiency_none")["undefined"] == "undefined: no finite values"
    require_drawn(found)


@pytest.fixture
def ensemble(analysis: Any, answer: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> Material:
    """Events whose scores are the mean of three members: the models' scores, and the same with more and less noise."""
    answer("trigger-rates")
    monkeypatch.setattr("ntupleml.testing.trigger_stability.has_ensemble", lambda _: True)
    material = Material(prepared(analysis))
    events = material.events
    random = np.random.default_rng(8)
    shift = random.normal(0, 0.2, events.scores["keras"].shape).astype("f4")
    members = np.stack([events.scores["keras"] + factor * shift for factor in (0, 1, -1)], axis=1)
    material.events = replace(events, members={"keras": members})
    return material


def test_members_have_thresholds_and_efficiencies_of_their_own(
    analysis: Any, answer: Callable[..., Answer], ensemble: Material
) -> None:
    announced: set[str] = set()
    ensemble.announce = announced.update
    found = STEPS["trigger-stability"](ensemble)
    assert announced == {*found.pictures, *found.files}
    results = json.loads(found.files["trigger_stability_l1All.json"])
    assert {key: len(values) for key, values in results.items()} == dict.fromkeys(
        ("thresholds", "region_counts", "efficiency_gains", "efficiencies", "EoverBs"), 3
    )
    whole = analysis.result("foldall_keras_trigger_rates")["thresholds"]["l1All"]
    assert results["thresholds"][0] == whole  # the first member has the scores of the ensemble
    assert len(set(results["thresholds"])) == 3
    numbers = analysis.result("foldall_keras_trigger_efficiencies")["schemes"]["l1All"]
    assert results["efficiencies"][0]["signal"] == pytest.approx(numbers["efficiencies"]["signal"]["raw"])
    assert results["region_counts"][0]["signal"]["E"] == pytest.approx(numbers["sums"]["signal"]["E"])
    events = ensemble.events
    for index in range(3):  # against a model with the scores of one member
        events.scores["keras"][:] = events.members["keras"][:, index]
        alone = STEPS["trigger-rates"](ensemble).numbers["keras"].schemes["l1All"].efficiencies
        for key, field in (("efficiencies", "raw"), ("efficiency_gains", "gain"), ("EoverBs", "e_over_b")):
            for name in CLASSES:
                assert results[key][index][name]["value"] == getattr(alone[name], field).value
    boxes = found.pictures["trigger_stability_gains_l1All"].numbers
    assert boxes["members"]["signal"]["values"] == [one["signal"]["value"] for one in results["efficiency_gains"]]
    require_drawn(found)
    assert STEPS["trigger-stability"].is_shown(ensemble)


def test_members_without_a_threshold_are_undefined(
    analysis: Any, answer: Callable[..., Answer], ensemble: Material
) -> None:
    del answer
    change = {"l1": TRIGGER["l1"] | {"triggered": "counts == 9", "target_rate": 0.001}}
    analysis.testing["trigger"] = TRIGGER | change
    analysis.write_configs()
    material = Material(prepared(analysis))
    material.events = replace(material.events, members=ensemble.events.members)
    found = STEPS["trigger-stability"](material)
    results = json.loads(found.files["trigger_stability_l1Seeded.json"])
    assert results["thresholds"] == [None] * 3
    assert results["efficiencies"] == ["undefined: the scheme has no threshold"] * 3
    assert found.verdicts[0][1].level == "unknown"
    require_drawn(found)


def test_stability_needs_an_ensemble_that_decides(analysis: Any, answer: Callable[..., Answer]) -> None:
    with pytest.raises(NtuplemlError, match=r"keras: no ensemble; train one with ensemble: \{seeds: 5\}"):
        answer("trigger-stability")
    assert not STEPS["trigger-stability"].is_shown(Material(prepared(analysis)))
    analysis.testing["trigger"] = TRIGGER | {"hlt": TRIGGER["hlt"] | {"score": "y*y"}}
    with pytest.raises(NtuplemlError, match="trigger: hlt: score: a formula decides, which no members have"):
        answer("trigger-stability")
