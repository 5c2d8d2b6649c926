"""One XLA program per epoch: all batches of an epoch in a compiled loop, forward, backward and update inside.

A plain `fit` returns to Python after every batch, which for the small networks of an analysis takes longer than the
batch itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Events that are evaluated at once in the validation; the result does not depend on it.
EVALUATION_BATCH = 4096


class Block(NamedTuple):
    """Events of an epoch, or of a part of it, in the order in which they are used.

    Attributes
    ----------
    inputs : array or tensor of float32, shape (n_events, n_inputs)
    targets : array or tensor of float32, shape (n_events, n_classes)
        One-hot.
    order : array of int32, shape (n_used,)
        Which events, batch after batch; repetitions are allowed.
    weights : array of float32, shape (n_used,)
        Weight of each event used, in the same order.
    """

    inputs: Any
    targets: Any
    order: NDArray[np.int32]
    weights: NDArray[np.float32]


class EpochRunner:
    """Runs the training and the validation of a compiled Keras model, an epoch at a time.

    The mathematics is that of Keras: `Model.train_step` and `Model.test_step` stand in the compiled loop, so losses,
    regularisation, dropout, batch normalisation and metrics are Keras' own, and the last batch of an epoch is smaller
    where the batch size does not divide the number of events. A model that XLA cannot compile is fitted by plain
    `Model.fit`, batch by batch.

    Attributes
    ----------
    compiled : bool
        Whether epochs run as XLA programs; False after a program could not be compiled.
    """

    def __init__(self, model: Any, batch_size: int) -> None:
        self.compiled = True
        self._model = model
        self._batch_size = batch_size
        self._train = _program(model.train_step, batch_size)
        self._test = _program(model.test_step, EVALUATION_BATCH)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)

    def train(self, blocks: Iterable[Block]) -> dict[str, float]:
        """Train one epoch and return its metrics, such as `loss` (with regularisation) and `accuracy`."""
        return self._run(blocks, self._train, self._fit)

    def evaluate(self, blocks: Iterable[Block]) -> dict[str, float]:
        """Metrics of the model on events, nothing trained."""
        return self._run(blocks, self._test, self._plain_evaluate)

    def _run(
        self, blocks: Iterable[Block], program: Any, plain: Callable[[Block], dict[str, float]]
    ) -> dict[str, float]:
        self._model.reset_metrics()
        averages = _Averages()
        for block in blocks:
            if self.compiled and self._runs(program, block):
                continue
            averages.add(plain(block), len(block.order))
        if self.compiled:
            return {name: float(value) for name, value in self._model.get_metrics_result().items()}
        return averages.result()

    def _runs(self, program: Any, block: Block) -> bool:
        """Run a program on a block; False, and nothing changed, if XLA cannot compile it."""
        import tensorflow as tf

        try:
            program(*block)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError) as error:
            if "XLA" not in str(error) and "compil" not in str(error):
                raise
            self.compiled = False
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
            log.warning("XLA cannot compile this network or loss, so it is trained by plain Keras: %s", reason[:200])
            return False
        return True

    def _fit(self, block: Block) -> dict[str, float]:
        history = self._model.fit(
            np.asarray(block.inputs)[block.order],
            np.asarray(block.targets)[block.order],
            sample_weight=block.weights,
            batch_size=self._batch_size,
            shuffle=False,
            verbose=0,
        ).history
        return {name: float(values[-1]) for name, values in history.items()}

    def _plain_evaluate(self, block: Block) -> dict[str, float]:
        metrics: dict[str, Any] = self._model.evaluate(
            np.asarray(block.inputs)[block.order],
            np.asarray(block.targets)[block.order],
            sample_weight=block.weights,
            batch_size=EVALUATION_BATCH,
            return_dict=True,
            verbose=0,
        )
        return {name: float(value) for name, value in metrics.items()}


class _Averages:
    """Averages of metrics over blocks of different size."""

    def __init__(self) -> None:
        self._events = 0
        self._sums: dict[str, float] = {}

    def add(self, metrics: dict[str, float], events: int) -> None:
        self._events += events
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * events

    def result(self) -> dict[str, float]:
        return {name: total / self._events for name, total in self._sums.items()}


def _program(step: Callable[[tuple[Any, Any, Any]], Any], batch_size: int) -> Callable[..., None]:
    """Compiled function of a block that runs a step of Keras on batch after batch.

    Blocks of a new shape (another number of events) are compiled when they first come.
    """
    import tensorflow as tf

    def run(inputs: Any, targets: Any, order: Any, weights: Any) -> None:
        full_batches, rest = divmod(int(order.shape[0]), batch_size)

        def batch(chosen: Any, batch_weights: Any) -> None:
            step((tf.gather(inputs, chosen), tf.gather(targets, chosen), batch_weights))

        if full_batches:
            covered = full_batches * batch_size
            chosen = tf.reshape(order[:covered], (full_batches, batch_size))
            chosen_weights = tf.reshape(weights[:covered], (full_batches, batch_size))

            def body(number: Any) -> tuple[Any]:
                batch(chosen[number], chosen_weights[number])
                return (number + 1,)

            tf.while_loop(lambda number: number < full_batches, body, (tf.constant(0),))
        if rest:
            batch(order[full_batches * batch_size :], weights[full_batches * batch_size :])

    compiled = tf.function(run, jit_compile=True, autograph=False)
    by_shape: dict[Any, Any] = {}

    def program(*block: Any) -> None:
        tensors = [tf.convert_to_tensor(values) for values in block]
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        if shapes not in by_shape:
            by_shape[shapes] = compiled.get_concrete_function(*tensors)
        by_shape[shapes](*tensors)

    return program
