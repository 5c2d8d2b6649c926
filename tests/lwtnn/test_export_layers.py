"""Layers on rows: each exported network gives the scores of Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Layers = Any

ACTIVATIONS = [
    "linear", "relu", "sigmoid", "tanh", "elu", "selu", "silu", "swish", "softmax", "leaky_relu", "relu6", "hard_tanh",
]  # fmt: skip

LAYERS: dict[str, Callable[[Layers], list[Any]]] = {
    "no bias": lambda k: [k.Dense(6, use_bias=False, activation="tanh")],
    "no activation": lambda k: [k.Dense(6)],
    "batch normalisation": lambda k: [k.Dense(6), k.BatchNormalization(), k.Activation("tanh")],
    "batch normalisation first": lambda k: [k.BatchNormalization()],
    "batch normalisation without scale": lambda k: [k.Dense(6), k.BatchNormalization(scale=False)],
    "batch normalisation without centre": lambda k: [k.Dense(6), k.BatchNormalization(center=False)],
    "batch normalisation without both": lambda k: [k.BatchNormalization(center=False, scale=False, epsilon=0.1)],
    "batch normalisation along axis 1": lambda k: [k.BatchNormalization(axis=1)],
    "dropout anywhere": lambda k: [
        k.Dropout(0.5), k.Dense(6, "tanh"), k.GaussianNoise(1.0), k.GaussianDropout(0.3), k.AlphaDropout(0.2),
        k.ActivityRegularization(l2=0.1), k.Identity(),
    ],
    "rescaling": lambda k: [k.Rescaling(0.5, offset=-2.0), k.Dense(6, "relu")],
    "rescaling of each": lambda k: [k.Rescaling([0.5, 0.0, 2.0, -1.0], offset=[1.0, 2.0, 0.0, 3.0])],
    "normalisation": lambda k: [k.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 0.0, 0.5])],
    "normalisation by one number": lambda k: [k.Normalization(axis=None, mean=1.5, variance=4.0)],
    "inverse normalisation": lambda k: [k.Normalization(mean=[1.0] * 4, variance=[4.0] * 4, invert=True)],
    "relu": lambda k: [k.Dense(6), k.ReLU()],
    "relu with a slope and an end": lambda k: [k.Dense(6), k.ReLU(max_value=0.7, negative_slope=0.1)],
    "relu that ends at 0": lambda k: [k.Dense(6), k.ReLU(max_value=0.0, negative_slope=0.5)],
    "leaky relu": lambda k: [k.Dense(6), k.LeakyReLU(0.17)],
    "elu": lambda k: [k.Dense(6), k.ELU(1.7)],
    "prelu": lambda k: [k.Dense(6), k.PReLU()],
    "prelu of one slope": lambda k: [k.Dense(6), k.PReLU(shared_axes=[1])],
    "softmax in the middle": lambda k: [k.Dense(6), k.Softmax(), k.Dense(4, "tanh")],
    "activation that is a layer": lambda k: [k.Dense(6, activation=k.ELU(0.4))],
    "flatten and reshape": lambda k: [k.Flatten(), k.Dense(6, "tanh"), k.Reshape((6,)), k.Reshape((-1,))],
}  # fmt: skip


VECTOR = np.array([0.5, -1.0, 2.0, 0.25], np.float32)
CONSTANTS: dict[str, Callable[[Any, Any], Any]] = {
    "x - 2 x": lambda _, x: x - 2 * x,
    "factor behind": lambda _, x: x * 0.5,
    "factors": lambda _, x: x * VECTOR,
    "factors, one of them 0": lambda _, x: x * np.array([1.0, 0.0, -1.0, 2.0]) + 3,
    "quotient": lambda _, x: x / 4,
    "quotients": lambda _, x: x / VECTOR,
    "sum": lambda _, x: 1.5 + x,
    "tensor": lambda ops, x: x + ops.convert_to_tensor(VECTOR),
    "of one row": lambda _, x: x + VECTOR[np.newaxis],
    "difference": lambda _, x: x - VECTOR,
    "turned difference": lambda _, x: 1 - x,
    "negative": lambda _, x: -x,
    "largest": lambda ops, x: ops.maximum(x, VECTOR),
    "smallest": lambda ops, x: ops.minimum(0.5, x),
    "between": lambda ops, x: ops.clip(x, -0.5, 0.25),
    "power 1": lambda _, x: x**1,
    "absolute": lambda _, x: abs(2 * x - 1),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_arithmetic_with_constants(keras_module: Any, shaken: Any, require_same_scores: Any, name: str) -> None:
    """Of rows, and of each step of a sequence."""
    layers, ops = keras_module.layers, keras_module.ops
    row = keras_module.Input((4,), name="row")
    require_same_scores(shaken(keras_module.Model(row, layers.Dense(3, "tanh")(CONSTANTS[name](ops, row)))))
    if name not in ("x - 2 x", "of one row"):  # lwtnn joins rows only; a row of a row belongs to two dimensions
        steps = keras_module.Input((None, 4), name="steps")
        last = layers.SimpleRNN(3)(CONSTANTS[name](ops, steps))
        require_same_scores(shaken(keras_module.Model(steps, layers.Dense(2)(last))), "graph")


def _model(keras: Any, layers: list[Any], *, last: bool = True) -> Any:
    end = [keras.layers.Dense(3, activation="sigmoid")] if last else []
    return keras.Sequential([keras.Input((4,)), *layers, *end])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("last", [True, False])
def test_layers(keras_module: Any, shaken: Any, require_same_scores: Any, name: str, last: bool) -> None:
    model = shaken(_model(keras_module, LAYERS[name](keras_module.layers), last=last))
    content = require_same_scores(model, "sequential")
    assert set(content) == {"inputs", "layers", "outputs", "defaults", "miscellaneous"}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("form", ["sequential", "graph"])
def test_activations(keras_module: Any, shaken: Any, require_same_scores: Any, activation: str, form: str) -> None:
    layers = keras_module.layers
    model = shaken(_model(keras_module, [layers.Dense(6, activation), layers.Dense(5), layers.Activation(activation)]))
    require_same_scores(model, form)


def test_gamma_of_zero(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    """lwtnn's own converters divide by gamma."""
    normalisation = keras_module.layers.BatchNormalization()
    model = shaken(_model(keras_module, [normalisation]))
    normalisation.gamma.assign(np.array([0.0, 1.0, 0.0, -2.0]))
    content = require_same_scores(model)
    assert [layer["architecture"] for layer in content["layers"]] == ["normalization", "normalization", "dense"]


