"""All steps of the registry: by one form on every target, from events and from a trained analysis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import as_plain
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.testing.material import Material
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step
from ntupleml.testing.tested_events import TestedEvents
from ntupleml.verbs import verbs

#: What a step cannot do without.
NEEDED: dict[str, dict[str, Any]] = {"performance": {"target_class": "signal", "cut": 0.4}}
#: Those that need files or libraries beside the models of the small analysis.
SPECIAL = {
    "filters",
    "saliency",
    "taylor",
    "taylor-1d",
    "shapley",
    "object-inputs",
    "attention",
    "control-region",
    "data",
    "systematics",
}
#: Those that need a block of the testing config.
OF_TRIGGERS = {"trigger-rates", "trigger-efficiency", "trigger-stability", "low-rate-roc"}
SPECIAL |= OF_TRIGGERS | {"abcd", "rounding"}
#: Those that need the trained models, not only their scores.
OF_MODELS = {"confusion", "embedding", "engines", "loss-landscape", "permutation", "ranking", "record", "training"}
OF_MODELS |= {"points", "residual-maps", "tuning", "turn-on", *SPECIAL}
#: Those that are on the page where the testing config asks for them.
OF_CONFIG = {"score-slices", "rejection", "cut-scan", "point-efficiency"}


def made_up(target: str, number: int = 900) -> TestedEvents:
    random = np.random.default_rng(5)
    classes = ["signal", "background_1", "background_2"] if target == "classes" else ["jets"]
    truth = random.integers(0, len(classes), number)
    inputs = random.normal(size=(number, 2)).astype("f4")
    values = inputs + random.normal(0, 0.5, (number, 2)).astype("f4")
    scores = {
        "classes": random.dirichlet([1, 1, 1], number).astype("f4"),
        "values": values,
        "image": values,
        "reconstruction": np.square(values),
    }[target]
    outputs = {
        "classes": [],
        "values": ["met_x", "met_y"],
        "image": ["ex", "ey"],
        "reconstruction": ["reconstruction_error", "kl"],
    }[target]
    learnt = inputs if target in ("values", "image") else np.empty((0, 0), "f4")
    weights = np.where(random.random(number) < 0.1, -1.0, 1.0)
    models = np.arange(number) % 2
    members = scores[:, np.newaxis] + random.normal(0, 0.01, (number, 3, scores.shape[1])).astype("f4")
    return TestedEvents(
        classes, {"keras": scores}, truth, weights, models, ["x", "y"], inputs, {}, {}, outputs, learnt,
        {"keras": members},
    )  # fmt: skip


def require_drawn(material: Material, name: str) -> None:
    """Every picture can be drawn, and all numbers are plain."""
    answer = STEPS[name](material, **NEEDED.get(name, {}))
    yaml.safe_dump(as_plain(answer.numbers))
    assert [picture.name for group in answer.groups for picture in group.pictures] == list(answer.pictures)
    with plot_style(PlotConfig(), PARAMETERS):
        for picture in answer.pictures.values():
            yaml.safe_dump(picture.numbers)
            if picture.draw is not None:
                assert picture.draw(PlotConfig()).get_tightbbox().width > 1


@pytest.mark.parametrize("name", sorted(set(STEPS) - OF_MODELS))
@pytest.mark.parametrize("target", ["classes", "values", "reconstruction"])
def test_each_step_from_events_alone(name: str, target: str) -> None:
    material = Material.of(made_up(target))
    if target in STEPS[name].targets:
        require_drawn(material, name)
        return
    with pytest.raises(NtuplemlError, match=f"^the events: the target is {target}, but '.*' needs"):
        STEPS[name](material)


@pytest.mark.parametrize("name", sorted(OF_MODELS - {"confusion"}))
def test_steps_of_models_say_what_they_need(name: str) -> None:
    target = STEPS[name].targets[0]
    with pytest.raises(NtuplemlError, match="needs the trained models"):
        STEPS[name](made_up(target))


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.on_page and "classes" in step.targets])
def test_each_section_of_a_trained_analysis(analysis: Any, name: str) -> None:
    preparation = prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    material = Material(preparation, for_page=True)
    if STEPS[name].is_shown(material) or name in OF_CONFIG:
        require_drawn(material, name)
        return
    with pytest.raises(
        NtuplemlError,
        match=r"training\.yaml: inputs: no group of objects|^keras: |no settings were searched|no control sample is|"
        r"recorded data are not there|systematics: no variation is there|"
        r"has no parameters|testing\.yaml: trigger: no anomaly trigger is described|abcd: no other score is|"
        r"_preprocessing\.json: no such file",
    ):
        STEPS[name](material)


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.verb and "classes" in step.targets])
def test_each_verb_writes_what_it_announces(analysis: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in SPECIAL | {"stability"}:
        pytest.skip("tested with its own models")
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])
    preparation = prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    paths, answer = write_step(STEPS[name], preparation, **NEEDED.get(name, {}))
    assert paths
    assert all(path.exists() for path in paths)
    assert len(paths) == len(answer.pictures) + len(answer.files)
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite to replace it"):
        write_step(STEPS[name], preparation, **NEEDED.get(name, {}))


def test_a_figure_by_its_name() -> None:
    answer = STEPS["roc"](made_up("classes"))
    assert answer.figure("roc_pairs_signal").axes
    with pytest.raises(NtuplemlError, match="no picture 'roc_signl'; nearest: 'roc_signal'"):
        answer.figure("roc_signl")


def test_every_verb_is_on_the_command_line() -> None:
    assert {step.verb for step in STEPS.values() if step.verb} <= set(verbs())


def test_each_score_of_a_reconstruction_has_its_picture() -> None:
    """Numbers are those of the column of the score."""
    events = made_up("reconstruction")
    answer = STEPS["reconstruction"](events)
    assert list(answer.pictures) == ["reconstruction", "reconstruction_kl"]
    for index, name in enumerate(("reconstruction_error", "kl")):
        expected = np.average(events.scores["keras"][:, index], weights=events.weights)
        assert answer.numbers["keras"][name]["jets"].bias.value == pytest.approx(expected, rel=1e-5)


def test_inputs_are_shown_where_there_are_numbers() -> None:
    """Of objects alone there is no number per event to be drawn; the section of objects has them."""
    events = made_up("reconstruction")
    assert STEPS["inputs"].is_shown(Material.of(events))
    without = replace(events, variables=[], values=np.empty((len(events), 0), np.float32))
    assert not STEPS["inputs"].is_shown(Material.of(without))
