"""Separation against its integral for known distributions, sums by hand and the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from ntupleml.metrics import Measurement, Undefined, separation, separation_of_histograms


def defined(result: Measurement | Undefined) -> Measurement:
    assert isinstance(result, Measurement), result
    return result


def test_two_bins_by_hand() -> None:
    """Shares ¾, ¼ against ½, ½: ½ (¼² / (5/4) + ¼² / (3/4)) = 1/15."""
    sums = np.array([3.0, 1.0]), np.array([10.0, 10.0])
    assert defined(separation_of_histograms(sums, sums)).value == pytest.approx(1 / 15)


def test_normal_distributions_have_the_integral() -> None:
    random = np.random.default_rng(1)
    number = 200_000
    values = np.concatenate([random.normal(1, 1, number), random.normal(0, 1, number)])
    is_signal = np.arange(2 * number) < number
    found = defined(separation(values, is_signal, num_bins=100, interval=(-5.0, 6.0)))

    def integrand(x: float) -> float:
        signal, background = norm.pdf(x, 1), norm.pdf(x)
        return float(0.5 * (signal - background) ** 2 / (signal + background))

    expected = quad(integrand, -8, 9)[0]
    assert abs(found.value - expected) < 4 * found.uncertainty
    assert found.uncertainty < 0.002


def test_extremes() -> None:
    is_signal = np.array([True, True, False, False])
    assert defined(separation(np.array([1.0, 1.0, 0.0, 0.0]), is_signal)).value == pytest.approx(1)
    assert defined(separation(np.full(4, 0.5), is_signal)).value == 0
    assert defined(separation(np.array([1.0, 0.0, 0.0, 1.0]), is_signal)).value == 0


def test_values_outside_the_interval_count_in_the_outermost_bins() -> None:
    is_signal = np.array([True, True, False, False])
    values = np.array([99.0, 98.0, -99.0, -98.0])
    assert defined(separation(values, is_signal, interval=(0.0, 1.0))).value == pytest.approx(1)


def test_the_scale_of_the_weights_does_not_matter() -> None:
    random = np.random.default_rng(2)
    values, is_signal = random.random(500), random.random(500) < 0.5
    weights = random.exponential(size=500)
    one = defined(separation(values, is_signal, weights))
    other = defined(separation(values, is_signal, np.where(is_signal, 7.0, 0.1) * weights))
    assert other == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_the_uncertainty_agrees_with_the_bootstrap(negative: float) -> None:
    random = np.random.default_rng(3)
    is_signal = random.random(5000) < 0.5
    values = random.normal(size=5000) + 1.5 * is_signal
    weights = random.exponential(size=5000) * np.where(random.random(5000) < negative, -1, 1)
    interval = (-4.0, 5.0)
    drawn = []
    for _ in range(300):
        rows = np.concatenate([random.choice(part, len(part)) for part in map(np.flatnonzero, (is_signal, ~is_signal))])
        drawn.append(defined(separation(values[rows], is_signal[rows], weights[rows], num_bins=10, interval=interval)))
    found = defined(separation(values, is_signal, weights, num_bins=10, interval=interval))
    assert found.uncertainty == pytest.approx(np.std([one.value for one in drawn]), rel=0.15)


def test_bins_with_a_negative_sum_do_not_count() -> None:
    """As in TMVA: of the bins (−¼, 0) and (5/4, 1) only the second adds (¼)² / (9/4) / 2."""
    sums = np.array([-1.0, 5.0]), np.array([0.0, 1.0])
    found = defined(separation_of_histograms(sums, (np.abs(sums[0]), sums[1])))
    assert found.value == pytest.approx(0.5 * 0.25**2 / 2.25)


@pytest.mark.parametrize(
    ("values", "is_signal", "weights", "reason"),
    [
        ([1.0, 2.0], [False, False], None, "no signal events"),
        ([1.0, 2.0], [True, True], None, "no background events"),
        ([], [], None, "no signal events"),
        ([1.0, math.inf], [True, False], None, "1 of 2 values are NaN or infinite"),
        ([1.0, 2.0], [True, False], [math.nan, 1.0], "1 of 2 weights are NaN or infinite"),
        ([1.0, 2.0], [True, False], [-1.0, 1.0], "sum of signal weights is negative"),
        ([1.0, 2.0], [True, False], [1.0, 0.0], "sum of background weights is zero"),
    ],
)
def test_undefined_says_why(
    values: list[float], is_signal: list[bool], weights: list[float] | None, reason: str
) -> None:
    result = separation(
        np.array(values), np.array(is_signal, dtype=bool), None if weights is None else np.array(weights)
    )
    assert result == Undefined(reason)
