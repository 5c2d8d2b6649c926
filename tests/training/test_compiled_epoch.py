"""Compiled epochs against Keras' own fit and evaluate."""

from __future__ import annotations

import logging
import time
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.models import OPTIMIZERS, TARGET_LOSSES, Network, build_model, matrix
from ntupleml.training.compiled_epoch import Block, EpochRunner, evaluation_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENTS, BATCH = 230, 50


def events(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(EVENTS, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[(inputs[:, 0] > 0).astype(int) + (inputs[:, 1] > 1)]
    return inputs, targets, generator.uniform(-0.2, 1.5, EVENTS).astype(np.float32)


def fit(model: Any, orders: list[NDArray[np.int32]]) -> list[dict[str, float]]:
    inputs, targets, weights = events()
    histories = [
        model.fit(
            inputs[order], targets[order], sample_weight=weights[order], batch_size=BATCH, shuffle=False, verbose=0
        ).history
        for order in orders
    ]
    return [{name: values[0] for name, values in history.items()} for history in histories]


def run_compiled(model: Any, orders: list[NDArray[np.int32]]) -> list[dict[str, float]]:
    inputs, targets, weights = events()
    runner = EpochRunner(model, BATCH)
    metrics = [runner.train([Block(inputs, targets, order, weights[order])]) for order in orders]
    assert runner.compiled
    return metrics


def orders(epochs: int = 3) -> list[NDArray[np.int32]]:
    generator = np.random.default_rng(1)
    return [generator.permutation(EVENTS).astype(np.int32) for _ in range(epochs)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"l2": 1e-2, "output_l2": 1e-2, "squared_error_metric": True},
        {"norm": "batch", "optimizer": "sgd"},
        *(
            {"loss": loss, "optimizer": optimizer}
            for loss, optimizer in zip(TARGET_LOSSES["classes"], cycle(OPTIMIZERS), strict=False)
        ),
    ],
)
def test_epochs_are_those_of_keras(options: dict[str, Any]) -> None:
    """Same weights and metrics as `fit`; 230 events in batches of 50 have a smaller last batch, some weigh < 0."""
    network = Network(hidden=(8, 6), activation="tanh", **options)
    ours, theirs = build_model(network, matrix(3), 3, seed=2), build_model(network, matrix(3), 3, seed=2)
    metrics, expected = run_compiled(ours, orders()), fit(theirs, orders())
    for found, wanted in zip(metrics, expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    for found, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5)


def test_validation_is_that_of_keras() -> None:
    inputs, targets, weights = events()
    model = build_model(
        Network(hidden=(8,), activation="relu", l2=1e-2, norm="batch", dropout=0.5), matrix(3), 3, seed=2
    )
    expected = model.evaluate(inputs, targets, sample_weight=weights, batch_size=64, return_dict=True, verbose=0)
    order = np.arange(EVENTS, dtype=np.int32)
    runner = EpochRunner(model, BATCH)
    assert runner.evaluate([Block(inputs, targets, order, weights)]) == pytest.approx(expected, rel=1e-5)
    blocks = [Block(inputs, targets, part, weights[part]) for part in np.split(order, [100, 130])]
    assert runner.evaluate(blocks) == pytest.approx(expected, rel=1e-5)


