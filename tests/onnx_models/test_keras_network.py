"""ONNX graphs against scikit-learn, scipy and Keras on the same events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from scipy.special import ndtri
from sklearn.preprocessing import MinMaxScaler, Normalizer, QuantileTransformer, StandardScaler

from ntupleml.artifacts import file_of_model
from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup
from ntupleml.onnx_models.graph import IR_VERSION, OPSET, GraphBuilder
from ntupleml.onnx_models.keras_network import keras_to_onnx
from ntupleml.onnx_models.scaler_nodes import normal_quantile_nodes, quantile_nodes, scaler_nodes
from ntupleml.onnx_models.sessions import check_against_keras, scores_of_batch
from ntupleml.preprocessing import SCALERS, fit_scaler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VARIABLES = ["pt", "run", "njets", "flag"]


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """A falling spectrum, a large mean with a small spread, an integer with ties, a constant; float32."""
    random = np.random.default_rng(4)
    columns = [
        random.exponential(40, 3000) + 20,
        1e6 + random.normal(0, 3, 3000),
        random.poisson(1.5, 3000),
        np.full(3000, 7.0),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def run(build: Callable[[GraphBuilder, str], str], values: np.ndarray) -> np.ndarray:
    """Evaluate a piece of graph."""
    graph = GraphBuilder()
    output = build(graph, "values")
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    model = helper.make_model(
        helper.make_graph(
            [*graph.nodes, helper.make_node("Identity", [output], ["result"])],
            "piece",
            [helper.make_tensor_value_info("values", kind, [None] * values.ndim)],
            [helper.make_empty_tensor_value_info("result")],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    model.graph.output[0].type.tensor_type.elem_type = _type_of(model, "result") or kind
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"values": values})[0]


def _type_of(model: onnx.ModelProto, name: str) -> int:
    inferred = onnx.shape_inference.infer_shapes(model)
    found = [value.type.tensor_type.elem_type for value in inferred.graph.output if value.name == name]
    return found[0] if found and found[0] != TensorProto.UNDEFINED else 0


@pytest.mark.parametrize("method", SCALERS)
def test_scalers_agree_with_scikit_learn_to_the_last_digits(method: str, rows: np.ndarray) -> None:
    scaler = fit_scaler(method, rows, seed=2)
    random = np.random.default_rng(0)
    far = np.concatenate([rows, rows * 3, -rows, random.normal(size=rows.shape).astype(np.float32)])
    found = run(lambda graph, values: scaler_nodes(graph, values, scaler), far)
    expected = scaler.transform(far.astype(np.float64)).astype(np.float32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_quantile_transformer_agrees_in_float64(weighted: bool, rows: np.ndarray) -> None:
    weights = np.random.default_rng(1).uniform(0.1, 2, len(rows)) if weighted else None
    scaler = fit_scaler("quantile_transformer", rows, weights=weights, seed=2)
    quantiles = scaler.quantiles_
    middles = 0.5 * (quantiles[1:] + quantiles[:-1])
    near_the_ends = np.concatenate([quantiles[[0, -1]] + shift for shift in (-2e-7, -5e-8, 0, 5e-8, 2e-7)])
    values = np.concatenate([rows.astype(np.float64), quantiles, middles, near_the_ends])
    found = run(lambda graph, name: quantile_nodes(graph, name, scaler), values)
    np.testing.assert_allclose(found, scaler.transform(values), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_quantiles", [2, 3, 4, 5, 64, 65, 1000])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_any_number_of_quantiles(num_quantiles: int, distribution: str, rows: np.ndarray) -> None:
    scaler = QuantileTransformer(n_quantiles=num_quantiles, output_distribution=distribution, random_state=0)
    values = np.concatenate([rows, rows + 0.3]).astype(np.float64)
    scaler.fit(rows.astype(np.float64))
    found = run(lambda graph, name: quantile_nodes(graph, name, scaler), values)
    np.testing.assert_allclose(found, scaler.transform(values), rtol=1e-12, atol=1e-12)


def test_the_normal_quantile_function_agrees_with_scipy() -> None:
    tail = np.geomspace(1e-7, 0.5, 2001)
    fractions = np.unique(np.concatenate([tail, 1 - tail, np.linspace(0.001, 0.999, 999)]))
    found = run(normal_quantile_nodes, fractions)
    np.testing.assert_allclose(found, ndtri(fractions), rtol=1e-14, atol=1e-15)


def test_min_max_that_clips() -> None:
    values = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
    scaler = MinMaxScaler((-1, 1), clip=True).fit(values[:2])
    found = run(lambda graph, name: scaler_nodes(graph, name, scaler), values)
    np.testing.assert_array_equal(found, [[-1], [1], [1]])


@pytest.mark.parametrize("options", [{"with_mean": False}, {"with_std": False}])
def test_partial_standard_scalers(options: dict[str, bool], rows: np.ndarray) -> None:
    scaler = StandardScaler(**options).fit(rows.astype(np.float64))
    found = run(lambda graph, name: scaler_nodes(graph, name, scaler), rows)
    np.testing.assert_allclose(found, scaler.transform(rows.astype(np.float64)), rtol=2e-7)


def test_another_preprocessing_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(NtuplemlError, match="preprocessing by a Normalizer cannot be written to ONNX"):
        scaler_nodes(GraphBuilder(), "values", Normalizer().fit(rows))


def network(kind: str, num_inputs: int = 4) -> Any:
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(1)
    if kind == "functional":
        inputs = keras.Input((num_inputs,))
        hidden = layers.LayerNormalization()(layers.Dense(16, activation="elu")(inputs))
        return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Concatenate()([inputs, hidden])))
    ends = {
        "softmax": [layers.Dense(3, activation="softmax", kernel_regularizer=keras.regularizers.L2(1e-5))],
        "two outputs": [layers.Dense(2, activation="softmax")],
        "sigmoid": [layers.Dense(1, activation="sigmoid")],
        "batch_norm": [layers.BatchNormalization(), layers.Activation("relu"), layers.Dense(3), layers.Softmax()],
        "dropout": [layers.Dropout(0.5), layers.Dense(3, activation="softmax")],
        "selu": [layers.Dense(8, activation="selu"), layers.LeakyReLU(), layers.Dense(3, activation="softmax")],
    }
    return keras.Sequential([keras.Input((num_inputs,)), layers.Dense(16, activation="tanh"), *ends[kind]])


def classes_of(model: Any) -> list[str]:
    return ["a", "b", "c"] if model.output_shape[1] == 3 else ["background", "signal"]


KINDS = ["softmax", "two outputs", "sigmoid", "batch_norm", "dropout", "selu", "functional"]


def converted(
    model: Any,
    scaler: Any,
    *,
    variables: Sequence[str] = VARIABLES,
    outputs: Sequence[str] = ("a", "b", "c"),
    missing: float | None = None,
    **options: Any,
) -> onnx.ModelProto:
    group = InputGroup("variables", tuple(variables), missing=missing)
    return keras_to_onnx(file_of_model(model), {"variables": scaler}, [group], outputs, **options)


def test_normalisations_are_part_of_dense_layers_that_nothing_else_takes(rows: np.ndarray) -> None:
    """Of three normalisations two; that of the layer which is also added stays."""
    import keras

    keras.utils.set_random_seed(3)
    inputs = keras.Input((len(VARIABLES),))
    first = keras.layers.Dense(6, use_bias=False)(inputs)
    hidden = keras.layers.Activation("tanh")(keras.layers.BatchNormalization()(first))
    second = keras.layers.Dense(6)(hidden)
    hidden = keras.layers.Add()([second, keras.layers.BatchNormalization(scale=False)(second)])
    third = keras.layers.BatchNormalization(center=False)(keras.layers.Dense(5)(hidden))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(third))
    scaler = fit_scaler("standard_scaler", rows)
    model(scaler.transform(rows).astype(np.float32) * 3 + 1, training=True)
    graph = converted(model, scaler)
    assert check_against_keras(graph, model, scaler, rows) < 1e-6
    used = {name for node in graph.graph.node for name in node.input}
    assert {constant.name for constant in graph.graph.initializer} <= used
    assert not any(node.doc_string for node in graph.graph.node)
    alone = keras.Model(inputs, first)
    without = converted(alone, scaler, outputs=[f"c{number}" for number in range(6)])
    number = {kind: sum(node.op_type == kind for node in graph.graph.node) for kind in ("Gemm", "Mul")}
    assert number["Gemm"] == 4
    assert number["Mul"] == sum(node.op_type == "Mul" for node in without.graph.node) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_networks_agree_with_keras(kind: str, rows: np.ndarray) -> None:
    model = network(kind)
    scaler = fit_scaler("standard_scaler", rows)
    if kind == "batch_norm":
        model(scaler.transform(rows).astype(np.float32), training=True)  # moves the averages off zero and one
    classes = classes_of(model)
    graph = converted(model, scaler, outputs=classes)
    assert check_against_keras(graph, model, scaler, rows) < 1e-6
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"variables": rows})
    # Keras' own prediction, on scikit-learn's own preprocessing.
    expected = model.predict(scaler.transform(rows.astype(np.float64)), verbose=0)
    if kind == "sigmoid":
        np.testing.assert_allclose(scores[:, 1:], expected, atol=1e-6)
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    else:
        np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.shape == (3000, len(classes))
    assert session.run(["scores"], {"variables": rows[:0]})[0].shape == (0, len(classes))


@pytest.mark.parametrize("method", SCALERS)
def test_each_scaler_with_a_network(method: str, rows: np.ndarray) -> None:
    model, scaler = network("softmax"), fit_scaler(method, rows, seed=3)
    shifted = rows - np.float32(1e6) * (np.arange(4) == 1) if method == "identity" else rows
    graph = converted(model, scaler)
    assert check_against_keras(graph, model, scaler, shifted.astype(np.float32)) < 1e-6


def test_missing_values_are_replaced_in_the_graph(rows: np.ndarray) -> None:
    model, scaler = network("softmax"), fit_scaler("standard_scaler", rows)
    graph = converted(model, scaler, missing=-10.0)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    broken, replaced = rows[:6].copy(), rows[:6].copy()
    broken[0, 0], broken[1, 1], broken[2, 2] = np.nan, np.inf, -np.inf
    replaced[0, 0] = replaced[1, 1] = replaced[2, 2] = -10.0
    (found,) = session.run(None, {"variables": broken})
    expected = scores_of_batch(model, {"variables": scaler}, {"variables": replaced}, None, TargetRecord())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert check_against_keras(graph, model, scaler, broken, missing=-10.0) < 1e-6


def test_conditions_reach_the_network_unscaled(rows: np.ndarray) -> None:
    model, scaler = network("softmax", num_inputs=6), fit_scaler("standard_scaler", rows)
    graph = converted(model, scaler, conditions=["2016", "2017"], missing=0.0)
    inputs = np.concatenate([rows, np.eye(2, dtype=np.float32)[np.arange(3000) % 2]], axis=1)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    scaled = np.concatenate([scaler.transform(rows.astype(np.float64)), inputs[:, 4:]], axis=1)
    np.testing.assert_allclose(session.run(None, {"variables": inputs})[0], model.predict(scaled, verbose=0), atol=1e-6)
    description = json.loads(session.get_modelmeta().custom_metadata_map["ntupleml"])
    assert description["variables"] == {"variables": [*VARIABLES, "2016", "2017"]}


def test_the_graph_describes_itself(rows: np.ndarray) -> None:
    graph = converted(network("softmax"), fit_scaler("identity", rows), record_hash="abc", missing=-1.0)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    assert [(value.name, value.type, value.shape) for value in session.get_inputs()] == [
        ("variables", "tensor(float)", ["events", 4])
    ]
    assert [(value.name, value.type, value.shape) for value in session.get_outputs()] == [
        ("scores", "tensor(float)", ["events", 3])
    ]
    assert json.loads(session.get_modelmeta().custom_metadata_map["ntupleml"]) == {
        "variables": {"variables": VARIABLES},
        "outputs": ["scores"],
        "classes": ["a", "b", "c"],
        "conditions": [],
        "missing": -1.0,
        "kind": "keras",
        "record_hash": "abc",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variables": VARIABLES[:3]}, "takes 4 inputs per event, but there are 3"),
        ({"conditions": ["2016"]}, "but there are 5"),
        ({"outputs": ["a", "b"]}, "gives 3 outputs per event, but there are 2 classes"),
        ({"scaler": fit_scaler("identity", np.ones((2, 5)))}, "fitted to 5 variables, but there are 4"),
    ],
)
def test_names_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, rows: np.ndarray) -> None:
    with pytest.raises(NtuplemlError, match=message):
        converted(**{"model": network("softmax"), "scaler": fit_scaler("identity", rows), **changes})


def test_a_graph_of_another_network_is_refused(rows: np.ndarray) -> None:
    scaler = fit_scaler("standard_scaler", rows)
    model = network("softmax")
    graph = converted(model, scaler)
    model.set_weights([weight * 1.01 for weight in model.get_weights()])
    with pytest.raises(NtuplemlError, match="the ONNX graph differs from the Keras network by up to"):
        check_against_keras(graph, model, scaler, rows)


def test_a_network_that_has_diverged_is_refused(rows: np.ndarray) -> None:
    scaler = fit_scaler("standard_scaler", rows)
    model = network("softmax")
    graph = converted(model, scaler)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    with pytest.raises(NtuplemlError, match="not finite; the training has diverged"):
        check_against_keras(graph, model, scaler, rows)


def test_equal_constants_are_kept_once_also_by_loops() -> None:
    """Numbers that differ in type, shape or sign of zero stay apart."""
    graph = GraphBuilder(prefix="a/")
    names = [graph.constant(1.0), graph.constant([1.0]), graph.constant(1.0, np.float32), graph.constant(0.0)]
    assert len({*names, graph.constant(-0.0), graph.body().constant(2.0)}) == len(graph.constants) == 6
    assert [graph.constant(1), graph.body().constant(np.float64(1))] == [names[0], names[0]]
    assert len(graph.constants) == 6
