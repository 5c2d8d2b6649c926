"""The scan against sums by hand, and best cuts against the truth of toys and the bootstrap of single events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.significance import Yields, significance_curve, significance_formulas
from ntupleml.metrics.significance_scan import BestCut, SignificanceScan, scan_significance


def defined(result: SignificanceScan | Undefined) -> SignificanceScan:
    assert isinstance(result, SignificanceScan), result
    return result


def best_of(scan: SignificanceScan, name: str) -> BestCut:
    best = scan.best[name]
    assert isinstance(best, BestCut), best
    return best


def beta_sample(seed: int, signals: int, backgrounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with the densities 2x of the signal and 2(1 − x) of the background."""
    random = np.random.default_rng([9, seed])
    numbers = random.poisson(signals), random.poisson(backgrounds)
    scores = np.concatenate([random.beta(2, 1, numbers[0]), random.beta(1, 2, numbers[1])])
    return scores, np.arange(sum(numbers)) < numbers[0]


def beta_truth(cut: float, signals: float, backgrounds: float, name: str) -> float:
    """Significance of a cut for the expected yields of `beta_sample`."""
    parts = signals * (1 - cut**2), 0.0, backgrounds * (1 - cut) ** 2, 0.0
    yields = Yields(*(np.array([part]) for part in parts))
    return float(significance_curve(yields, significance_formulas(1.0, 0.1)[name]).values[0])


def test_yields_and_efficiencies_are_those_of_the_events_above_each_cut() -> None:
    random = np.random.default_rng(3)
    scores, is_signal = random.random(500).astype(np.float32), random.random(500) < 0.4
    scores[:200] = np.round(scores[:200], 1)  # equal scores
    weights = random.exponential(size=500) * np.where(random.random(500) < 0.1, -1, 1)
    scan = defined(scan_significance(scores, is_signal, weights))
    assert np.all(np.diff(scan.cuts) > 0)
    assert 100 < len(scan.cuts) <= 200
    for index, cut in enumerate(scan.cuts):
        above = scores.astype(np.float64) > cut
        signal, background = weights[above & is_signal], weights[above & ~is_signal]
        expected = (signal.sum(), (signal**2).sum(), background.sum(), (background**2).sum())
        np.testing.assert_allclose([part[index] for part in scan.yields], expected, rtol=1e-10, atol=1e-12)
        efficiency = signal.sum() / weights[is_signal].sum()
        passed = above[is_signal] - efficiency
        variance = np.sum(weights[is_signal] ** 2 * passed**2) / weights[is_signal].sum() ** 2
        assert scan.signal_efficiency[0][index] == pytest.approx(efficiency)
        assert scan.signal_efficiency[1][index] == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert (scores > scan.cuts[0]).all()
    assert (scores > scan.cuts[-1]).any()


def test_the_best_cut_has_the_largest_significance_with_enough_background() -> None:
    scores, is_signal = beta_sample(0, 200, 1000)
    scan = defined(scan_significance(scores, is_signal, np.full(len(scores), 0.5), b_reg=1))
    for name, curve in scan.curves.items():
        best = best_of(scan, name)
        enough = np.array([np.count_nonzero(~is_signal & (scores > cut)) >= 10 for cut in scan.cuts])
        np.testing.assert_array_equal(enough, scan.enough_background)
        assert best.significance.value == curve.values[enough].max()
        index = int(np.flatnonzero(scan.cuts == best.cut.value)[0])
        assert best.signal == Measurement(
            float(scan.yields.signal[index]), math.sqrt(float(scan.yields.signal_variance[index]))
        )
        assert best.interval[0] <= best.interval[1]
        assert as_plain(best)["cut"]["interval"] == list(best.interval)
    assert not scan.enough_background.all()


@pytest.mark.parametrize(("name", "width"), [("asimov", (0.85, 1.15)), ("s_over_sqrt_b", (0.7, 1.1))])
def test_toys_confirm_uncertainty_and_bias(name: str, width: tuple[float, float]) -> None:
    """The significance that is found is larger than that of the same cut in truth, about as much as the bootstrap says.

    The bootstrap finds some three quarters of the bias, as it starts from a sample that fluctuates itself.
    S/√B prefers the smallest background that is allowed, where its uncertainty of first order is a little too large.
    """
    excess, bias, uncertainty, cuts, claimed = np.transpose([_toy(toy, name) for toy in range(200)])
    assert excess.mean() > 5 * excess.std() / math.sqrt(len(excess))
    assert 0.5 < bias.mean() / excess.mean() < 1.1
    pulls = (excess - bias) / uncertainty
    assert abs(pulls.mean()) < 0.3
    assert width[0] < pulls.std() < width[1]
    assert np.median(claimed) == pytest.approx(cuts.std(), rel=0.25)


