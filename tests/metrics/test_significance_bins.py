"""Binned significances against sums by hand, and against the truth of toys."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntupleml.metrics import Undefined
from ntupleml.metrics.significance_bins import BinnedSignificance, binned_significance


def defined(result: BinnedSignificance | Undefined) -> BinnedSignificance:
    assert isinstance(result, BinnedSignificance), result
    return result


def sample(*contents: tuple[int, float, int, float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, kind and weights of bins of width 1: number and weight of signal and background events of each."""
    scores, is_signal, weights = [], [], []
    for position, (signals, signal_weight, backgrounds, background_weight) in enumerate(contents):
        scores += [float(position)] * (signals + backgrounds)
        is_signal += [True] * signals + [False] * backgrounds
        weights += [signal_weight] * signals + [background_weight] * backgrounds
    return np.array(scores), np.array(is_signal), np.array(weights)


def test_quadratic_sum_by_hand() -> None:
    """Two bins with 4 of 100 and 12 of 36: Z² = 16/100 + 144/36 by S/√B, 16/104 + 144/48 by S/√(S+B)."""
    found = defined(binned_significance(*sample((4, 1, 100, 1), (12, 1, 36, 1)), num_bins=2))
    assert found.edges.tolist() == [0, 0.5, 1]
    by_root = found.totals["s_over_sqrt_b"]
    assert by_root.significance.value == pytest.approx(math.sqrt(4.16))
    by_total = found.totals["s_over_sqrt_s_plus_b"].significance
    assert by_total.value == pytest.approx(math.sqrt(16 / 104 + 3))
    # Z_i² = S²/B has the variance 4 Z_i² (S/B + S²/(4 B²)); that of Z² is their sum, that of Z a 1/(4 Z²) of it.
    variance = sum(z2 * (x + x * x / 4) for z2, x in ((0.16, 0.04), (4.0, 1 / 3))) / 4.16
    assert by_root.significance.uncertainty == pytest.approx(math.sqrt(variance))
    bins = [(0.04 + 0.04**2 / 4, 0.16), (1 / 3 + 1 / 36, 4.0)]
    bias = sum(sigma2 * (1 - z2 / 4.16) for sigma2, z2 in bins) / (2 * math.sqrt(4.16))
    assert by_root.bias == pytest.approx(bias)
    assert "ams" not in found.totals


def test_bins_with_little_background_are_merged_downwards() -> None:
    """From the top: 4 and 5 events are too few, with the next 3 they are enough; the rest at the bottom joins."""
    bins = (1, 1, 2, 1), (1, 1, 10, 1), (1, 1, 3, 1), (1, 1, 5, 1), (1, 1, 4, 1)
    found = defined(binned_significance(*sample(*bins), num_bins=5))
    np.testing.assert_allclose(found.edges, [0, 1.6, 4])
    assert found.yields.background.tolist() == [12, 12]
    assert found.yields.signal.tolist() == [2, 3]
    assert found.wanted == 5


def test_bins_with_negative_sums_are_merged() -> None:
    """Negative signal in the lowest bin, negative background in the highest."""
    bins = (5, -1, 50, 1), (3, 1, 50, 1), (9, 1, 50, 1), (9, 1, 50, 1), (2, 1, 4, -1)
    found = defined(binned_significance(*sample(*bins), num_bins=5))
    assert found.yields.background.tolist() == [150, 46]
    assert found.yields.signal.tolist() == [7, 11]
    assert all(curve.exists.all() for curve in found.curves.values())


def test_totals_agree_with_the_truth_of_toys() -> None:
    """Signal and background of known density: pulls with the width 1, and a mean of 0 once the bias is taken off."""
    edges = np.linspace(0, 1, 11)
    signal, background = 100 * np.diff(edges**2), 500 * np.diff(1 - (1 - edges) ** 2)
    truth = math.sqrt(float(np.sum(signal**2 / (signal + background))))
    pulls = []
    for toy in range(300):
        random = np.random.default_rng([6, toy])
        numbers = random.poisson(200), random.poisson(1000)
        # One event at each end, so that the bins are those of the truth; their weight is next to nothing.
        scores = np.concatenate([random.beta(2, 1, numbers[0]), random.beta(1, 2, numbers[1]), [0, 1]])
        weights = np.append(np.full(sum(numbers), 0.5), [1e-9, 1e-9])
        found = defined(binned_significance(scores, np.arange(len(scores)) < numbers[0], weights, 10))
        total = found.totals["s_over_sqrt_s_plus_b"]
        pulls.append((total.significance.value - total.bias - truth) / total.significance.uncertainty)
    # 12 of 1000 background events are expected in the last bin: now and then it is merged with the one below.
    assert abs(np.mean(pulls)) < 0.25
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("scores", "is_signal", "weights", "reason"),
    [
        ([], [], [], "no events"),
        ([0.5], [True], [1.0], "all scores are 0.5"),
        ([0.5, 0.5], [True, False], [1.0, 1.0], "all scores are 0.5"),
        ([0.5, math.nan], [True, False], [1.0, 1.0], "1 of 2 scores are NaN or infinite"),
        ([0.5, 0.6], [False, False], [1.0, 1.0], "no signal events"),
        ([0.5, 0.6], [True, True], [1.0, 1.0], "no background events"),
        ([0.5, 0.6], [True, False], [1.0, -1.0], "sum of background weights is negative"),
        ([0.5, 0.6], [True, False], [0.0, 1.0], "sum of signal weights is zero"),
        ([0.5, 0.6], [True, False], [1.0, 1.0], "fewer than 10 effective background events"),
        ([1.0, np.nextafter(1, 2)], [True, False], [1.0, 1.0], "scores from 1 to 1 are too close for 20 bins"),
    ],
)
def test_undefined_with_a_reason(scores: list[float], is_signal: list[bool], weights: list[float], reason: str) -> None:
    found = binned_significance(np.array(scores), np.array(is_signal, dtype=bool), np.array(weights))
    assert found == Undefined(reason)
