"""Exact derivatives of a Keras network's scores by its inputs, for many events at a time (TensorFlow)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.taylor import LARGEST_ORDER, taylor_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Numbers that an intermediate result may have at most, which bounds the memory to some hundreds of megabytes.
_LARGEST_INTERMEDIATE = 2**24
#: Events in a batch at most; more do not make it faster.
_LARGEST_BATCH = 1024


class DerivativeBatch(NamedTuple):
    """Derivatives of some events."""

    #: Number of the first event.
    start: int
    #: Shape (n_events, n_terms). Those of `taylor_terms`, in the precision of the network.
    derivatives: NDArray[Any]
    #: Shape (n_events, n_classes). All scores, as the differentiated function gives them.
    scores: NDArray[Any]


def score_derivatives(
    model: Any,
    inputs: NDArray[Any],
    classes: NDArray[np.integer[Any]],
    order: int,
    *,
    batch_size: int | None = None,
    where: str = "network",
) -> Iterator[DerivativeBatch]:
    """Derivatives of one score of each event by the network's inputs.

    Dropout is off, and batch normalisation takes the averages of the training. Memory is bounded by the batch, not by
    the number of events.

    Parameters
    ----------
    model : keras.Model
        A network of one matrix and one output; a single output p means the scores (1 − p, p).
    inputs : array of float, shape (n_events, n_inputs)
        What the network takes: preprocessed variables, then conditions.
    classes : array of int, shape (n_events,)
        Which score of each event is differentiated.
    order : {1, 2, 3}
        Of the highest derivatives; those of lower orders are there, too.
    batch_size : int, optional
        Events differentiated at a time; by default what is fast and fits into memory.

    Yields
    ------
    DerivativeBatch
        In the order of the events.

    Notes
    -----
    Reverse differentiation gives the gradient, that of all components of the gradient the Hessian, and the Hessian of
    each component of the gradient the third derivatives. A layer with piecewise linear activation, such as relu, has
    no second derivative of its own; then the curvature is that of the softmax alone.
    """
    if not 1 <= order <= LARGEST_ORDER:
        raise ValueError(f"order {order}; there are 1 to {LARGEST_ORDER}")
    num_events, num_inputs = inputs.shape
    if not num_events:
        return
    if order > 1:
        _refuse_layer_normalisation(model, where)
    size = min(batch_size or _batch_size(model, num_inputs, order), num_events)
    differentiate = _differentiator(model, size, num_inputs, order)
    for start in range(0, num_events, size):
        rows = np.arange(start, start + size) % num_events  # the last batch is filled up, so that nothing is recompiled
        kept = min(size, num_events - start)
        derivatives, scores = differentiate(inputs[rows], classes[rows])
        yield DerivativeBatch(start, derivatives[:kept], scores[:kept])


def _batch_size(model: Any, num_inputs: int, order: int) -> int:
    """As many events as an intermediate result, units × inputs for each, has room for."""
    units = sum(int(weights.shape[-1]) for weights in model.weights)  # kernels and biases, so twice the units
    per_event = (units // 2 + num_inputs) * (1, num_inputs, 4 * num_inputs)[order - 1]
    return int(np.clip(_LARGEST_INTERMEDIATE // per_event, 1, _LARGEST_BATCH))


def _refuse_layer_normalisation(model: Any, where: str) -> None:
    """TensorFlow takes the mean in the variance of `tf.nn.moments` for a constant, which only the gradient allows."""
    import keras

    waiting = list(model.layers)
    for layer in waiting:
        waiting += getattr(layer, "layers", [])
        if isinstance(layer, keras.layers.LayerNormalization):
            raise NtuplemlError(
                f"{where}: layer '{layer.name}' normalises each event, and TensorFlow gets the second derivatives of "
                "that wrong; give --order 1"
            )


def _differentiator(
    model: Any, batch_size: int, num_inputs: int, order: int
) -> Callable[[NDArray[Any], NDArray[np.integer[Any]]], tuple[NDArray[Any], NDArray[Any]]]:
    """Compiled function from inputs and classes to derivatives and scores."""
    import tensorflow as tf

    dtype = model.inputs[0].dtype
    terms = taylor_terms(num_inputs, order)
    places = {length: _places(terms, length, num_inputs) for length in (2, 3)}

    def scores_of(rows: Any) -> Any:
        found = tf.convert_to_tensor(model(rows, training=False))
        return tf.concat([1 - found, found], axis=1) if found.shape[1] == 1 else found

    def gradient(rows: Any, classes: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            scores = scores_of(rows)
            chosen = tf.reduce_sum(scores * tf.one_hot(classes, scores.shape[1], dtype=scores.dtype), axis=1)
        return tape.gradient(chosen, rows, unconnected_gradients="zero"), scores

    def second(rows: Any, classes: Any) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(rows)
            slopes, scores = gradient(rows, classes)
        return slopes, tape.batch_jacobian(slopes, rows, unconnected_gradients="zero"), scores

    def third(rows: Any, classes: Any, direction: Any) -> Any:
        """Hessian of the derivative along a direction; one direction at a time bounds the memory."""
        with tf.GradientTape() as outer:
            outer.watch(rows)
            with tf.GradientTape() as inner:
                inner.watch(rows)
                along = tf.linalg.matvec(gradient(rows, classes)[0], direction)
            slopes = inner.gradient(along, rows, unconnected_gradients="zero")
        return outer.batch_jacobian(slopes, rows, unconnected_gradients="zero")

    events_type = tf.TensorSpec((batch_size, num_inputs), dtype)
    classes_type = tf.TensorSpec((batch_size,), tf.int32)

    def compiled(function: Any, *types: Any) -> Any:
        # Without XLA: it saves no processor time here, and cannot differentiate what some layers do three times.
        return tf.function(function, autograph=False).get_concrete_function(events_type, classes_type, *types)

    first_or_second = compiled(gradient if order == 1 else second)
    compiled_third = compiled(third, tf.TensorSpec((num_inputs,), dtype)) if order == 3 else None

    def differentiate(rows: NDArray[Any], classes: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        events, indices = tf.constant(rows, dtype), tf.constant(classes, tf.int32)
        if order == 1:
            slopes, scores = first_or_second(events, indices)
            return slopes.numpy(), scores.numpy()
        slopes, curvatures, scores = first_or_second(events, indices)
        parts = [slopes.numpy(), _taken(curvatures.numpy(), places[2])]
        if compiled_third is not None:
            along = [compiled_third(events, indices, tf.constant(unit, dtype)).numpy() for unit in np.eye(num_inputs)]
            parts.append(_taken(np.stack(along, axis=1), places[3]))
        return np.concatenate(parts, axis=1), scores.numpy()

    return differentiate


def _places(terms: list[tuple[int, ...]], length: int, num_inputs: int) -> NDArray[np.int64]:
    """Where the derivatives of one order are in the flattened array of all."""
    wanted = [term for term in terms if len(term) == length]
    if not wanted:
        return np.zeros(0, dtype=np.int64)
    places: NDArray[np.int64] = np.ravel_multi_index(tuple(np.transpose(wanted)), (num_inputs,) * length)
    return places


def _taken(derivatives: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    return np.take(derivatives.reshape(len(derivatives), -1), places, axis=1)
