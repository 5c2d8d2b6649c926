"""Permutation importance against formulas, scikit-learn and toys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import log_loss, roc_auc_score

from ntupleml.metrics.measurement import Measurement, Undefined, as_plain
from ntupleml.metrics.permutation import permutation_importance, shuffled_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.metrics.permutation import PermutationImportance

#: A linear score Σ bᵢxᵢ of unit Gaussians, whose means are Δ for the signal and 0 for the background.
SLOPES = np.array([1.0, 0.7, 0.3, 0.0])
SHIFTS = np.array([1.0, 0.5, 0.0, 0.8])
SIGNAL_SHARE = 0.4


def analytic_auc() -> float:
    """AUC = Φ(d′/√2), with d′ = bΔ/|b|."""
    return float(norm.cdf(SLOPES @ SHIFTS / np.linalg.norm(SLOPES) / np.sqrt(2)))


def analytic_shuffled_auc(shuffled: list[int]) -> float:
    """AUC with some variables shuffled together.

    Each event has theirs of a signal event with the chance f and of a background event with 1 − f, so that signal and
    background differ by 0, or by ± their part of the distance.
    """
    part = float((SLOPES * SHIFTS)[shuffled].sum())
    rest = float(SLOPES @ SHIFTS) - part
    width = np.sqrt(2) * np.linalg.norm(SLOPES)
    f = SIGNAL_SHARE
    same = f**2 + (1 - f) ** 2
    other = f * (1 - f)
    result: float = (
        same * norm.cdf(rest / width)
        + other * norm.cdf((rest + part) / width)
        + other * norm.cdf((rest - part) / width)
    )
    return result


def linear_scores(x: NDArray[np.float64]) -> NDArray[np.float32]:
    probability = 1 / (1 + np.exp(1 - x @ SLOPES))
    return np.stack([probability, 1 - probability], axis=1).astype(np.float32)


def shuffling(x: NDArray[np.float64], columns: list[int]) -> Callable[[NDArray[np.int64]], NDArray[np.float32]]:
    def score(donors: NDArray[np.int64]) -> NDArray[np.float32]:
        changed = x.copy()
        changed[:, columns] = x[donors][:, columns]
        return linear_scores(changed)

    return score


def linear_importance(
    seed: int, num_events: int, columns: dict[str, list[int]], *, weighted: bool = False, repeats: int = 5
) -> PermutationImportance:
    random = np.random.default_rng(seed)
    truth = (random.random(num_events) >= SIGNAL_SHARE).astype(np.int64)
    x = random.normal(size=(num_events, 4)) + np.where(truth[:, None] == 0, SHIFTS, 0)
    weights = np.ones(num_events)
    if weighted:
        weights = random.exponential(1.0, num_events) * np.where(random.random(num_events) < 0.1, -1, 1)
    return permutation_importance(
        linear_scores(x),
        truth,
        weights,
        ["signal", "background"],
        {name: shuffling(x, chosen) for name, chosen in columns.items()},
        repeats=repeats,
        seed=seed,
    )


def value_of(result: Measurement | Undefined) -> Measurement:
    assert isinstance(result, Measurement)
    return result


def test_the_importance_of_a_linear_score_is_that_of_the_formula() -> None:
    columns = {"small": [2], "unused": [3], "large": [0], "middle": [1], "both": [0, 1]}
    result = linear_importance(1, 40_000, columns)
    assert value_of(result.reference.average_auc).value == pytest.approx(analytic_auc(), abs=0.01)
    for name, chosen in columns.items():
        found = value_of(result.importances[name].average_auc)
        expected = analytic_auc() - analytic_shuffled_auc(chosen)
        assert abs(found.value - expected) <= 4 * found.uncertainty
        assert found.uncertainty < 0.005
        of_classes = [value_of(one).value for one in result.importances[name].auc.values()]
        assert of_classes == pytest.approx([found.value] * 2, abs=1e-5)
    assert result.ranking()[:3] == ["both", "large", "middle"]


def test_what_the_model_does_not_use_is_worth_exactly_nothing() -> None:
    result = linear_importance(2, 1000, {"unused": [3]}, weighted=True)
    unused = result.importances["unused"]
    assert unused.average_auc == Measurement(0.0, 0.0)
    assert unused.log_loss == Measurement(0.0, 0.0)
    assert unused.auc == dict.fromkeys(["signal", "background"], Measurement(0.0, 0.0))


@pytest.mark.parametrize("weighted", [False, True])
def test_uncertainties_cover_the_truth(weighted: bool) -> None:
    """Pulls of 200 toys have the width 1, with negative weights too; the events' part alone would be too small."""
    columns = {"large": [0], "middle": [1], "small": [2]}
    toys = [linear_importance(seed, 300, columns, weighted=weighted) for seed in range(200)]
    for name, chosen in columns.items():
        expected = analytic_auc() - analytic_shuffled_auc(chosen)
        found = np.array([value_of(toy.importances[name].average_auc) for toy in toys])
        spread = found[:, 0].std() / np.sqrt(np.square(found[:, 1]).mean())
        assert 0.85 < spread < 1.18
        assert abs(found[:, 0].mean() - expected) < 4 * found[:, 0].std() / np.sqrt(len(toys)) + 0.003
        losses = np.array([value_of(toy.importances[name].log_loss) for toy in toys])
        assert 0.85 < losses[:, 0].std() / np.sqrt(np.square(losses[:, 1]).mean()) < 1.18


