"""Layers on sequences of any length: each exported network gives the scores of Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

RECURRENT: dict[str, Callable[[Any], list[Any]]] = {
    "lstm": lambda k: [k.LSTM(5)],
    "lstm without bias": lambda k: [k.LSTM(5, use_bias=False, activation="relu", recurrent_activation="tanh")],
    "gru": lambda k: [k.GRU(5, reset_after=False)],
    "simple": lambda k: [k.SimpleRNN(5, activation="elu")],
    "chain": lambda k: [
        k.LSTM(5, return_sequences=True), k.GRU(4, reset_after=False, return_sequences=True), k.SimpleRNN(3),
    ],
    "dropout inside": lambda k: [k.LSTM(5, dropout=0.3, recurrent_dropout=0.3), k.Dropout(0.5)],
}  # fmt: skip

GRAPH: dict[str, Callable[[Any], list[Any]]] = {
    "time distributed before lstm": lambda k: [k.TimeDistributed(k.Dense(6, "relu")), k.LSTM(5)],
    "dense on steps": lambda k: [k.Dense(6, "selu"), k.LSTM(5)],
    "softmax on steps": lambda k: [k.Dense(6), k.Softmax(), k.LSTM(5)],
    "normalisations on steps": lambda k: [
        k.BatchNormalization(), k.Rescaling(2.0), k.TimeDistributed(k.BatchNormalization()),
        k.TimeDistributed(k.Dropout(0.4)), k.SpatialDropout1D(0.5), k.PReLU(shared_axes=[1]), k.LSTM(5),
    ],
    "dense between recurrent": lambda k: [k.LSTM(4, return_sequences=True), k.Dense(3, "tanh"), k.SimpleRNN(5)],
    "convolution of two": lambda k: [k.Conv1D(6, 2, padding="same"), k.LSTM(5)],
    "convolution of four, dilated": lambda k: [k.Conv1D(6, 4, padding="same", dilation_rate=3), k.LSTM(5)],
    "convolution of two, dilated by two": lambda k: [k.Conv1D(6, 2, padding="same", dilation_rate=2), k.LSTM(5)],
    "convolution of three": lambda k: [k.Conv1D(6, 3, padding="same", activation="relu"), k.LSTM(5)],
    "causal convolution": lambda k: [k.Conv1D(6, 3, padding="causal", dilation_rate=2, use_bias=False), k.LSTM(5)],
    "convolution with softmax": lambda k: [k.Conv1D(6, 3, padding="causal", activation="softmax"), k.LSTM(5)],
    "convolution with selu": lambda k: [k.Conv1D(6, 1, activation="selu"), k.LSTM(5)],
}  # fmt: skip


def _model(keras: Any, layers: list[Any]) -> Any:
    return keras.Sequential(
        [keras.Input((None, 4), name="tracks"), *layers, keras.layers.Dense(2, activation="softmax")]
    )


@pytest.mark.parametrize("name", RECURRENT)
@pytest.mark.parametrize("form", ["sequential", "graph"])
def test_recurrent(keras_module: Any, shaken: Any, require_same_scores: Any, name: str, form: str) -> None:
    require_same_scores(shaken(_model(keras_module, RECURRENT[name](keras_module.layers))), form)


@pytest.mark.parametrize("name", GRAPH)
def test_graph(keras_module: Any, shaken: Any, require_same_scores: Any, name: str) -> None:
    content = require_same_scores(shaken(_model(keras_module, GRAPH[name](keras_module.layers))))
    assert {"input_sequences", "nodes"} <= set(content)


def test_convolution_without_padding(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    """Keras has no answer for a sequence that is shorter than the kernel."""
    layers = keras_module.layers
    model = _model(keras_module, [layers.Conv1D(6, 3, padding="valid"), layers.LSTM(5)])
    require_same_scores(shaken(model), shortest=3)


def test_sum_over_steps(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    """A deep set: the same network at each step, then the sum."""
    layers = keras_module.layers
    tracks = keras_module.Input((None, 4), name="tracks")
    steps = layers.TimeDistributed(layers.Dense(6, "relu"))(tracks)
    scores = layers.Dense(2, "softmax")(keras_module.ops.sum(steps, axis=1))
    require_same_scores(shaken(keras_module.Model(tracks, scores)))


def test_a_network_at_each_step(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    layers = keras_module.layers
    inner = keras_module.Sequential([keras_module.Input((4,)), layers.Dense(6, "relu"), layers.Dense(3, "relu6")])
    require_same_scores(shaken(_model(keras_module, [layers.TimeDistributed(inner), layers.LSTM(5)])))
