"""Boosted reweighting finds density ratios that are known, with weights of both signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config.reweight import BoostedConfig
from ntupleml.datasets.boosted_reweighting import Sample, fit_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.datasets.boosted_reweighting import Trees

SEED = (1, 2)


def normal(
    seed: int, number: int, mean: tuple[float, float], correlation: float = 0.0, negative: float = 0.0
) -> Sample:
    random = np.random.default_rng(seed)
    values = random.multivariate_normal(mean, [[1, correlation], [correlation, 1]], number)
    weights = np.where(random.random(number) < negative, -0.7, random.uniform(0.5, 1.5, number))
    return Sample(values, weights)


def logarithms(trees: Trees, of: Sample, at: NDArray[Any]) -> NDArray[Any]:
    """With a mean factor of 1."""
    mean = np.average(np.exp(trees.logarithms(of.values)), weights=of.weights)
    return trees.logarithms(at) - np.log(mean)


@pytest.mark.parametrize("negative", [0.0, 0.15])
def test_the_ratio_of_two_normal_distributions(negative: float) -> None:
    """N(μ, 1) over N(0, 1) is exp(μx − μ²/2); the second formula has no part in it."""
    original = normal(1, 40_000, (0, 0), negative=negative)
    wanted = normal(2, 40_000, (0.8, 0), negative=negative)
    trees = fit_trees(original, wanted, BoostedConfig(trees=60), SEED)
    x, y = (one.reshape(-1) for one in np.meshgrid(np.linspace(-1.2, 1.8, 31), [-0.8, 0, 0.8]))
    found = logarithms(trees, original, np.stack([x, y], axis=1))
    difference = found - (0.8 * x - 0.32)
    # a leaf of 200 effective rows knows its ratio to 10 %
    assert np.abs(difference.mean()) < 0.06
    assert np.sqrt(np.mean(difference**2)) < 0.15


def test_correlations_are_found_where_each_formula_alone_agrees() -> None:
    """Other rows of the same distribution get the wanted one, in two dimensions."""
    original, wanted = normal(3, 60_000, (0, 0)), normal(4, 60_000, (0, 0), correlation=0.6)
    trees = fit_trees(original, wanted, BoostedConfig(depth=4, trees=80), SEED)
    fresh = normal(5, 60_000, (0, 0))

    def shares(sample: Sample, weights: NDArray[Any]) -> NDArray[Any]:
        counts = np.histogramdd(sample.values, [np.linspace(-1.5, 1.5, 7)] * 2, weights=weights)[0]
        return counts / weights.sum()

    aim = shares(wanted, wanted.weights)
    before = shares(fresh, fresh.weights) / aim
    after = shares(fresh, fresh.weights * np.exp(logarithms(trees, original, fresh.values))) / aim
    assert np.abs(before - 1).mean() > 0.25
    assert np.abs(after - 1).mean() < 0.08


def test_a_single_cut_is_that_of_the_largest_chi2() -> None:
    """By hand: contents (4, 4) and (1, 3) over x ≤ 0 < x, both sums 1; the factors are 1/2 and 3/2."""
    original = Sample(np.repeat([[0.0], [1.0]], 4, axis=0), np.ones(8))
    wanted = Sample(np.repeat([[0.0], [1.0]], [1, 3], axis=0), np.ones(4))
    settings = BoostedConfig(trees=1, depth=1, learning_rate=1, least=1)
    trees = fit_trees(original, wanted, settings, SEED)
    np.testing.assert_allclose(np.exp(trees.logarithms(np.array([[-5.0], [0.0], [0.1], [7.0]]))), [0.5, 0.5, 1.5, 1.5])
    # so many effective rows are not there
    trees = fit_trees(original, wanted, settings.model_copy(update={"least": 2}), SEED)
    np.testing.assert_array_equal(trees.logarithms(original.values), 0)


def test_no_leaf_has_rows_that_cancel() -> None:
    """Where negative weights take all of the rows on one side, there is no ratio and no cut."""
    values = np.repeat([[0.0], [1.0]], 50, axis=0)
    original = Sample(values, np.concatenate([np.tile([1.0, -1.0], 25), np.ones(50)]))
    wanted = Sample(values, np.ones(100))
    trees = fit_trees(original, wanted, BoostedConfig(trees=3, least=5), SEED)
    np.testing.assert_allclose(trees.logarithms(values), 0, atol=1e-12)


def test_the_seed_draws_the_rows() -> None:
    original, wanted = normal(6, 3_000, (0, 0)), normal(7, 3_000, (0.5, 0))
    settings = BoostedConfig(trees=5, subsample=0.5)
    first, same, other = (
        fit_trees(original, wanted, settings, seed).logarithms(original.values) for seed in (SEED, SEED, (3, 4))
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