def test_values_are_scikit_learns() -> None:
    """With the same permutations, mean differences of roc_auc_score and log_loss; three classes, weights."""
    random = np.random.default_rng(5)
    number = 500
    truth = random.integers(0, 3, number)
    logits = random.normal(size=(number, 3)) + np.eye(3)[truth]
    weights = random.exponential(1, number)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    seen: list[NDArray[np.float64]] = []

    def score(donors: NDArray[np.int64]) -> NDArray[np.float64]:
        changed = logits.copy()
        changed[:, 0] = logits[donors, 0]
        seen.append(np.exp(changed) / np.exp(changed).sum(axis=1, keepdims=True))
        return seen[-1]

    result = permutation_importance(scores, truth, weights, ["a", "b", "c"], {"x": score}, repeats=3)

    def areas(some: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([roc_auc_score(truth == i, some[:, i], sample_weight=weights) for i in range(3)])

    expected = areas(scores) - np.mean([areas(some) for some in seen], axis=0)
    found = result.importances["x"]
    for index, name in enumerate("abc"):
        assert value_of(found.auc[name]).value == pytest.approx(expected[index], abs=1e-12)
    shares = np.bincount(truth, weights) / weights.sum()
    assert value_of(found.average_auc).value == pytest.approx(shares @ expected, abs=1e-12)
    losses = [log_loss(truth, some, sample_weight=weights) for some in (scores, *seen)]
    assert value_of(result.reference.log_loss).value == pytest.approx(losses[0], abs=1e-9)
    assert value_of(found.log_loss).value == pytest.approx(np.mean(losses[1:]) - losses[0], abs=1e-9)


def test_more_repeats_and_a_seed() -> None:
    first, second = (linear_importance(3, 500, {"large": [0]}) for _ in range(2))
    assert first == second
    assert first.importances != linear_importance(3, 500, {"large": [0]}, repeats=9).importances
    with pytest.raises(ValueError, match="at least 2"):
        linear_importance(3, 500, {"large": [0]}, repeats=1)


def constant(number: int, value: float = 0.5) -> NDArray[np.float32]:
    return np.full((number, 2), value, np.float32)


UNDEFINED: list[tuple[dict[str, Any], str, str]] = [
    ({"truth": [0, 0, 0, 0]}, "no background events", ""),
    ({"truth": [0, 1, 1, 1]}, "only one signal event", ""),
    ({"weights": [1, 1, 0, 0]}, "sum of background weights is zero", ""),
    ({"weights": [-1, -1, 1, 0]}, "sum of signal weights is negative", "sum of weights is negative"),
    ({"weights": [0, 0, 0, 0]}, "sum of signal weights is zero", "sum of weights is zero"),
    ({"scores": constant(4, 3.0)}, "", "not probabilities"),
    ({"scores": constant(0), "truth": [], "weights": []}, "no signal events", "no events"),
    ({"scores": constant(1), "truth": [0], "weights": [1]}, "only one signal event", ""),
]


@pytest.mark.parametrize(("changes", "area", "loss"), UNDEFINED)
def test_what_does_not_exist_is_undefined(changes: dict[str, Any], area: str, loss: str) -> None:
    given = {"scores": constant(4), "truth": [0, 0, 1, 1], "weights": [1, 1, 1, 1], **changes}
    scores = given["scores"]
    result = permutation_importance(
        scores,
        np.array(given["truth"], np.int64),
        np.array(given["weights"], np.float64),
        ["signal", "background"],
        {"x": lambda donors: np.where(np.arange(2) == 0, 0.4, 0.6).astype("f4") + 0 * scores[donors]},
    )
    for one in (result.reference, result.importances["x"]):
        if area:
            assert isinstance(one.average_auc, Undefined)
            assert area in one.average_auc.reason
        else:
            assert isinstance(one.average_auc, Measurement)
    if loss:
        assert isinstance(result.importances["x"].log_loss, Undefined)
        assert loss in result.importances["x"].log_loss.reason
    assert result.ranking() == ["x"]
    assert as_plain(result)["permutation_importance"]["x"]["average_auc"] is not None


def test_plain_numbers() -> None:
    content = as_plain(linear_importance(4, 300, {"small": [2], "large": [0]}))
    assert list(content["permutation_importance"]) == ["large", "small"]
    assert set(content["permutation_importance_signal"]["large"]) == {"value", "uncertainty"}
    assert content["entries"] == 300


@settings(max_examples=50, deadline=None)
@given(strata=st.lists(st.integers(0, 3), max_size=40), seed=st.integers(0, 100))
def test_events_are_shuffled_within_their_stratum(strata: list[int], seed: int) -> None:
    numbers = np.array(strata, np.int64)
    order = shuffled_events(numbers, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(strata)))
    np.testing.assert_array_equal(numbers[order], numbers)


def test_all_orders_are_equally_likely() -> None:
    orders = [tuple(shuffled_events(np.zeros(3, np.int64), np.random.default_rng(seed))) for seed in range(1200)]
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts - 200).max() < 4 * np.sqrt(200)
