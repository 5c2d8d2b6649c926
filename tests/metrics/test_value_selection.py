"""Calibration on other events, turn-on curves and residual maps, against NumPy, scipy and formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ntupleml.metrics.low_rate_roc import LowRateRoc
from ntupleml.metrics.measurement import Interval, Undefined
from ntupleml.metrics.residual_maps import ResidualMap, residual_map
from ntupleml.metrics.response import sample_of_values
from ntupleml.metrics.turn_on import TurnOn, turn_on
from ntupleml.metrics.value_calibration import KINDS, calibrated, parts_of_events


def test_a_line_is_fitted_with_the_other_parts() -> None:
    random = np.random.default_rng(1)
    prediction = random.uniform(0, 10, 300)
    truth = 2 * prediction + 1 + random.normal(0, 0.1, 300)
    weights, parts = random.exponential(1, 300), np.arange(300) % 3
    found = calibrated("linear", prediction, truth, weights, parts)
    assert not isinstance(found, Undefined)
    for part in range(3):
        others = parts != part
        slope, start = np.polyfit(prediction[others], truth[others], 1, w=np.sqrt(weights[others]))
        np.testing.assert_allclose(found[~others], slope * prediction[~others] + start)


def test_isotonic_rises_and_the_own_part_has_no_part_in_it() -> None:
    random = np.random.default_rng(2)
    prediction = random.uniform(0, 10, 400)
    truth = np.sqrt(prediction) + random.normal(0, 0.05, 400)
    parts = np.arange(400) % 2
    found = calibrated("isotonic", prediction, truth, np.ones(400), parts)
    spoilt = calibrated("isotonic", prediction, np.where(parts == 1, truth, 99.0), np.ones(400), parts)
    assert not isinstance(found, Undefined)
    assert not isinstance(spoilt, Undefined)
    np.testing.assert_array_equal(found[parts == 0], spoilt[parts == 0])
    assert (np.diff(found[parts == 0][np.argsort(prediction[parts == 0])]) >= 0).all()
    assert np.abs(found - np.sqrt(prediction)).mean() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_no_calibration_is_said(kind: str) -> None:
    ones = np.ones(30)
    halves = np.arange(30) % 2
    assert "not negative" in str(calibrated(kind, ones, ones, -ones, halves))  # type: ignore[arg-type]
    assert "no other" in str(calibrated(kind, ones, ones, ones, 0 * halves))  # type: ignore[arg-type]
    assert "fewer than 10" in str(calibrated(kind, ones, ones, ones, np.arange(30) // 25))  # type: ignore[arg-type]
    assert parts_of_events(halves) is halves


def test_turn_on_of_a_normal_distribution() -> None:
    """The share above the threshold is Φ((t − threshold)/σ)."""
    random = np.random.default_rng(3)
    truth = random.uniform(0, 100, 60_000)
    found = turn_on(sample_of_values(truth + random.normal(0, 10, 60_000), truth), np.ones(60_000), 50)
    assert isinstance(found, TurnOn)
    middles = 0.5 * (found.edges[1:] + found.edges[:-1])
    for middle, share in zip(middles, found.efficiencies, strict=True):
        assert isinstance(share, Interval)
        assert share.value == pytest.approx(stats.norm.cdf((middle - 50) / 10), abs=0.03)
    assert isinstance(found.roc, LowRateRoc)
    above, below = truth[truth > 50], truth[truth <= 50]
    number = min(len(above), len(below))
    expected = stats.norm.cdf((above[:number] - below[:number]) / np.sqrt(200)).mean()
    assert found.roc.auc.value == pytest.approx(expected, abs=0.005)


def test_a_threshold_that_no_truth_reaches_has_no_roc() -> None:
    found = turn_on(sample_of_values(np.arange(20.0), np.arange(20.0)), np.ones(20), 50)
    assert isinstance(found, TurnOn)
    assert isinstance(found.roc, Undefined)
    assert isinstance(turn_on(sample_of_values(np.array([]), np.array([])), np.array([]), 5), Undefined)


def test_a_map_of_residuals_is_that_of_numpy_in_parts() -> None:
    random = np.random.default_rng(4)
    truth, weights = random.exponential(1, (90, 3, 4)).astype("f4"), random.normal(1, 0.5, 90)
    prediction = truth + random.normal(0.2, 1, (90, 3, 4)).astype("f4")
    found = residual_map((prediction[rows], truth[rows], weights[rows]) for rows in (slice(0, 50), slice(50, 90)))
    assert isinstance(found, ResidualMap)
    residuals = prediction.astype("f8") - truth
    average = np.average(residuals, axis=0, weights=weights)
    np.testing.assert_allclose(found.mean, average, rtol=1e-6)
    spread = np.sqrt((weights[:, None, None] ** 2 * (residuals - average) ** 2).sum(axis=0)) / weights.sum()
    np.testing.assert_allclose(found.uncertainty, spread, rtol=1e-6)
    np.testing.assert_allclose(found.spread, np.sqrt(np.average(residuals**2, axis=0, weights=weights)), rtol=1e-6)
    assert isinstance(residual_map([]), Undefined)
