"""The performance of a cut against sums by hand, and its bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.significance_cut import CutPerformance, cut_performance

SCORES = np.array([0.9, 0.7, 0.2, 0.8, 0.5, 0.1, 0.7])
IS_SIGNAL = np.array([True, True, True, False, False, False, False])
WEIGHTS = np.array([2.0, 1.0, 1.0, 3.0, 4.0, 2.0, -1.0])


def defined(result: CutPerformance | Undefined) -> CutPerformance:
    assert isinstance(result, CutPerformance), result
    return result


def test_sums_by_hand() -> None:
    """Above 0.5, which itself is not: signal 2 + 1 of 4, background 3 − 1 of 8."""
    found = defined(cut_performance(SCORES, IS_SIGNAL, WEIGHTS, 0.5, b_reg=1, background_uncertainty=0.5))
    assert found.entries == (2, 2)
    assert found.signal == Measurement(3.0, math.sqrt(5))
    assert found.background == Measurement(2.0, math.sqrt(10))
    # Σ w² (δ − ε)² / T²: (5 (1/4)² + 1 (3/4)²) / 16 and (10 (3/4)² + 20 (1/4)²) / 64
    assert found.signal_efficiency == Measurement(0.75, pytest.approx(math.sqrt((5 / 16 + 9 / 16) / 16)))
    assert found.background_efficiency == Measurement(0.25, pytest.approx(math.sqrt((90 / 16 + 20 / 16) / 64)))
    # ((2/5)² · 5 + (3/5)² · 10) / 5²
    assert found.purity == Measurement(0.6, pytest.approx(math.sqrt((0.8 + 3.6) / 25)))
    # ∂/∂S = 1/√2, ∂/∂B = −3 / (2 · 2√2)
    by_root = found.significances["s_over_sqrt_b"]
    assert by_root == Measurement(pytest.approx(3 / math.sqrt(2)), pytest.approx(math.sqrt(5 / 2 + 10 * 9 / 32)))
    ams = found.significances["ams"]
    assert isinstance(ams, Measurement)
    assert ams.value == pytest.approx(math.sqrt(2 * (6 * math.log(2) - 3)))
    assert found.score_range == (0.1, 0.9)


def test_an_empty_selection_is_undefined_with_the_reason() -> None:
    found = defined(cut_performance(SCORES, IS_SIGNAL, WEIGHTS, 0.95))
    reason = Undefined("no events have a score above 0.95")
    assert found.purity == reason
    assert set(found.significances.values()) == {reason}
    assert found.signal == found.background == found.signal_efficiency == Measurement(0.0, 0.0)
    assert as_plain(found)["purity"] == "undefined: no events have a score above 0.95"


@pytest.mark.parametrize(
    ("is_signal", "weights", "signal", "background"),
    [
        (np.zeros(7, bool), WEIGHTS, "no signal events", None),
        (np.ones(7, bool), WEIGHTS, None, "no background events"),
        (IS_SIGNAL, np.zeros(7), "sum of signal weights is zero", "sum of background weights is zero"),
        (IS_SIGNAL, -np.ones(7), "sum of signal weights is negative", "sum of background weights is negative"),
    ],
)
def test_bad_samples(is_signal: np.ndarray, weights: np.ndarray, signal: str | None, background: str | None) -> None:
    found = defined(cut_performance(SCORES, is_signal, weights, 0.15))
    for reason, efficiency in ((signal, found.signal_efficiency), (background, found.background_efficiency)):
        if reason is None:
            assert isinstance(efficiency, Measurement)
        else:
            assert efficiency == Undefined(reason)
    if weights.sum() <= 0:
        assert found.purity == Undefined("sum of selected weights is not positive")
        assert all(isinstance(result, Undefined) for result in found.significances.values())


def test_one_event() -> None:
    found = defined(cut_performance(np.array([0.5]), np.array([True]), np.array([2.0]), 0.1))
    assert found.purity == Measurement(1.0, 0.0)
    assert found.significances["asimov"] == Undefined("no background")


@pytest.mark.parametrize(
    ("scores", "reason"), [([], "no events"), ([0.1, math.nan], "1 of 2 scores are NaN or infinite")]
)
def test_scores_that_cannot_be_cut_on(scores: list[float], reason: str) -> None:
    values = np.array(scores)
    assert cut_performance(values, np.ones(len(values), bool), np.ones(len(values)), 0.5) == Undefined(reason)


def test_single_precision_scores_are_compared_with_the_cut_as_it_is() -> None:
    """0.3 in single precision is larger than 0.3, so it is above the cut."""
    scores = np.array([0.3, 0.1], dtype=np.float32)
    assert float(scores[0]) > 0.3
    assert defined(cut_performance(scores, np.array([True, False]), np.ones(2), 0.3)).entries == (1, 0)
