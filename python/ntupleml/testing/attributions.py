"""What a Keras network's output owes to each number of its inputs: saliency and integrated gradients (TensorFlow)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.preprocessing.groups import as_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Inputs = Mapping[str, NDArray[np.float32]]

#: Places between baseline and event where gradients are taken, and events differentiated at a time.
STEPS, _BATCH_SIZE = 64, 100
#: Endings of inputs that say which objects there are, or are the objects themselves once more.
_FIXED = ("_mask", "_vectors")


class Attributions(NamedTuple):
    """Of one output for some events."""

    #: By group of inputs, in its shape. Gradient of the output, and integrated gradients.
    gradients: dict[str, NDArray[np.float32]]
    integrated: dict[str, NDArray[np.float32]]
    #: Shape (n_events,). Output for the events less that for the baseline.
    differences: NDArray[np.float64]

    @property
    def incompleteness(self) -> float:
        """By how much the sum of an event's integrated gradients misses its difference, at most; the largest is 1."""
        sums = sum(one.reshape(len(one), -1).sum(axis=1, dtype=np.float64) for one in self.integrated.values())
        largest = float(np.abs(self.differences).max(initial=0.0))
        return float(np.abs(sums - self.differences).max(initial=0.0)) / (largest or 1.0)


def attributed_groups(inputs: Inputs) -> list[str]:
    """Groups whose numbers can be changed."""
    return [name for name in inputs if not name.endswith(_FIXED)]


def products_per_event(model: Any) -> int:
    """Multiplications that a network needs for one event, about: weights times the places where they are used."""
    shapes = {layer: getattr(layer.output, "shape", ()) for layer in model.layers if layer.weights}
    return sum(
        math.prod(one.shape) * math.prod(shape[1:-1])
        for layer, shape in shapes.items()
        for one in layer.weights
        if len(one.shape) > 1 and None not in shape[1:-1]
    )


def attributions(
    model: Any,
    inputs: Inputs,
    baseline: Inputs,
    output: int | NDArray[np.floating] | None,
    *,
    steps: int = STEPS,
) -> Attributions:
    """Gradients and integrated gradients of an output by all inputs.

    Parameters
    ----------
    model : keras.Model
    inputs : mapping of str to array of float32
        What the network takes, by its inputs.
    baseline : mapping of str to array of float32
        What is compared with, by groups: of the shape of the inputs, or of one event.
    output : int or array of shape (n_outputs,), optional
        Column that is differentiated, or what all columns are multiplied with to be summed up; by default the mean of
        all outputs.
    steps : int, default: 64
        Places where gradients are taken.

    Notes
    -----
    Integrated gradients (arXiv:1703.01365) are (x − b) ∫₀¹ ∂f/∂x(b + α(x − b)) dα. Their sum over all inputs is
    f(x) − f(b): completeness. The integral is taken by the Gauss-Legendre rule. Which objects there are (masks), and
    four-vectors that a network takes beside the objects, stay as they are.
    """
    number = len(next(iter(inputs.values())))
    names = attributed_groups(inputs)
    starts = {name: np.broadcast_to(baseline[name], inputs[name].shape) for name in names}
    differentiate = _differentiator(model, list(inputs), names, output)
    places, shares = np.polynomial.legendre.leggauss(steps)
    found = Attributions({}, {}, np.zeros(number))
    for name in names:
        found.gradients[name] = np.zeros(inputs[name].shape, np.float32)
        found.integrated[name] = np.zeros(inputs[name].shape, np.float32)
    for start in range(0, number, _BATCH_SIZE):
        rows = slice(start, start + _BATCH_SIZE)
        event = {name: values[rows] for name, values in inputs.items()}
        ends, gradients = differentiate(event)
        sums = {name: np.zeros(event[name].shape) for name in names}
        for place, share in zip(0.5 * (places + 1), 0.5 * shares, strict=True):
            _, slopes = differentiate(event | _between(starts, event, rows, place))
            for name in names:
                sums[name] += share * slopes[name]
        for name in names:
            found.gradients[name][rows] = gradients[name]
            found.integrated[name][rows] = sums[name] * (event[name] - starts[name][rows])
        found.differences[rows] = ends - differentiate(event | _between(starts, event, rows, 0.0))[0]
    return found


def _between(starts: Inputs, event: Inputs, rows: slice, place: float) -> dict[str, NDArray[np.float32]]:
    return {
        name: (values[rows] + place * (event[name] - values[rows])).astype(np.float32)
        for name, values in starts.items()
    }


def _differentiator(
    model: Any, inputs: list[str], names: list[str], output: int | NDArray[np.floating] | None
) -> Callable[[Inputs], tuple[NDArray[np.float64], dict[str, NDArray[np.float32]]]]:
    """Function from inputs to the output of each event and its gradients by the groups."""
    import tensorflow as tf

    def of_output(flat: Any) -> Any:
        if output is None:
            return tf.reduce_mean(flat, axis=1)
        return flat[:, output] if isinstance(output, int) else tf.linalg.matvec(flat, tf.constant(output, flat.dtype))

    def slopes_of(tensors: Any) -> Any:
        with tf.GradientTape() as tape:
            for name in names:
                tape.watch(tensors[name])
            found = tf.convert_to_tensor(model(as_argument(tensors), training=False))
            chosen = of_output(tf.reshape(found, (tf.shape(found)[0], -1)))
        slopes = tape.gradient(chosen, [tensors[name] for name in names], unconnected_gradients="zero")
        return chosen, slopes

    gradients = tf.function(slopes_of, reduce_retracing=True)

    def differentiate(event: Inputs) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float32]]]:
        chosen, slopes = gradients({name: tf.constant(event[name], tf.float32) for name in inputs})
        return chosen.numpy().astype(np.float64), {name: one.numpy() for name, one in zip(names, slopes, strict=True)}

    return differentiate
