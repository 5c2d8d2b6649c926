"""Slices of the score and the shape of the background in them: scipy's values, toys, and physics that must be found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import ks_2samp, kstest

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.sculpting import (
    ScoreSlices,
    Sculpting,
    SlicedScore,
    score_slices,
    sculpting,
    sculpting_verdict,
    slice_shapes,
    sliced_score,
    worst_first,
)
from ntupleml.metrics.slice_shapes import shape_in_slices
from ntupleml.metrics.two_samples import TwoSampleTest
from ntupleml.metrics.variable_bins import VariableBins, even_bins, quantile_bins, sums_in_bins

Array = NDArray[np.float64]


def result_of(
    scores: Array, values: Array, weights: Array, is_background: NDArray[np.bool_] | None = None
) -> Sculpting:
    background = np.ones(len(scores), np.bool_) if is_background is None else is_background
    score, bins = sliced_score(scores, background, weights, 1, 1000), quantile_bins(values)
    assert isinstance(score, SlicedScore)
    assert isinstance(bins, VariableBins)
    return sculpting(score, values, bins, sums_in_bins(score.slices.of_event, score.slices.number, bins, weights))


def slices_of(scores: Array, weights: Array | None = None) -> ScoreSlices:
    slices = score_slices(scores, np.ones(len(scores), np.bool_), np.ones(len(scores)) if weights is None else weights)
    assert isinstance(slices, ScoreSlices)
    return slices


def test_slices_have_equal_shares() -> None:
    random = np.random.default_rng(1)
    scores, weights = random.random(1000), random.exponential(1, 1000)
    is_background = random.random(1000) < 0.7
    slices = score_slices(scores, is_background, weights)
    assert isinstance(slices, ScoreSlices)
    assert slices.number == 5
    assert np.all(slices.of_event[~is_background] == 5)
    for index, (low, high) in enumerate(slices.shares):
        chosen = is_background & (slices.of_event == index)
        share = weights[chosen].sum() / weights[is_background].sum()
        assert share == pytest.approx(0.2, abs=0.01)
        assert high - low == pytest.approx(share)
        assert scores[chosen].min() >= slices.edges[index]
        assert scores[chosen].max() <= slices.edges[index + 1]


def test_equal_scores_are_in_the_same_slice() -> None:
    slices = slices_of(np.repeat([0.0, 0.5, 1.0], [80, 10, 10]))
    assert slices.number == 2
    assert slices.shares == ((0.0, pytest.approx(0.8)), (pytest.approx(0.8), 1.0))
    assert slices_of(np.repeat([0.0, 1.0], [99, 1])).number == 2
    assert slices_of(np.repeat([0.0, 1.0], [1, 99])).number == 2


@pytest.mark.parametrize(
    ("scores", "background", "weights", "reason"),
    [
        ([0.3, 0.3], [True, True], [1.0, 1.0], "the score of all background events is 0.3"),
        ([0.3, 0.4], [False, False], [1.0, 1.0], "no background events"),
        ([0.3, 0.4], [True, True], [1.0, -1.0], "sum of background weights is zero"),
    ],
)
def test_no_slices(scores: list[float], background: list[bool], weights: list[float], reason: str) -> None:
    found = score_slices(np.array(scores), np.array(background), np.array(weights))
    assert str(found) == f"undefined: {reason}"


def test_kolmogorov_smirnov_is_scipys() -> None:
    """For fewer events than bins the distance is exact; the p-value is near the exact one."""
    random = np.random.default_rng(2)
    scores = random.random(190)
    values = random.normal(size=190) + scores
    result = result_of(scores, values, np.ones(190))
    slices = slices_of(scores)
    for index, one in enumerate(result.slices):
        inside = slices.of_event == index
        expected = ks_2samp(values[inside], values[~inside], method="exact")
        assert isinstance(one.kolmogorov_smirnov, TwoSampleTest)
        assert one.kolmogorov_smirnov.statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert one.kolmogorov_smirnov.p_value == pytest.approx(expected.pvalue, rel=0.35)
        assert one.effective_entries == pytest.approx(np.count_nonzero(inside))


@pytest.mark.parametrize("negative", [0.0, 0.2])
def test_p_values_of_independent_scores_are_uniform(negative: float) -> None:
    random = np.random.default_rng(3)
    distances, divergences = [], []
    for _ in range(150):
        weights = random.exponential(1, 3000) * np.where(random.random(3000) < negative, -1, 1)
        bins = quantile_bins(random.normal(size=3000))
        assert isinstance(bins, VariableBins)
        slices = slices_of(random.random(3000), weights)
        last = slice_shapes(slices, sums_in_bins(slices.of_event, slices.number, bins, weights))[-1]
        assert not isinstance(last.kolmogorov_smirnov, Undefined)
        assert not isinstance(last.jensen_shannon, Undefined)
        distances.append(last.kolmogorov_smirnov.p_value)
        divergences.append(last.jensen_shannon.p_value)
    assert kstest(distances, "uniform").pvalue > 1e-3
    assert kstest(divergences, "uniform").pvalue > 1e-3


def toy(random: np.random.Generator, number: int, *, from_mass: float) -> tuple[Array, Array, Array]:
    """Falling mass; a score that depends on it or not; weights of both signs."""
    mass = 50 + random.exponential(60, number)
    scores = 1 / (1 + np.exp(from_mass * (mass - 90) / 30 + random.normal(size=number)))
    return scores, mass, np.where(random.random(number) < 0.15, -1.0, 1.0) * random.uniform(0.5, 1.5, number)


def test_a_score_made_from_the_mass_is_found_to_sculpt() -> None:
    scores, mass, weights = toy(np.random.default_rng(4), 20_000, from_mass=1)
    result = result_of(scores, mass, weights)
    verdict = sculpting_verdict(result, "higgs", "mass", num_results=100)
    assert verdict.level == "attention"
    assert "the score of 'higgs' sculpts the background in 'mass'" in verdict.text
    assert not isinstance(result.distance_correlation, Undefined)
    assert result.distance_correlation.p_value < 1e-6


def test_an_independent_score_does_not_sculpt() -> None:
    scores, mass, weights = toy(np.random.default_rng(5), 20_000, from_mass=0)
    result = result_of(scores, mass, weights)
    assert sculpting_verdict(result, "higgs", "mass").level == "good"
    assert not isinstance(result.distance_correlation, Undefined)
    assert result.distance_correlation.p_value > 1e-3


def test_negative_weights_that_cancel_what_depends_on_the_mass() -> None:
    """Without the signs the score sculpts; the sums of weights do not."""
    random = np.random.default_rng(6)
    scores, mass, _ = toy(random, 20_000, from_mass=0)
    shifted, high, _ = toy(random, 10_000, from_mass=5)
    all_scores, masses = np.concatenate([scores, shifted, shifted]), np.concatenate([mass, high, high])
    # The same events once more with the opposite sign.
    weights = np.concatenate([np.ones(20_000), np.full(10_000, 0.5), np.full(10_000, -0.5)])
    assert sculpting_verdict(result_of(all_scores, masses, weights), "higgs", "mass").level == "good"
    assert sculpting_verdict(result_of(all_scores, masses, np.abs(weights)), "higgs", "mass").level == "attention"


def test_a_tiny_effect_in_a_large_sample_is_no_reason_for_attention() -> None:
    random = np.random.default_rng(7)
    mass = random.normal(size=300_000)
    scores = mass * 0.04 + random.normal(size=300_000)
    result = result_of(scores, mass, np.ones(300_000))
    assert isinstance(result.slices[-1].kolmogorov_smirnov, TwoSampleTest)
    assert result.slices[-1].kolmogorov_smirnov.p_value < 1e-10
    assert sculpting_verdict(result, "higgs", "mass").level == "good"


def test_a_narrow_bump_is_found_by_the_divergence() -> None:
    """Only the highest scores have a peak of some percent of the background: a small distance, but sculpted."""
    random = np.random.default_rng(8)
    scores, mass = random.random(50_000), random.exponential(1, 50_000)
    bump = scores > 0.8
    mass[bump] = np.where(random.random(bump.sum()) < 0.07, random.normal(1, 0.02, bump.sum()), mass[bump])
    result = result_of(scores, mass, np.ones(50_000))
    tests = [one.kolmogorov_smirnov for one in result.slices]
    assert all(isinstance(test, TwoSampleTest) and test.statistic < 0.1 for test in tests)
    assert sculpting_verdict(result, "higgs", "mass").level == "attention"


def test_few_events_are_not_enough_to_tell() -> None:
    random = np.random.default_rng(9)
    verdict = sculpting_verdict(result_of(random.random(100), random.normal(size=100), np.ones(100)), "a", "x")
    assert verdict.level == "unknown"
    assert "too few background events" in verdict.text
    undefined = sculpting_verdict(Undefined("no background events"), "a", "x")
    assert undefined[:2] == ("unknown", "the score of 'a' and the background in 'x': undefined: no background events")


def test_one_event_and_constant_variables_are_no_problem() -> None:
    assert str(sliced_score(np.array([0.5]), np.array([True]), np.ones(1))).startswith("undefined")
    result = result_of(np.linspace(0, 1, 500), np.full(500, 3.0), np.ones(500))
    assert "all values are equal" in str(result.distance_correlation)
    assert "all values are in one bin" in str(result.slices[0].jensen_shannon)
    assert sculpting_verdict(result, "a", "x").level == "unknown"
    few = result_of(np.linspace(0, 1, 45), np.linspace(0, 1, 45), np.ones(45)).slices[0]
    assert "slice: only 9 effective entries" in str(few.kolmogorov_smirnov)
    assert "slice: only 9 effective entries" in str(few.jensen_shannon)
    two = result_of(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.ones(2))
    assert "effective events" in str(two.distance_correlation)
    assert sculpting_verdict(two, "a", "x").level == "unknown"


@pytest.mark.parametrize(("number", "negative"), [(100, 0.0), (100, 0.15), (500, 0.15), (2000, 0.15)])
def test_small_samples_do_not_cry_wolf(number: int, negative: float) -> None:
    """Of 100 independent samples, with weights of both signs or not, about one is called sculpted."""
    random, levels = np.random.default_rng(21), []
    for _ in range(100):
        weights = random.exponential(size=number) * np.where(random.random(number) < negative, -1, 1)
        values = random.exponential(50, number)
        levels.append(sculpting_verdict(result_of(random.random(number), values, weights), "a", "mass").level)
    assert levels.count("attention") <= 4


def test_missing_values_are_counted_and_left_out() -> None:
    random = np.random.default_rng(10)
    scores, values, weights = random.random(2000), random.normal(size=2000), np.ones(2000)
    background = random.random(2000) < 0.5
    spoilt = np.where(np.arange(2000) % 4 == 0, np.nan, values)
    result = result_of(scores, spoilt, weights, background)
    assert result.missing == np.count_nonzero(np.isnan(spoilt) & background)
    known = np.isfinite(spoilt)
    sizes = [one.effective_entries for one in result.slices]
    assert sum(sizes) == pytest.approx(np.count_nonzero(known & background))
    assert not isinstance(result.distance_correlation, Undefined)
    assert as_plain(result)["events_missing"] == result.missing


def test_worst_first() -> None:
    random = np.random.default_rng(11)
    results = [result_of(*toy(random, 5000, from_mass=strength)) for strength in (0.0, 1.0, 0.3)]
    assert worst_first([*results, Undefined("no events")]) == [1, 2, 0, 3]


def test_shapes_are_shares_and_their_ratios() -> None:
    random = np.random.default_rng(12)
    scores, values, weights = random.random(3000), random.normal(size=3000), random.normal(1, 0.5, 3000)
    slices, bins = slices_of(scores, weights), even_bins(values)
    assert isinstance(bins, VariableBins)
    shape = shape_in_slices(slices, bins, weights)
    for number in range(5):
        inside = slices.of_event == number
        for index in range(bins.number):
            here = bins.of_event == index
            share, ratio, every = shape.slices[number][index], shape.ratios[number][index], shape.inclusive[index]
            assert isinstance(share, Measurement)
            assert isinstance(every, Measurement)
            assert isinstance(ratio, Measurement)
            assert share.value == pytest.approx(weights[inside & here].sum() / weights[inside].sum(), abs=1e-12)
            assert every.value == pytest.approx(weights[here].sum() / weights.sum(), abs=1e-12)
            assert ratio.value == pytest.approx(share.value / every.value, abs=1e-9)


def test_pulls_of_the_ratio() -> None:
    """The slice is part of what it is divided by."""
    random = np.random.default_rng(13)
    pulls = []
    for _ in range(300):
        values = random.integers(0, 4, 2000).astype("f8")
        scores = random.random(2000) + 0.1 * (values == 1)
        weights = random.exponential(1, 2000)
        # Slices of fixed borders, so that the expectation is known: 20% of [0, 1], plus what moves in and out.
        edges = np.array([0.0, 0.5, 1.1])
        slices = ScoreSlices(edges, np.digitize(scores, edges[1:2]), ((0.0, 0.5), (0.5, 1.0)))
        bins = even_bins(values)
        assert isinstance(bins, VariableBins)
        ratio = shape_in_slices(slices, bins, weights).ratios[1][1]
        assert isinstance(ratio, Measurement)
        expected = 0.6 / (0.75 * 0.5 + 0.25 * 0.6)
        pulls.append((ratio.value - expected) / ratio.uncertainty)
    assert abs(np.mean(pulls)) < 0.25
    assert 0.88 < np.std(pulls) < 1.12
