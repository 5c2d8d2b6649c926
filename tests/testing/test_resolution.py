"""Steps about predicted values and vectors: against NumPy, beside references, and from fold files to their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.cli import main
from ntupleml.config import PlotConfig, RegressionConfig, TestingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import as_plain
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.testing.material import Material
from ntupleml.testing.registry import STEPS
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.testing.steps import Answer

REGRESSION: dict[str, Any] = {
    "vectors": {"etmiss": ["ex", "ey"]},
    "references": {"cluster": ["cluster_ex", "cluster_ey"], "scaled": {"sum": "2*pileup"}},
    "variables": {"pile-up": {"formula": "pileup", "edges": [0, 20, 40, 60], "label": "Pile-up"}},
    "thresholds": {"etmiss": [50, 100], "sum": [40]},
}


class Configured(Material):
    """Events with a testing config."""

    block: RegressionConfig

    @property
    def testing(self) -> TestingConfig:
        return TestingConfig(regression=self.block)


def made_up(number: int = 4000) -> TestedEvents:
    """Truth of exponential size; the network has 0.9 of it ± 12 GeV, the clusters 0.7 ± 20 GeV, partly in common."""
    random = np.random.default_rng(8)
    size, angle = random.exponential(40, number), random.uniform(-np.pi, np.pi, number)
    truth = np.stack([size * np.cos(angle), size * np.sin(angle)], axis=1)
    pileup = random.uniform(0, 60, number)
    noise = random.normal(0, 1, (number, 2)) * np.sqrt(1 + pileup / 30)[:, np.newaxis]
    network = 0.9 * truth + 12 * noise + random.normal(0, 4, (number, 2))
    cluster = 0.7 * truth + 20 * noise + random.normal(0, 8, (number, 2))
    scores = np.concatenate([network, pileup[:, np.newaxis] + random.normal(0, 3, (number, 1))], axis=1)
    values = np.concatenate([pileup[:, np.newaxis], cluster, 2 * pileup[:, np.newaxis]], axis=1)
    return TestedEvents(
        ["jets"], {"keras": scores.astype("f4")}, np.zeros(number, int), random.uniform(0.5, 1.5, number),
        np.arange(number) % 2, ["pileup", "cluster_ex", "cluster_ey", "2*pileup"], values.astype("f4"), {}, {},
        ["ex", "ey", "sum"], np.concatenate([truth, pileup[:, np.newaxis]], axis=1).astype("f4"),
    )  # fmt: skip


def material(events: TestedEvents | None = None, **changes: Any) -> Material:
    found = Configured(None)
    found.events = made_up() if events is None else events
    found.block = RegressionConfig.model_validate({**REGRESSION, **changes})
    return found


@pytest.fixture(scope="module")
def events() -> TestedEvents:
    return made_up()


@pytest.fixture(scope="module")
def resolution(events: TestedEvents) -> Answer:
    return STEPS["resolution"](material(events))


#: A picture of each kind.
DRAWN = {
    "resolution_etmiss_parallel_truth",
    "shape_etmiss_parallel",
    "linearity_etmiss",
    "turn_on_sum",
    "calibrated_etmiss",
}


def test_resolution_of_a_vector_is_that_of_numpy(events: TestedEvents, resolution: Answer) -> None:
    answer = resolution
    whole = answer.numbers["etmiss"]["parallel"].whole
    truth, own, weights = events.target[:, :2].astype("f8"), events.scores["keras"][:, :2].astype("f8"), events.weights
    size = np.hypot(*truth.T)
    along = (own * truth).sum(axis=1) / size
    response = np.average(along, weights=weights) / np.average(size, weights=weights)
    numbers = whole.qualities["keras"].numbers
    assert numbers["response"].value == pytest.approx(response)
    assert numbers["response"].value == pytest.approx(0.9, abs=5 * numbers["response"].uncertainty)
    residuals = along / response - size
    spread = np.sqrt(np.average((residuals - np.average(residuals, weights=weights)) ** 2, weights=weights))
    assert numbers["corrected_standard_deviation"].value == pytest.approx(spread, rel=1e-3)
    gain = whole.improvements["keras"]["cluster"]["corrected_central_width"]
    assert 0.4 < gain.value < 0.65
    assert gain.uncertainty < 0.02
    assert dict(answer.verdicts)["Resolution of etmiss by keras"].level == "attention"  # a response of 0.9
    pileup = answer.numbers["etmiss"]["perpendicular"].in_bins["pile-up"]
    widths = [one.qualities["keras"].numbers["corrected_central_width"].value for one in pileup[1]]
    assert widths == sorted(widths)
    assert "scaled" in answer.numbers["sum"]["value"].whole.qualities


def test_vectors_and_images_need_no_names(events: TestedEvents, resolution: Answer) -> None:
    """`ex` and `ey` are a vector, which images estimate; the numbers are those of formulas of the same."""
    components = np.stack([events.values_of(name) for name in ("cluster_ex", "cluster_ey")], axis=1)
    with_images = TestedEvents(**{**vars(events), "references": {"cluster": components, "empty": 0 * components}})
    images = {"cluster": {"image": "SK"}, "empty": {"image": "nothing", "vector": "etmiss"}}
    answer = STEPS["resolution"](material(with_images, vectors=None, references=images))
    found, wanted = (one.numbers["etmiss"]["parallel"].whole.qualities for one in (answer, resolution))
    assert found["cluster"] == wanted["cluster"]
    assert found["empty"].numbers["response"].value == 0
    assert set(answer.numbers["sum"]["value"].whole.qualities) == {"keras"}
    assert answer.numbers["etmiss"]["angle"].whole.qualities["empty"].entries == 0
    alone = STEPS["regression"](material(events, vectors={}, references={}, thresholds={}))
    assert set(alone.numbers["keras"]) == {"ex", "ey", "sum"}


def test_pictures_are_drawn_and_turn_on_curves_rise(events: TestedEvents, resolution: Answer) -> None:
    turn_on = STEPS["turn-on"](material(events))
    drawn = set()
    with plot_style(PlotConfig(), PARAMETERS):
        for answer in (resolution, turn_on, STEPS["value-calibration"](material(events))):
            yaml.safe_dump(as_plain(answer.numbers))
            for name in DRAWN & set(answer.pictures):
                draw = answer.pictures[name].draw
                assert draw is not None
                assert draw(PlotConfig()).get_tightbbox().width > 1
                drawn.add(name)
    assert drawn == DRAWN
    curve = turn_on.numbers["etmiss"][50]["keras"].efficiencies
    assert curve[0].value < 0.1
    assert curve[-2].value > 0.9


def test_calibration_brings_the_mean_residual_to_zero(events: TestedEvents) -> None:
    found = STEPS["value-calibration"](material(events)).numbers["keras"]["etmiss"].whole.qualities
    for kind in ("linear", "isotonic"):
        bias = found[kind].numbers["bias"]
        assert abs(bias.value) < 3 * bias.uncertainty
    assert abs(found["as it is"].numbers["bias"].value) > 5 * found["as it is"].numbers["bias"].uncertainty


def test_an_empty_image_and_a_truth_of_zero_are_counted(events: TestedEvents) -> None:
    target, scores = events.target.copy(), events.scores["keras"].copy()
    target[:10, :2], scores[10:15, :2] = 0, 0
    changed = TestedEvents(**{**vars(events), "target": target, "scores": {"keras": scores}})
    answer = STEPS["resolution"](material(changed))
    left_out = {name: one.whole.qualities["keras"].left_out for name, one in answer.numbers["etmiss"].items()}
    assert left_out == {"parallel": 10, "perpendicular": 10, "magnitude": 0, "angle": 15}
    assert answer.numbers["etmiss"]["magnitude"].whole.qualities["keras"].without_ratio == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors": {"etmiss": ["ex", "ez"]}}, "vectors: etmiss: no output 'ez'; nearest: 'ex', 'ey'"),
        ({"vectors": {"sum": ["ex", "ey"]}}, "vectors: 'sum' is an output; choose another name"),
        ({"references": {"a": ["1"]}}, "references: a: 1 formulas for the outputs ex, ey, sum"),
        ({"references": {"a": {"sumo": "1"}}}, "references: a: no output 'sumo'; nearest: 'sum'"),
        ({"references": {"keras": ["1", "2"]}}, "references: 'keras' is a method that is tested"),
        ({"references": {"a": {"image": "SK", "vector": "met"}}}, "references: a: vector: no vector 'met'; there are"),
        (
            {"vectors": {}, "references": {"a": {"image": "SK"}}},
            "references: a: an image estimates a vector, but there is",
        ),
        (
            {
                "vectors": {"a": ["ex", "ey"], "b": ["ey", "sum"]},
                "references": {"c": {"image": "SK"}},
            },
            "references: c: an image estimates a vector, but there are a, b; name one as vector: NAME",
        ),
        ({"thresholds": {"etmis": [1]}}, "thresholds: no value or vector 'etmis'; nearest: 'etmiss'"),
    ],
)
def test_what_does_not_fit_is_one_line(events: TestedEvents, changes: dict[str, Any], message: str) -> None:
    step = "turn-on" if "thresholds" in changes else "resolution"
    with pytest.raises(NtuplemlError, match=f"^the events: regression: {message}"):
        STEPS[step](material(events, **changes))


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"image": ["SK", "cluster"]}, "references.a: image: 2 columns; an estimator is an image of one"),
        ({"image": "SK", "preprocessing": "identity"}, "references.a: preprocessing: the image is taken as it is"),
        ({"image": "e", "eta": "h"}, "references.a: bins is missing"),
        ({"image": "SK", "vecotr": "a"}, "vecotr"),
    ],
)
def test_references_that_make_no_sense(reference: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        load_config({"regression": {"references": {"a": reference}}}, TestingConfig)


def test_from_fold_files_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """References and variables are read beside the inputs, and every verb writes what it announces."""
    for fold in (0, 1):
        random = np.random.default_rng(fold)
        x, y, pileup = random.normal(0, 30, (3, 300))
        columns = {"cx": x + random.normal(0, 9, 300), "cy": y + random.normal(0, 9, 300), "x": x, "y": y}
        with uproot.recreate(tmp_path / f"fold{fold}_d.root") as file:
            own = {**columns, "pileup": np.abs(pileup)}
            file.mktree("all", dict.fromkeys(own, "f4")).extend({k: v.astype("f4") for k, v in own.items()})
    training = {
        "datasets": [str(tmp_path / f"fold{fold}_d.root") for fold in (0, 1)],
        "output_path": str(tmp_path / "out"),
        "classes": ["all"],
        "variables": ["cx", "cy"],
        "target": {"values": {"ex": "x", "ey": "y"}},
        "scikit_learn": [{"name": "line", "type": "LinearRegression"}],
    }
    testing = {"method": "line", "regression": {**REGRESSION, "references": {"half": ["0.5*cx", "0.5*cy"]}}}
    testing["regression"]["thresholds"] = {"etmiss": [40]}
    for name, content in (("training", training), ("testing", testing)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    configs = [str(tmp_path / "training.yaml"), str(tmp_path / "testing.yaml")]
    for fold in ("0", "1"):
        assert main(["train-sklearn", configs[0], fold]) == 0
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])
    monkeypatch.setattr("ntupleml.plots.pictures._figure", lambda *_: None)
    for verb in ("resolution", "turn-on", "value-calibration"):
        assert main([verb, *configs, "all"]) == 0
    numbers = yaml.safe_load((tmp_path / "out/foldall_line_resolution_etmiss_parallel_pile-up.yaml").read_text())
    assert set(numbers["bins"][0]["qualities"]) == {"line", "half"}
    shape = yaml.safe_load((tmp_path / "out/foldall_line_shape_etmiss_parallel.yaml").read_text())
    response = shape["all"]["qualities"]["half"]["numbers"]["response"]
    assert abs(response["value"] - 0.5) < 4 * response["uncertainty"]
