"""Saliency, integrated gradients and gradient ascent: completeness, linear networks, and sums by NumPy."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from ntupleml.testing.attributions import attributions
from ntupleml.testing.gradient_ascent import (
    Ascent,
    activations,
    ascent_loss,
    filters_of,
    gradient_ascent,
    image_layers,
)


@pytest.fixture(scope="module")
def network() -> Any:
    """An image, numbers, and objects with a mask."""
    keras.utils.set_random_seed(4)
    image, numbers = keras.Input((8, 6, 2), name="image"), keras.Input((3,), name="numbers")
    jets, mask = keras.Input((4, 2), name="jets"), keras.Input((4,), name="jets_mask")
    first = keras.layers.Conv2D(3, 3, activation="tanh", name="first")(image)
    second = keras.layers.Conv2D(2, 2, activation="softplus", name="second")(first)
    pooled = keras.layers.Dot((1, 1))([keras.layers.Dense(4, activation="gelu")(jets), mask])
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(second), numbers, pooled])
    outputs = keras.layers.Dense(2)(keras.layers.Dense(5, activation="tanh")(joined))
    return keras.Model({"image": image, "numbers": numbers, "jets": jets, "jets_mask": mask}, outputs)


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    random = np.random.default_rng(1)
    shapes = {"image": (8, 6, 2), "numbers": (3,), "jets": (4, 2)}
    found = {name: random.normal(size=(120, *shape)).astype("f4") for name, shape in shapes.items()}
    return found | {"jets_mask": (random.random((120, 4)) < 0.7).astype("f4")}


@pytest.mark.parametrize("output", [1, None])
def test_integrated_gradients_are_complete(network: Any, inputs: dict[str, Any], output: int | None) -> None:
    baseline = {"image": np.full((1, 8, 6, 2), 0.3, "f4"), "numbers": np.zeros((1, 3), "f4"), "jets": 0.5}
    found = attributions(network, inputs, baseline, output, steps=32)  # type: ignore[arg-type]
    assert set(found.integrated) == {"image", "numbers", "jets"}
    scores = [
        np.asarray(
            network({**inputs, **{name: np.broadcast_to(own, inputs[name].shape) for name, own in some.items()}})
        )
        for some in ({}, baseline)
    ]
    differences = scores[0] - scores[1]
    expected = differences.mean(axis=1) if output is None else differences[:, output]
    sums = sum(one.reshape(120, -1).sum(axis=1) for one in found.integrated.values())
    np.testing.assert_allclose(sums, expected, atol=2e-5)
    assert found.incompleteness < 2e-5


def test_attributions_of_a_linear_network_are_weights_times_differences() -> None:
    """Exactly, whatever the steps; the gradients are the weights."""
    model = keras.Sequential([keras.Input((4,), name="variables"), keras.layers.Dense(2)])
    kernel = np.asarray(model.layers[-1].kernel)
    values = np.random.default_rng(2).normal(size=(7, 4)).astype("f4")
    baseline = np.array([[1, 2, 3, 4]], "f4")
    found = attributions(model, {"variables": values}, {"variables": baseline}, 1, steps=3)
    np.testing.assert_allclose(found.integrated["variables"], (values - baseline) * kernel[:, 1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.gradients["variables"], np.tile(kernel[:, 1], (7, 1)), rtol=1e-5)


def test_layers_and_their_outputs(network: Any, inputs: dict[str, Any]) -> None:
    assert image_layers(network) == ["first", "second"]
    kernels = filters_of(network, "first")
    assert kernels.shape == (3, 3, 2, 3)
    found = activations(network, "first", inputs)
    patch = np.tensordot(inputs["image"][:, 2:5, 1:4], kernels, 3)
    np.testing.assert_allclose(found[:, 2, 1], np.tanh(patch), atol=1e-5)


def test_the_loss_of_an_ascent_by_numpy() -> None:
    random = np.random.default_rng(3)
    large, small = random.normal(size=(1, 9, 8, 3)).astype("f4"), random.normal(size=(1, 4, 8, 2)).astype("f4")
    expected = np.mean(large[:, 2:7, 2:6] ** 2) + np.mean(small**2)
    assert float(ascent_loss([large, small])) == pytest.approx(expected, rel=1e-5)


def test_an_ascent_climbs_and_stops(network: Any, inputs: dict[str, Any]) -> None:
    one = {name: values[:1] for name, values in inputs.items()}
    dream = gradient_ascent(network, one, "image", ["first", "second"])
    assert dream.image.shape == (8, 6, 2)
    assert len(dream.losses) == 20
    assert dream.losses[-1] > dream.losses[0]
    change = np.abs(dream.image - one["image"][0])
    assert 0 < change.mean() < 3 * 20 * 0.01 * 2  # steps of 0.01 times a gradient of mean modulus 1
    stopped = gradient_ascent(network, one, "image", ["first", "second"], Ascent(largest_loss=0.0))
    assert len(stopped.losses) == 1
    np.testing.assert_allclose(stopped.image, one["image"][0], atol=1e-5)  # the lost detail is back
