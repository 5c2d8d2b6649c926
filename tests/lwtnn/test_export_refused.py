"""What has no exact lwtnn form is refused by the name of the layer, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.export import keras_to_lwtnn
from ntupleml.lwtnn.network import Variable

if TYPE_CHECKING:
    from collections.abc import Callable

#: Layers on rows of four values: layer named `bad`, and what the reason says.
ROWS: dict[str, tuple[Callable[[Any], Any], str]] = {
    **{
        name: (lambda k, name=name: k.Dense(3, name, name="bad"), f"activation '{name}'")
        for name in ("gelu", "softplus", "softsign", "exponential", "hard_sigmoid", "mish", "log_softmax")
    },
    "layer normalisation": (lambda k: k.LayerNormalization(name="bad"), "no mean over the values"),
    "unit normalisation": (lambda k: k.UnitNormalization(name="bad"), "no division"),
    "relu that jumps": (lambda k: k.ReLU(threshold=1.0, name="bad"), "threshold 1.0 makes it jump"),
    "reshape": (lambda k: k.Reshape((2, 2), name="bad"), "shape (2, 2)"),
    "repeat": (lambda k: k.RepeatVector(3, name="bad"), "no such layer"),
    "lambda": (lambda k: k.Lambda(lambda x: x * x, name="bad"), "its code"),
    "category encoding": (lambda k: k.CategoryEncoding(5, name="bad"), "no such layer"),
    "not adapted": (lambda k: k.Normalization(name="bad"), "not been adapted"),
    "mixed precision": (lambda k: k.Dense(3, dtype="mixed_float16", name="bad"), "float16"),
    "own activation": (lambda k: k.Dense(3, lambda x: x, name="bad"), "not one of Keras' own"),
    "glu": (lambda k: k.Activation("glu", name="bad"), "cannot multiply"),
}
SEQUENCES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gru": (lambda k: k.GRU(3, name="bad"), "train with GRU(…, reset_after=False)"),
    "backwards": (lambda k: k.LSTM(3, go_backwards=True, name="bad"), "go_backwards=True"),
    "bidirectional": (lambda k: k.Bidirectional(k.LSTM(3), name="bad"), "forwards only"),
    "hard sigmoid inside": (
        lambda k: k.LSTM(3, recurrent_activation="hard_sigmoid", name="bad"),
        "activation 'hard_sigmoid'",
    ),
    "selu inside": (lambda k: k.LSTM(3, activation="selu", name="bad"), "a single one"),
    "softmax inside": (lambda k: k.SimpleRNN(3, activation="softmax", name="bad"), "a single one"),
    "masking": (lambda k: k.Masking(name="bad"), "no masks"),
    "flatten": (lambda k: k.Flatten(name="bad"), "one row of a sequence"),
    "mean": (lambda k: k.GlobalAveragePooling1D(name="bad"), "not the mean"),
    "largest": (lambda k: k.GlobalMaxPooling1D(name="bad"), "not the largest"),
    "pooling": (lambda k: k.MaxPooling1D(2, name="bad"), "no such layer"),
    "strides": (lambda k: k.Conv1D(3, 3, strides=2, name="bad"), "strides=2"),
    "groups": (lambda k: k.Conv1D(4, 3, groups=2, name="bad"), "groups=2"),
    "normalisation of steps": (lambda k: k.BatchNormalization(axis=1, name="bad"), "along axis 1"),
    "softmax over steps": (lambda k: k.Softmax(axis=1, name="bad"), "along axis 1"),
    "rescaling of steps": (lambda k: k.Rescaling(np.ones((6, 1)), name="bad"), "shape (6, 1)"),
    "normalisation that differs from step to step": (
        lambda k: k.Normalization(axis=1, mean=[1.0] * 6, variance=[1.0] * 6, name="bad"),
        "shape (1, 6, 1)",
    ),
    "slopes of steps": (lambda k: k.PReLU(name="bad"), "differ from step to step"),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows(keras_module: Any, name: str) -> None:
    build, reason = ROWS[name]
    layers = keras_module.layers
    model = keras_module.Sequential([keras_module.Input((4,)), build(layers), layers.Flatten(), layers.Dense(2)])
    if name == "not adapted":
        model.layers[0].mean = None
    _require_refused(model, 4, reason)


@pytest.mark.parametrize("layer", ["Normalization", "Rescaling"])
def test_as_many_steps_as_values(keras_module: Any, layer: str) -> None:
    """A number per step is not one per value, though there are as many."""
    layers, numbers = keras_module.layers, [1.0, 2.0, 3.0, 4.0]
    bad = (
        layers.Rescaling(np.reshape(numbers, (4, 1)), name="bad")
        if layer == "Rescaling"
        else layers.Normalization(axis=1, mean=numbers, variance=numbers, name="bad")
    )
    inputs = keras_module.Input((4, 4))
    model = keras_module.Model(inputs, layers.LSTM(2)(bad(inputs)))
    _require_refused(model, 4, "one per value of a row is needed")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int32"])
def test_inputs_that_keras_rounds(keras_module: Any, dtype: str) -> None:
    model = keras_module.Sequential([keras_module.Input((2,), dtype=dtype, name="bad"), keras_module.layers.Dense(1)])
    with pytest.raises(NtuplemlError, match=f"input 'bad' is of type {dtype}"):
        keras_to_lwtnn(model, ["x", "y"], ["a"])


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (Variable("x", float("nan"), 1.0), "variable 'x': its offset is nan"),
        (Variable("x", 0.0, float("inf")), "variable 'x': its scale is inf"),
        (Variable("x", 0.0, 1.0, float("nan")), "variable 'x': its default is nan"),
    ],
)
def test_variables_that_json_cannot_hold(keras_module: Any, variable: Variable, message: str) -> None:
    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1)])
    with pytest.raises(NtuplemlError, match=message):
        keras_to_lwtnn(model, [variable, "y"], ["a"])


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences(keras_module: Any, name: str) -> None:
    build, reason = SEQUENCES[name]
    inputs = keras_module.Input((6, 4))
    model = keras_module.Model(inputs, build(keras_module.layers)(inputs))
    _require_refused(model, 4, reason)


def _require_refused(model: Any, num_variables: int, reason: str) -> None:
    with pytest.raises(NtuplemlError) as caught:
        keras_to_lwtnn(model, [f"v{index}" for index in range(num_variables)], ["a", "b"])
    message = str(caught.value)
    assert message.startswith("layer 'bad' (")
    assert "has no lwtnn form" in message
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["Multiply", "Dot"])
def test_products(keras_module: Any, name: str) -> None:
    layers = keras_module.layers
    inputs = keras_module.Input((4,))
    options = {"axes": 1} if name == "Dot" else {}
    joined = getattr(layers, name)(name="bad", **options)([layers.Dense(3)(inputs), layers.Dense(3)(inputs)])
    _require_refused(keras_module.Model(inputs, joined), 4, "cannot multiply two values")


def test_joined_sequences(keras_module: Any) -> None:
    layers = keras_module.layers
    inputs = keras_module.Input((None, 4))
    joined = layers.Add(name="bad")([inputs, layers.Dense(4)(inputs)])
    _require_refused(keras_module.Model(inputs, layers.LSTM(2)(joined)), 4, "rows only, not sequences")


def test_sums_of_different_widths(keras_module: Any) -> None:
    """Keras would broadcast the narrow one; lwtnn throws."""
    layers = keras_module.layers
    inputs = keras_module.Input((4,))
    joined = layers.Add(name="bad")([inputs, layers.Dense(1)(inputs)])
    _require_refused(keras_module.Model(inputs, joined), 4, "4, 1 values")


CONSTANTS = {
    "divided by a value": (lambda ops, x: 1 / x, "lwtnn has no division by a value of an event"),
    "divided by zero": (lambda ops, x: x / np.array([1.0, 0.0, 2.0, 3.0]), "it divides by zero"),
    "square": (lambda ops, x: x**2, "lwtnn has no powers"),
    "power of a constant": (lambda ops, x: 2**x, "lwtnn has no powers"),
    "itself": (lambda ops, x: x * x, "lwtnn cannot multiply two values of an event"),
    "matrix": (lambda ops, x: x + np.ones((3, 4)), r"its constant has the shape \(3, 4\)"),
    "joined": (lambda ops, x: ops.concatenate([x, np.ones((1, 4))], axis=-1), "one of its inputs is a constant"),
    "not a number": (lambda ops, x: x + float("nan"), "NaN or infinite"),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_arithmetic_with_constants_that_lwtnn_does_not_know(keras_module: Any, name: str) -> None:
    operation, reason = CONSTANTS[name]
    inputs = keras_module.Input((4,))
    scores = operation(keras_module.ops, inputs)
    with pytest.raises(NtuplemlError, match=reason):
        keras_to_lwtnn(keras_module.Model(inputs, scores), list("abcd"), [f"s{i}" for i in range(scores.shape[-1])])


def test_dropout_that_stays_on(keras_module: Any) -> None:
    inputs = keras_module.Input((4,))
    model = keras_module.Model(inputs, keras_module.layers.Dropout(0.5, name="bad")(inputs, training=True))
    _require_refused(model, 4, "training=True")


def test_initial_states(keras_module: Any) -> None:
    layers = keras_module.layers
    inputs, state = keras_module.Input((None, 4), name="tracks"), keras_module.Input((3,), name="state")
    scores = layers.SimpleRNN(3, name="bad")(inputs, initial_state=state)
    with pytest.raises(NtuplemlError, match="layer 'bad'"):
        keras_to_lwtnn(
            keras_module.Model([inputs, state], scores), {"tracks": list("abcd"), "state": list("xyz")}, list("abc")
        )


def test_classes_of_the_user(keras_module: Any) -> None:
    """A class derived from one of Keras' may do anything."""

    class Dense(keras_module.layers.Dense):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * 2

    class Network(keras_module.Model):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs

    model = keras_module.Sequential([keras_module.Input((4,)), Dense(2, name="bad")])
    _require_refused(model, 4, "a class of your own")
    with pytest.raises(NtuplemlError, match="neither a Sequential nor a functional model"):
        keras_to_lwtnn(Network(), list("abcd"), list("wxyz"))
    with pytest.raises(NtuplemlError, match="has not been built"):
        keras_to_lwtnn(keras_module.Sequential([keras_module.layers.Dense(2)]), list("abcd"), ["a", "b"])


