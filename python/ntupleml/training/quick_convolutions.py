"""Gradients of convolutions on images in forms that processors compute sooner; what layers give stays the same.

TensorFlow's own gradient by the kernel takes three to four times longer than the convolution itself. It is a
convolution, too: of the images with the events as their channels, by the gradient of the output as the kernel.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ntupleml.training.other_methods import other_methods

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def quick_convolutions(model: Any) -> AbstractContextManager[None]:
    """Let the layers of a model on images have quick gradients while a program is traced."""
    import keras

    from ntupleml.models.layers import PeriodicPadding

    def of_layer(layer: Any) -> dict[str, Any]:
        if isinstance(layer, keras.layers.Conv2D) and _is_plain(layer):
            return {"convolution_op": partial(_convolved, layer)}
        if type(layer) is PeriodicPadding:
            return {"padded": partial(_padded, layer)}
        return {}

    return other_methods(model, of_layer)


def _is_plain(layer: Any) -> bool:
    """Whether a convolution looks at neighbours, pixel by pixel."""
    steps = {*layer.strides, *layer.dilation_rate, layer.groups}
    return steps == {1} and layer.padding in ("valid", "same") and max(layer.kernel_size) > 1


def _convolved(layer: Any, images: Any, kernel: Any) -> Any:
    """What `keras.ops.conv` gives."""
    import tensorflow as tf

    images, kernel = tf.convert_to_tensor(images), tf.convert_to_tensor(kernel)
    if layer.padding == "same":
        images = tf.pad(images, [[0, 0], *([(size - 1) // 2, size // 2] for size in layer.kernel_size), [0, 0]])

    def by_kernel(images: Any, gradient: Any) -> Any:
        channels, events = tf.transpose(images, (3, 1, 2, 0)), tf.transpose(gradient, (1, 2, 0, 3))
        return tf.transpose(tf.nn.conv2d(channels, events, 1, "VALID"), (1, 2, 0, 3))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def convolved(images: Any, kernel: Any) -> Any:
        def gradients(gradient: Any) -> Any:
            by_images = tf.nn.conv2d_transpose(gradient, kernel, tf.shape(images), 1, "VALID")
            return by_images, by_kernel(images, gradient)

        return tf.nn.conv2d(images, kernel, 1, "VALID"), gradients

    return convolved(images, kernel)


def _padded(layer: Any, images: Any) -> Any:
    """What `PeriodicPadding` gives."""
    import tensorflow as tf

    size, phi = layer.size, images.shape[2]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def padded(images: Any) -> Any:
        def gradients(gradient: Any) -> Any:
            inner = gradient[:, size:-size]
            before, own, behind = inner[:, :, :size], inner[:, :, size:-size], inner[:, :, phi + size :]
            if phi < 2 * size:  # both ends see the same pixels
                room = phi - size
                return own + tf.pad(before, _columns(room, 0)) + tf.pad(behind, _columns(0, room))
            first, last = own[:, :, :size] + behind, own[:, :, phi - size :] + before
            return tf.concat([first, own[:, :, size : phi - size], last], axis=2)

        return type(layer).padded(layer, images), gradients

    return padded(tf.convert_to_tensor(images))


def _columns(before: int, behind: int) -> list[list[int]]:
    return [[0, 0], [0, 0], [before, behind], [0, 0]]
