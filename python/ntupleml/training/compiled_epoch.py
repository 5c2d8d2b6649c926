"""Programs for epochs: many batches in a compiled loop, forward, backward and update inside.

A plain `fit` returns to Python after every batch, which for the small networks of an analysis takes longer than the
batch itself. XLA compiles the program where it makes it faster still; which layers these are is known, so the same
network is always compiled in the same way and the same seed gives the same bits.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.training.quick_convolutions import quick_convolutions
from ntupleml.training.quick_draws import quick_draws

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Events that are evaluated at once in the validation, and numbers of all layers together that these may have; the
#: result does not depend on it.
EVALUATION_BATCH, _EVALUATED_NUMBERS = 4096, 2**26
#: Batches that a compiled loop gets at most at a time, and numbers that it should not get more of.
_BATCHES_AT_ONCE, _NUMBERS_AT_ONCE = 256, 2**22


class Block(NamedTuple):
    """Events of an epoch, or of a part of it, in the order in which they are used."""

    #: Shape (n_events, n_inputs), or dict of them. What the network takes; several inputs by their names.
    inputs: Any
    #: Shape (n_events, n_targets). One-hot for classes.
    targets: Any
    #: Shape (n_used,). Which events, batch after batch; repetitions are allowed.
    order: NDArray[np.int32]
    #: Shape (n_used,). Weight of each event used, in the same order.
    weights: NDArray[np.float32]
    #: Shape (n_batches,). Learning rate of each batch; empty where it stays as it is.
    rates: NDArray[np.float32] = np.empty(0, np.float32)


class EpochRunner:
    """Runs the training and the validation of a compiled Keras model, an epoch at a time.

    The mathematics is that of Keras: `Model.train_step` and `Model.test_step` stand in the compiled loop, so losses,
    regularisation, dropout, batch normalisation and metrics are Keras' own, and the last batch of an epoch is smaller
    where the batch size does not divide the number of events. A model that XLA cannot compile is fitted by plain
    `Model.fit`, batch by batch.

    Attributes
    ----------
    compiled : str
        How epochs are compiled: ``"xla"``, or ``"graph"`` (without XLA) for networks of `is_slow_in_xla`; nothing after
        a program could not be compiled.
    """

    def __init__(self, model: Any, batch_size: int) -> None:
        self.compiled = "graph" if is_slow_in_xla(model) else "xla"
        self._model = self._served = model
        self._batch_size = batch_size
        self._train = _Program(model, model.train_step, batch_size, self.compiled)
        self._evaluated = evaluation_batch(model)
        # XLA would make the validation no faster, and takes seconds to compile it
        self._test = _Program(model, model.test_step, self._evaluated, "graph", at_once=1)
        _build_optimizer(model)

    def serve(self, model: Any) -> None:
        """Train another model of the same form from now on, with the programs of the first: nothing is compiled anew.

        The first one holds the state of the other meanwhile, so that it is to be done with.

        Parameters
        ----------
        model : keras.Model
            Differs from the first in what `state_of` gives alone, such as weights and states of dropout.
        """
        self._served = model
        _build_optimizer(model)

    def train(self, blocks: Iterable[Block]) -> dict[str, float]:
        """Train one epoch and return its metrics, such as `loss` (with regularisation) and `accuracy`."""
        return self._run(blocks, self._train, self._fit)

    def evaluate(self, blocks: Iterable[Block]) -> dict[str, float]:
        """Metrics of the model on events, nothing trained."""
        return self._run(blocks, self._test, self._plain_evaluate)

    def _run(
        self, blocks: Iterable[Block], program: _Program, plain: Callable[[Block], dict[str, float]]
    ) -> dict[str, float]:
        self._model.reset_metrics()
        averages = _Averages()
        if self._served is not self._model:
            copy_state(self._served, self._model)
        for block in blocks:
            if self.compiled and self._runs(program, block):
                continue
            averages.add(plain(block), len(block.order))
        if self._served is not self._model and self.compiled:
            copy_state(self._model, self._served)
        if self.compiled:
            return {name: float(value) for name, value in self._model.get_metrics_result().items()}
        return averages.result()

    def _runs(self, program: _Program, block: Block) -> bool:
        """Run a program on a block; False, and nothing changed, if XLA cannot compile it."""
        import tensorflow as tf

        try:
            program(block)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError) as error:
            if "XLA" not in str(error) and "compil" not in str(error):
                raise
            self.compiled = ""
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
            log.warning("XLA cannot compile this network or loss, so it is trained by plain Keras: %s", reason[:200])
            return False
        return True

    def _fit(self, block: Block) -> dict[str, float]:
        import keras

        def set_rate(batch: int, logs: Any = None) -> None:  # noqa: ARG001
            self._served.optimizer.learning_rate.assign(block.rates[batch])

        history = self._served.fit(
            _some(block.inputs, block.order),
            np.asarray(block.targets)[block.order],
            sample_weight=block.weights,
            batch_size=self._batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_begin=set_rate)] if len(block.rates) else [],
        ).history
        return {name: float(values[-1]) for name, values in history.items()}

    def _plain_evaluate(self, block: Block) -> dict[str, float]:
        metrics: dict[str, Any] = self._served.evaluate(
            _some(block.inputs, block.order),
            np.asarray(block.targets)[block.order],
            sample_weight=block.weights,
            batch_size=self._evaluated,
            return_dict=True,
            verbose=0,
        )
        return {name: float(value) for name, value in metrics.items()}


def _build_optimizer(model: Any) -> None:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def state_of(model: Any) -> list[Any]:
    """Everything that training changes: weights, moving averages, states of dropout, then the optimisers."""
    parts = [*model.layers, *getattr(model, "optimizers", [model.optimizer])]
    return [variable for part in parts for variable in part.variables]


def copy_state(source: Any, target: Any) -> None:
    """Give a model what training has made of another one of the same form."""
    for variable, other in zip(state_of(target), state_of(source), strict=True):
        variable.value.assign(other.value)  # without Keras' checks, which take as long as a small epoch


def evaluation_batch(model: Any) -> int:
    """Events that are evaluated at once: fewer of a network whose layers give many numbers, as those of images."""
    return max(1, min(EVALUATION_BATCH, _EVALUATED_NUMBERS // max(1, _numbers_given(model))))


def _numbers_given(layer: Any) -> int:
    """Outputs of a layer per event; for a network the sum over its layers."""
    if hasattr(layer, "layers"):
        return sum(map(_numbers_given, layer.layers))
    if isinstance(layer.output, dict | list | tuple):
        return 0
    return math.prod(size or 1 for size in layer.output.shape[1:])


def is_slow_in_xla(model: Any) -> bool:
    """Whether a network has layers whose whole epochs XLA makes slower on processors.

    These are those that look at neighbours: convolutions and pooling. A convolution that sees one pixel is none of
    them, as it is a dense layer.
    """

    def is_slow(layer: Any) -> bool:
        if hasattr(layer, "layers"):
            return any(map(is_slow, layer.layers))
        window = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None) or (1,)
        return bool(max(window) > 1)

    return is_slow(model)


def _some(inputs: Any, order: NDArray[np.int32]) -> Any:
    """Some events of inputs."""
    if isinstance(inputs, dict):
        return {name: _some(values, order) for name, values in inputs.items()}
    return np.asarray(inputs)[order]


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


class _Program:
    """A step of Keras on batch after batch, compiled once for any number of events.

    XLA compiles for fixed shapes. So it gets a fixed number of full batches and runs as many of them as there are; what
    is left, less than a batch, runs without it. Other sizes of an event's inputs are compiled when they first come.
    """

    def __init__(
        self,
        model: Any,
        step: Callable[[tuple[Any, Any, Any]], Any],
        batch_size: int,
        how: str,
        at_once: int = _BATCHES_AT_ONCE,
    ) -> None:
        self._model, self._step, self._batch_size = model, step, batch_size
        self._how, self._at_once = how, at_once
        self._traced: dict[Any, Any] = {}

    def __call__(self, block: Block) -> None:
        import tensorflow as tf

        arrays = tf.nest.map_structure(tf.convert_to_tensor, (block.inputs, block.targets))
        order, size = np.asarray(block.order), self._batch_size
        full = len(order) // size
        numbers = sum(math.prod(values.shape[1:]) for values in tf.nest.flatten(arrays))
        at_once = min(self._at_once, max(1, _NUMBERS_AT_ONCE // (size * numbers)), 2 ** max(full - 1, 0).bit_length())
        in_xla = full if self._how == "xla" else 0
        for first in range(0, in_xla, at_once):
            self._run(arrays, block, first, min(first + at_once, in_xla), at_once)
        batches = -(-len(order) // size)
        for first in range(in_xla, batches, at_once):
            self._run(arrays, block, first, min(first + at_once, batches), 0)

    def _run(self, arrays: Any, block: Block, first: int, last: int, padded: int) -> None:
        """Run some batches, with XLA where they are padded to a number of batches."""
        import tensorflow as tf

        size, batches, rates = self._batch_size, last - first, np.asarray(block.rates[first:last])
        order, weights = (np.asarray(values)[first * size : last * size] for values in (block.order, block.weights))
        if padded:
            more = padded - batches
            order, weights = (np.pad(values, (0, more * size)) for values in (order, weights))
            rates = np.pad(rates, (0, more)) if len(rates) else rates
        given = (*tf.nest.map_structure(lambda values: tf.gather(values, order), arrays), tf.constant(weights))
        if padded:
            given = tf.nest.map_structure(lambda values: tf.reshape(values, (padded, size, *values.shape[1:])), given)
        rows = (padded, size) if padded else (None,)

        def described(values: Any) -> Any:
            return tf.TensorSpec((*rows, *values.shape[len(rows) :]), values.dtype)

        described_rates = tf.TensorSpec(rows[:1] if len(rates) else (0,), tf.float32)
        form = [*tf.nest.map_structure(described, given), described_rates, tf.TensorSpec((), tf.int32)]
        is_loop = padded > 0 or batches > 1
        key = is_loop, *(tuple(one.shape) for one in tf.nest.flatten(form))
        if key not in self._traced:
            with (quick_draws if self._how == "xla" else quick_convolutions)(self._model):
                function = self._loop(in_rows=padded > 0) if is_loop else self._single
                compiled = tf.function(function, jit_compile=padded > 0, autograph=False)
                self._traced[key] = compiled.get_concrete_function(*form)
        self._traced[key](*given, tf.constant(rates, tf.float32), tf.constant(batches))

    def _single(self, inputs: Any, targets: Any, weights: Any, rates: Any, batches: Any) -> None:  # noqa: ARG002
        """Run one batch."""
        if rates.shape[0] != 0:
            self._model.optimizer.learning_rate.assign(rates[0])
        self._step((inputs, targets, weights))

    def _loop(self, *, in_rows: bool) -> Callable[..., None]:
        """Function that runs the first batches of arrays, whose rows are batches or events."""
        import tensorflow as tf

        size = self._batch_size

        def run(inputs: Any, targets: Any, weights: Any, rates: Any, batches: Any) -> None:
            def body(number: Any) -> tuple[Any]:
                part = number if in_rows else slice(number * size, (number + 1) * size)
                events, learnt, weigh = tf.nest.map_structure(lambda values: values[part], (inputs, targets, weights))
                rate = rates[number][tf.newaxis] if rates.shape[0] != 0 else rates
                self._single(events, learnt, weigh, rate, batches)
                return (number + 1,)

            tf.while_loop(lambda number: number < batches, body, (tf.constant(0),))

        return run
