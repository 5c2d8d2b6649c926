"""Calibration: scikit-learn's values, identities of the formulas, toys of calibrated and other scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.brier import brier_score, multiclass_brier_score
from ntupleml.metrics.calibration import Agreement, Calibration, bin_edges, calibration, calibration_verdict


def calibrated(random: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    scores = random.beta(0.7, 1.5, number)
    return scores, random.random(number) < scores


def known(result: Calibration | Undefined) -> Calibration:
    assert isinstance(result, Calibration)
    return result


@pytest.mark.parametrize("weighted", [False, True])
def test_brier_scores_are_scikit_learns(weighted: bool) -> None:
    random = np.random.default_rng(1)
    scores = random.dirichlet([1, 2, 3], 500)
    truth = random.integers(0, 3, 500)
    weights = random.exponential(1, 500) if weighted else np.ones(500)
    one = brier_score(scores[:, 1], truth == 1, weights)
    assert isinstance(one, Measurement)
    assert one.value == pytest.approx(brier_score_loss(truth == 1, scores[:, 1], sample_weight=weights), abs=1e-12)
    every = multiclass_brier_score(scores, truth, weights)
    assert isinstance(every, Measurement)
    expected = sum(brier_score_loss(truth == k, scores[:, k], sample_weight=weights) for k in range(3))
    assert every.value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("equal_counts", [False, True])
def test_the_curve_is_scikit_learns(equal_counts: bool) -> None:
    random = np.random.default_rng(2)
    scores, truth = calibrated(random, 3000)
    result = known(calibration(scores, truth, np.ones(3000), bin_edges(scores, 15, equal_counts=equal_counts)))
    strategy = "quantile" if equal_counts else "uniform"
    shares, means = calibration_curve(truth, scores, n_bins=15, strategy=strategy)
    found = [one.value for one in result.curve.shares if isinstance(one, Measurement)]
    np.testing.assert_allclose(found, shares, atol=1e-12)
    np.testing.assert_allclose([one for one in result.curve.mean_scores if isinstance(one, float)], means, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), num_bins=st.integers(1, 40))
def test_the_decomposition_adds_up(seed: int, num_bins: int) -> None:
    """Murphy's identity is exact for scores that are equal within bins; what is within bins makes it so for others."""
    random = np.random.default_rng(seed)
    centres = (np.arange(num_bins) + 0.5) / num_bins
    scores = random.choice(centres, 400)
    truth = random.random(400) < scores
    truth[:2] = True, False
    weights = random.exponential(1, 400)
    result = known(calibration(scores, truth, weights, np.linspace(0, 1, num_bins + 1)))
    parts = result.decomposition
    assert parts.within_bins == pytest.approx(0, abs=1e-12)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert total == pytest.approx(brier_score_loss(truth, scores, sample_weight=weights), abs=1e-12)


def test_a_score_at_an_edge_is_in_the_upper_bin() -> None:
    scores = np.arange(0, 1.01, 0.05)
    result = known(calibration(scores, np.arange(21) % 2 == 0, np.ones(21)))
    assert (result.curve.signal + result.curve.background).tolist() == [1.0] * 19 + [2.0]


@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_calibrated_toys_agree(negative: float) -> None:
    """Weights of both kinds of events differ: the mixture of sums of weights is what is calibrated."""
    random = np.random.default_rng(3)
    p_values, errors, expected = [], [], []
    for _ in range(150):
        scores, truth = calibrated(random, 4000)
        # Thinned by 4, each with 4 times the weight: the mixture stays as it is.
        kept = ~truth | (random.random(4000) < 0.25)
        weights = np.where(truth, 4.0, 1.0) * np.where(random.random(4000) < negative, -1, 1)
        result = known(calibration(scores[kept], truth[kept], weights[kept]))
        assert isinstance(result.agreement, Agreement)
        p_values.append(result.agreement.p_value)
        errors.append(result.error.value.value)
        expected.append(result.error.expected)
    assert kstest(p_values, "uniform").pvalue > 1e-3
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.15)


def test_pulls_of_the_brier_score() -> None:
    random = np.random.default_rng(4)
    pulls = []
    for _ in range(300):
        scores = random.random(500)
        truth = random.random(500) < scores
        result = brier_score(scores, truth, random.exponential(1, 500))
        assert isinstance(result, Measurement)
        # ∫ s(1 − s) ds
        pulls.append((result.value - 1 / 6) / result.uncertainty)
    assert abs(np.mean(pulls)) < 0.25
    assert 0.88 < np.std(pulls) < 1.12


def test_what_is_not_calibrated_is_found() -> None:
    random = np.random.default_rng(5)
    scores = random.random(20_000)
    truth = random.random(20_000) < scores**2
    result = known(calibration(scores, truth, np.ones(20_000)))
    # ∫ |s − s²| ds
    assert result.error.value.value == pytest.approx(1 / 6, abs=4 * result.error.value.uncertainty + 0.002)
    verdict = calibration_verdict({"signal": result})
    assert verdict.level == "attention"
    assert "of 'signal'" in verdict.text


def test_verdicts() -> None:
    random = np.random.default_rng(6)
    good = known(calibration(*calibrated(random, 20_000), np.ones(20_000)))
    assert calibration_verdict({"a": good, "b": Undefined("no events")}, "event weights").level == "good"
    # A difference of 0.004 is significant among millions of events, and does not matter.
    scores = random.random(2_000_000)
    close = known(
        calibration(scores, random.random(2_000_000) < scores + 0.004 * scores * (1 - scores) * 6, np.ones(2_000_000))
    )
    assert isinstance(close.agreement, Agreement)
    assert close.agreement.p_value < 1e-4
    assert calibration_verdict({"a": close}).level == "good"
    few = known(calibration(*calibrated(random, 60), np.ones(60)))
    assert calibration_verdict({"a": few}).level == "unknown"
    assert calibration_verdict({"a": Undefined("no events")})[:2] == ("unknown", "calibration: undefined: no events")


def test_scores_that_are_no_probabilities() -> None:
    scores, truth, weights = np.array([-0.5, 0.7]), np.array([False, True]), np.ones(2)
    reason = "undefined: the scores, from -0.5 to 0.7, are no probabilities"
    assert str(calibration(scores, truth, weights)) == reason
    assert str(brier_score(scores, truth, weights)) == reason
    assert "NaN" in str(calibration(np.array([np.nan, 0.5]), truth, weights))
    independent = np.array([[0.9, 0.8], [0.1, 0.2]])
    assert "2 of 2 events do not sum up to 1" in str(multiclass_brier_score(independent, np.array([0, 1]), weights))


@pytest.mark.parametrize(
    ("truth", "weights", "reason"),
    [
        ([], [], "no signal events"),
        ([True, True], [1.0, 1.0], "no background events"),
        ([True, False], [0.0, 1.0], "sum of signal weights is zero"),
        ([True, False], [1.0, -1.0], "sum of background weights is negative"),
    ],
)
def test_undefined_says_why(truth: list[bool], weights: list[float], reason: str) -> None:
    scores = np.full(len(truth), 0.5)
    assert str(calibration(scores, np.array(truth, bool), np.array(weights))) == f"undefined: {reason}"


def test_a_constant_score_and_two_events_work() -> None:
    result = known(calibration(np.full(2, 0.5, "f4"), np.array([True, False]), np.ones(2)))
    assert result.brier.value == 0.25
    assert result.error.value.value == 0
    assert isinstance(result.agreement, Undefined)
    assert as_plain(result)["agreement"] == "undefined: too few effective events for one bin"
