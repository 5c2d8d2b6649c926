"""The models of all folds in one graph, and other operator sets, evaluated by ONNX Runtime."""

from __future__ import annotations

import functools
import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from ntupleml.errors import NtuplemlError
from ntupleml.folds import fold_of_events
from ntupleml.onnx_models.contract import GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.graph_forms import NEWEST_OPSET, OLDEST_OPSET, all_folds_model, with_opset
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CASES = ["bin_bdtg", "mc_mlp_tanh_N", "bin_likelihood", "bin_mlp_tanh_ND", "bin_ada_fishercuts"]


def linear(slope: float, dtype: type[np.generic] = np.float32) -> onnx.ModelProto:
    """Scores slope · x and y."""
    graph = GraphBuilder()
    graph.add("Mul", "variables", graph.constant([slope, 1.0], dtype), output="scores")
    names = ["x", "y"]
    return contract_model(
        graph, {"variables": GraphInput(names)}, {"scores": names}, classes=names, kind="test", dtype=dtype
    )


def run(model: onnx.ModelProto, **feeds: Any) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, feeds)
    return np.asarray(result)


def weights(case: str, project: Path, folder: Path) -> onnx.ModelProto:
    path = folder / "a.weights.xml"
    path.write_bytes(gzip.decompress((project / "tests" / "data" / "tmva" / case / "weights.xml.gz").read_bytes()))
    return tmva_to_onnx(read_weights(path))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_folds", [2, 3, 7])
def test_each_event_is_scored_by_the_model_of_its_fold(num_folds: int, dtype: type[np.generic]) -> None:
    """Negative numbers and such beyond 2⁵³ too, whose folds a floating-point remainder would get wrong."""
    model = all_folds_model([linear(10.0**fold, dtype) for fold in range(num_folds)], {"classes": ["x", "y"]})
    random = np.random.default_rng(1)
    events = random.integers(-(2**62), 2**62, 500)
    events[:6] = [-1, 0, 1, -num_folds, 2**62 + 1, -(2**63)]
    rows = random.normal(size=(500, 2)).astype(dtype)
    expected = rows * np.stack([10.0 ** fold_of_events(events, num_folds), np.ones(500)], axis=1)
    found = run(model, variables=rows, event=events)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert fold_of_events(events[:1], num_folds) == [num_folds - 1]


@pytest.mark.parametrize("number", [0, 1])
def test_few_events(number: int) -> None:
    model = all_folds_model([linear(2.0), linear(3.0)], {})
    found = run(model, variables=np.ones((number, 2), np.float32), event=np.full(number, 7))
    np.testing.assert_array_equal(found, np.array([[3.0, 1.0]] * number).reshape(number, 2))


def test_description() -> None:
    model = all_folds_model([linear(2.0), linear(3.0)], {"classes": ["x", "y"]})
    (entry,) = model.metadata_props
    assert json.loads(entry.value) == {"classes": ["x", "y"], "event": "event"}
    assert [value.name for value in model.graph.input] == ["variables", "event"]
    assert [value.name for value in model.graph.output] == ["scores"]


def recurrent(slope: float) -> onnx.ModelProto:
    """Adds slope · x three times, in a loop whose body reads names from around it, and in a loop within that."""
    graph = GraphBuilder()
    scaled = graph.add("Mul", "variables", graph.constant([slope, 1.0], np.float32))
    zeros = graph.add("Mul", "variables", graph.constant(0.0, np.float32))
    times, go_on = graph.constant(3, np.int64), graph.constant(True, np.bool_)
    once = graph.constant(1, np.int64)
    inner = _body("inner", "Add", "inner_sum", scaled)
    outer = _body("outer", "Loop", once, "", "outer_sum", body=inner)
    graph.nodes.append(helper.make_node("Loop", [times, go_on, zeros], ["scores"], body=outer))
    names = ["x", "y"]
    return contract_model(graph, {"variables": GraphInput(names)}, {"scores": names}, classes=names, kind="test")


def _body(name: str, operator: str, *inputs: str, **attributes: Any) -> onnx.GraphProto:
    result = f"{name}_{operator.lower()}"
    going = helper.make_node("Identity", [f"{name}_on"], [f"{name}_goes_on"])
    value = functools.partial(helper.make_tensor_value_info, elem_type=onnx.TensorProto.FLOAT, shape=None)
    switch = functools.partial(helper.make_tensor_value_info, elem_type=onnx.TensorProto.BOOL, shape=[])
    step = helper.make_tensor_value_info(f"{name}_step", onnx.TensorProto.INT64, [])
    return helper.make_graph(
        [going, helper.make_node(operator, inputs, [result], **attributes)],
        name,
        [step, switch(f"{name}_on"), value(f"{name}_sum")],
        [switch(f"{name}_goes_on"), value(result)],
    )


def test_networks_with_loops() -> None:
    """Each keeps to its own values, also in the bodies."""
    model = all_folds_model([recurrent(2.0), recurrent(5.0)], {})
    rows = np.random.default_rng(1).normal(size=(6, 2)).astype("f4")
    factors = np.where(np.arange(6)[:, np.newaxis] % 2, [15.0, 3.0], [6.0, 3.0])
    np.testing.assert_allclose(run(model, variables=rows, event=np.arange(6)), factors * rows, rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_operator_sets(case: str, project: Path, tmp_path: Path) -> None:
    """The same numbers in every version that is written, alone and with all folds."""
    model = weights(case, project, tmp_path)
    width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    rows = np.random.default_rng(2).normal(size=(200, width)).astype("f4")
    expected = run(model, variables=rows)
    for opset in range(OLDEST_OPSET, NEWEST_OPSET + 1):
        converted = with_opset(model, opset)
        assert next(item.version for item in converted.opset_import if item.domain == "") == opset
        assert converted.metadata_props == model.metadata_props
        np.testing.assert_array_equal(run(converted, variables=rows), expected)
        joined = all_folds_model([converted, converted], {})
        np.testing.assert_array_equal(run(joined, variables=rows, event=np.arange(200)), expected)


@pytest.mark.parametrize("opset", [12, 24])
def test_other_operator_sets_are_refused(opset: int) -> None:
    with pytest.raises(NtuplemlError, match="operator sets from 13 to 23 are written"):
        with_opset(linear(1.0), opset)


def test_an_operator_that_the_older_set_lacks(tmp_path: Path) -> None:
    """LayerNormalization came with version 17."""
    graph = GraphBuilder()
    graph.add("LayerNormalization", "variables", graph.constant([1.0, 1.0], np.float32), output="scores")
    names = ["x", "y"]
    model = contract_model(graph, {"variables": GraphInput(names)}, {"scores": names}, classes=names, kind="test")
    with pytest.raises(NtuplemlError, match=r"a\.keras: has no form in operator set 16 .*choose one nearer to 17"):
        with_opset(model, 16, "a.keras")
