"""Networks in frugally-deep's JSON: each layer against Keras, and what stands in the file against the public format."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import file_of_model, load_keras_model
from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup, ObjectCollection, Objects
from ntupleml.frugally_deep import evaluate, keras_to_frugally_deep, read_frugally_deep
from ntupleml.frugally_deep.evaluation import ACTIVATIONS, raw_inputs
from ntupleml.frugally_deep.export import scored_event
from ntupleml.frugally_deep.reading import network_of
from ntupleml.models import GroupShape, Network, build_model
from ntupleml.onnx_models.sessions import scores_of_batch
from ntupleml.preprocessing import fit_scaler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EVENTS = 7


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import ntupleml.models.layers  # noqa: F401


def randomised(model: Any, seed: int = 3) -> Any:
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" not in variable.name and "count" not in variable.name:
            values = random.normal(scale=0.6, size=variable.shape)
            variable.assign(0.1 + np.abs(values) if "variance" in variable.name else values)
    return model


def written(content: dict[str, Any], path: Path) -> Any:
    """The file, read back."""
    path.write_text(json.dumps(content, allow_nan=False))
    return read_frugally_deep(path)


def rows(layers: Any, value: Any) -> Any:
    heads = [layers.Dense(4, name, name=f"head_{name}")(value) for name in sorted(ACTIVATIONS)]
    value = layers.Concatenate()(heads)
    value = layers.BatchNormalization(scale=False)(value)
    value = layers.Dense(6, layers.LeakyReLU(negative_slope=0.1), use_bias=False)(value)
    value = layers.LayerNormalization()(layers.Dropout(0.5)(value))
    value = layers.Normalization(mean=[1.0] * 6, variance=[4.0, 1.0, 2.0, 3.0, 0.5, 9.0])(value)
    value = layers.Normalization(mean=0.5, variance=2.0, invert=True)(value)
    value = layers.Rescaling([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.5)(value)
    other = layers.ReLU(max_value=2.0, negative_slope=0.3, threshold=0.2)(value)
    shared = layers.Dense(6, "tanh")
    one, two = shared(value), shared(other)
    joined = [
        getattr(layers, kind)()([one, two, value][: 2 if kind == "Subtract" else 3])
        for kind in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
    ]
    more = [layers.ELU(0.7)(value), layers.LeakyReLU(0.2)(value), layers.ReLU(negative_slope=0.2)(value)]
    return layers.Softmax()(layers.Dense(3)(layers.Concatenate()([*joined, *more, one - two, one * two])))


def sequences(layers: Any, value: Any) -> Any:
    found = [
        layers.LSTM(4)(layers.LSTM(5, return_sequences=True)(value)),
        layers.LSTM(3, activation="relu", use_bias=False)(value),
        layers.GRU(4)(layers.GRU(3, return_sequences=True, reset_after=False)(value)),
        layers.GRU(2, use_bias=False)(value),
    ]
    for options in ({"padding": "same"}, {"dilation_rate": 2}, {"strides": 2, "padding": "same", "use_bias": False}):
        steps = layers.Conv1D(4, 3, activation="relu", **options)(value)
        found += [layers.GlobalMaxPooling1D()(steps), layers.Flatten()(layers.MaxPooling1D(3, 2, "same")(steps))]
    found.append(layers.GlobalAveragePooling1D()(layers.AveragePooling1D(2, padding="same")(value)))
    found.append(layers.Reshape((-1,))(layers.AveragePooling1D(4, 1)(layers.BatchNormalization()(value))))
    return layers.Dense(2, "softmax")(layers.Concatenate()(found))


def images(layers: Any, value: Any) -> Any:
    value = layers.Conv2D(4, (3, 2), activation="relu", padding="same")(value)
    value = layers.Conv2D(3, 2, strides=(2, 1))(layers.AveragePooling2D((2, 3), (1, 2), "same")(value))
    found = [layers.GlobalMaxPooling2D()(value), layers.GlobalAveragePooling2D()(value)]
    found.append(layers.Flatten()(layers.MaxPooling2D(2)(value)))
    return layers.Dense(2, "softmax")(layers.Concatenate()(found))


@pytest.mark.parametrize(
    ("shape", "network"), [((5,), rows), ((9, 3), sequences), ((7, 8, 2), images)], ids=["rows", "sequences", "images"]
)
def test_layers_give_the_scores_of_keras(tmp_path: Path, shape: tuple[int, ...], network: Callable[..., Any]) -> None:
    import keras

    values, more = keras.Input(shape, name="values"), keras.Input((2,), name="more")
    joined = keras.layers.Concatenate()([network(keras.layers, values), more])
    model = randomised(keras.Model([values, more], keras.layers.Dense(3, "softmax")(joined)))
    file = written(keras_to_frugally_deep(file_of_model(model), list("abc")), tmp_path / "network.json")
    random = np.random.default_rng(1)
    given = {name: random.normal(size=(EVENTS, *one)).astype("f4") for name, one in file.network.inputs.items()}
    expected = np.asarray(model(list(given.values())))
    found = evaluate(file, given)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # the description is a plain network of Keras, as those of frugally-deep's own converter
    np.testing.assert_allclose(np.asarray(load_keras_model(file)(list(given.values()))), expected, atol=1e-5)


def test_objects_and_their_masks(tmp_path: Path) -> None:
    """What is taken over objects, for events with none, one, some and all slots filled."""
    import keras

    from ntupleml.models.layers import MaskedBatchNormalization, MaskedPooling

    values, mask = keras.Input((4, 3), name="jets"), keras.Input((4,), name="jets_mask")
    inner = MaskedBatchNormalization()([keras.layers.Dense(5, "tanh")(values), mask])
    pooled = MaskedPooling(["sum", "mean", "max", "last"])([inner, mask])
    model = randomised(keras.Model({"jets": values, "jets_mask": mask}, pooled))
    names = [str(number) for number in range(20)]
    content = keras_to_frugally_deep(file_of_model(model), names)
    file = written(content, tmp_path / "network.json")
    filled = (np.arange(4) < np.array([[0], [1], [3], [4]])).astype("f4")
    given = {"jets": np.random.default_rng(0).normal(-3, 1, size=(4, 4, 3)).astype("f4"), "jets_mask": filled}
    expected = np.asarray(model(given))
    assert not expected[0].any()
    np.testing.assert_allclose(evaluate(file, given), expected, atol=1e-5)


def test_the_file_is_that_of_the_public_format(tmp_path: Path) -> None:
    """Keys, shapes, and the order of the numbers: little-endian singles in base64, outputs first in convolutions."""
    import keras

    first, second = keras.Input((4, 2), name="steps"), keras.Input((3,), name="numbers")
    steps = keras.layers.Conv1D(2, 2, name="convolution", use_bias=False)(first)
    joined = keras.layers.Concatenate(name="joined")([keras.layers.Flatten(name="flat")(steps), second])
    model = keras.Model([first, second], keras.layers.Dense(2, name="scores")(joined))
    model.get_layer("convolution").kernel.assign(np.arange(8.0).reshape(2, 2, 2))
    content = keras_to_frugally_deep(file_of_model(model), ["a", "b"], remarks={"fold": 1})
    assert content["image_data_format"] == "channels_last"
    assert content["input_shapes"] == [[4, 2], [3]]
    assert content["output_shapes"] == [[2]]
    assert list(content["trainable_params"]) == ["convolution", "scores"]
    assert list(content["trainable_params"]["scores"]) == ["weights", "bias"]
    (piece,) = content["trainable_params"]["convolution"]["weights"]
    assert struct.unpack("<8f", base64.b64decode(piece)) == (0, 2, 4, 6, 1, 3, 5, 7)
    pieces = content["trainable_params"]["scores"]["weights"]
    assert all(len(piece) <= 1024 for piece in pieces)
    kernel = np.frombuffer(base64.b64decode("".join(pieces)), "<f4").reshape(9, 2)
    np.testing.assert_array_equal(kernel, np.asarray(model.get_layer("scores").kernel))
    description = content["architecture"]["config"]
    assert description["input_layers"] == [["steps", 0, 0], ["numbers", 0, 0]]
    assert description["output_layers"] == [["scores", 0, 0]]
    layers = {layer["name"]: layer for layer in description["layers"]}
    (node,) = layers["joined"]["inbound_nodes"]
    ((one, two),) = node["args"]
    assert [tensor["config"]["keras_history"] for tensor in (one, two)] == [["flat", 0, 0], ["numbers", 0, 0]]
    assert content["ntupleml"]["fold"] == 1
    case = scored_event([np.ones((4, 2), "f4"), np.zeros(3, "f4")], np.array([0.25, 0.75]))
    assert [tensor["shape"] for tensor in (*case["inputs"], *case["outputs"])] == [[4, 2], [3], [2]]
    assert struct.unpack("<2f", base64.b64decode("".join(case["outputs"][0]["values"]))) == (0.25, 0.75)


def singles(values: Any) -> list[str]:
    return [base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()]


def test_files_of_the_public_converter_are_read(tmp_path: Path) -> None:
    """It keeps what Keras says of the model, and weights by the names of its layers; here one is within another."""
    import keras

    steps, first = keras.Input((6, 2), name="steps"), keras.Input((6, 2))
    state = keras.layers.LSTM(4, name="lstm")(keras.layers.Conv1D(3, 2, name="convolution")(first))
    inner = keras.Model(first, state, name="inner")
    value = keras.layers.BatchNormalization(name="normalised")(inner(steps))
    model = randomised(keras.Model(steps, keras.layers.Dense(2, "softmax", name="scores")(value)))
    kernel, bias = (np.asarray(one) for one in inner.get_layer("convolution").weights)
    lstm = dict(zip(("weights", "recurrent_weights", "bias"), inner.get_layer("lstm").get_weights(), strict=True))
    norms = ("gamma", "beta", "moving_mean", "moving_variance")
    normalised = dict(zip(norms, model.get_layer("normalised").get_weights(), strict=True))
    dense = dict(zip(("weights", "bias"), model.get_layer("scores").get_weights(), strict=True))
    weights = {
        "inner_convolution": {"weights": np.moveaxis(kernel, [0, 1, 2], [1, 2, 0]), "bias": bias},
        "inner_lstm": lstm,
        "normalised": normalised,
        "scores": dense,
    }
    content = {
        "architecture": json.loads(model.to_json()),
        "image_data_format": "channels_last",
        "input_shapes": [[6, 2]],
        "output_shapes": [[2]],
        "trainable_params": {
            name: {key: singles(values) for key, values in block.items()} for name, block in weights.items()
        },
    }
    given = np.random.default_rng(2).normal(size=(5, 6, 2)).astype("f4")
    found = evaluate(written(content, tmp_path / "network.json"), {"steps": given})
    np.testing.assert_allclose(found, np.asarray(model(given)), atol=1e-6)


GROUPS = (
    InputGroup("jets", ("pt", "eta", "phi"), objects=Objects(length=4), missing=-1.0),
    InputGroup("event", ("met", "mass"), missing=-1.0),
)
SHAPES = {"jets": GroupShape("objects", (4, 3)), "event": GroupShape("numbers", (2,))}


def batch(number: int = 200) -> dict[str, NDArray[Any]]:
    """Raw inputs, some missing; the mass is large beside its spread."""
    random = np.random.default_rng(5)
    length = random.integers(0, 5, number)
    jets = random.normal([50.0, 0.0, 0.0], [20.0, 2.0, 1.8], size=(number, 4, 3))
    jets[np.arange(4) >= length[:, np.newaxis]] = 0
    event = random.normal([100.0, 91_187.6], [40.0, 2.5], size=(number, 2))
    event[::20, 0] = np.nan
    return {"jets": jets.astype("f4"), "jets_length": length, "event": event.astype("f4")}


@pytest.mark.parametrize(
    ("jets", "preprocessing"),
    [
        ({"type": "recurrent", "filters": [6, 5], "kernel": 3, "units": 4}, "standard_scaler"),
        ({"type": "deep_set", "hidden": [5], "pool": ["sum", "mean", "max"]}, "min_max_scaler"),
        ({"type": "deep_set", "hidden": [5]}, "identity"),
        ({"type": "transformer", "layers": 1, "width": 6, "heads": 2}, "standard_scaler"),
        ({"type": "transformer", "layers": 1, "width": 4, "heads": 1, "pool": "class_token"}, "standard_scaler"),
        ({"type": "set_transformer", "layers": 1, "width": 4, "heads": 2, "seeds": 2}, "standard_scaler"),
        (
            {"type": "residual", "hidden": [6, 6], "attention": {"heads": 2, "tokens": 3, "after": 1, "hidden": 5}},
            "standard_scaler",
        ),
    ],
    ids=["recurrent", "deep set", "identity", "transformer", "class token", "set transformer", "residual"],
)
@pytest.mark.parametrize("kind", ["classes", "values"])
def test_networks_take_raw_groups(tmp_path: Path, jets: dict[str, Any], preprocessing: str, kind: Any) -> None:
    """The inputs of the file are the groups of the config in its order, each mask behind its objects."""
    given = batch()
    places = np.flatnonzero(np.arange(4) < given["jets_length"][:, np.newaxis])
    scalers = {
        "jets": fit_scaler(preprocessing, given["jets"].reshape(-1, 3)[places]),
        "event": fit_scaler("robust_scaler", np.nan_to_num(given["event"], nan=-1.0)),
    }
    network = Network((6,), "relu", {"jets": jets}, output="softmax" if kind == "classes" else "linear")
    model = randomised(build_model(network, SHAPES, 2, 1))
    target = (
        TargetRecord()
        if kind == "classes"
        else TargetRecord(kind="values", values={"a": "x", "b": "y"}, mean=[3, 4], scale=[2, 5])
    )
    content = keras_to_frugally_deep(file_of_model(model), ["a", "b"], GROUPS, scalers, target=target)
    assert content["input_shapes"] == [[4, 3], [4], [2]]
    assert content["ntupleml"]["inputs"] == {
        "jets": ["pt", "eta", "phi"],
        "jets_mask": ["jets_mask"],
        "event": ["met", "mass"],
    }
    assert content["ntupleml"]["missing"] == -1
    file = written(content, tmp_path / "network.json")
    inputs = raw_inputs(file, given, -1.0)
    inputs["jets"][inputs["jets_mask"] == 0] = 7  # what stands in empty slots does not count
    assert list(inputs) == ["jets", "jets_mask", "event"]
    expected = scores_of_batch(model, scalers, given, -1.0, target)
    np.testing.assert_allclose(evaluate(file, inputs), expected, atol=1e-5, rtol=1e-5)


def test_one_probability_and_conditions(tmp_path: Path) -> None:
    """Conditions pass unscaled; of one output p the scores are 1 − p and p."""
    import keras

    model = randomised(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")]))
    raw = np.random.default_rng(0).normal([5.0, -2.0], [3.0, 0.1], size=(50, 2))
    scaler = fit_scaler("standard_scaler", raw)
    group = (InputGroup("variables", ("x", "y")),)
    file = file_of_model(model)
    content = keras_to_frugally_deep(file, ["s", "b"], group, {"variables": scaler}, conditions=["2018"])
    assert content["ntupleml"]["inputs"] == {"variables": ["x", "y", "2018"]}
    given = np.concatenate([raw, np.ones((50, 1))], axis=1)
    prepared = np.concatenate([scaler.transform(raw), np.ones((50, 1))], axis=1)
    expected = np.asarray(model(prepared.astype("f4")))
    found = evaluate(written(content, tmp_path / "network.json"), {"variables": given})
    np.testing.assert_allclose(found, np.concatenate([1 - expected, expected], axis=1), atol=1e-6)


def small(outputs: Callable[..., Any], shape: tuple[int | None, ...] = (3,)) -> Any:
    import keras

    value = keras.Input(shape, name="values")
    return file_of_model(keras.Model(value, outputs(keras.layers, value)))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda layers, value: layers.Dense(2, "mish", name="last")(value),
            r"layer 'last' \(Dense\) has no frugally-deep form: frugally-deep has no activation 'mish'$",
        ),
        (
            lambda layers, value: layers.UnitNormalization(name="unit")(value),
            r"layer 'unit' \(UnitNormalization\) has no .* where all values are 0 it divides by 0, Keras does not$",
        ),
        (
            lambda layers, value: layers.Add(name="sum")([value, layers.Dense(1)(value)]),
            r"layer 'sum' \(Add\) has no .* does this with values of one shape only$",
        ),
        (lambda layers, value: layers.Dense(2, name="last")(value) * 2.0, r"it joins values with a number"),
        (lambda layers, value: layers.Dense(3)(value), "gives 3 outputs per event, but 2 are named$"),
    ],
    ids=["activation", "layer", "shapes", "constant", "outputs"],
)
def test_what_has_no_form_is_refused(network: Callable[..., Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        keras_to_frugally_deep(small(network), ["a", "b"])


def test_inputs_that_have_no_form_are_refused() -> None:
    shape = {"jets": GroupShape("objects", (None, 3))}
    network = Network((3,), "relu", {"jets": {"type": "deep_set", "hidden": [3]}})
    with pytest.raises(NtuplemlError, match=r"input 'jets' has any number of .* train with inputs\.jets\.length$"):
        keras_to_frugally_deep(file_of_model(build_model(network, shape, 2, 1)), ["a", "b"], GROUPS[:1])
    scaler = {"variables": fit_scaler("quantile_transformer", np.random.default_rng(0).normal(size=(99, 3)))}
    file = small(lambda layers, value: layers.Dense(2)(value))
    with pytest.raises(NtuplemlError, match=r"inputs\.variables: preprocessing by a quantile_transformer has no frug"):
        keras_to_frugally_deep(file, ["a", "b"], [InputGroup("variables", ("x", "y", "z"))], scaler)
    more = [GROUPS[0], GROUPS[1]._replace(name="events")]
    two = file_of_model(build_model(Network((3,), "relu"), SHAPES, 2, 1))
    with pytest.raises(NtuplemlError, match=r"'events' is none of its inputs; nearest: 'event'"):
        keras_to_frugally_deep(two, ["a", "b"], more)
    with pytest.raises(NtuplemlError, match=r"its input 'event' is made of four-vectors, or of no group; give the net"):
        keras_to_frugally_deep(two, ["a", "b"], GROUPS[:1])
    made = GROUPS[0]._replace(collections=(ObjectCollection("jets", ()),))
    with pytest.raises(
        NtuplemlError, match=r"inputs\.jets: is made of four-vectors; frugally-deep has no layer for the"
    ):
        keras_to_frugally_deep(two, ["a", "b"], [made, GROUPS[1]])
    with pytest.raises(NtuplemlError, match="gives its inputs back"):
        keras_to_frugally_deep(file, ["a", "b"], target=TargetRecord(kind="reconstruction"))


def content() -> dict[str, Any]:
    return keras_to_frugally_deep(small(lambda layers, value: layers.Dense(2, name="last")(value)), ["a", "b"])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ["image_data_format"],
            "channels_first",
            "image_data_format: 'channels_first'; frugally-deep reads channels_la",
        ),
        (["input_shapes"], [[4]], r"input_shapes: \[\[4\]\] where the architecture has \[\[3\]\]; damaged"),
        (["output_shapes"], [[3]], r"output_shapes: \[\[3\]\] where the architecture has \[\[2\]\]; damaged"),
        (["trainable_params"], {"lost": {}}, "trainable_params: no key 'last'; nearest: 'lost'"),
        (["trainable_params", "last", "bias"], [1.0], "last.bias: 1 numbers where 2 belong"),
        (["trainable_params", "last", "bias"], ["AAAA"], "last.bias: no base64 of numbers in single precision"),
        (["trainable_params", "last", "bias"], ["!"], "last.bias: no base64 of numbers in single precision"),
        (["trainable_params", "last", "bias"], [1.0, "x"], "last.bias: neither numbers nor base64"),
        (["trainable_params", "last", "bias"], 3, "last.bias: no list of numbers or of base64"),
        (["trainable_params", "last", "bias"], ["AADAfwAAwH8="], "last.bias: a number that is not finite"),
        (
            ["architecture", "config", "layers", 1, "class_name"],
            "Lambda",
            "refused: layer 'last': is 'keras.layers.Lam",
        ),
        (["architecture", "config", "layers", 1, "config", "units"], 9**9, "computes more than 5,000,000 numbers"),
        (["architecture", "config", "layers", 1, "class_name"], "UnitNormalization", "setting units=2 is not read"),
    ],
)
def test_damaged_files_are_refused_in_one_line(place: list[Any], value: Any, message: str) -> None:
    damaged = content()
    block: Any = damaged
    for key in place[:-1]:
        block = block[key]
    block[place[-1]] = value
    with pytest.raises(NtuplemlError, match=message) as error:
        network_of(damaged, "network.json")
    assert str(error.value).startswith("network.json: ")
    assert "\n" not in str(error.value)


def test_plain_numbers_are_read_and_strange_files_refused(tmp_path: Path) -> None:
    """The public converter may write numbers in place of base64; a layer that is not evaluated is named."""
    plain = content()
    plain["trainable_params"]["last"] = {"weights": [1, 2, 3, 4, 5, 6], "bias": [0.5, -0.5]}
    file = written(plain, tmp_path / "network.json")
    np.testing.assert_array_equal(evaluate(file, {"values": [[1, 1, 1]]}), [[9.5, 11.5]])
    layers = plain["architecture"]["config"]["layers"]
    layers[1] |= {"class_name": "UnitNormalization", "config": {"name": "last", "axis": -1}}
    plain["output_shapes"] = [[3]]
    with pytest.raises(NtuplemlError, match=r"layer 'last' \(UnitNormalization\) is not evaluated here$"):
        network_of(plain, "network.json")
    (tmp_path / "network.json").write_text("{")
    with pytest.raises(NtuplemlError, match="not valid JSON"):
        read_frugally_deep(tmp_path / "network.json")
    with pytest.raises(NtuplemlError, match="give a network in frugally-deep's JSON format"):
        read_frugally_deep(tmp_path / "none.json")


def test_the_page_names_what_is_written_and_its_example_runs(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (project / "docs" / "frugally-deep.md").read_text()
    for name in ACTIVATIONS:
        assert re.search(rf"\b{name}\b", page), name
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(code, {})
    assert capsys.readouterr().out == printed
