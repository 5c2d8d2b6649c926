"""Quick gradients of layers on images against TensorFlow's own, and the layers afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntupleml.imports import import_tensorflow
from ntupleml.training.quick_convolutions import quick_convolutions

SHAPE = (5, 6, 2)
IMAGES = np.random.default_rng(3).normal(size=(4, *SHAPE)).astype(np.float32)


def model_of(kind: str) -> Any:
    import_tensorflow()
    import keras

    from ntupleml.models.layers import PeriodicPadding, ReflectedConv2D

    some = {
        "valid": [keras.layers.Conv2D(3, (3, 2), activation="tanh")],
        "same": [keras.layers.Conv2D(3, (3, 2), padding="same"), keras.layers.Conv2D(2, 4, padding="same")],
        "strided": [keras.layers.Conv2D(3, 3, strides=2)],
        "reflected": [PeriodicPadding(1), ReflectedConv2D(3, 3, activation="tanh")],
        "padded twice": [
            PeriodicPadding(2, 1.5),
            keras.layers.Conv2D(2, 3),
            PeriodicPadding(1),
            keras.layers.Conv2D(2, 3),
        ],
        "padded by more than half": [PeriodicPadding(4), keras.layers.Conv2D(2, 3)],
        "padded by all": [PeriodicPadding(6), keras.layers.Conv2D(2, 3)],
    }[kind]
    value = inputs = keras.Input(SHAPE)
    for layer in some:
        value = layer(value)
    return keras.Model(inputs, value)


def gradients(model: Any) -> list[Any]:
    """Output, and gradients of a sum of it by the images and all weights."""
    import tensorflow as tf

    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = model(images)
        loss = tf.reduce_sum(tf.sin(output + tf.reshape(tf.range(tf.size(output), dtype=tf.float32), output.shape)))
    return [output.numpy(), *(one.numpy() for one in tape.gradient(loss, [images, *model.trainable_weights]))]


@pytest.mark.parametrize(
    "kind", ["valid", "same", "strided", "reflected", "padded twice", "padded by more than half", "padded by all"]
)
def test_gradients_are_those_of_tensorflow(kind: str) -> None:
    model = model_of(kind)
    expected = gradients(model)
    with quick_convolutions(model):
        found = gradients(model)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    for layer in model.layers:
        assert not {"convolution_op", "padded"} & vars(layer).keys()
