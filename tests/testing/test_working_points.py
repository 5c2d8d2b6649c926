"""Working points: cuts and efficiencies counted by hand, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from ntupleml.cli import main
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.testing.registry import STEPS
from ntupleml.testing.tested_events import TestedEvents
from ntupleml.testing.working_points import WorkingPoint, working_points


def events(weights: list[float]) -> TestedEvents:
    """Four signal events and four of two other classes, by falling score: s s a s b a s b."""
    signal = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], "f4")
    scores = np.stack([signal, 1 - signal, np.zeros(8, "f4")], axis=1)
    truth = np.array([0, 0, 1, 0, 2, 1, 0, 2])
    empty = np.empty((8, 0), "f4")
    return TestedEvents(
        ["s", "a", "b"], {"keras": scores}, truth, np.array(weights), np.zeros(8, int), [], empty, {}, {}
    )


def test_cuts_and_efficiencies_counted_by_hand() -> None:
    """A quarter of the others is the event at 0.7, so that the loosest cut with it is at 0.6."""
    found = working_points(events([1.0] * 8), "keras", [0.25, 0.5, 0.2])["s"]
    quarter, half = found[0.25], found[0.5]
    assert isinstance(quarter, WorkingPoint)
    assert isinstance(half, WorkingPoint)
    assert (quarter.threshold, half.threshold) == pytest.approx((0.6, 0.5))
    values = {name: one.value for name, one in quarter.efficiencies.items() if not isinstance(one, Undefined)}
    assert values == {"s": 0.75, "a": 0.5, "b": 0.0}
    uncertainty = quarter.efficiencies["s"]
    assert not isinstance(uncertainty, Undefined)
    assert uncertainty.uncertainty == pytest.approx(np.sqrt(0.75 * 0.25 / 4))
    tight = found[0.2]
    assert isinstance(tight, WorkingPoint)
    assert tight.threshold == pytest.approx(0.8)


def test_weights_count() -> None:
    """Of the others, the event at 0.7 has a tenth of the weights."""
    found = working_points(events([1, 1, 0.5, 1, 1.5, 1.5, 1, 1.5]), "keras", [0.1])["s"][0.1]
    assert isinstance(found, WorkingPoint)
    assert found.threshold == pytest.approx(0.6)


def test_too_tight_is_undefined() -> None:
    """The score of 'b' is the same for all events: every cut keeps all or none."""
    found = working_points(events([1.0] * 8), "keras", [0.5])["b"][0.5]
    assert found == Undefined("the tightest cut lets more than 0.5 of the other classes pass")


def test_shares_are_checked() -> None:
    with pytest.raises(NtuplemlError, match=r"^--background 2: a share of the events is wanted, between 0 and 1$"):
        STEPS["working-points"](events([1.0] * 8), background=["2"])


def test_the_verb_writes_its_numbers(analysis: object) -> None:
    folder = analysis.folder  # type: ignore[attr-defined]
    arguments = [str(folder / "training.yaml"), str(folder / "testing.yaml"), "all", "--background", "0.2"]
    assert main(["working-points", *arguments]) == 0
    content = yaml.safe_load((folder / "out" / "foldall_keras_working_points.yaml").read_text())
    one = content["background_efficiency"]["signal"][0.2]
    assert set(one) == {"threshold", "efficiencies"}
    assert set(one["efficiencies"]) == {"signal", "background_1", "background_2"}
