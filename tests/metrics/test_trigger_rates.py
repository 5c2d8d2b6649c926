"""Thresholds for pure rates, by trying all of them; rates and their uncertainties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.metrics import Undefined
from ntupleml.metrics.trigger_rates import (
    RateScan,
    RateThreshold,
    pure_rate_threshold,
    rate_scan,
    threshold_of_original,
)

EVENTS = st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(1, 8)), min_size=1, max_size=40)


def found(scores: list[float], already: list[bool], weights: list[float], target: float, rate: float) -> RateThreshold:
    result = pure_rate_threshold(np.array(scores), np.array(already), np.array(weights), target, rate)
    assert isinstance(result, RateThreshold)
    return result


@given(events=EVENTS, target=st.floats(0.1, 120.0))
def test_the_threshold_is_the_loosest_of_all_below_the_target(
    events: list[tuple[int, bool, int]], target: float
) -> None:
    scores, already, weights = (list(column) for column in zip(*events, strict=True))
    result = found(scores, already, weights, target, 100.0)
    rates = {}
    for cut in sorted(set(scores)):  # tried one by one
        passing = [event for event in events if event[0] >= cut]
        rates[cut] = tuple(
            100.0 * sum(weight for _, other, weight in passing if not (is_pure and other)) / sum(weights)
            for is_pure in (True, False)
        )
    allowed = [cut for cut, (pure, _) in rates.items() if pure < target - 1e-9]
    if any(abs(pure - target) < 1e-9 for pure, _ in rates.values()):
        return  # rounding decides
    if not allowed:
        assert result.threshold is None
        assert (result.pure_rate.value, result.total_rate.value) == (0, 0)
        assert not result.accepts(np.array(scores, np.float32)).any()
        return
    assert result.threshold == min(allowed)
    assert (result.pure_rate.value, result.total_rate.value) == pytest.approx(rates[min(allowed)])
    assert result.pure_entries == sum(score >= min(allowed) and not other for score, other, _ in events)
    assert result.accepts(np.array(scores, np.float32)).tolist() == [score >= min(allowed) for score in scores]


def test_the_first_event_exceeds_the_target_already() -> None:
    """The original then takes the lowest score, which accepts everything."""
    arguments = np.array([5.0, 4, 3, 2, 1]), np.zeros(5, np.bool_), np.ones(5), 10.0, 100.0
    right, original = pure_rate_threshold(*arguments), threshold_of_original(*arguments)
    assert isinstance(right, RateThreshold)
    assert isinstance(original, RateThreshold)
    assert (right.threshold, right.total_rate.value) == (None, 0)
    assert right.total_rate.uncertainty > 0
    assert (original.threshold, original.total_rate.value) == (1.0, 100.0)


def test_equal_scores_fall_on_one_side() -> None:
    """The original lets them pass, though their rate is above the target."""
    arguments = (
        np.array([5.0, 3, 3, 3, 1]),
        np.array([0, 0, 1, 0, 0], np.bool_),
        np.array([1.0, 2, 1, 1, 1]),
        60.0,
        100.0,
    )
    right, original = pure_rate_threshold(*arguments), threshold_of_original(*arguments)
    assert isinstance(right, RateThreshold)
    assert isinstance(original, RateThreshold)
    assert (right.threshold, right.pure_rate.value) == (5.0, pytest.approx(100 / 6))
    assert (original.threshold, original.pure_rate.value) == (3.0, pytest.approx(400 / 6))


def test_with_negative_weights_the_threshold_is_above_the_first_one_that_reaches_the_target() -> None:
    """The rates are 20, 60, 20, 100 Hz of 100 Hz."""
    result = found([4, 3, 2, 1], [False] * 4, [1, 2, -2, 4], 50, 100)
    assert (result.threshold, result.pure_rate.value) == (4, pytest.approx(20))


def test_a_target_that_is_never_reached_accepts_everything() -> None:
    result = found([5, 4, 3], [False, True, True], [1, 1, 1], 90, 100)
    assert (result.threshold, result.pure_rate.value, result.total_rate.value) == (3, pytest.approx(100 / 3), 100)


def test_rates_have_the_uncertainty_of_weighted_shares() -> None:
    """By toys: a weight of each event is a Poisson number times its own, as of one more such sample."""
    random = np.random.default_rng(3)
    scores, already, weights = random.random(300), random.random(300) < 0.3, random.exponential(1, 300)
    scan = rate_scan(scores, already, weights, 1000.0)
    assert isinstance(scan, RateScan)
    result = scan.at(0.8, 100.0)
    toys = random.poisson(1, (4000, 300)) * weights
    passed = scores >= 0.8
    for rate, chosen in ((result.total_rate, passed), (result.pure_rate, passed & ~already)):
        rates = 1000 * toys[:, chosen].sum(axis=1) / toys.sum(axis=1)
        assert rate.value == pytest.approx(1000 * weights[chosen].sum() / weights.sum())
        assert rate.uncertainty == pytest.approx(rates.std(), rel=0.06)


def test_the_curve_has_the_rates_of_its_thresholds() -> None:
    random = np.random.default_rng(4)
    scores, already = random.normal(size=5000).astype(np.float32), random.random(5000) < 0.2
    weights = random.exponential(1, 5000)
    scan = rate_scan(scores, already, weights, 50.0)
    assert isinstance(scan, RateScan)
    curve = scan.curve()
    assert len(curve.thresholds) <= 200
    assert curve.thresholds[0] == scores.max()
    assert curve.thresholds[-1] == scores.min()
    for index in (0, 60, 120, -1):
        passed = scores >= curve.thresholds[index]
        assert curve.total_rates[index] == pytest.approx(50 * weights[passed].sum() / weights.sum())
        assert curve.pure_rates[index] == pytest.approx(50 * weights[passed & ~already].sum() / weights.sum())
    assert curve.total_rates[-1] == pytest.approx(50)


def test_what_has_no_rate_says_why() -> None:
    no = np.zeros(2, np.bool_)
    assert rate_scan(np.array([1.0, np.nan]), no, np.ones(2), 1.0) == Undefined("1 of 2 scores are NaN")
    assert rate_scan(np.ones(2), no, np.array([1.0, -1.0]), 1.0) == Undefined("sum of weights is zero")
    assert pure_rate_threshold(np.empty(0), no[:0], np.empty(0), 1.0, 1.0) == Undefined("no events")
    assert threshold_of_original(np.empty(0), no[:0], np.empty(0), 1.0, 1.0) == Undefined("no events")
