"""Each layer and activation that is read from Keras files: its ONNX form against Keras' own prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import file_of_model, load_keras_model, read_keras_file
from ntupleml.artifacts.keras_layers import LAYERS, OPERATION, OWN
from ntupleml.artifacts.keras_options import ACTIVATIONS as READ_ACTIVATIONS
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import Image, InputGroup, Objects
from ntupleml.models import ACTIVATIONS
from ntupleml.onnx_models.graph_forms import NEWEST_OPSET, OLDEST_OPSET, with_opset
from ntupleml.onnx_models.keras_activations import ACTIVATIONS as ACTIVATION_NODES
from ntupleml.onnx_models.keras_layers import NODES
from ntupleml.onnx_models.keras_network import keras_to_onnx
from ntupleml.onnx_models.sessions import new_session
from ntupleml.preprocessing import fit_scaler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx

    from ntupleml.artifacts import KerasFile

#: Inputs and outputs of the networks here; each output is compared.
WIDTH = 4
VARIABLES = ["a", "b", "c", "d"]


def events() -> np.ndarray:
    """Ordinary ones, far ones, and those on the corners of activations."""
    random = np.random.default_rng(3)
    corners = np.array([-6, -3, -1, -0.5, -0.0, 0.0, 0.5, 1, 3, 6], dtype=np.float32)
    parts = [
        random.normal(0, 2, (300, WIDTH)),
        random.normal(0, 30, (100, WIDTH)),
        random.choice(corners, (100, WIDTH)),
    ]
    return np.concatenate([*parts, np.zeros((1, WIDTH))]).astype(np.float32)


def graph_of(file: KerasFile) -> onnx.ModelProto:
    scaler = fit_scaler("identity", np.ones((2, WIDTH)))
    classes = [f"class_{number}" for number in range(max(file.network.num_outputs, 2))]
    group = InputGroup("variables", tuple(VARIABLES[: file.network.num_inputs]))
    return keras_to_onnx(file, {"variables": scaler}, [group], classes)


def scores(graph: onnx.ModelProto, rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = new_session(graph.SerializeToString()).run(["scores"], {"variables": rows})[0]
    return found


def compare(model: Any, rows: np.ndarray | None = None) -> None:
    """ONNX form against Keras: the model itself, and that which our reader makes of its file."""
    rows = events() if rows is None else rows
    expected = model.predict(rows, verbose=0, batch_size=len(rows))
    file = file_of_model(model)
    found = scores(graph_of(file), rows)
    if file.network.num_outputs == 1:
        found = found[:, 1:]
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * largest)
    np.testing.assert_array_equal(load_keras_model(file).predict(rows, verbose=0, batch_size=len(rows)), expected)


def functional(build: Callable[[Any], Any]) -> Any:
    import keras

    inputs = keras.Input((WIDTH,))
    model = keras.Model(inputs, build(inputs))
    return with_random_weights(model)


def with_random_weights(model: Any, largest: float = 1.5) -> Any:
    """Weights off their first values; all positive, since variances are among them."""
    random = np.random.default_rng(5)
    model.set_weights(
        [
            random.uniform(0.2, largest, one.shape) * (random.choice([-1, 1], one.shape) if one.ndim > 1 else 1)
            for one in model.get_weights()
        ]
    )
    return model


@pytest.mark.parametrize("name", sorted(READ_ACTIVATIONS))
def test_activations(name: str) -> None:
    import keras

    compare(functional(lambda inputs: keras.layers.Dense(6, activation=name)(keras.layers.Activation(name)(inputs))))


def test_every_activation_of_a_config_is_read_and_written() -> None:
    assert set(ACTIVATIONS.values()) <= READ_ACTIVATIONS
    assert set(ACTIVATION_NODES) == READ_ACTIVATIONS


def test_each_activation_of_keras_is_read_or_left_out_on_purpose() -> None:
    import keras

    functions = {name for name in dir(keras.activations) if name.islower() and name[0] != "_"}
    assert functions - READ_ACTIVATIONS <= {"deserialize", "get", "serialize", "glu", "sparsemax", "threshold"}


LAYER_TESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "Activation": ("Activation", {"activation": "tanh"}),
    "ActivityRegularization": ("ActivityRegularization", {"l1": 0.1, "l2": 0.1}),
    "AlphaDropout": ("AlphaDropout", {"rate": 0.3, "seed": 3}),
    "BatchNormalization": ("BatchNormalization", {"epsilon": 0.01, "beta_regularizer": "l2"}),
    "BatchNormalization, not scaled": ("BatchNormalization", {"scale": False, "axis": 1}),
    "BatchNormalization, not centred": ("BatchNormalization", {"center": False}),
    "Dense": ("Dense", {"units": 3, "activation": "relu", "kernel_regularizer": "l2", "bias_regularizer": "l1"}),
    "Dense without bias": ("Dense", {"units": 3, "use_bias": False}),
    "Dropout": ("Dropout", {"rate": 0.5}),
    "ELU": ("ELU", {"alpha": 0.7}),
    "GaussianDropout": ("GaussianDropout", {"rate": 0.5}),
    "GaussianNoise": ("GaussianNoise", {"stddev": 0.5}),
    "LayerNormalization": ("LayerNormalization", {"epsilon": 1e-5}),
    "LayerNormalization, not scaled": ("LayerNormalization", {"scale": False, "axis": [1]}),
    "LayerNormalization, not centred": ("LayerNormalization", {"center": False}),
    "LeakyReLU": ("LeakyReLU", {"negative_slope": 0.05}),
    "Normalization, adapted": ("Normalization", {}),
    "Normalization, adapted as a whole": ("Normalization", {"axis": None}),
    "Normalization, inverted": ("Normalization", {"invert": True}),
    "Normalization, one width": ("Normalization", {"mean": 2.0, "variance": 0.25, "axis": None}),
    "Normalization, given": ("Normalization", {"mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0, 0.5, 0.0, 3.0]}),
    "ReLU": ("ReLU", {}),
    "ReLU with a slope": ("ReLU", {"negative_slope": 0.1}),
    "ReLU with a threshold": ("ReLU", {"threshold": 0.5}),
    "ReLU with all": ("ReLU", {"threshold": 0.5, "negative_slope": 0.1, "max_value": 3.0}),
    "ReLU with an end": ("ReLU", {"max_value": 3.0}),
    "ReLU to six with a slope": ("ReLU", {"max_value": 6.0, "negative_slope": 0.2}),
    "Rescaling": ("Rescaling", {"scale": 0.01, "offset": -3}),
    "Rescaling of each": ("Rescaling", {"scale": np.arange(4, dtype=np.float32), "offset": [1.0, 2.0, 3.0, 4.0]}),
    "Softmax": ("Softmax", {}),
    "Softmax along 1": ("Softmax", {"axis": 1}),
    "UnitNormalization": ("UnitNormalization", {}),
}


@pytest.mark.parametrize("name", LAYER_TESTS)
def test_layers(name: str) -> None:
    import keras

    kind, settings = LAYER_TESTS[name]
    layer = getattr(keras.layers, kind)(**settings)
    if "adapted" in name or "inverted" in name:
        layer.adapt(np.random.default_rng(2).normal([1, 2, 3, 1e3], [1, 0.1, 10, 0.1], (500, 4)).astype(np.float32))
        inputs = keras.Input((WIDTH,))
        return compare(keras.Model(inputs, layer(inputs)))
    return compare(functional(layer))


@pytest.mark.parametrize("kind", ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"])
def test_layers_that_join_values(kind: str) -> None:
    import keras

    number = 2 if kind == "Subtract" else 3

    def build(inputs: Any) -> Any:
        joined = [inputs, *(keras.layers.Dense(WIDTH)(inputs) for _ in range(number - 1))]
        return getattr(keras.layers, kind)()(joined)

    compare(functional(build))
    if kind != "Concatenate":
        compare(functional(lambda inputs: getattr(keras.layers, kind)()([keras.layers.Dense(1)(inputs), inputs])))


@pytest.mark.parametrize("axes", [1, 2, (2, 1), (1, 2)])
def test_products_of_matrices(axes: int | tuple[int, int]) -> None:
    import keras

    def build(inputs: Any) -> Any:
        first, second = (
            keras.layers.Reshape((3, 3))(keras.layers.Dense(9, name=name)(inputs)) for name in ("first", "second")
        )
        return keras.layers.Flatten()(keras.layers.Dot(axes)([first, second]))

    compare(functional(build))


def test_arithmetic_and_operations() -> None:
    import keras

    ops = keras.ops

    def build(inputs: Any) -> Any:
        hidden = keras.layers.Dense(WIDTH)(inputs)
        values = [inputs - 2.0 * inputs, 1 - hidden, hidden / 4.0, inputs / (1.0 + abs(hidden)), -hidden + inputs]
        values += [ops.maximum(hidden, 0.5), ops.minimum(inputs, hidden), ops.divide(1.0, 2.0 + abs(inputs))]
        joined = ops.concatenate(values, axis=-1)
        return keras.layers.Dense(3)(joined) * keras.layers.Dense(1)(inputs)

    compare(functional(build))


#: Layers that need more than a matrix; our own are in the tests of encoders.
STRUCTURED_LAYERS = {
    *("AveragePooling1D", "AveragePooling2D", "Conv1D", "Conv2D", "Flatten", "GRU", "GlobalAveragePooling1D"),
    *("GlobalAveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "LSTM", "MaxPooling1D", "MaxPooling2D"),
    *("Reshape", "UpSampling2D"),
}
FLAT = ("Flatten", {})
#: Networks of objects or images: shape of the input, and layers with their settings.
STRUCTURED: dict[str, tuple[tuple[int, ...], list[tuple[str, dict[str, Any]]]]] = {
    "valid": ((7, 3), [("Conv1D", {"filters": 4, "kernel_size": 3, "activation": "relu"}), FLAT]),
    "same, even": ((7, 3), [("Conv1D", {"filters": 4, "kernel_size": 4, "padding": "same"}), FLAT]),
    "strides": ((7, 3), [("Conv1D", {"filters": 4, "kernel_size": 4, "padding": "same", "strides": 3}), FLAT]),
    "dilation": (
        (9, 3),
        [
            ("Conv1D", {"filters": 4, "kernel_size": 2, "dilation_rate": 3, "padding": "same"}),
            ("Conv1D", {"filters": 2, "kernel_size": 3, "dilation_rate": 2, "use_bias": False}),
            FLAT,
        ],
    ),
    "pooling of steps": (
        (9, 3),
        [
            ("MaxPooling1D", {"pool_size": 2, "padding": "same"}),
            ("AveragePooling1D", {"pool_size": 3, "strides": 1, "padding": "same"}),
            FLAT,
        ],
    ),
    "image": (
        (8, 7, 2),
        [
            ("Conv2D", {"filters": 4, "kernel_size": (3, 2), "padding": "same", "activation": "softmax"}),
            ("BatchNormalization", {}),
            ("MaxPooling2D", {"pool_size": (2, 3)}),
            ("LayerNormalization", {}),
            ("Dense", {"units": 3, "activation": "gelu"}),
            ("Conv2D", {"filters": 2, "kernel_size": 2, "strides": (1, 2), "use_bias": False}),
            ("Dropout", {"rate": 0.2}),
            ("Rescaling", {"scale": [1.0, 2.0], "offset": 1.0}),
            FLAT,
        ],
    ),
    "averages of pixels": (
        (9, 8, 2),
        [
            ("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}),
            ("AveragePooling2D", {"pool_size": 2}),
            ("UnitNormalization", {}),
            FLAT,
        ],
    ),
    "repeated pixels": ((3, 4, 2), [("UpSampling2D", {"size": (2, 3)}), ("UpSampling2D", {}), FLAT]),
    "all pixels": ((4, 5, 3), [("Softmax", {}), ("GlobalAveragePooling2D", {})]),
    "largest pixel": ((4, 5, 3), [("GlobalMaxPooling2D", {})]),
    "all steps": ((6, 3), [("GlobalAveragePooling1D", {})]),
    "largest step": ((6, 3), [("GlobalMaxPooling1D", {})]),
    "reshaped": ((6, 2), [("Reshape", {"target_shape": (3, -1)}), ("LSTM", {"units": 3, "use_bias": False})]),
    "lstm": (
        (6, 2),
        [
            ("LSTM", {"units": 4, "return_sequences": True, "dropout": 0.1, "recurrent_activation": "relu"}),
            ("LSTM", {"units": 3, "activation": "sigmoid"}),
        ],
    ),
    "gru": (
        (6, 2),
        [("GRU", {"units": 4, "return_sequences": True}), ("GRU", {"units": 3, "reset_after": False})],
    ),
    "gru without bias": ((6, 2), [("GRU", {"units": 4, "use_bias": False, "activation": "relu"})]),
}


def structured(name: str) -> Any:
    import keras

    shape, layers = STRUCTURED[name]
    value = inputs = keras.Input(shape, name="x")
    for kind, settings in layers:
        value = getattr(keras.layers, kind)(**settings)(value)
    return with_random_weights(keras.Model(inputs, value), largest=0.8)


@pytest.mark.parametrize("name", STRUCTURED)
def test_layers_on_objects_and_images(name: str) -> None:
    model, shape = structured(name), STRUCTURED[name][0]
    file = file_of_model(model)
    assert file.network.num_outputs == model.output_shape[1]
    group = InputGroup("x", tuple("abc"[: shape[-1]]), objects=Objects(shape[0]) if len(shape) == 2 else None)
    group = group if len(shape) == 2 else group._replace(image=Image())
    scalers = {"x": fit_scaler("identity", np.ones((2, shape[-1])))}
    graph = keras_to_onnx(file, scalers, [group], [f"class_{number}" for number in range(model.output_shape[1])])
    rows = np.random.default_rng(8).normal(size=(50, *shape)).astype(np.float32)
    lengths = {"x_length": np.full(50, shape[0])} if len(shape) == 2 else {}
    session = new_session(graph.SerializeToString())
    expected = model.predict(rows, verbose=0)
    np.testing.assert_allclose(session.run(None, {"x": rows, **lengths})[0], expected, rtol=1e-4, atol=1e-5)
    none = {name: values[:0] for name, values in {"x": rows, **lengths}.items()}
    assert session.run(None, none)[0].shape == (0, model.output_shape[1])
    np.testing.assert_array_equal(load_keras_model(file).predict(rows, verbose=0), expected)


def test_every_layer_that_is_read_is_written_and_tested() -> None:
    assert set(LAYERS) == set(NODES)
    assert {layer[0] for _, layers in STRUCTURED.values() for layer in layers} >= STRUCTURED_LAYERS
    joining = {"Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"}
    of_others = (OPERATION, OWN, "hgq>", "qkeras>")  # with tests of their own
    layers = {kind for kind in LAYERS if not kind.startswith(of_others)} - STRUCTURED_LAYERS
    assert {kind for kind, _ in LAYER_TESTS.values()} | joining == layers


@pytest.mark.parametrize("kind", ["ELU", "LeakyReLU", "ReLU", "Softmax"])
def test_layers_as_activation(kind: str) -> None:
    import keras

    compare(functional(keras.layers.Dense(5, activation=getattr(keras.layers, kind)())))


def test_networks_in_networks_and_shared_layers() -> None:
    import keras

    layers = keras.layers
    first, second = keras.Input((5,)), keras.Input((5,))
    dense = layers.Dense(5, activation="selu")
    inner = keras.Model([first, second], layers.Add()([dense(first), dense(layers.Multiply()([first, second]))]))
    chain = keras.Sequential([layers.Dense(5, activation="silu"), layers.Dropout(0.1), layers.Dense(5)])
    innermost = keras.Sequential([keras.Input((5,)), layers.BatchNormalization(), keras.Sequential([layers.Dense(5)])])

    def build(inputs: Any) -> Any:
        start = layers.Dense(5)(inputs)
        once = inner([start, chain(start)])
        twice = inner([once, chain(once)])
        return innermost(innermost(layers.Average()([twice, start])))

    compare(functional(build))
    # The output is that of a network in the network, which Keras counts in another way.
    compare(functional(lambda inputs: inner([layers.Dense(5)(inputs), layers.Dense(5)(inputs)])))


def test_sequential_networks_with_and_without_an_input(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    compare(with_random_weights(keras.Sequential([keras.Input((WIDTH,)), layers.Dense(3), layers.Dense(1, "sigmoid")])))
    late = keras.Sequential([layers.Dense(3, activation="tanh"), layers.Dense(2)])
    late(np.zeros((7, WIDTH), dtype=np.float32))
    compare(with_random_weights(late))
    late.compile("adam", "mse")
    late.fit(events(), np.zeros((len(events()), 2)), verbose=0)
    late.save(tmp_path / "late.keras")
    assert read_keras_file(tmp_path / "late.keras").network.num_inputs == WIDTH


@pytest.mark.parametrize("opset", range(OLDEST_OPSET, NEWEST_OPSET + 1))
def test_all_layers_in_all_operator_sets(opset: int) -> None:
    """Every operator that the registries use, written in each version, gives the same."""
    import keras

    layers = keras.layers
    names = sorted(READ_ACTIVATIONS - {"exponential"})

    def build(inputs: Any) -> Any:
        start = layers.Normalization(mean=1.0, variance=2.0)(layers.Rescaling(0.5, 1.0)(inputs))
        values = [layers.Dense(2, activation=name)(start) for name in names]
        added, largest = layers.Add()(values), layers.Maximum()(values)
        joined = [layers.Average()(values), layers.Minimum()(values), layers.Multiply()([added, largest])]
        joined += [layers.Subtract()([added, largest]), layers.ReLU(3.0, 0.1, 0.2)(added)]
        joined += [layers.UnitNormalization()(added), layers.LayerNormalization()(layers.BatchNormalization()(largest))]
        return layers.Softmax()(layers.Concatenate()(joined))

    model = functional(build)
    rows = events()[:50]
    graph = with_opset(graph_of(file_of_model(model)), opset)
    assert [item.version for item in graph.opset_import] == [opset]
    np.testing.assert_allclose(scores(graph, rows), model.predict(rows, verbose=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("number", [0, 1, 2, 10_001])
def test_any_number_of_events(number: int) -> None:
    import keras

    layers = keras.layers
    model = functional(
        lambda inputs: layers.Concatenate()(
            [layers.LayerNormalization()(inputs), layers.UnitNormalization()(inputs), layers.Dense(2, "gelu")(inputs)]
        )
    )
    rows = np.random.default_rng(0).normal(size=(number, WIDTH)).astype(np.float32)
    found = scores(graph_of(file_of_model(model)), rows)
    assert found.shape == (number, 10)
    if number:
        np.testing.assert_allclose(found, model.predict(rows, verbose=0, batch_size=number), rtol=1e-5, atol=1e-6)


#: Activations that ask for the size of a number, which Keras answers with 0 for what is no number.
_HIDES_NAN = {"hard_shrink", "soft_shrink"}


@pytest.mark.parametrize("name", sorted(READ_ACTIVATIONS - _HIDES_NAN))
def test_no_score_is_made_of_what_is_no_number(name: str) -> None:
    """NaN stays NaN, whatever TensorFlow's kernels do with it (relu on some processors: 0)."""
    import keras

    model = functional(lambda inputs: keras.layers.Dense(2, activation="softmax")(keras.layers.Dense(4, name)(inputs)))
    rows = events()[:3]
    rows[1, 2] = np.nan
    found = scores(graph_of(file_of_model(model)), rows)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["elu", "hard_tanh", "relu", "relu6", "sigmoid", "softplus", "softsign", "tanh"])