def test_dropout_differs_from_batch_to_batch_and_is_reproducible() -> None:
    """With a learning rate of zero the loss depends on nothing but the dropped nodes."""
    inputs, targets, weights = events()
    network = Network(hidden=(8,), activation="relu", dropout=0.5, optimizer="sgd", learning_rate=1e-30)
    batch = np.arange(BATCH, dtype=np.int32)

    def losses(*batches: NDArray[np.int32]) -> list[float]:
        runner = EpochRunner(build_model(network, matrix(3), 3, seed=2), BATCH)
        return [runner.train([Block(inputs, targets, order, weights[order])])["loss"] for order in batches]

    first, second = losses(batch, batch)
    assert first != pytest.approx(second, rel=1e-3)
    (both,) = losses(np.concatenate([batch, batch]))
    assert both == pytest.approx((first + second) / 2, rel=1e-5)
    assert losses(batch, batch) == [first, second]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_another_model_is_trained_by_the_same_programs(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits as those of programs of its own, also where it goes on."""
    inputs, targets, weights = events()
    network = Network(hidden=(8,), activation="relu", norm="batch", dropout=0.5, optimizer=optimizer)
    first, second, alone = (build_model(network, matrix(3), 3, seed=seed) for seed in (2, 3, 3))
    blocks = [Block(inputs, targets, order, weights[order]) for order in orders()]
    runner, own = EpochRunner(first, BATCH), EpochRunner(alone, BATCH)
    runner.train(blocks)
    runner.evaluate(blocks)
    monkeypatch.setattr("ntupleml.training.compiled_epoch.quick_draws", None)  # nothing more is traced
    runner.serve(second)
    found = [runner.train(blocks), runner.evaluate(blocks), runner.train(blocks)]
    monkeypatch.undo()
    assert found == [own.train(blocks), own.evaluate(blocks), own.train(blocks)]
    for one, other in zip(second.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_dropout_costs_little() -> None:
    """XLA's own random numbers, made anew wherever they are used, took several times as long as all the rest."""
    inputs, targets, weights = events()
    order = np.resize(np.arange(EVENTS, dtype=np.int32), 2000)

    def seconds(dropout: float) -> float:
        model = build_model(Network(hidden=(256, 256), activation="relu", dropout=dropout), matrix(3), 3, seed=2)
        runner, times = EpochRunner(model, BATCH), []
        assert runner.compiled == "xla"
        for _ in range(4):
            start = time.process_time()
            runner.train([Block(inputs, targets, order, weights[order])])
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(0.5) < 2 * seconds(0)


def model_that_xla_cannot_compile(part: str) -> Any:
    """A model with a layer, or a loss, that calls back into Python."""
    import keras
    import tensorflow as tf

    def python_identity(values: Any) -> Any:
        result = tf.numpy_function(lambda array: array, [values], tf.float32)
        return tf.ensure_shape(result, values.shape)

    class Callback(keras.layers.Layer):  # type: ignore[misc]
        def call(self, values: Any) -> Any:
            return values + tf.stop_gradient(python_identity(values)) * 0

    def loss(targets: Any, scores: Any) -> Any:
        return keras.ops.mean((targets - scores) ** 2, axis=-1) + 0 * tf.stop_gradient(
            keras.ops.mean(python_identity(scores), axis=-1)
        )

    layers = [keras.layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=3))]
    model = keras.Sequential([keras.Input((3,)), *([Callback()] if part == "layer" else []), *layers])
    model.compile(
        optimizer="sgd",
        loss=loss if part == "loss" else "mean_squared_error",
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    return model


@pytest.mark.parametrize("part", ["layer", "loss"])
def test_what_xla_cannot_compile_is_fitted_by_keras(part: str, caplog: pytest.LogCaptureFixture) -> None:
    inputs, targets, weights = events()
    ours, theirs = model_that_xla_cannot_compile(part), model_that_xla_cannot_compile(part)
    runner = EpochRunner(ours, BATCH)
    with caplog.at_level(logging.WARNING, logger="ntupleml"):
        found = [runner.train([Block(inputs, targets, order, weights[order])]) for order in orders()]
    assert not runner.compiled
    assert len(caplog.records) == 1
    assert "XLA cannot compile" in caplog.text
    assert found == [pytest.approx(metrics) for metrics in fit(theirs, orders())]
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    order = np.arange(EVENTS, dtype=np.int32)
    blocks = [Block(inputs, targets, part, weights[part]) for part in np.split(order, [100])]
    expected = theirs.evaluate(inputs, targets, sample_weight=weights, return_dict=True, verbose=0)
    assert runner.evaluate(blocks)["loss"] == pytest.approx(expected["loss"])


def test_what_holds_a_network_is_evaluated_as_the_network_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 + 3 numbers of each event, in a batch of at most 1000 numbers; layers are counted, not the model around."""
    import keras

    monkeypatch.setattr("ntupleml.training.compiled_epoch._EVALUATED_NUMBERS", 1000)
    network = build_model(Network(hidden=(10,), activation="tanh"), matrix(4), 3, 1)

    class Holding(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

    assert evaluation_batch(network) == evaluation_batch(Holding()) == 1000 // 13
