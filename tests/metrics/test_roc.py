"""ROC curves against scikit-learn, sums over all pairs, the bootstrap and analytic distributions."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.metrics import roc_auc_score

from ntupleml.metrics import (
    Measurement,
    RocCurve,
    Undefined,
    auc_influences,
    performance,
    roc_against_rest,
    roc_curve,
    roc_of_pair,
)
from ntupleml.metrics.measurement import as_plain


def sample(seed: int, number: int, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of unit width, those of signal shifted, and which are signal."""
    random = np.random.default_rng(seed)
    is_signal = random.random(number) < 0.4
    return random.normal(size=number) + shift * is_signal, is_signal


def defined(result: RocCurve | Undefined) -> RocCurve:
    assert isinstance(result, RocCurve), result
    return result


@given(
    events=st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=60),
    scale=st.sampled_from([0.0, 0.1, 1.0, 1e6]),
)
@example(events=[(1, True)], scale=1.0)
@example(events=[(1, True), (0, False)], scale=1.0)
@example(events=[(1, True), (1, False), (0, True), (2, False)], scale=0.0)
def test_unit_weights_equal_scikit_learn(events: list[tuple[int, bool]], scale: float) -> None:
    """Many scores are equal here, or all; of less than two events in a sample there are no uncertainties."""
    scores = np.array([score for score, _ in events]) * scale
    is_signal = np.array([signal for _, signal in events])
    curve = roc_curve(scores, is_signal)
    if min(is_signal.sum(), (~is_signal).sum()) < 2:
        assert isinstance(curve, Undefined)
        return
    background, signal, thresholds = metrics.roc_curve(is_signal, scores, drop_intermediate=False)
    curve = defined(curve)
    np.testing.assert_allclose(curve.background_efficiency, background, atol=1e-12)
    np.testing.assert_allclose(curve.signal_efficiency, signal, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert curve.auc.value == pytest.approx(roc_auc_score(is_signal, scores), abs=1e-12)
    assert curve.step_back == 0


@given(seed=st.integers(0, 10_000), number=st.integers(4, 200), decimals=st.integers(0, 3))
def test_positive_weights_and_ties_equal_scikit_learn(seed: int, number: int, decimals: int) -> None:
    scores, is_signal = sample(seed, number)
    is_signal[:4] = [True, True, False, False]
    scores, weights = np.round(scores, decimals), np.random.default_rng(seed).exponential(size=number)
    background, signal, thresholds = metrics.roc_curve(
        is_signal, scores, sample_weight=weights, drop_intermediate=False
    )
    curve = defined(roc_curve(scores, is_signal, weights))
    np.testing.assert_allclose(curve.background_efficiency, background, atol=1e-12)
    np.testing.assert_allclose(curve.signal_efficiency, signal, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    assert curve.auc.value == pytest.approx(roc_auc_score(is_signal, scores, sample_weight=weights), abs=1e-12)


def test_positive_weights_equal_scikit_learn() -> None:
    scores, is_signal = sample(1, 5000)
    weights = np.random.default_rng(2).exponential(size=5000)
    background, signal, _ = metrics.roc_curve(is_signal, scores, sample_weight=weights, drop_intermediate=False)
    curve = defined(roc_curve(scores.astype("f4"), is_signal, weights))
    np.testing.assert_allclose(curve.background_efficiency, background, atol=1e-12)
    np.testing.assert_allclose(curve.signal_efficiency, signal, atol=1e-12)
    assert curve.auc.value == pytest.approx(roc_auc_score(is_signal, scores, sample_weight=weights), abs=1e-12)


@pytest.mark.parametrize("negative", [0.0, 0.2])
def test_the_area_is_the_weighted_share_of_pairs_in_order(negative: float) -> None:
    scores, is_signal = sample(3, 300)
    scores = np.round(scores, 1)  # ties
    random = np.random.default_rng(4)
    weights = random.exponential(size=300) * np.where(random.random(300) < negative, -1, 1)
    larger = scores[is_signal][:, None] - scores[~is_signal][None, :]
    pairs = weights[is_signal][:, None] * weights[~is_signal][None, :]
    expected = (pairs * ((larger > 0) + 0.5 * (larger == 0))).sum() / pairs.sum()
    assert defined(roc_curve(scores, is_signal, weights)).auc.value == pytest.approx(expected, rel=1e-12)


def test_the_uncertainty_of_the_area_is_delongs_for_equal_weights() -> None:
    """Sample variances of the placement values, over their numbers."""
    scores, is_signal = sample(5, 400)
    larger = scores[is_signal][:, None] > scores[~is_signal][None, :]
    variance = larger.mean(axis=1).var(ddof=1) / is_signal.sum() + larger.mean(axis=0).var(ddof=1) / (~is_signal).sum()
    auc = defined(roc_curve(scores, is_signal, np.full(400, 3.0))).auc
    assert auc.uncertainty == pytest.approx(math.sqrt(variance), rel=1e-12)


@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_all_uncertainties_agree_with_the_bootstrap(negative: float) -> None:
    scores, is_signal = sample(6, 3000)
    random = np.random.default_rng(7)
    weights = random.exponential(size=3000) * np.where(random.random(3000) < negative, -1, 1)

    def numbers(chosen: Any) -> list[Measurement]:
        curve = defined(roc_curve(scores[chosen], is_signal[chosen], weights[chosen]))
        rejection = curve.rejection_at(0.7)
        assert isinstance(rejection, Measurement)
        return [curve.auc, *map(curve.efficiency_at, (0.05, 0.3)), rejection]

    # Signal and background are drawn apart, as the formulas assume.
    signal, background = np.flatnonzero(is_signal), np.flatnonzero(~is_signal)
    drawn = [
        [number.value for number in numbers(np.concatenate([random.choice(part, len(part)) for part in parts]))]
        for parts in [(signal, background)] * 400
    ]
    found = [number.uncertainty for number in numbers(slice(None))]
    np.testing.assert_allclose(found, np.std(drawn, axis=0), rtol=0.15)


@pytest.fixture(scope="module")
def pulls() -> np.ndarray:
    """Deviations from the truth in units of the uncertainty, of 500 samples of weighted events: area, ε_B, 1/ε_B.

    Signal is shifted by 1, so the area is Φ(1/√2), and ε_B = Φ(Φ⁻¹(ε_S) − 1). Some weights are negative.
    """
    from scipy.stats import norm

    random, levels = np.random.default_rng(21), np.array([0.3, 0.5, 0.8])
    truth = norm.cdf(norm.ppf(levels) - 1)
    found = []
    for _ in range(500):
        is_signal = np.arange(1500) < 600
        scores = random.normal(size=1500) + is_signal
        weights = random.exponential(size=1500) * np.where(random.random(1500) < 0.05, -1, 1)
        curve = defined(roc_curve(scores, is_signal, weights))
        values, uncertainties = curve.background_efficiencies_at(levels)
        area = (curve.auc.value - norm.cdf(1 / math.sqrt(2))) / curve.auc.uncertainty
        rejection = curve.rejection_at(0.8)
        assert isinstance(rejection, Measurement)
        found.append(
            [area, *(values - truth) / uncertainties, (rejection.value - 1 / truth[2]) / rejection.uncertainty]
        )
    return np.array(found)


def test_the_uncertainties_cover_the_truth(pulls: np.ndarray) -> None:
    """Area, band at three signal efficiencies, rejection: 68.3 % within one uncertainty, known to 2.1 %."""
    covered = (np.abs(pulls) < 1).mean(axis=0)
    np.testing.assert_allclose(covered, 0.683, atol=4 * 0.021)
    np.testing.assert_allclose(pulls.std(axis=0), 1, atol=4 / math.sqrt(2 * 500))
    # The curve is read off at a quantile, whose bias is a small part of its uncertainty.
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=0.15 + 4 / math.sqrt(500))


def test_the_uncertainty_of_an_efficiency_is_that_of_a_weighted_ratio() -> None:
    scores, is_signal = sample(8, 500)
    weights = np.random.default_rng(9).exponential(size=500)
    curve = defined(roc_curve(scores, is_signal, weights))
    point = 200
    own, passed = weights[is_signal], scores[is_signal] >= curve.thresholds[point]
    share = own[passed].sum() / own.sum()
    assert curve.signal_efficiency[point] == pytest.approx(share)
    expected = math.sqrt((own**2 * (passed - share) ** 2).sum()) / own.sum()
    assert curve.signal_uncertainty[point] == pytest.approx(expected)


def test_working_points_of_two_normal_distributions() -> None:
    """For signal shifted by d, ε_S = Φ(d + Φ⁻¹(ε_B)) and the area is Φ(d / √2)."""
    from scipy.stats import norm

    scores, is_signal = sample(10, 200_000, shift=1.5)
    curve = defined(roc_curve(scores, is_signal))
    assert abs(curve.auc.value - norm.cdf(1.5 / math.sqrt(2))) < 4 * curve.auc.uncertainty
    for level in (0.01, 0.1, 0.3):
        found = curve.efficiency_at(level)
        assert abs(found.value - norm.cdf(1.5 + norm.ppf(level))) < 4 * found.uncertainty
        assert found.uncertainty < 0.01
    rejection = curve.rejection_at(0.5)
    assert isinstance(rejection, Measurement)
    assert abs(rejection.value - 1 / norm.cdf(norm.ppf(0.5) - 1.5)) < 4 * rejection.uncertainty


def test_steps_are_read_at_their_better_end() -> None:
    curve = defined(roc_curve(np.array([5, 4, 3, 2, 1, 0]), np.array([1, 0, 1, 1, 0, 0], dtype=bool)))
    # background 0, 1/3, 2/3, 1 is reached with signal 1/3, 1, 1, 1
    np.testing.assert_allclose(curve.efficiencies_at([0, 1 / 3, 1])[0], [1 / 3, 1, 1])
    assert curve.efficiency_at(1 / 6).value == pytest.approx(1 / 3)  # to the next point, where signal is still 1/3
    np.testing.assert_allclose(curve.background_efficiencies_at([1 / 3, 1])[0], [0, 1 / 3])
    assert curve.rejection_at(1 / 3) == Undefined("no background event passes")
    assert curve.efficiency_at(0.0).uncertainty >= 0


class TestNegativeWeights:
    def test_the_curve_keeps_its_steps_back(self) -> None:
        """Background 1, 2, −1, 2: efficiencies ¼, ¾, ½, 1."""
        scores = np.array([9.0, 8, 7, 6, 5, 4])
        is_signal = np.array([True, False, False, False, False, True])
        weights = np.array([1.0, 1, 2, -1, 2, 1])
        curve = defined(roc_curve(scores, is_signal, weights))
        np.testing.assert_allclose(curve.background_efficiency, [0, 0, 0.25, 0.75, 0.5, 1, 1])
        assert curve.step_back == pytest.approx(0.25)
        assert as_plain(curve)["step_back"] == pytest.approx(0.25)

    def test_the_tightest_cut_that_reaches_an_efficiency_counts(self) -> None:
        scores = np.arange(8.0)[::-1]
        is_signal = np.array([False, True, False, True, False, True, False, True])
        weights = np.array([1.0, 1, 2, 1, -1, 1, 2, 1])
        curve = defined(roc_curve(scores, is_signal, weights))
        # the background has ½ first on the way from ¼ to ¾, at signal ¼, and again after the step back
        assert curve.efficiency_at(0.5).value == pytest.approx(0.25)

    def test_a_negative_background_efficiency_has_no_rejection(self) -> None:
        scores, is_signal = np.array([5.0, 4, 3, 2, 1]), np.array([False, True, False, False, True])
        curve = defined(roc_curve(scores, is_signal, np.array([-1.0, 1, 2, 2, 1])))
        assert curve.rejection_at(0.4) == Undefined("the background efficiency is negative")


class TestUndefined:
    @pytest.mark.parametrize(
        ("scores", "is_signal", "weights", "reason"),
        [
            ([1, 2], [False, False], None, "no signal events"),
            ([1, 2], [True, True], None, "no background events"),
            ([], [], None, "no signal events"),
            ([1, 2, 3], [True, False, False], None, "only one signal event"),
            ([1, 2, 3], [True, True, False], None, "only one background event"),
            ([1, 2, 3, math.nan], [True, True, False, False], None, "1 of 4 scores are NaN"),
            ([1, 2, 3, 4], [True, True, False, False], [1, 1, math.nan, 1], "1 of 4 weights are NaN or infinite"),
            ([1, 2, 3, 4], [True, True, False, False], [1, -1, 1, 1], "sum of signal weights is zero"),
            ([1, 2, 3, 4], [True, True, False, False], [1, 1, -1, -3], "sum of background weights is negative"),
            ([1, 2, 3, 4], [True, True, False, False], [0, 0, 0, 0], "sum of signal weights is zero"),
        ],
    )
    def test_the_reason_is_said(self, scores: Any, is_signal: Any, weights: Any, reason: str) -> None:
        arrays = np.array(scores, dtype="f8"), np.array(is_signal, dtype=bool)
        result = roc_curve(*arrays, None if weights is None else np.array(weights, dtype="f8"))
        assert result == Undefined(reason)

    def test_a_constant_score_has_no_power(self) -> None:
        curve = defined(roc_curve(np.full(10, 0.3), np.arange(10) < 4))
        assert curve.auc == Measurement(0.5, 0.0)
        np.testing.assert_allclose(curve.efficiencies_at([0, 0.25, 1])[0], [0, 0.25, 1])


def test_a_class_against_the_rest_and_against_another() -> None:
    random = np.random.default_rng(11)
    truth, scores, weights = random.integers(0, 3, 600), random.random((600, 3)), random.random(600)
    rest = defined(roc_against_rest(scores, truth, 2, weights))
    assert rest.auc.value == pytest.approx(roc_auc_score(truth == 2, scores[:, 2], sample_weight=weights), abs=1e-12)
    pair = defined(roc_of_pair(scores, truth, 0, 1, weights))
    two = truth < 2
    expected = roc_auc_score(truth[two] == 0, scores[two, 0], sample_weight=weights[two])
    assert pair.auc.value == pytest.approx(expected, abs=1e-12)
    assert isinstance(roc_of_pair(scores, truth, 0, 1), RocCurve)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_influences_make_up_the_variance(seed: int) -> None:
    scores, is_signal = sample(seed, 100)
    scores = np.round(scores, 1)
    weights = np.random.default_rng(seed).normal(1, 0.3, 100)
    curve = defined(roc_curve(scores, is_signal, weights))
    influences = auc_influences(curve, scores, is_signal, weights)
    assert math.sqrt((influences**2).sum()) == pytest.approx(curve.auc.uncertainty, rel=1e-9)
    assert influences.sum() == pytest.approx(0, abs=1e-9)


class TestPerformance:
    def test_the_average_equals_scikit_learn_and_its_uncertainty_the_bootstrap(self) -> None:
        random = np.random.default_rng(12)
        truth = random.integers(0, 3, 2000)
        logits = random.normal(size=(2000, 3)) + 1.2 * np.eye(3)[truth]
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found = performance(scores, truth, np.ones(2000), ["a", "b", "c"])
        assert isinstance(found.average_auc, Measurement)
        expected = roc_auc_score(truth, scores, multi_class="ovr", average="weighted")
        assert found.average_auc.value == pytest.approx(expected, abs=1e-12)
        averages = []
        for _ in range(200):
            drawn = random.integers(0, 2000, 2000)
            averages.append(roc_auc_score(truth[drawn], scores[drawn], multi_class="ovr", average="weighted"))
        assert found.average_auc.uncertainty == pytest.approx(np.std(averages), rel=0.2)

    def test_a_class_without_events_leaves_the_others(self) -> None:
        random = np.random.default_rng(13)
        truth, scores = random.integers(0, 2, 100), random.random((100, 3))
        found = performance(scores, truth, np.ones(100), ["a", "b", "c"])
        assert isinstance(found.classes["a"].auc, Measurement)
        assert found.classes["c"].auc == Undefined("no signal events")
        assert found.classes["c"].separation == Undefined("no signal events")
        assert found.average_auc == Undefined("class 'c': no signal events")
        plain = as_plain(found)
        assert plain["classes"]["c"]["efficiency"][0.01] == "undefined: no signal events"
        assert plain["classes"]["a"]["auc"]["value"] == found.classes["a"].auc.value
        json.dumps(plain)


def test_a_million_events_cost_at_most_three_times_scikit_learn() -> None:
    scores, is_signal = sample(14, 1_000_000)

    def seconds(function: Any, *arguments: Any) -> float:
        start = time.process_time()
        function(*arguments)
        return time.process_time() - start

    def with_band(*arguments: Any) -> None:
        curve = defined(roc_curve(*arguments))
        assert len(curve.signal_uncertainty) == len(curve.background_uncertainty)

    ours = min(seconds(with_band, scores, is_signal) for _ in range(3))
    theirs = min(seconds(metrics.roc_curve, is_signal, scores) for _ in range(3))
    assert ours < 3 * theirs
