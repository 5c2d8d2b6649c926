"""Shapley values against models whose values are known."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Measurement, Undefined, as_plain
from ntupleml.metrics.shapley import mean_absolute, shapley_importance, shapley_values

if TYPE_CHECKING:
    from numpy.typing import NDArray


@pytest.fixture
def inputs() -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(size=(200_000, 3))


def taken(inputs: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.stack([inputs[positions[:, j], j] for j in range(inputs.shape[1])], axis=1)


def test_a_linear_model_has_its_exact_values(inputs: NDArray[np.float64]) -> None:
    """φⱼ = wⱼ (xⱼ − mean of the background); for events whose positions are large and side by side, too."""
    slopes = np.array([[2.0, -1.0], [0.5, 1.0], [0.0, 3.0]])
    explained, background = np.arange(199_000, 199_020), np.arange(199_020, 199_070)
    values, base = shapley_values(lambda rows: taken(inputs, rows) @ slopes, explained, background, 3)
    expected = (inputs[explained] - inputs[background].mean(axis=0))[:, :, None] * slopes
    np.testing.assert_allclose(values, expected, atol=1e-12)
    np.testing.assert_allclose(base, np.tile(inputs[background].mean(axis=0) @ slopes, (20, 1)), atol=1e-12)


def test_two_inputs_share_their_product(inputs: NDArray[np.float64]) -> None:
    """Against the background 0, each of two factors has half of their product, and what is not used nothing."""
    inputs[0] = 0

    def product(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        x = taken(inputs, rows)
        return (x[:, 0] * x[:, 1])[:, None]

    values, _ = shapley_values(product, np.arange(1, 11), np.array([0]), 3)
    half = inputs[1:11, 0] * inputs[1:11, 1] / 2
    np.testing.assert_allclose(values[:, :, 0], np.stack([half, half, 0 * half], axis=1), atol=1e-12)


def test_three_inputs_share_their_product(inputs: NDArray[np.float64]) -> None:
    """Against the background 0 each has a third of x·y·z, and half of what it adds to a product of two; exactly."""
    inputs[0] = 0

    def model(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        x = taken(inputs, rows)
        return np.stack([x.prod(axis=1), x[:, 1] * x[:, 2] + 2 * x[:, 0]], axis=1)

    x, y, z = inputs[1:11].T
    values, base = shapley_values(model, np.arange(1, 11), np.array([0]), 3)
    np.testing.assert_allclose(values[:, :, 0], np.tile(x * y * z / 3, (3, 1)).T, atol=1e-12)
    np.testing.assert_allclose(values[:, :, 1], np.stack([2 * x, y * z / 2, y * z / 2], axis=1), atol=1e-12)
    assert not base.any()


def test_many_inputs_by_shap() -> None:
    """8 inputs are too many for all their sets; exact here, as no more than two of them interact."""
    inputs = np.random.default_rng(2).normal(size=(30, 8))

    def model(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        x = taken(inputs, rows)
        return x[:, :1] * x[:, 1:2] + x[:, 2:3] * 3

    values, _ = shapley_values(model, np.arange(5), np.arange(5, 30), 8)
    mean = inputs[5:].mean(axis=0)
    np.testing.assert_allclose(values[:, 2, 0], 3 * (inputs[:5, 2] - mean[2]), atol=1e-12)
    own, other = inputs[:5, 0], inputs[:5, 1]
    base = (inputs[5:, 0] * inputs[5:, 1]).mean()
    first = ((own * mean[1] - base) + (own * other - mean[0] * other)) / 2
    np.testing.assert_allclose(values[:, 0, 0], first, atol=1e-12)
    assert not values[:, 3:].any()


def test_values_and_base_add_up_to_the_score(inputs: NDArray[np.float64]) -> None:
    def model(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        x = taken(inputs, rows)
        return np.tanh(np.stack([x[:, 0] * x[:, 1] * x[:, 2], x[:, 0] - x[:, 2] ** 3], axis=1))

    explained = np.arange(30)
    values, base = shapley_values(model, explained, np.arange(30, 80), 3, seed=2)
    scores = model(np.repeat(explained[:, None], 3, axis=1))
    result = shapley_importance(values, base, scores, np.ones(30), ["x", "y", "z"], ["a", "b"], 50)
    assert result.largest_difference < 1e-12
    assert isinstance(result.importances["b"]["x"], Measurement)
    assert result.importances["b"]["y"] == Measurement(0.0, 0.0)
    assert list(as_plain(result)["shap_importance_a"]) == result.ranking()
    again, _ = shapley_values(model, explained, np.arange(30, 80), 3, seed=2)
    np.testing.assert_array_equal(values, again)


def test_the_global_random_numbers_stay_as_they_are(inputs: NDArray[np.float64]) -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    wide = np.tile(inputs, 3)
    shapley_values(lambda rows: taken(wide, rows), np.arange(3), np.arange(3, 5), 9)
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002


def test_without_shap_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(NtuplemlError, match=r"pip install 'ntupleml\[shap\]'"):
        shapley_values(lambda rows: rows, np.arange(2), np.arange(2), 8)


def test_mean_absolute_is_the_standard_error_of_the_mean_for_equal_weights() -> None:
    values = np.random.default_rng(3).normal(size=(50, 2))
    size = np.abs(values)
    for index, found in enumerate(mean_absolute(values, np.full(50, 0.3))):
        assert isinstance(found, Measurement)
        assert found.value == pytest.approx(size[:, index].mean(), rel=1e-12)
        assert found.uncertainty == pytest.approx(size[:, index].std(ddof=1) / np.sqrt(50), rel=1e-12)


def test_weighted_uncertainties_cover_the_truth() -> None:
    """Mean |v| of a normal distribution is √(2/π)."""
    random = np.random.default_rng(4)
    pulls = []
    for _ in range(500):
        weights = random.exponential(1, 100) * np.where(random.random(100) < 0.1, -1, 1)
        (found,) = mean_absolute(random.normal(size=(100, 1)), weights)
        assert isinstance(found, Measurement)
        pulls.append((found.value - np.sqrt(2 / np.pi)) / found.uncertainty)
    assert 0.9 < np.std(pulls) < 1.12


@pytest.mark.parametrize(
    ("weights", "reason"), [([1.0], "only one event"), ([1.0, -1.0], "zero"), ([1.0, -2.0], "negative"), ([], "no")]
)
def test_what_does_not_exist_is_undefined(weights: list[float], reason: str) -> None:
    (found,) = mean_absolute(np.ones((len(weights), 1)), np.array(weights))
    assert isinstance(found, Undefined)
    assert reason in found.reason
