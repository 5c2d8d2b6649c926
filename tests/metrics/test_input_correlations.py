"""Weighted correlation coefficients against NumPy's, and their uncertainties by toys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.correlations import Correlations, CorrelationSums, correlations, difference


def of_events(values: np.ndarray, weights: np.ndarray, present: np.ndarray | None = None) -> Correlations:
    """From arrays of shape (n_variables, n_events), added in two parts."""
    sums = CorrelationSums.empty(len(values))
    for part in (slice(0, len(weights) // 3), slice(len(weights) // 3, None)):
        sums.add(values[:, part], weights[part], None if present is None else present[:, part])
    return correlations(sums, [f"v{index}" for index in range(len(values))])


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_coefficients_are_numpys(seed: int, num_variables: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(size=(num_variables, num_variables)) @ random.normal(size=(num_variables, 60))
    weights = random.exponential(size=60)
    covariance = np.cov(values, aweights=weights, ddof=0)
    expected = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    np.testing.assert_allclose(of_events(values, weights).coefficients, expected, atol=1e-9)


def test_missing_values_are_left_out_by_pairs() -> None:
    random = np.random.default_rng(4)
    values, weights = random.normal(size=(3, 400)), random.exponential(size=400)
    values[1] += values[0]
    present = random.random((3, 400)) < [[0.9], [0.7], [1.0]]
    found = of_events(np.where(present, values, 0.0), weights, present)
    for row, column in ((0, 1), (0, 2), (1, 2)):
        both = present[row] & present[column]
        covariance = np.cov(values[[row, column]][:, both], aweights=weights[both], ddof=0)
        expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert found.coefficients[row, column] == pytest.approx(expected, abs=1e-12)
        assert found.coefficients[column, row] == pytest.approx(expected, abs=1e-12)
        effective = weights[both].sum() ** 2 / np.sum(weights[both] ** 2)
        assert found.uncertainties[row, column] == pytest.approx((1 - expected**2) / np.sqrt(effective - 3))


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_uncertainties_are_those_of_repeated_samples(correlation: float) -> None:
    """Pulls of artanh ρ, for events of random weights, some of them negative."""
    random, pulls = np.random.default_rng(5), []
    for _ in range(600):
        values = random.normal(size=(2, 400))
        values[1] = correlation * values[0] + np.sqrt(1 - correlation**2) * values[1]
        found = of_events(values, random.exponential(size=400) - 0.1).of(0, 1)
        assert isinstance(found, Measurement)
        pulls.append((np.arctanh(found.value) - np.arctanh(correlation)) / (found.uncertainty / (1 - found.value**2)))
    assert abs(np.mean(pulls)) < 0.15
    assert np.std(pulls) == pytest.approx(1, abs=0.1)


def test_what_is_undefined_says_why() -> None:
    values = np.array([[0.0, 1.0, 2.0, 3.0, 4.0], [0.0] * 5, [1.0, -1.0, 2.0, 0.0, 1.0]])
    found = of_events(values, np.ones(5))
    assert found.of(0, 1) == Undefined("a variance is not positive")
    assert isinstance(found.of(0, 2), Measurement)
    assert of_events(values[:, :3], np.ones(3)).of(0, 2) == Undefined("no more than three effective events")
    assert of_events(values, np.zeros(5)).of(0, 2) == Undefined("sum of weights is zero")
    assert of_events(values, -np.ones(5)).of(0, 2) == Undefined("sum of weights is negative")
    assert of_events(values[:, :0], np.ones(0)).of(0, 2) == Undefined("no events that have both")
    with np.errstate(over="ignore"):
        assert of_events(values * 1e200, np.ones(5)).of(0, 2) == Undefined("the values are too large")
    assert as_plain(found)["coefficients"][1][0] == "undefined: a variance is not positive"
    assert [pair[:2] for pair in found.pairs()] == [("v0", "v2")]


def test_differences_add_their_variances() -> None:
    random = np.random.default_rng(6)
    first, second = (of_events(random.normal(size=(2, number)), np.ones(number)) for number in (100, 200))
    found = difference(first, second).of(0, 1)
    one, other = first.of(0, 1), second.of(0, 1)
    assert isinstance(found, Measurement)
    assert isinstance(one, Measurement)
    assert isinstance(other, Measurement)
    assert found.value == one.value - other.value
    assert found.uncertainty == pytest.approx(np.hypot(one.uncertainty, other.uncertainty))
    assert isinstance(difference(first, of_events(np.zeros((2, 5)), np.ones(5))).of(0, 1), Undefined)
