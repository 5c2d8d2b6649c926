"""Scalers fitted chunk by chunk against scikit-learn's fit to all events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from ntupleml.errors import NtuplemlError
from ntupleml.training.streamed_scalers import ScalerFit

if TYPE_CHECKING:
    from numpy.typing import NDArray

GENERATOR = np.random.default_rng(3)
ROWS = (GENERATOR.normal(size=(5000, 3)) * [1, 10, 0] + [1000, -3, 7]).astype(np.float32)
WEIGHTS = GENERATOR.uniform(-0.3, 1, 5000)


def streamed(method: str, *, weighted: bool = False, sample_size: int = 10_000) -> tuple[Any, int]:
    fit = ScalerFit(method, 1, weighted=weighted, sample_size=sample_size)
    for rows, weights in zip(np.split(ROWS, [0, 700, 3000]), np.split(WEIGHTS, [0, 700, 3000]), strict=True):
        fit.add(rows, weights)
    return fit.result(), fit.num_events


def test_standard_scaler() -> None:
    expected = StandardScaler().fit(ROWS.astype(np.float64))
    scaler, events = streamed("standard_scaler")
    assert events == 5000
    np.testing.assert_allclose(scaler.mean_, expected.mean_, rtol=1e-9)
    np.testing.assert_allclose(scaler.scale_, expected.scale_, rtol=1e-6)
    assert scaler.scale_[2] == 1  # a constant
    np.testing.assert_allclose(scaler.transform(ROWS), expected.transform(ROWS), atol=1e-6)


def test_standard_scaler_with_weights_of_both_signs() -> None:
    """Weighted mean Σwx/Σw and variance Σw(x−mean)²/Σw."""
    mean = np.average(ROWS.astype(np.float64), axis=0, weights=WEIGHTS)
    variance = np.average((ROWS - mean) ** 2, axis=0, weights=WEIGHTS)
    scaler, _ = streamed("standard_scaler", weighted=True)
    np.testing.assert_allclose(scaler.mean_, mean, rtol=1e-9)
    np.testing.assert_allclose(scaler.scale_, [*np.sqrt(variance[:2]), 1], rtol=1e-6)


def test_min_max_scaler() -> None:
    expected = MinMaxScaler(feature_range=(-1, 1)).fit(ROWS.astype(np.float64))
    scaler, events = streamed("min_max_scaler")
    assert events == 5000
    np.testing.assert_array_equal(scaler.transform(ROWS), expected.transform(ROWS))


def test_identity() -> None:
    scaler, _ = streamed("identity")
    np.testing.assert_array_equal(scaler.transform(ROWS), ROWS)


def test_robust_scaler_of_all_events_where_they_fit_into_the_sample() -> None:
    expected = RobustScaler().fit(ROWS.astype(np.float64))
    scaler, events = streamed("robust_scaler")
    assert events == 5000
    np.testing.assert_allclose(scaler.center_, expected.center_)
    np.testing.assert_allclose(scaler.scale_, expected.scale_)


def test_robust_scaler_of_a_sample() -> None:
    """1000 of 5000 events: the median has a standard deviation of about 1.25 σ / √1000, smaller without replacement."""
    expected = RobustScaler().fit(ROWS.astype(np.float64))
    scaler, events = streamed("robust_scaler", sample_size=1000)
    again, _ = streamed("robust_scaler", sample_size=1000)
    assert events == 1000
    assert (np.abs(scaler.center_ - expected.center_)[:2] < 5 * 1.25 * np.array([1, 10]) / np.sqrt(1000)).all()
    np.testing.assert_array_equal(scaler.center_, again.center_)


def sample_counts(seed: int) -> NDArray[np.int64]:
    fit = ScalerFit("robust_scaler", seed, weighted=False, sample_size=50)
    for chunk in np.split(np.arange(200, dtype=np.float32)[:, None], 8):
        fit.add(chunk, np.ones(len(chunk)))
    rows, _ = fit._sample.result()
    return np.bincount(rows[:, 0].astype(int), minlength=200)


def test_the_sample_is_drawn_uniformly() -> None:
    """Early and late events are equally likely: 50 of 200 events, 400 times."""
    counts = sum(sample_counts(seed) for seed in range(400))
    assert sample_counts(0).max() == 1
    assert (np.abs(counts - 100) < 5 * np.sqrt(400 * 0.25 * 0.75)).all()


def test_negative_weights_that_leave_nothing_are_refused() -> None:
    fit = ScalerFit("standard_scaler", 1, weighted=True)
    fit.add(ROWS[:2], np.array([1.0, -1.0]))
    with pytest.raises(NtuplemlError, match="weights sum to 0"):
        fit.result()
    fit = ScalerFit("standard_scaler", 1, weighted=True)
    fit.add(np.array([[0.0], [1.0], [2.0]], dtype=np.float32), np.array([-1.0, 3.0, -1.0]))
    with pytest.raises(NtuplemlError, match="negative variance"):
        fit.result()
