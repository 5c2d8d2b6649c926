"""Two-sample tests against SciPy, ROOT, sums by hand, and the distribution of p-values of equal parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ntupleml.metrics import Histogram, Undefined, as_plain, histogram
from ntupleml.metrics.two_samples import (
    TwoSampleTest,
    chi_square,
    combined_p_value,
    corrected_p_value,
    kolmogorov_smirnov,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator, int], tuple[NDArray[np.float64], NDArray[np.float64]]]


def defined(result: TwoSampleTest | Undefined) -> TwoSampleTest:
    assert isinstance(result, TwoSampleTest), result
    return result


def reason(result: TwoSampleTest | Undefined | float) -> str:
    assert isinstance(result, Undefined), result
    return result.reason


samples = st.lists(st.integers(-5, 5), min_size=3, max_size=40)


@given(samples, samples, st.sampled_from(["f4", "f8", "i4"]))
def test_unit_weights_give_scipys_asymptotic_result(first: list[int], second: list[int], kind: str) -> None:
    """With ties, and without weights as with weights of any one size."""
    expected = stats.ks_2samp(first, second, method="asymp")
    values = np.array(first, kind), np.array(second, kind)
    for weights in ((None, None), (np.full(len(first), 2.5), np.full(len(second), 0.1))):
        found = defined(kolmogorov_smirnov(values[0], weights[0], values[1], weights[1]))
        assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert found.p_value == pytest.approx(expected.pvalue, abs=1e-10)


def test_a_large_sample_in_single_precision() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(size=100_000).astype("f4"), random.normal(0.01, 1, 70_000).astype("f4")
    expected = stats.ks_2samp(first, second, method="asymp")
    found = defined(kolmogorov_smirnov(first, None, second, None))
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-5)  # Kolmogorov's limit, corrected


@pytest.mark.parametrize(("entries", "largest"), [(5_990, 1e-6), (6_010, 1e-4), (40_000, 2e-5)])
def test_the_limit_for_many_entries_is_close_to_the_exact_distribution(entries: int, largest: float) -> None:
    """Samples of `entries` events each compare as half as many; the second is shifted by 0 to 5 % of its width."""
    first = np.arange(entries) / entries
    for shift in np.linspace(0.2, 2.2, 9) / np.sqrt(entries / 2):
        found = defined(kolmogorov_smirnov(first, None, first + shift, None))
        assert found.p_value == pytest.approx(stats.kstwo.sf(found.statistic, entries // 2), abs=largest)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=2, max_size=20), samples)
def test_a_weight_is_as_many_events_for_the_distance(weighted: list[tuple[int, int]], second: list[int]) -> None:
    values, weights = (np.array(column) for column in zip(*weighted, strict=True))
    found = kolmogorov_smirnov(values, weights, np.array(second), None)
    if isinstance(found, Undefined):
        assert "effective events" in found.reason
        return
    expected = stats.ks_2samp(np.repeat(values, weights), second, method="asymp")
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    # The p-value is that of (Σw)² / Σw² entries.
    entries = weights.sum() ** 2 / (weights**2).sum()
    compared = entries * len(second) / (entries + len(second))
    assume(abs(compared % 1 - 0.5) > 1e-9)  # half of an event is rounded to either side
    compared = round(compared)
    assert found.p_value == pytest.approx(stats.kstwo.sf(found.statistic, compared), abs=1e-12)


def test_negative_weights_count_as_they_are() -> None:
    """F₁ is 2/3 at 1, 1/3 at 2, 1 at 3; F₂ is 0, 1/2, 1: the largest distance is 2/3."""
    first, weights = np.tile([1.0, 2.0, 3.0], 12), np.tile([2.0, -1.0, 2.0], 12)
    found = defined(kolmogorov_smirnov(first, weights, np.tile([2.0, 3.0], 12), np.ones(24)))
    assert found.statistic == pytest.approx(2 / 3)
    assert found.p_value == pytest.approx(stats.kstwo.sf(2 / 3, 8))  # 12 and 24 effective entries, 8 to compare


def test_few_events_with_weights_of_both_signs_cannot_be_tested() -> None:
    """Their sum may nearly vanish, and F then leaves the range from 0 to 1 by far: p would be tiny by chance."""
    weights = np.array([1.0, -0.9, 1.0, -1.0, 0.1])
    found = kolmogorov_smirnov(np.arange(5.0), weights, np.arange(100.0), None)
    assert str(found) == "undefined: first sample: only 0.01 effective events, with weights of both signs"
    defined(kolmogorov_smirnov(np.arange(5.0), np.abs(weights), np.arange(100.0), None))


def test_samples_without_overlap_and_equal_ones() -> None:
    low, high = np.zeros(500), np.ones(500)
    assert defined(kolmogorov_smirnov(low, None, high, None)) == (1.0, 0.0, None)
    assert defined(kolmogorov_smirnov(low, None, low, None)) == (0.0, 1.0, None)
    edges = np.linspace(0, 1, 11)
    apart = defined(chi_square(histogram(low, None, edges), histogram(high, None, edges)))
    assert apart.degrees_of_freedom == 1
    assert apart.statistic == pytest.approx(2 / (500 / 500**2))  # in each of two bins, (1 − 0)² over Σw² / (Σw)²
    assert apart.p_value < 1e-100


ONE, NONE, EMPTY = np.array([1.0]), None, np.zeros(0)


@pytest.mark.parametrize(
    ("first", "weights", "text"),
    [
        (EMPTY, EMPTY, "first sample: no events"),
        (ONE, NONE, "only 1 and 1 effective events to compare"),
        (np.ones(2), np.zeros(2), "first sample: sum of weights is zero"),
        (np.ones(2), -np.ones(2), "first sample: sum of weights is negative"),
        (np.array([1.0, np.nan]), NONE, "first sample: 1 of 2 values are NaN"),
        (np.ones(2), np.array([1.0, np.nan]), "first sample: 1 of 2 weights are NaN or infinite"),
    ],
)
def test_kolmogorov_smirnov_says_why_there_is_none(
    first: NDArray[np.float64], weights: NDArray[np.float64] | None, text: str
) -> None:
    assert reason(kolmogorov_smirnov(first, weights, ONE, None)) == text
    assert reason(kolmogorov_smirnov(ONE, None, first, weights)) == text.replace("first", "second")


def filled(sums: list[float], squares: list[float]) -> Histogram:
    return Histogram(np.linspace(0, 1, len(sums) + 1), np.array(sums), np.array(squares))


FIRST = filled([120.0, 210.5, 330.0, 180.25, 95.0], [150.0, 260.0, 400.0, 210.0, 130.0])
SECOND = filled([40.0, 95.0, 140.0, 88.0, 30.0], [22.0, 61.0, 80.0, 50.5, 18.0])


def test_chi_square_is_roots() -> None:
    """Numbers of ROOT 6.40: TH1D::Chi2Test(…, "WW") and "WW CHI2" for these contents and errors √Σw²."""
    found = defined(chi_square(FIRST, SECOND))
    assert found.statistic == pytest.approx(6.7725918275438755, rel=1e-12)
    assert found.p_value == pytest.approx(0.14840491954109947, rel=1e-12)
    assert found.degrees_of_freedom == 4
    assert defined(chi_square(SECOND, FIRST)).p_value == pytest.approx(found.p_value, rel=1e-12)


def test_empty_bins_do_not_count_and_sparse_ones_are_merged() -> None:
    with_gaps = [
        filled([0, *one.sums[:2], 0, 0, *one.sums[2:], 0], [0, *one.squares[:2], 0, 0, *one.squares[2:], 0])
        for one in (FIRST, SECOND)
    ]
    assert defined(chi_square(*with_gaps)) == pytest.approx(defined(chi_square(FIRST, SECOND)), rel=1e-12)
    # Ten effective entries are asked for: 4 + 4 + 4 of them are a bin, and the rest is part of the last one.
    sparse = filled([4.0] * 8, [4.0] * 8)
    assert defined(chi_square(sparse, sparse)).degrees_of_freedom == 1
    # Under- and overflow are part of the outermost bins.
    flowing = sparse._replace(underflow=(10.0, 10.0))
    assert defined(chi_square(flowing, flowing)).degrees_of_freedom == 2


def test_chi_square_says_why_there_is_none() -> None:
    assert reason(chi_square(filled([0, 0], [0, 0]), FIRST._replace(edges=np.array([0, 0.5, 1])))) == (
        "first histogram: no events with a weight"
    )
    two = filled([30.0, 30.0], [30.0, 30.0])
    assert reason(chi_square(two, filled([1.0, -1.0], [1.0, 1.0]))) == "second histogram: sum of weights is zero"
    assert reason(chi_square(two, filled([1.0, -2.0], [1.0, 2.0]))) == "second histogram: sum of weights is negative"
    assert "fewer than two bins have enough entries" in reason(chi_square(two, filled([9.0, 9.0], [9.0, 9.0])))
    assert "fewer than two bins have enough entries" in reason(chi_square(filled([30.0], [30.0]), filled([9.0], [9.0])))
    with pytest.raises(ValueError, match="different edges"):
        chi_square(two, FIRST)


def weighted(random: np.random.Generator, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return random.normal(size=number), random.exponential(size=number)


def with_negative(random: np.random.Generator, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, weights = weighted(random, number)
    return values, weights * np.where(random.random(number) < 0.1, -1, 1)


@pytest.mark.parametrize("draw", [weighted, with_negative])
def test_p_values_of_equal_parents_are_uniform(draw: Draw) -> None:
    """For weighted events, also with negative weights; the histograms have sparse bins in their tails."""
    random = np.random.default_rng(5)
    edges = np.linspace(-4, 4, 31)
    p_values: dict[str, list[float]] = {"K-S": [], "chi": []}
    for _ in range(600):
        (first, first_weights), (second, second_weights) = draw(random, 900), draw(random, 500)
        p_values["K-S"].append(defined(kolmogorov_smirnov(first, first_weights, second, second_weights)).p_value)
        histograms = histogram(first, first_weights, edges), histogram(second, second_weights, edges)
        p_values["chi"].append(defined(chi_square(*histograms)).p_value)
    for name, values in p_values.items():
        assert stats.kstest(values, "uniform").pvalue > 0.001, name
        # Chance of an accusation at 5 %: within 3.5 standard deviations of the binomial distribution.
        assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=3.5 * np.sqrt(0.05 * 0.95 / 600)), name


def test_a_shift_is_found() -> None:
    random = np.random.default_rng(6)
    (first, weights), second = weighted(random, 4000), random.normal(0.2, 1, 4000)
    assert defined(kolmogorov_smirnov(first, weights, second, None)).p_value < 1e-4
    edges = np.linspace(-4, 4, 31)
    assert defined(chi_square(histogram(first, weights, edges), histogram(second, None, edges))).p_value < 1e-4


def test_p_values_are_corrected_for_their_number() -> None:
    assert combined_p_value([TwoSampleTest(0.1, 0.5), Undefined("no events"), TwoSampleTest(0.1, 0.2)]) == (
        pytest.approx(1 - 0.8**2)
    )
    assert reason(combined_p_value([Undefined("no events")])) == "no test could be made"
    assert corrected_p_value(1e-20, 100) == pytest.approx(1e-18)
    assert corrected_p_value(1.0, 3) == 1.0
    random = np.random.default_rng(7)
    smallest = random.random((2000, 5)).min(axis=1)
    assert stats.kstest([corrected_p_value(value, 5) for value in smallest], "uniform").pvalue > 0.001


def test_results_as_plain_numbers() -> None:
    assert as_plain(TwoSampleTest(0.1, 0.5)) == {"statistic": 0.1, "p_value": 0.5}
    assert as_plain(TwoSampleTest(7.0, 0.5, 8)) == {"statistic": 7.0, "p_value": 0.5, "degrees_of_freedom": 8}
