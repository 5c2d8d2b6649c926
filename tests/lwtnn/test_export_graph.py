"""Networks that branch: several inputs and outputs, shared layers, nested models."""

from __future__ import annotations

from typing import Any

import pytest

from ntupleml.errors import NtuplemlError


def test_inputs_and_outputs(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    layers = keras_module.layers
    jets, event = keras_module.Input((3,), name="jets"), keras_module.Input((4,), name="event")
    tracks = keras_module.Input((None, 2), name="tracks")
    one = layers.Dropout(0.2)(layers.Dense(5, "relu")(jets))
    two = layers.Dense(5, "tanh")(event)
    joined = layers.Concatenate()([layers.Add()([one, two]), event, layers.GRU(3, reset_after=False)(tracks)])
    classes = layers.Dense(3, "softmax", name="classes")(joined)
    energy = layers.Dense(1, name="energy")(one)
    model = shaken(keras_module.Model([jets, tracks, event], [classes, energy]))
    content = require_same_scores(model)
    assert [group["name"] for group in content["inputs"]] == ["jets", "event"]
    assert [group["name"] for group in content["input_sequences"]] == ["tracks"]
    assert list(content["outputs"]) == ["classes", "energy"]


def test_shared_layers_are_written_once(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    layers = keras_module.layers
    one, two = keras_module.Input((4,), name="one"), keras_module.Input((4,), name="two")
    shared = layers.Dense(5, "selu")
    scores = layers.Dense(2, "softmax")(layers.Concatenate()([shared(one), shared(two)]))
    content = require_same_scores(shaken(keras_module.Model([one, two], scores)))
    indices = [node["layer_index"] for node in content["nodes"] if node["type"] == "feed_forward"]
    assert len(indices) == 5
    assert sorted(set(indices)) == [0, 1, 2]  # dense and scaling of the shared one, dense of the scores
    assert len(content["layers"]) == 3


@pytest.mark.parametrize("name", ["Add", "Average", "Subtract", "Maximum", "Minimum", "Concatenate"])
def test_merging(keras_module: Any, shaken: Any, require_same_scores: Any, name: str) -> None:
    layers = keras_module.layers
    inputs = keras_module.Input((4,), name="inputs")
    parts = [layers.Dense(5, "tanh")(inputs) for _ in range(2 if name == "Subtract" else 3)]
    scores = layers.Dense(2, "sigmoid")(getattr(layers, name)()(parts))
    require_same_scores(shaken(keras_module.Model(inputs, scores)))


def test_operations(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    """`keras.ops`, and Python's operators on tensors."""
    ops, layers = keras_module.ops, keras_module.layers
    inputs = keras_module.Input((4,), name="inputs")
    one, two = layers.Dense(5)(inputs), layers.Dense(5)(inputs)
    joined = ops.concatenate([ops.abs(one) + ops.relu(two), one - ops.tanh(two), ops.maximum(one, two)], axis=-1)
    scores = ops.sigmoid(layers.Dense(2)(joined))
    require_same_scores(shaken(keras_module.Model(inputs, scores)))


def test_nested_models(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    """Networks inside networks, one of them used twice, one with an output that nobody reads."""
    layers = keras_module.layers
    inner = keras_module.Sequential([keras_module.Input((4,)), layers.Dense(5, "relu"), layers.Dense(4)])
    start = keras_module.Input((4,), name="start")
    hidden = layers.Dense(6, "tanh")(start)
    branched = keras_module.Model(start, [layers.Dense(3, "relu")(hidden), layers.Dense(7)(hidden)])
    inputs = keras_module.Input((4,), name="inputs")
    used, _ = branched(inner(inner(inputs)))
    model = shaken(keras_module.Model(inputs, layers.Dense(2, "softmax")(used)))
    content = require_same_scores(model, "sequential")
    assert [len(layer["bias"]) for layer in content["layers"]] == [5, 4, 5, 4, 6, 3, 2]


def test_a_nested_model_of_several_inputs(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    """Keras calls such a model with a mask of None for each input; the order of the inputs matters."""
    layers = keras_module.layers
    one, two = keras_module.Input((4,)), keras_module.Input((4,))
    difference = keras_module.Model([one, two], layers.Dense(2)(layers.Subtract()([one, two])))
    first, second = keras_module.Input((4,), name="first"), keras_module.Input((4,), name="second")
    require_same_scores(shaken(keras_module.Model([first, second], difference([second, first]))))


@pytest.mark.parametrize("name", ["Activation", "Rescaling", "ReLU"])
def test_one_layer_on_different_widths(keras_module: Any, shaken: Any, require_same_scores: Any, name: str) -> None:
    """Layers without weights of their own may get any width each time."""
    layers = keras_module.layers
    arguments = {"Activation": ["selu"], "Rescaling": [2.0, 1.0], "ReLU": [0.7]}[name]
    shared = getattr(layers, name)(*arguments)
    inputs = keras_module.Input((4,), name="inputs")
    joined = layers.Concatenate()([shared(layers.Dense(3)(inputs)), shared(layers.Dense(5)(inputs))])
    require_same_scores(shaken(keras_module.Model(inputs, layers.Dense(2)(joined))))


def test_a_residual_block(keras_module: Any, shaken: Any, require_same_scores: Any) -> None:
    layers = keras_module.layers
    inputs = keras_module.Input((4,), name="inputs")
    value = inputs
    for _ in range(3):
        value = layers.Add()([value, layers.Dense(4, "relu")(layers.BatchNormalization()(value))])
    require_same_scores(shaken(keras_module.Model(inputs, layers.Dense(2, "softmax")(value))))


def test_names_choose_the_form(keras_module: Any) -> None:
    """The sequential form has no names of inputs and outputs; where they are given, they are kept."""
    from ntupleml.lwtnn.export import keras_to_lwtnn

    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(2)])
    assert "nodes" not in keras_to_lwtnn(model, ["x", "y"], ["a", "b"])
    assert "nodes" in keras_to_lwtnn(model, {"event": ["x", "y"]}, ["a", "b"])
    assert "nodes" in keras_to_lwtnn(model, ["x", "y"], ["a", "b"], "graph")
    assert "nodes" not in keras_to_lwtnn(model, {"event": ["x", "y"]}, ["a", "b"], "sequential")


def test_defaults(keras_module: Any) -> None:
    """In the graph form a default stands in its variable, in the sequential one in a block of its own."""
    from ntupleml.lwtnn.export import keras_to_lwtnn
    from ntupleml.lwtnn.network import Variable

    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(2)])
    variables = [Variable("x", 1.0, 2.0, -10.0), "y"]
    sequential = keras_to_lwtnn(model, variables, ["a", "b"])
    assert sequential["defaults"] == {"x": -10.0}
    graph = keras_to_lwtnn(model, variables, ["a", "b"], "graph")
    assert graph["inputs"][0]["variables"] == [
        {"name": "x", "offset": 1.0, "scale": 2.0, "default": -10.0},
        {"name": "y", "offset": 0.0, "scale": 1.0},
    ]


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["x"], ["a", "b"], "takes 2 variables, but 1 are named"),
        (["x", "y"], ["a"], "gives 2 values, but 1 labels"),
        (["x", "y"], ["a", "a"], "the label 'a' is given twice"),
        (["x", "y"], {"one": ["a"], "two": ["b"]}, "no outputs 'one'"),
    ],
)
def test_names_must_fit(keras_module: Any, inputs: Any, outputs: Any, message: str) -> None:
    from ntupleml.lwtnn.export import keras_to_lwtnn

    model = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(2)])
    with pytest.raises(NtuplemlError, match=message):
        keras_to_lwtnn(model, inputs, outputs)


def test_names_of_several_inputs(keras_module: Any) -> None:
    from ntupleml.lwtnn.export import keras_to_lwtnn

    layers = keras_module.layers
    one, two = keras_module.Input((1,), name="jets"), keras_module.Input((1,), name="event")
    model = keras_module.Model([one, two], layers.Dense(1)(layers.Concatenate()([one, two])))
    with pytest.raises(NtuplemlError, match=r"the model has 2 inputs \('jets, event'\), but one list is given"):
        keras_to_lwtnn(model, ["x", "y"], ["a"])
    with pytest.raises(NtuplemlError, match="no inputs 'jet'; nearest: 'jets'"):
        keras_to_lwtnn(model, {"jet": ["x"], "event": ["y"]}, ["a"])
    with pytest.raises(NtuplemlError, match="no list is given for 'event'"):
        keras_to_lwtnn(model, {"jets": ["x"]}, ["a"])
    with pytest.raises(NtuplemlError, match="no sequential form: it has 2 inputs and 1 outputs"):
        keras_to_lwtnn(model, {"jets": ["x"], "event": ["y"]}, ["a"], "sequential")
