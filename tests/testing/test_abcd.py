"""The step `abcd`: its numbers for events of a model, and configs that it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from ntupleml.config import AbcdConfig, PlotConfig, TestingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import as_plain
from ntupleml.plots.style import plot_style
from ntupleml.testing.abcd import abcd_of_methods
from ntupleml.testing.registry import STEPS
from ntupleml.testing.tested_events import TestedEvents


def material(block: dict[str, Any], share: float = 0.0) -> Any:
    """Events of a background and a signal with the scores of a reconstruction and `l1`."""
    random = np.random.default_rng(1)
    number = 8000
    truth = (np.arange(number) % 8 == 0).astype("i8")
    l1 = random.exponential(1.0, number) + 2.0 * truth
    score = (share * l1 + random.exponential(1.0, number) + 2.0 * truth).astype("f4")
    events = TestedEvents(
        ["background", "signal"],
        {"keras": np.stack([random.random(number).astype("f4"), score], axis=1)},
        truth,
        np.ones(number),
        np.arange(number) % 2,
        ["l1"],
        l1.astype("f4")[:, None],
        {},
        {},
        ["reconstruction_error", "kl"],
    )
    testing = TestingConfig.model_validate(
        {"abcd": {"other": "l1", "background": "background", "score": "kl", **block}}
    )
    reading = SimpleNamespace(outputs=events.outputs)
    return SimpleNamespace(
        events=events,
        methods=["keras"],
        seed=1,
        classes=events.classes,
        announce=list,
        preparation=SimpleNamespace(testing=testing, testing_path="testing.yaml", reading=reading),
    )


@pytest.mark.parametrize(("share", "level"), [(0.0, "good"), (0.3, "attention")])
def test_verdict_and_numbers(share: float, level: str) -> None:
    answer = abcd_of_methods(material({"cuts": {"score": 2.0, "other": 1.5}}, share))
    ((question, verdict),) = answer.verdicts
    assert (question, verdict.level) == ("Closure? keras", level)
    assert verdict.text.startswith("closes: A is" if level == "good" else "does not close: A is")
    found = material({}, share).events
    score, other = found.scores["keras"][:, 1], found.values[:, 0]
    chosen = (found.truth == 0) & (score >= 2) & (other >= 1.5)
    one = answer.numbers["keras"]
    assert one.closure.regions.A.value == chosen.sum()
    assert set(one.signals) == {"signal"}
    assert one.signals["signal"].efficiency.value > 0.3
    picture = answer.pictures["abcd"]
    yaml.safe_dump(picture.numbers)
    yaml.safe_dump(as_plain(answer.numbers))
    assert [table.title for table in picture.tables] == ["Background", "", "Signals of their weights"]
    with plot_style(PlotConfig()):
        assert picture.draw is not None
        assert picture.draw(PlotConfig()).get_tightbbox().width > 1


def test_a_share_in_place_of_cuts() -> None:
    one = abcd_of_methods(material({"share": 0.05})).numbers["keras"]
    assert one.closure.cuts == one.grid[0.05, 0.05].cuts


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"background": "backgruond"}, "testing.yaml: abcd: background: no class 'backgruond'; nearest: 'background'"),
        ({"score": "kll"}, "abcd: score: no score 'kll'; nearest: 'kl'"),
    ],
)
def test_what_is_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        abcd_of_methods(material(block))
    assert message in str(error.value)


def test_other_errors() -> None:
    with pytest.raises(NtuplemlError, match="needs the trained models"):
        STEPS["abcd"](material({}).events)
    with pytest.raises(ValidationError, match="cuts and share stand side by side"):
        AbcdConfig.model_validate({"other": "x", "background": "b", "share": 0.2, "cuts": {"score": 1, "other": 2}})
    none = material({})
    none.preparation.testing = TestingConfig()
    with pytest.raises(NtuplemlError, match=r"testing\.yaml: abcd: no other score is described; name it"):
        abcd_of_methods(none)
    bad = material({})
    bad.events.values[3] = np.nan
    with pytest.raises(NtuplemlError, match="abcd: other: 'l1' is NaN or infinite in 1 of 8000 events"):
        abcd_of_methods(bad)
