"""The derivatives against finite differences, the loss against scikit-learn's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss

from ntupleml.training.signed_objective import mean_cross_entropy, probabilities, signed_objective

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUMS = arrays(np.float64, (4, 3), elements=st.floats(-8, 8))
WEIGHTS = arrays(np.float64, 4, elements=st.floats(-3, 3))
CLASSES = arrays(np.int64, 4, elements=st.integers(0, 2))


def total_loss(sums: NDArray[np.float64], classes: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
    """Σ w (ln Σ exp s − s of the true class); a single sum stands beside a zero."""
    if sums.ndim == 1:
        sums = np.column_stack([np.zeros(len(sums)), sums])
    of_truth = sums[np.arange(len(sums)), classes]
    return float(weights @ (np.log(np.exp(sums).sum(axis=1)) - of_truth))


@given(sums=SUMS, weights=WEIGHTS, classes=CLASSES)
def test_gradients_of_several_classes(
    sums: NDArray[np.float64], weights: NDArray[np.float64], classes: NDArray[np.int64]
) -> None:
    gradients, hessians = signed_objective(classes, weights)(sums, None)
    step = 1e-5
    for event in range(4):
        for output in range(3):
            shift = np.zeros_like(sums)
            shift[event, output] = step
            up, down = (total_loss(sums + sign * shift, classes, weights) for sign in (1, -1))
            assert gradients[event, output] == pytest.approx((up - down) / (2 * step), abs=2e-6)
    p = probabilities(sums)
    np.testing.assert_allclose(hessians, 2 * p * (1 - p) * weights[:, None], rtol=1e-5, atol=1e-9)


@given(sums=arrays(np.float64, 4, elements=st.floats(-8, 8)), weights=WEIGHTS, classes=CLASSES)
def test_both_derivatives_of_two_classes(
    sums: NDArray[np.float64], weights: NDArray[np.float64], classes: NDArray[np.int64]
) -> None:
    classes = np.minimum(classes, 1)
    gradients, hessians = signed_objective(classes, weights)(sums, None)
    step = 1e-3
    for event in range(4):
        shift = np.zeros_like(sums)
        shift[event] = step
        up, here, down = (total_loss(sums + sign * shift, classes, weights) for sign in (1, 0, -1))
        assert gradients[event] == pytest.approx((up - down) / (2 * step), abs=2e-6)
        assert hessians[event] == pytest.approx((up - 2 * here + down) / step**2, abs=2e-6)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_mean_loss_is_that_of_scikit_learn(num_classes: int) -> None:
    generator = np.random.default_rng(5)
    classes = generator.integers(0, num_classes, 100)
    sums = generator.normal(size=100 if num_classes == 2 else (100, num_classes))
    weights = generator.uniform(0, 2, 100)
    p = 1 / (1 + np.exp(-sums)) if num_classes == 2 else np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    expected = log_loss(classes, p, sample_weight=weights)
    assert mean_cross_entropy(sums, classes, weights) == pytest.approx(expected, rel=1e-12)


def test_sums_of_any_size_are_probabilities() -> None:
    scores = probabilities(np.array([[1e6, -1e6, 0.0], [-1e6, -1e6, -1e6]]))
    np.testing.assert_allclose(scores, [[1, 0, 0], [1 / 3] * 3])
