"""Random numbers as XLA computes them soon: hashes of their place and of the layer's own seed.

XLA makes the numbers of a generator anew in each place that uses them, which takes most of the time of a small network
with dropout, and is long to compile. A hash of few integer operations costs nothing beside what is done to the numbers
anyway.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from ntupleml.training.other_methods import other_methods

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

#: Bits of a hash that are compared with the rate.
_BITS = 24


def quick_draws(model: Any) -> AbstractContextManager[None]:
    """Let the layers of a model that draw hash while a program is traced; each draws from its own seeds as ever."""
    import keras

    from ntupleml.models.layers import LatentDraw

    def of_layer(layer: Any) -> dict[str, Any]:
        if type(layer) is keras.layers.Dropout and layer.rate > 0 and layer.noise_shape is None:
            return {"call": partial(_dropped, layer)}
        if type(layer) is LatentDraw:
            return {"draw": partial(_normal, layer)}
        return {}

    return other_methods(model, of_layer)


def _dropped(layer: Any, inputs: Any, training: bool = False) -> Any:
    """What `keras.layers.Dropout` gives."""
    import tensorflow as tf

    if not training:
        return inputs
    draws = tf.cast(tf.convert_to_tensor(layer.seed_generator.next()), tf.uint32)
    hashes = tf.reshape(hashed_places(tf.size(inputs), draws[0], draws[1]), tf.shape(inputs))
    is_kept = _shifted(hashes, 32 - _BITS) >= round(layer.rate * 2**_BITS)
    return tf.where(is_kept, inputs / (1 - layer.rate), tf.zeros_like(inputs))


def _normal(layer: Any, shape: Any) -> Any:
    """Numbers of the standard normal distribution, from two uniform ones each (Box, Muller, 1958)."""
    import tensorflow as tf

    draws = tf.cast(tf.convert_to_tensor(layer.seed_generator.next()), tf.uint32)
    number = tf.reduce_prod(shape)
    parts = tf.split(_shifted(hashed_places(2 * number, draws[0], draws[1]), 32 - _BITS), 2)
    first, second = ((tf.cast(part, tf.float32) + 0.5) / 2**_BITS for part in parts)
    return tf.reshape(tf.sqrt(-2 * tf.math.log(first)) * tf.cos(2 * math.pi * second), shape)


def hashed_places(number: Any, seed: Any, draw: Any) -> Any:
    """Hashes of the numbers from 0 up, uint32.

    Parameters
    ----------
    number : int
    seed, draw : scalar of uint32
        Other ones give hashes that have nothing to do with these.
    """
    import tensorflow as tf

    first = _hashed(draw ^ _hashed(seed))
    places = tf.cast(tf.range(number), tf.uint32)
    return _hashed(_hashed(places + first) ^ _hashed(first + seed))


def _hashed(values: Any) -> Any:
    """Hash of 32 bits with little bias (Wellons, "Prospecting for hash functions", 2018: ``lowbias32``)."""
    values = (values ^ _shifted(values, 16)) * 0x7FEB352D
    values = (values ^ _shifted(values, 15)) * 0x846CA68B
    return values ^ _shifted(values, 16)


def _shifted(values: Any, bits: int) -> Any:
    import tensorflow as tf

    return tf.bitwise.right_shift(values, tf.constant(bits, tf.uint32))
