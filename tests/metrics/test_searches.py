"""Numbers of a search: cut scans, scaled classes, shares of points, control regions; against formulas and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ntupleml.metrics import Undefined
from ntupleml.metrics.class_scales import scaled_weights
from ntupleml.metrics.control_region import control_region
from ntupleml.metrics.cut_scan import CutScan, cut_scan, standard_cuts
from ntupleml.metrics.measurement import as_plain
from ntupleml.metrics.point_efficiency import selected_share, shares_of_points, wilson_interval
from ntupleml.metrics.two_samples import corrected_level, critical_distance


def drawn(number: int = 4_000, seed: int = 3, negative: float = 0.1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    number = random.poisson(number)
    is_signal = random.random(number) < 0.4
    scores = random.beta(np.where(is_signal, 3, 1), np.where(is_signal, 1, 3)).astype("f4")
    weights = random.exponential(1.0, number) * np.where(random.random(number) < negative, -1, 1)
    return scores, is_signal, weights


def test_scan_is_the_sum_above_each_cut() -> None:
    scores, is_signal, weights = drawn()
    scan = cut_scan(scores, is_signal, weights)
    assert isinstance(scan, CutScan)
    cuts = standard_cuts(scores)
    signal, background = (
        np.array([weights[(scores > cut) & kind].sum() for cut in cuts]) for kind in (is_signal, ~is_signal)
    )
    end = int(np.argmax(background <= 10))
    assert len(scan.cuts) == end < len(cuts)
    expected = signal[:end] / np.sqrt(background[:end])
    np.testing.assert_allclose(scan.values, expected, rtol=1e-9)
    assert scan.cut == cuts[np.argmax(expected)]
    assert scan.area.value == pytest.approx(np.trapezoid(expected, cuts[:end]))


def test_uncertainties_of_a_scan_are_those_of_repeated_samples() -> None:
    cuts = np.linspace(0.05, 0.65, 12)
    found = [cut_scan(*drawn(2_000, seed, 0.05), cuts, 0.0) for seed in range(400)]
    areas, values = np.array([one.area.value for one in found]), np.array([one.values for one in found])
    assert np.mean([one.area.uncertainty for one in found]) == pytest.approx(areas.std(), rel=0.12)
    np.testing.assert_allclose(np.mean([one.uncertainties for one in found], axis=0), values.std(axis=0), rtol=0.2)


def test_scan_of_other_scores_goes_over_their_range() -> None:
    assert standard_cuts(np.array([-2.0, 2.0]))[[0, -1]] == pytest.approx([-2 + 4e-5, 2.0])


@pytest.mark.parametrize(
    ("scores", "is_signal", "weights", "reason"),
    [
        ([], [], [], "no events"),
        ([0.1, np.nan], [True, False], [1, 1], "1 of 2 scores are NaN or infinite"),
        ([0.1, 0.2], [False, False], [1, 1], "no signal events"),
        ([0.1, 0.2], [True, False], [1, -1], "sum of background weights is negative"),
        ([0.1, 0.2], [True, False], [1, 9], "no cut leaves more than 10 of the background"),
    ],
)
def test_scan_that_does_not_exist(
    scores: list[float], is_signal: list[bool], weights: list[float], reason: str
) -> None:
    found = cut_scan(np.array(scores), np.array(is_signal, np.bool_), np.array(weights, dtype=np.float64))
    assert found == Undefined(reason)


def test_classes_scaled_to_each_other() -> None:
    weights, truth = np.array([1.0, 3.0, -1.0, 5.0, 2.0]), np.array([0, 0, 1, 1, 2])
    found = scaled_weights(weights, truth, ["a", "b", "c"], {"a": "b", "b": "rows", "c": 0.1})
    np.testing.assert_allclose(found, [1.0, 3.0, -0.5, 2.5, 0.2])
    sampled = scaled_weights(weights, truth, ["a", "b", "c"], {"a": "rows", "c": 2.0}, {"a": 0.1})
    np.testing.assert_allclose(sampled, [5.0, 15.0, -1.0, 5.0, 4.0])
    nothing = scaled_weights(weights, truth, ["a", "b", "c", "d"], {"a": "d"})
    assert nothing == Undefined("no 'd' events")


@pytest.mark.parametrize(("passed", "number"), [(0, 7), (7, 7), (3, 7), (90, 400)])
def test_wilson_interval_is_scipys(passed: int, number: int) -> None:
    level = stats.norm.cdf(1) - stats.norm.cdf(-1)
    expected = stats.binomtest(passed, number).proportion_ci(level, "wilson")
    assert wilson_interval(passed / number, number) == pytest.approx((expected.low, expected.high))
    share = selected_share(np.arange(number) < passed, np.full(number, 2.5))
    assert (share.entries, share.selected) == (number, passed)
    assert share.share.value == pytest.approx(passed / number)
    assert share.interval == pytest.approx((expected.low, expected.high))


def test_shares_of_points() -> None:
    points = np.array([[600, 5], [60, 5], [600, 5], [np.nan, 5], [60, 35]], dtype="f4")
    found = shares_of_points(np.array([True, True, False, True, False]), np.array([1.0, 2, 3, 4, -5]), points)
    assert list(found) == [(60.0, 5.0), (60.0, 35.0), (600.0, 5.0)]
    assert [one.selected for one in found.values()] == [1, 0, 1]
    assert found[600.0, 5.0].share.value == 0.25
    assert found[60.0, 35.0].share == Undefined("sum of weights is negative")
    beyond = selected_share(np.array([True, False]), np.array([2.0, -1.0]))
    assert beyond.share.value == 2
    assert beyond.interval == pytest.approx((2 - beyond.share.uncertainty, 2 + beyond.share.uncertainty))
    assert shares_of_points(np.empty(0, np.bool_), np.empty(0), np.empty((0, 2))) == {}


def test_levels_of_tests() -> None:
    """Critical distance: where SciPy's limit of Kolmogorov's distribution has this chance, by its first term."""
    for level in (0.2, 0.05, 0.001):
        distance = critical_distance(level, 700, 300)
        assert stats.kstwobign.sf(distance * math.sqrt(210)) == pytest.approx(level, rel=0.002)
    assert 1 - (1 - corrected_level(0.05, 12)) ** 12 == pytest.approx(0.05)


def test_control_region_rejects_as_often_as_its_level_says() -> None:
    random = np.random.default_rng(8)
    verdicts = []
    for _ in range(150):
        scores, is_data = random.random((600, 2)), random.random(600) < 0.5
        weights = np.where(is_data, 1.0, random.exponential(1.0, 600))
        slices = random.integers(0, 2, 600)
        found = control_region(scores, is_data, weights, ["a", "b"], slices, ("low", "high"), 0.2)
        verdicts.append(found.verdict.level)
    assert set(verdicts) == {"good", "attention"}
    assert verdicts.count("attention") / 150 == pytest.approx(0.2, abs=0.1)  # three standard deviations


def test_control_region_with_a_difference_and_an_empty_slice() -> None:
    random = np.random.default_rng(9)
    is_data = np.arange(2_000) % 2 == 0
    scores = random.normal(size=(2_000, 2)) + np.stack([0.5 * is_data, 0 * is_data], axis=1)
    found = control_region(scores, is_data, np.ones(2_000), ["a", "b"], np.zeros(2_000, int), ("low", "high"))
    level, text = found.verdict[:2]
    assert level == "attention"
    assert text.startswith("simulation and data differ: the score of 'a' for low has D = 0.")
    assert text.endswith(
        "2 could not be made, the first of them the score of 'a' for high: undefined: first sample: no events"
    )
    assert [one.rejects for one in found.tests] == [True, False, False, False]
    expected = stats.ks_2samp(scores[is_data, 0], scores[~is_data, 0]).statistic
    assert found.sums["a"] == pytest.approx(expected)
    plain = as_plain(found)["tests"][0]
    assert plain["critical_distance"] == pytest.approx(1.3581015 * math.sqrt(2 / 1_000))
    assert plain["effective_entries"] == {"simulation": 1_000, "data": 1_000}


def test_control_region_of_nothing() -> None:
    found = control_region(np.empty((0, 1)), np.empty(0, np.bool_), np.empty(0), ["a"])
    assert found.verdict[:2] == (
        "unknown",
        "no test could be made: the score of 'a': undefined: first sample: no events",
    )
    assert math.isnan(found.sums["a"])
