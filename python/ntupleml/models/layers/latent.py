"""The latent layer of a variational autoencoder: numbers that are drawn while training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ntupleml.config.inputs import LARGEST_LOG_VARIANCE
from ntupleml.models.layers.objects import registered


@registered
class LatentDraw(keras.layers.Layer):  # type: ignore[misc]
    """Numbers drawn from normal distributions while training, else their means (Kingma, Welling, arXiv:1312.6114).

    A log variance above `LARGEST_LOG_VARIANCE` counts as that.

    It is called with means and log variances, each rows × n.

    Parameters
    ----------
    seed : int
        Of what is drawn.
    """

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        return {**super().get_config(), "seed": self.seed}

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """That of the means."""
        return tuple(shapes[0])

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Mean, and while training a number of the standard normal distribution times the width."""
        mean, log_variance = inputs
        if not training:
            return mean
        bounded = ops.minimum(log_variance, LARGEST_LOG_VARIANCE)
        return mean + ops.exp(0.5 * bounded) * self.draw(ops.shape(mean))

    def draw(self, shape: Any) -> Any:
        """Numbers of the standard normal distribution."""
        return keras.random.normal(shape, seed=self.seed_generator)