def test_infinite_values(name: str) -> None:
    import keras

    model = functional(keras.layers.Activation(name))
    rows = np.array([[np.inf, -np.inf, 1e30, -1e30]], dtype=np.float32)
    np.testing.assert_array_equal(scores(graph_of(file_of_model(model)), rows), model.predict(rows, verbose=0))


def refused_models() -> dict[str, tuple[Callable[[Any], Any], str]]:
    import keras

    layers, dense = keras.layers, keras.layers.Dense(4)
    return {
        "layer that is not read": (
            lambda inputs: layers.PReLU(name="slope")(inputs),
            r"layer 'slope': is 'keras\.layers\.PReLU'",
        ),
        "normalisation as in training": (
            lambda inputs: layers.BatchNormalization(name="norm")(inputs, training=True),
            "layer 'norm': is called with training=True",
        ),
        "half precision": (
            lambda inputs: layers.Dense(3, dtype="mixed_float16", name="half")(inputs),
            "layer 'half': its setting dtype=.* is not read",
        ),
        "activation that is not read": (
            lambda inputs: layers.Dense(3, activation="sparsemax", name="sparse")(inputs),
            "layer 'sparse': its setting activation=sparsemax is not read",
        ),
        "adapters": (
            lambda inputs: (dense(inputs), dense.enable_lora(2))[0],
            "its setting lora_rank=2 is not read",
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        "layer that is not read",
        "normalisation as in training",
        "half precision",
        "activation that is not read",
        "adapters",
    ],
)
def test_what_cannot_be_written_is_refused_by_name(name: str) -> None:
    build, message = refused_models()[name]
    with pytest.raises(NtuplemlError, match=message) as error:
        file_of_model(functional(build), "start.keras")
    assert str(error.value).startswith("start.keras: refused: ")
    assert "\n" not in str(error.value)
