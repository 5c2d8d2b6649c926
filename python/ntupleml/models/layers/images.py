"""Layers on images in (η, φ): φ is a circle, η has two ends, and the detector looks the same from both."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from ntupleml.models.layers.objects import registered


@registered
class PeriodicPadding(keras.layers.Layer):  # type: ignore[misc]
    """Images with more pixels around them: in φ those of the other end, in η a constant.

    It is called with images, rows × η × φ × channels. A convolution of 2 · `size` + 1 pixels without padding of its own
    then gives images of the same size. The corners are constant, too.

    Parameters
    ----------
    size : int
        Pixels that are added at each end.
    constant : float, default: 0
        What they hold beyond the ends of η.
    """

    def __init__(self, size: int, constant: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.constant = size, constant

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        return {**super().get_config(), "size": self.size, "constant": self.constant}

    def compute_output_shape(self, shape: Any) -> tuple[int | None, ...]:
        """Rows × η × φ × channels."""
        rows, eta, phi, channels = shape
        return (rows, eta + 2 * self.size, phi + 2 * self.size, channels)

    def call(self, images: Any) -> Any:
        """Pad the images."""
        return self.padded(images)

    def padded(self, images: Any) -> Any:
        """Padded images."""
        size = self.size
        around = ops.concatenate([images[:, :, -size:], images, images[:, :, :size]], axis=2)
        return ops.pad(around, ((0, 0), (size, size), (0, 0), (0, 0)), constant_values=self.constant)


@registered
class ReflectedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A convolution, and the same with its kernel reversed along η: both outputs side by side.

    An image that is reflected in η gives reflected outputs that have changed places, so that what sees them alike needs
    to learn each pattern once. Parameters are those of Keras' `Conv2D`; there are 2 · `filters` outputs.
    """

    def compute_output_shape(self, shape: Any) -> tuple[int | None, ...]:
        """Rows × η × φ × 2 filters."""
        *rest, filters = super().compute_output_shape(shape)
        return (*rest, 2 * filters)

    def call(self, images: Any) -> Any:
        """Convolve with both kernels at once."""
        both = ops.concatenate([self.kernel, ops.flip(self.kernel, axis=0)], axis=-1)
        values = self.convolution_op(images, both)
        if self.use_bias:
            values = values + ops.tile(self.bias, 2)
        return values if self.activation is None else self.activation(values)
