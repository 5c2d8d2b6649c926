"""What the members of an ensemble reach, against scikit-learn and NumPy; and their spread against the score."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ntupleml.errors import NtuplemlError
from ntupleml.testing.registry import STEPS
from ntupleml.testing.tested_events import TestedEvents

_MEMBERS = 4


def events_of(target: str, number: int = 600) -> TestedEvents:
    """Scores of members that differ by noise of known size from event to event."""
    random = np.random.default_rng(3)
    classes = ["signal", "background"]
    truth = random.integers(0, 2, number)
    weights = random.uniform(0.5, 1.5, number)
    learnt = np.empty((0, 0), "f4")
    if target == "classes":
        own = np.clip(0.5 + 0.2 * (1 - 2 * truth)[:, None] + random.normal(0, 0.2, (number, _MEMBERS)), 0, 1)
        members = np.stack([own, 1 - own], axis=2).astype("f4")
        outputs = []
    elif target == "values":
        learnt = random.normal(size=(number, 1)).astype("f4")
        members = (learnt[:, None] + random.normal(0.1, 0.3, (number, _MEMBERS, 1))).astype("f4")
        outputs = ["met_x"]
    else:
        members = random.gamma(2 + truth[:, None, None], 1, (number, _MEMBERS, 2)).astype("f4")
        outputs = ["reconstruction_error", "latent_norm"]
    scores = members.mean(axis=1)
    return TestedEvents(
        classes, {"net": scores, "plain": scores}, truth, weights, truth, [], np.empty((number, 0), "f4"), {}, {},
        outputs, learnt, {"net": members},
    )  # fmt: skip


def test_areas_and_efficiencies_of_members() -> None:
    events = events_of("classes")
    answer = STEPS["stability"](events)
    assert list(answer.numbers) == ["net"]
    areas = answer.numbers["net"].quantities["stability_auc"]
    wanted = [
        roc_auc_score(events.truth == 0, events.members["net"][:, index, 0], sample_weight=events.weights)
        for index in range(_MEMBERS)
    ]
    assert areas.members["signal"].values == pytest.approx(wanted)
    assert areas.members["signal"].standard_deviation == pytest.approx(np.std(wanted, ddof=1))
    whole = roc_auc_score(events.truth == 0, events.scores["net"][:, 0], sample_weight=events.weights)
    assert areas.ensemble["signal"].value == pytest.approx(whole)
    assert whole > max(wanted)  # independent noise averages out
    efficiencies = answer.numbers["net"].quantities["stability_efficiency_0.1"].members["signal"]
    scores, passes = events.members["net"][:, 0, 0], events.truth == 1
    cut = np.sort(scores[passes])[::-1]
    order = np.argsort(scores[passes])[::-1]
    reached = np.cumsum(events.weights[passes][order]) / events.weights[passes].sum()
    threshold = cut[np.searchsorted(reached, 0.1)]
    share = events.weights[~passes & (scores >= threshold)].sum() / events.weights[~passes].sum()
    assert efficiencies.values[0] == pytest.approx(share, abs=0.01)
    assert np.std(wanted, ddof=1) > areas.ensemble["signal"].uncertainty
    assert answer.verdicts[0][1].level == "attention"
    events.members["net"][:] = events.members["net"][:, :1]  # all alike
    assert STEPS["stability"](events).verdicts[0][1].level == "good"
    assert [name for name in answer.pictures if "spread" not in name] == [
        "stability_auc", "stability_efficiency_0.01", "stability_efficiency_0.1", "stability_efficiency_0.3",
    ]  # fmt: skip


def test_residuals_of_members() -> None:
    events = events_of("values")
    found = STEPS["stability"](events).numbers["net"].quantities["stability_met_x"]
    residuals = events.members["net"][:, :, 0].astype("f8") - events.target.astype("f8")
    wanted = np.sqrt((events.weights[:, None] * residuals**2).sum(axis=0) / events.weights.sum())
    assert found.members["RMS"].values == pytest.approx(wanted.tolist())
    assert found.ensemble["RMS"] < min(wanted)


def test_reconstruction_errors_of_members() -> None:
    events = events_of("reconstruction")
    found = STEPS["stability"](events).numbers["net"].quantities
    assert list(found) == [f"stability_{name}_{kind}" for name in events.outputs for kind in ("mean", "tail")]
    chosen = events.truth == 1
    one = events.members["net"][chosen, 2, 1].astype("f8")
    assert found["stability_latent_norm_mean"].members["background"].values[2] == pytest.approx(
        np.average(one, weights=events.weights[chosen])
    )
    assert found["stability_latent_norm_tail"].members["background"].values[2] == pytest.approx(np.quantile(one, 0.99))


def test_spread_against_score() -> None:
    events = events_of("classes")
    profile = STEPS["stability"](events).numbers["net"].spread["signal"]["background"]
    rows = events.truth == 1
    spread = events.members["net"][rows, :, 0].astype("f8").std(axis=1, ddof=1)
    weights, scores = events.weights[rows], events.scores["net"][rows, 0]
    assert profile.mean.value == pytest.approx(np.average(spread, weights=weights))
    assert (profile.median, profile.high) == pytest.approx((np.median(spread), np.quantile(spread, 0.95)))
    inside = (scores >= profile.edges[5]) & (scores < profile.edges[6])
    assert profile.in_bins[5].value == pytest.approx(np.average(spread[inside], weights=weights[inside]))


def test_without_an_ensemble_the_step_says_how_to_train_one() -> None:
    events = events_of("classes")
    events.members.clear()
    with pytest.raises(NtuplemlError, match=r"no ensemble; train one with ensemble: \{seeds: 5\}"):
        STEPS["stability"](events)
