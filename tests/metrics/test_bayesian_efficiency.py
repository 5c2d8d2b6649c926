"""Bayesian intervals: those of ROOT's TEfficiency, those of stored answers, and what Beta distributions say."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from ntupleml.metrics import Interval, Undefined
from ntupleml.metrics.bayesian_efficiency import (
    LEVEL,
    bayesian_efficiencies,
    bayesian_efficiency,
    bayesian_efficiency_in_bins,
    shortest_beta_interval,
)
from ntupleml.metrics.variable_bins import bins_of_edges

STORED = Path(__file__).resolve().parents[1] / "data" / "hlt" / "rates_regions.json"
PARAMETERS = st.one_of(st.just(1.0), st.floats(1.001, 1e5))


@pytest.fixture(scope="module")
def root() -> Any:
    from ntupleml.errors import NtuplemlError
    from ntupleml.imports import import_root

    try:
        return import_root()
    except NtuplemlError:
        pytest.skip("ROOT is not installed")


def test_intervals_are_those_of_root(root: Any) -> None:
    """ROOT's minimiser stops at some 1e-9 of an end; where the length is smallest it hardly depends on it."""
    random = np.random.default_rng(1)
    a, b = 1 + random.gamma(1, 10, 100), 1 + random.gamma(1, 30, 100)
    a[:5], b[5:10] = 1, 1
    ends = ctypes.c_double(), ctypes.c_double()
    expected = []
    for pair in zip(a.tolist(), b.tolist(), strict=True):
        root.TEfficiency.BetaShortestInterval(LEVEL, *pair, *ends)
        expected.append([end.value for end in ends])
    wanted = np.array(expected).T
    lower, upper = shortest_beta_interval(a, b)
    np.testing.assert_allclose([lower, upper], wanted, rtol=0, atol=2e-8)
    np.testing.assert_allclose(upper - lower, wanted[1] - wanted[0], rtol=0, atol=1e-12)
    of_root = np.abs(beta.logpdf(wanted[0], a, b) - beta.logpdf(wanted[1], a, b))[10:].max()
    assert np.abs(beta.logpdf(lower, a, b) - beta.logpdf(upper, a, b))[10:].max() < of_root


def test_weighted_efficiencies_are_those_of_root(root: Any) -> None:
    random = np.random.default_rng(2)
    weights, values, passed = random.exponential(1, 400), random.uniform(0, 5, 400), random.random(400) < 0.3
    passed &= values < 4
    histograms = [root.TH1D(name, "", 5, 0, 5) for name in ("passed", "total")]
    for histogram, chosen in zip(histograms, (passed, values >= 0), strict=True):
        histogram.SetDirectory(root.nullptr)
        histogram.Sumw2()
        for value, weight in zip(values[chosen].tolist(), weights[chosen].tolist(), strict=True):
            histogram.Fill(value, weight)
    efficiency = root.TEfficiency(*histograms)
    efficiency.SetDirectory(root.nullptr)
    efficiency.SetStatisticOption(root.TEfficiency.kBBayesian)
    efficiency.SetPosteriorMode()
    efficiency.SetShortestInterval()
    efficiency.SetConfidenceLevel(LEVEL)
    found = bayesian_efficiency_in_bins(passed, bins_of_edges(values, np.arange(6.0)), weights)
    for number, one in enumerate(found, start=1):
        assert isinstance(one, Interval)
        assert one.value == pytest.approx(efficiency.GetEfficiency(number), abs=1e-12)
        errors = efficiency.GetEfficiencyErrorLow(number), efficiency.GetEfficiencyErrorUp(number)
        np.testing.assert_allclose([one.down, one.up], errors, rtol=0, atol=2e-8)
        assert one.down + one.up == pytest.approx(sum(errors), abs=1e-9)
    last = found[-1]
    assert isinstance(last, Interval)
    assert last.down == 0 < last.up


@given(a=PARAMETERS, b=PARAMETERS, level=st.floats(0.1, 0.99))
def test_an_interval_holds_the_level_and_shifting_it_does_not_shorten_it(a: float, b: float, level: float) -> None:
    if a == b == 1:
        return
    ((low,), (high,)) = shortest_beta_interval(np.array([a]), np.array([b]), level)
    below = beta.cdf(low, a, b)
    assert beta.cdf(high, a, b) - below == pytest.approx(level, abs=1e-9)
    for shift in (-1e-3, 1e-3):
        moved = below + shift
        if 0 < moved < 1 - level:
            length = beta.ppf(moved + level, a, b) - beta.ppf(moved, a, b)
            assert length >= high - low - 1e-9


def test_stored_answers_of_weighted_events() -> None:
    """The original adds weights in single precision."""
    for case in json.loads(STORED.read_text())["bayes"]:
        total = np.array(case["total"])
        sums = [np.add.accumulate([0, *some], dtype=np.float32)[-1] for some in (case["passed"], case["total"])]
        (found,) = bayesian_efficiencies(*(np.array([one], np.float64) for one in sums), np.array([total @ total]))
        assert isinstance(found, Interval)
        assert found.value == pytest.approx(case["eff"], abs=1e-12)
        assert found[1:] == pytest.approx((case["down"], case["up"]), abs=2e-8)
        assert found.down + found.up == pytest.approx(case["down"] + case["up"], abs=1e-12)


@given(scale=st.floats(1e-3, 1e3), number=st.integers(1, 30), data=st.data())
def test_the_scale_of_the_weights_does_not_matter(scale: float, number: int, data: st.DataObject) -> None:
    passed = np.array(data.draw(st.lists(st.booleans(), min_size=number, max_size=number)))
    one, other = (bayesian_efficiency(passed, weight * np.ones(number)) for weight in (1.0, scale))
    assert isinstance(one, Interval)
    assert isinstance(other, Interval)
    assert one == pytest.approx(other, abs=1e-9)
    assert 0 <= one.value - one.down <= one.value + one.up <= 1


def test_what_has_no_interval_says_why() -> None:
    passed = np.array([True, False])
    reasons = [str(bayesian_efficiency(passed, np.array(weights))) for weights in ([1, -1], [1, -2], [2, -1], [-1, 2])]
    assert reasons == [
        "undefined: sum of weights is zero",
        "undefined: sum of weights is negative",
        "undefined: negative weights bring the share to 2, beyond 0 to 1",
        "undefined: negative weights bring the share to -1, beyond 0 to 1",
    ]
    assert bayesian_efficiency(passed[:0], np.empty(0)) == Undefined("no events")


def test_negative_weights_count() -> None:
    found = bayesian_efficiency(np.array([True, True, False, False]), np.array([1.0, -0.5, 1.0, 0.5]))
    assert isinstance(found, Interval)
    entries = 2.0**2 / 2.5
    low, high = (end[0] for end in shortest_beta_interval(np.array([entries / 4 + 1]), np.array([entries * 3 / 4 + 1])))
    assert found == pytest.approx((0.25, 0.25 - low, high - 0.25), abs=1e-12)
