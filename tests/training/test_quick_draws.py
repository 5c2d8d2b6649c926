"""Dropout of compiled epochs: the shares, that nothing depends on anything else, and the layer afterwards."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ntupleml.training.quick_draws import hashed_places, quick_draws

ROWS, WIDTH = 4000, 50


def kept(model: Any, inputs: Any) -> list[Any]:
    """Which numbers each dropout of a model keeps, of ones."""
    return [np.asarray(one) > 0 for one in model(inputs, training=True)]


@pytest.fixture(scope="module")
def keras() -> Any:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import keras

    return keras


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_numbers_are_dropped_as_often_as_asked(keras: Any, rate: float) -> None:
    """Within four standard deviations of the binomial distribution, in all, per row and per column; others grow."""
    layer = keras.layers.Dropout(rate, seed=3)
    model = keras.Sequential([keras.Input((WIDTH,)), layer])
    inputs = np.ones((ROWS, WIDTH), np.float32)
    with quick_draws(model):
        given = np.asarray(model(inputs, training=True))
        np.testing.assert_array_equal(model(inputs, training=False), inputs)
    assert set(np.unique(given)) == {np.float32(0), np.float32(1) / np.float32(1 - rate)}
    for axis in (None, 0, 1):
        shares = np.mean(given == 0, axis=axis)
        width = np.sqrt(rate * (1 - rate) / (given.size / np.size(shares)))
        assert np.abs(shares - rate).max() < (4 if axis is None else 5) * width


def test_draws_have_nothing_to_do_with_one_another(keras: Any) -> None:
    """Correlations of neighbours, of steps and of layers, also of layers whose seeds are next to each other."""
    value = keras.Input((WIDTH,))
    outputs = [keras.layers.Dropout(0.3, seed=seed)(value) for seed in (1, 2, 2**31 + 1)]
    model = keras.Model(value, outputs)
    inputs = np.ones((ROWS, WIDTH), np.float32)
    with quick_draws(model):
        draws = [*kept(model, inputs), *kept(model, inputs)]
    samples = [one.ravel() for one in draws]
    shifted = [(samples[0][:-lag], samples[0][lag:]) for lag in (1, WIDTH)]
    for one, other in [*pairwise(samples), (samples[0], samples[3]), *shifted]:
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(one))


def test_hashes_are_spread_evenly(keras: Any) -> None:
    """χ² of the numbers in 256 bins, of the lowest and of the highest bits, within four standard deviations."""
    hashes = np.asarray(hashed_places(2**18, np.uint32(7), np.uint32(0)))
    for bits in (hashes >> 24, hashes & 255):
        counts = np.bincount(bits.astype(int), minlength=256)
        chi2 = np.sum((counts - 2**10) ** 2 / 2**10)
        assert abs(chi2 - 255) < 4 * np.sqrt(2 * 255)


def test_the_layer_is_keras_again_and_goes_on_with_its_seed(keras: Any) -> None:
    layer, again = (keras.layers.Dropout(0.3, seed=5) for _ in range(2))
    inputs = np.ones((10, WIDTH), np.float32)
    model = keras.Sequential([keras.Input((WIDTH,)), layer])
    with quick_draws(model):
        model(inputs, training=True)
    again(inputs, training=True)
    np.testing.assert_array_equal(layer(inputs, training=True), again(inputs, training=True))


def test_latent_numbers_are_normal(keras: Any) -> None:
    """Kolmogorov-Smirnov test against the normal distribution; draws, columns and neighbours have no correlation."""
    from ntupleml.models.layers import LatentDraw

    mean, log_variance = keras.Input((3,)), keras.Input((3,))
    layer = LatentDraw(seed=4)
    model = keras.Model([mean, log_variance], layer([mean, log_variance]))
    inputs = [np.full((ROWS, 3), 5.0, np.float32), np.full((ROWS, 3), np.log(4.0), np.float32)]
    with quick_draws(model):
        draws = [(np.asarray(model(inputs, training=True), "f8") - 5) / 2 for _ in range(2)]
        np.testing.assert_array_equal(model(inputs, training=False), inputs[0])
    assert "draw" not in vars(layer)
    for draw in draws:
        assert stats.kstest(draw.ravel(), "norm").pvalue > 0.01
    columns = np.hstack([*draws, np.roll(draws[0], 1, axis=0)])
    assert abs(np.corrcoef(columns.T) - np.eye(9)).max() < 4.5 / np.sqrt(ROWS)