def _toy(seed: int, name: str) -> tuple[float, float, float, float, float]:
    scores, is_signal = beta_sample(seed, 200, 1000)
    weights = np.full(len(scores), 0.5)
    options = {"b_reg": 1.0, "background_uncertainty": 0.1, "num_cuts": 60, "num_replicas": 100}
    best = best_of(defined(scan_significance(scores, is_signal, weights, **options, seed=seed)), name)
    excess = best.significance.value - beta_truth(best.cut.value, 100, 500, name)
    return excess, best.bias.value, best.significance.uncertainty, best.cut.value, best.cut.uncertainty


def test_the_bootstrap_of_sums_is_that_of_the_events() -> None:
    """Every event taken a Poisson number of times, 400 times over, against the scaled Poisson distribution of sums."""
    scores, is_signal = beta_sample(1, 300, 1500)
    random = np.random.default_rng(5)
    weights = random.exponential(size=len(scores)) * np.where(random.random(len(scores)) < 0.1, -1, 1)
    scan = defined(scan_significance(scores, is_signal, weights, num_replicas=400))
    best = best_of(scan, "asimov")
    formula = significance_formulas()["asimov"]
    above = scores[:, np.newaxis] > scan.cuts
    found, differences = [], []
    for _ in range(400):
        drawn = weights * random.poisson(1, len(scores))
        signal, background = drawn[is_signal] @ above[is_signal], drawn[~is_signal] @ above[~is_signal]
        squares = (drawn * weights)[~is_signal] @ above[~is_signal]
        curve = significance_curve(Yields(signal, 0 * signal, background, squares), formula)
        enough = (background > 0) & (background**2 >= 10 * squares)
        chosen = int(np.argmax(np.where(curve.exists & enough, curve.values, -1)))
        found.append(scan.cuts[chosen])
        differences.append(curve.values[chosen] - scan.curves["asimov"].values[chosen])
    assert best.cut.uncertainty == pytest.approx(np.std(found), rel=0.15)
    assert best.bias.value == pytest.approx(
        np.mean(differences), abs=4 * math.hypot(best.bias.uncertainty, np.std(differences) / 20)
    )


def test_the_same_seed_gives_the_same_numbers() -> None:
    scores, is_signal = beta_sample(2, 100, 300)
    weights = np.ones(len(scores))
    one, same, other = (
        best_of(defined(scan_significance(scores, is_signal, weights, seed=seed)), "asimov") for seed in (1, 1, 2)
    )
    assert one == same
    assert one.bias != other.bias
    assert one.significance == other.significance


def test_too_little_background_leaves_no_best_cut() -> None:
    scores = np.linspace(0, 1, 30)
    is_signal = np.arange(30) % 4 > 0  # 8 background events
    scan = defined(scan_significance(scores, is_signal, np.ones(30)))
    assert all(isinstance(best, Undefined) for best in scan.best.values())
    assert "10 effective background events" in str(scan.best["asimov"])
    assert scan.curves["asimov"].exists[0]


def test_negative_weights_leave_gaps_that_say_why() -> None:
    """Above the highest background event with positive weight, the background is negative."""
    scores = np.concatenate([np.linspace(0, 1, 100), np.linspace(0, 0.8, 100), np.full(5, 0.9)])
    is_signal = np.arange(205) < 100
    weights = np.where(np.arange(205) < 200, 1.0, -0.5)
    scan = defined(scan_significance(scores, is_signal, weights))
    values = as_plain(scan)["s_over_sqrt_b"]["value"]
    negative = np.flatnonzero((scan.cuts >= 0.8) & (scan.cuts < 0.9))
    assert len(negative)
    assert {values[index] for index in negative} == {"undefined: sum of background weights is negative"}
    assert {values[index] for index in np.flatnonzero(scan.cuts >= 0.9)} == {"undefined: no background"}
    assert isinstance(values[0], float)
    assert isinstance(scan.best["asimov"], BestCut)


@pytest.mark.parametrize(
    ("scores", "is_signal", "weights", "reason"),
    [
        ([], [], [], "no events"),
        ([0.5], [True], [1.0], "no background events"),
        ([0.5, 0.5], [True, False], [1.0, 1.0], "all scores are 0.5"),
        ([0.5, math.nan], [True, False], [1.0, 1.0], "1 of 2 scores are NaN or infinite"),
        ([0.5, math.inf], [True, False], [1.0, 1.0], "1 of 2 scores are NaN or infinite"),
        ([0.5, 0.6], [False, False], [1.0, 1.0], "no signal events"),
        ([0.5, 0.6, 0.7], [True, False, False], [1.0, -1.0, 0.5], "sum of background weights is negative"),
        ([0.5, 0.6, 0.7], [True, False, False], [1.0, -1.0, 1.0], "sum of background weights is zero"),
        ([0.5, 0.6], [True, False], [0.0, 0.0], "sum of signal weights is zero"),
    ],
)
def test_undefined_with_a_reason(scores: list[float], is_signal: list[bool], weights: list[float], reason: str) -> None:
    found = scan_significance(np.array(scores), np.array(is_signal, dtype=bool), np.array(weights))
    assert found == Undefined(reason)
