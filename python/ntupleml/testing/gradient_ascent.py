"""Images that a convolutional network answers strongly to, and what its layers make of an image (TensorFlow)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.preprocessing.groups import as_argument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class Ascent(NamedTuple):
    """How an image is changed."""

    #: Pixels change by this much times the gradient, which is divided by its mean modulus.
    step: float = 0.01
    #: Sizes of the image, each so many times larger than the one before.
    octaves: int = 3
    scale: float = 1.4
    #: Changes at each size at most, and the loss from which there are no more.
    iterations: int = 20
    largest_loss: float = 15.0


class Dream(NamedTuple):
    """An image that was changed so that the layers answer more strongly."""

    #: Shape (η, φ, channels).
    image: NDArray[np.float32]
    #: Shape (n_changes,). Loss before each change of the image at its full size.
    losses: list[float]


def image_layers(model: Any) -> list[str]:
    """Names of the layers with filters: those whose weights have four axes, in the order of the network."""
    return [
        layer.name
        for layer in model.layers
        if any(len(one.shape) == 4 for one in layer.weights) and len(getattr(layer.output, "shape", ())) == 4
    ]


def filters_of(model: Any, layer: str) -> NDArray[np.float32]:
    """Kernels of a layer, shape (η, φ, channels, filters)."""
    found: NDArray[np.float32] = next(np.asarray(one) for one in model.get_layer(layer).weights if len(one.shape) == 4)
    return found


def activations(model: Any, layer: str, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """What a layer gives for some events, shape (n_events, η, φ, filters)."""
    import keras

    (found,) = keras.tree.flatten(_cut(model, [layer])(as_argument(inputs), training=False))
    return np.asarray(found, np.float32)


def _cut(model: Any, layers: Sequence[str]) -> Any:
    import keras

    taken = as_argument({tensor.name: tensor for tensor in model.inputs})
    return keras.Model(taken, [model.get_layer(name).output for name in layers])


def ascent_loss(outputs: Sequence[Any]) -> Any:
    """Σ over layers of the mean square of their outputs without the two outermost pixels at each side.

    Parameters
    ----------
    outputs : sequence of tensor, shape (1, η, φ, filters)
        Of layers; those of fewer than five pixels along an axis count as they are.
    """
    import tensorflow as tf

    def inner(values: Any) -> Any:
        return values[:, 2:-2, 2:-2] if min(values.shape[1:3]) > 4 else values

    return tf.add_n([tf.reduce_mean(tf.square(inner(one))) for one in outputs])


def gradient_ascent(
    model: Any,
    inputs: Mapping[str, NDArray[np.float32]],
    group: str,
    layers: Sequence[str],
    settings: Ascent | None = None,
) -> Dream:
    """Change an image along the gradient of `ascent_loss`, from a small size to its own.

    Parameters
    ----------
    model : keras.Model
    inputs : mapping of str to array of float32
        What the network takes, of one event.
    group : str
        The image among them.
    layers : sequence of str
        Whose outputs are to be large.

    Notes
    -----
    At each size the image is changed; then it is enlarged, and the detail that its first reduction to this size lost
    is added back. A network takes images of one size, so a smaller one is enlarged to it in front of the network,
    through which the gradient goes.
    """
    import tensorflow as tf

    settings = settings or Ascent()
    original = tf.constant(inputs[group], tf.float32)
    size = original.shape[1:3]
    cut = _cut(model, layers)
    others = {name: tf.constant(values) for name, values in inputs.items()}

    def slope_of(image: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(image)
            whole = tf.ensure_shape(tf.image.resize(image, size), original.shape)
            loss = ascent_loss(tf.nest.flatten(cut(as_argument({**others, group: whole}), training=False)))
        slope = tape.gradient(loss, image)
        return loss, slope / tf.maximum(tf.reduce_mean(tf.abs(slope)), 1e-7)

    climb = tf.function(slope_of, reduce_retracing=True)
    losses: list[float] = []
    sizes = [tuple(max(1, int(side / settings.scale**power)) for side in size) for power in range(settings.octaves)]
    image = smaller = tf.image.resize(original, sizes[-1])
    for shape in reversed(sizes):
        image = tf.image.resize(image, shape)
        lost = tf.image.resize(original, shape) - tf.image.resize(smaller, shape)
        image = image + lost
        losses = []
        for _ in range(settings.iterations):
            loss, slope = climb(image)
            losses.append(float(loss))
            if losses[-1] > settings.largest_loss:
                break
            image = image + settings.step * slope
        smaller = tf.image.resize(original, shape)
    return Dream(np.asarray(image[0], np.float32), losses)