def test_adapted_normalisation(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    layer = keras_module.layers.Normalization()
    layer.adapt(np.random.default_rng(1).normal(2.0, [1.0, 2.0, 3.0, 4.0], size=(500, 4)))
    mean = np.asarray(layer.mean).ravel()
    model = _model(keras_module, [layer])
    content = require_same_scores(model)
    np.testing.assert_allclose(content["layers"][0]["bias"], -mean, rtol=1e-6)


def test_the_forms_of_one_layer(keras_module: Any) -> None:
    """What liblwtnn reads: weights by rows of outputs, `[]` for no bias, its own names of activations."""
    from ntupleml.lwtnn.export import keras_to_lwtnn

    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(3, "relu", use_bias=False)])
    model.layers[0].kernel.assign([[1, 2, 3], [4, 5, 6]])
    content = keras_to_lwtnn(model, ["x", "y"], ["a", "b", "c"], miscellaneous={"made": "by hand"})
    assert content == {
        "inputs": [{"name": "x", "offset": 0.0, "scale": 1.0}, {"name": "y", "offset": 0.0, "scale": 1.0}],
        "layers": [{"architecture": "dense", "weights": [1, 4, 2, 5, 3, 6], "bias": [], "activation": "rectified"}],
        "outputs": ["a", "b", "c"],
        "defaults": {},
        "miscellaneous": {"made": "by hand"},
    }


def test_complement(keras_module: Any, shaken: Any, lwtnn_scores: Any) -> None:
    """A single p is also the score 1 − p of the first class, exactly."""
    from ntupleml.lwtnn.export import keras_to_lwtnn

    model = shaken(keras_module.Sequential([keras_module.Input((4,)), keras_module.layers.Dense(1, "sigmoid")]))
    content = keras_to_lwtnn(model, list("abcd"), ["background", "signal"], complement=True)
    rows = np.random.default_rng(2).normal(size=(50, 4))
    scores = lwtnn_scores(content, {"variables": rows})["scores"]
    np.testing.assert_allclose(scores[:, 1], np.asarray(model(rows.astype("f4")))[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(scores[:, 0], 1 - scores[:, 1])


def test_a_model_without_layers(keras_module: Any, require_same_scores: Any) -> None:
    model = keras_module.Sequential([keras_module.Input((4,)), keras_module.layers.Dropout(0.5)])
    require_same_scores(model, "sequential")
    require_same_scores(model, "graph")


def test_exporting_changes_nothing(keras_module: Any, shaken: Any) -> None:
    from ntupleml.lwtnn.export import keras_to_lwtnn

    model = shaken(_model(keras_module, [keras_module.layers.Dense(6, "relu"), keras_module.layers.Dropout(0.1)]))
    before = [np.array(weights) for weights in model.get_weights()]
    first = keras_to_lwtnn(model, list("abcd"), list("xyz"))
    assert keras_to_lwtnn(model, list("abcd"), list("xyz")) == first
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