def test_images(keras_module: Any) -> None:
    layers = keras_module.layers
    model = keras_module.Sequential([keras_module.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(NtuplemlError, match=r"lwtnn takes rows .* and sequences"):
        keras_to_lwtnn(model, ["x"], ["a", "b"])


def test_an_output_that_is_a_sequence(keras_module: Any) -> None:
    inputs = keras_module.Input((None, 4))
    model = keras_module.Model(inputs, keras_module.layers.LSTM(2, return_sequences=True)(inputs))
    with pytest.raises(NtuplemlError, match="output 'scores' is a sequence"):
        keras_to_lwtnn(model, list("abcd"), ["a", "b"])


def test_weights_that_are_not_numbers(keras_module: Any) -> None:
    """JSON has no NaN, and boost's parser stops at it."""
    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1, name="bad")])
    model.layers[0].bias.assign(np.array([np.nan]))
    with pytest.raises(NtuplemlError, match=r"layer 'bad' \(Dense\) has weights that are NaN"):
        keras_to_lwtnn(model, ["x", "y"], ["a"])


def test_an_unknown_form(keras_module: Any) -> None:
    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1)])
    with pytest.raises(ValueError, match="grap"):
        keras_to_lwtnn(model, ["x", "y"], ["a"], "grap")  # type: ignore[arg-type]
