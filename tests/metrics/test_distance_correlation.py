"""Weighted distance correlation: formulas of the papers, toys for p-value and uncertainty, and negative weights."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ntupleml.metrics import Undefined
from ntupleml.metrics.distance_correlation import (
    DistanceCorrelation,
    Distances,
    distance_correlation,
    distances,
    weighted_sample,
)

Array = NDArray[np.float64]


def correlate(first: Array, second: Array, weights: Array) -> DistanceCorrelation:
    of_first, of_second = distances(first, weights), distances(second, weights)
    assert isinstance(of_first, Distances)
    assert isinstance(of_second, Distances)
    return distance_correlation(of_first, of_second)


def u_centred(values: Array) -> Array:
    """Székely and Rizzo 2014, definition 2."""
    matrix = np.abs(values[:, None] - values)
    n = len(values)
    matrix = matrix - matrix.sum(0) / (n - 2) - matrix.sum(1)[:, None] / (n - 2) + matrix.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(matrix, 0)
    return matrix


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_equal_weights_give_the_u_statistic_of_szekely_and_rizzo(scale: float) -> None:
    random = np.random.default_rng(1)
    first = random.normal(size=60)
    second = first**2 + random.normal(size=60)
    a, b = u_centred(first), u_centred(second)
    expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert correlate(first * scale, second, np.full(60, 0.3)).squared.value == pytest.approx(expected, abs=1e-12)


def test_means_are_over_distinct_events() -> None:
    """The weighted covariance against its definition, a sum over four different events."""
    random = np.random.default_rng(2)
    n = 24
    first, second, weights = random.normal(size=n), random.normal(size=n), random.uniform(0.9, 1.1, n)
    weights[3] = -0.02

    def covariance(x: Array, y: Array) -> float:
        a, b = np.abs(x[:, None] - x), np.abs(y[:, None] - y)
        index = np.indices((n,) * 4)
        i, j, k, m = index
        distinct = (i != j) & (i != k) & (i != m) & (j != k) & (j != m) & (k != m)
        product = weights[i] * weights[j] * weights[k] * weights[m] * distinct
        pairs = (i != j) * weights[i] * weights[j]
        triples = (i != j) & (i != k) & (j != k)
        three = weights[i] * weights[j] * weights[k] * triples
        # What does not depend on an index is summed over it as often in the numerator as in the denominator.
        return float(
            (pairs * a[i, j] * b[i, j]).sum() / pairs.sum()
            + (product * a[i, j] * b[k, m]).sum() / product.sum()
            - 2 * (three * a[i, j] * b[i, k]).sum() / three.sum()
        )

    expected = covariance(first, second) / np.sqrt(covariance(first, first) * covariance(second, second))
    assert correlate(first, second, weights).squared.value == pytest.approx(expected, abs=1e-10)


def test_linear_dependence_is_one() -> None:
    values = np.random.default_rng(3).normal(size=100)
    result = correlate(values, 5 - 3 * values, np.ones(100))
    assert result.squared.value == pytest.approx(1, abs=1e-12)
    assert result.p_value < 1e-10


@pytest.mark.parametrize(("negative", "slope"), [(0.0, 0.5), (0.2, 0.5), (0.2, 0.0)])
def test_toys_with_negative_weights(negative: float, slope: float) -> None:
    """No bias, the p-value is no smaller than it should be, and the uncertainty is the spread or larger."""
    random = np.random.default_rng(4)
    results = []
    for _ in range(200):
        first = random.normal(size=300)
        second = slope * first + random.normal(size=300)
        weights = random.exponential(1, 300) * np.where(random.random(300) < negative, -1, 1)
        results.append(correlate(first, second, weights))
    values = np.array([result.squared.value for result in results])
    sizes = np.array([result.squared.uncertainty for result in results])
    # For a bivariate normal distribution of correlation ρ (Székely, Rizzo, Bakirov 2007, theorem 7).
    rho = slope / np.sqrt(1 + slope**2)
    numerator = rho * np.arcsin(rho) + np.sqrt(1 - rho**2) - rho * np.arcsin(rho / 2) - np.sqrt(4 - rho**2) + 1
    expected = numerator / (1 + np.pi / 3 - np.sqrt(3))
    assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(200) + 0.02 * expected
    if slope:
        assert 0.8 < values.std() / np.mean(sizes) < 1.2
    else:
        assert values.std() / np.mean(sizes) < 1.1
        assert np.mean([result.p_value < 0.05 for result in results]) < 0.10


def test_a_sample_by_size_of_weight_keeps_the_signs() -> None:
    """Negative events take away what others put in excess: the sample has the distribution of the sums of weights."""
    random = np.random.default_rng(5)
    first = np.concatenate([random.normal(size=40_000), random.uniform(2, 3, 10_000), random.uniform(2, 3, 10_000)])
    second = np.concatenate([random.normal(size=40_000), random.uniform(2, 3, 10_000), random.uniform(2, 3, 10_000)])
    weights = np.concatenate([np.full(40_000, 1.0), np.full(10_000, 0.5), np.full(10_000, -0.5)])
    results = []
    for seed in range(20):
        sample = weighted_sample(np.arange(60_000), weights, seed, 1000)
        assert np.abs(sample.weights).sum() == 1000
        assert sample.weights.min() < 0
        chosen = sample.positions
        results.append(correlate(first[chosen], second[chosen], sample.weights))
    values = np.array([result.squared.value for result in results])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(20)
    wrong = np.abs(weights)
    assert correlate(first[::40], second[::40], wrong[::40]).p_value < 1e-3, "without signs they would depend"


def test_heavy_events_count_as_often_as_they_are_hit() -> None:
    weights = np.ones(5000)
    weights[17] = 5000.0
    sample = weighted_sample(np.arange(5000), weights, 1, largest=100)
    position = list(sample.positions).index(17)
    assert sample.weights[position] == pytest.approx(50, abs=20)
    assert sample.weights.sum() == 100


def test_undefined_says_why() -> None:
    values = np.random.default_rng(1).normal(size=50)
    assert "only 10 effective events" in str(distances(values[:10], np.ones(10)))
    assert "sum of weights is zero" in str(distances(values, np.tile([1.0, -1.0], 25)))
    assert "all values are equal" in str(distances(np.ones(50), np.ones(50)))
    assert isinstance(distances(values, -np.ones(50)), Undefined)
