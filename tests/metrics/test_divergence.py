"""Jensen-Shannon divergence: scipy's values, and toys for bias, uncertainty and p-value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import kstest

from ntupleml.metrics import Undefined
from ntupleml.metrics.divergence import Divergence, divergence
from ntupleml.metrics.variable_bins import Sums


def filled(random: np.random.Generator, shares: list[float], number: int, negative: float = 0.0) -> Sums:
    index = random.choice(len(shares), number, p=shares)
    weights = random.exponential(1, number) * np.where(random.random(number) < negative, -1, 1)
    return Sums(*(np.bincount(index, amounts, minlength=len(shares)) for amounts in (weights, weights**2)))


def test_many_events_give_scipys_value() -> None:
    first, second = np.array([1.0, 2.0, 3.0, 0.0]), np.array([3.0, 1.0, 1.0, 1.0])
    events = 1e12
    result = divergence(Sums(first * events, first * events), Sums(second * events, second * events))
    assert isinstance(result, Divergence)
    assert result.value.value == pytest.approx(jensenshannon(first, second, base=2) ** 2, abs=1e-11)


def test_separate_distributions_have_one_bit() -> None:
    first, second = np.array([1e9, 0.0]), np.array([0.0, 1e9])
    result = divergence(Sums(first, first), Sums(second, second))
    assert isinstance(result, Divergence)
    assert result.value.value == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_of_equal_parents_the_p_value_is_uniform_and_the_bias_is_gone(negative: float) -> None:
    random = np.random.default_rng(6)
    shares = [0.1] * 10
    results = [
        divergence(filled(random, shares, 500, negative), filled(random, shares, 2000, negative)) for _ in range(400)
    ]
    known = [result for result in results if isinstance(result, Divergence)]
    assert len(known) == 400
    values = np.array([result.value for result in known])
    assert abs(values[:, 0].mean()) < 4 * values[:, 0].std() / 20 + 0.05 * values[:, 1].mean()
    assert values[:, 0].std() / values[:, 1].mean() < 1.1
    assert kstest([result.p_value for result in known], "uniform").pvalue > 1e-3


def test_sparse_bins_do_not_make_small_p_values() -> None:
    """A bin that has few events of the smaller sample by chance is not known any better for that."""
    random = np.random.default_rng(8)
    shares = [0.05] * 20
    results = [divergence(filled(random, shares, 100), filled(random, shares, 400)) for _ in range(1000)]
    p_values = np.array([result.p_value for result in results if isinstance(result, Divergence)])
    assert len(p_values) > 900
    assert np.mean(p_values < 0.1) < 0.13


def test_pulls_of_different_parents() -> None:
    random = np.random.default_rng(7)
    first, second = [0.4, 0.3, 0.2, 0.1], [0.2, 0.3, 0.3, 0.2]
    expected = jensenshannon(first, second, base=2) ** 2
    pulls = []
    for _ in range(300):
        result = divergence(filled(random, first, 1000), filled(random, second, 4000))
        assert isinstance(result, Divergence)
        pulls.append((result.value.value - expected) / result.value.uncertainty)
    assert abs(np.mean(pulls)) < 0.25
    assert 0.85 < np.std(pulls) < 1.15


def test_undefined_says_why() -> None:
    nothing, some = Sums(np.zeros(2), np.zeros(2)), Sums(np.full(2, 50.0), np.full(2, 50.0))
    assert str(divergence(nothing, some)) == "undefined: slice: no events"
    assert str(divergence(some, Sums(-np.ones(2), np.ones(2)))) == "undefined: other slices: sum of weights is negative"
    one_bin = Sums(np.array([50.0, 0.0]), np.array([50.0, 0.0]))
    assert isinstance(divergence(one_bin, one_bin), Undefined)
