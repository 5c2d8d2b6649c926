"""Members in one graph: mean, spread and members against NumPy, bodies of branches, more outputs, equal constants."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats, integers
from onnx import TensorProto, helper, numpy_helper

from ntupleml.onnx_models.ensemble import ensemble_model
from ntupleml.onnx_models.graph_forms import with_opset
from ntupleml.scoring.evaluators import open_session, session_evaluator

_SHIFT = np.array([1.0, 2.0], np.float32)


def member(weights: np.ndarray, dtype: type[np.generic] = np.float32) -> onnx.ModelProto:
    """(x + 1, x + 2)·W where the sum of all x is positive, in a body that reads constants around it, else −(…)·W.

    A second output has the shifted inputs.
    """
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def body(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, kind, None)])

    then = body("then", [helper.make_node("MatMul", ["image", "weights"], ["then"])])
    otherwise = body(
        "otherwise",
        [
            helper.make_node("MatMul", ["image", "weights"], ["product"]),
            helper.make_node("Neg", ["product"], ["otherwise"]),
        ],
    )
    nodes = [
        helper.make_node("Add", ["variables", "shift"], ["image"], name="add"),
        helper.make_node("ReduceSum", ["variables"], ["sum"], keepdims=0, name="sum"),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["scores"], then_branch=then, else_branch=otherwise, name="if"),
    ]
    constants = {"shift": _SHIFT.astype(dtype), "weights": weights.astype(dtype), "zero": np.zeros((), dtype)}
    outputs = [
        helper.make_tensor_value_info("scores", kind, ["events", weights.shape[1]]),
        helper.make_tensor_value_info("image", kind, ["events", 2]),
    ]
    graph = helper.make_graph(
        nodes, "member", [helper.make_tensor_value_info("variables", kind, ["events", 2])], outputs,
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"ntupleml": json.dumps({"outputs": ["scores", "image"], "record_hash": "member"})})
    return model


def run(model: onnx.ModelProto, rows: np.ndarray) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, {"variables": rows}), strict=True))


@settings(max_examples=20, deadline=None)
@given(
    weights=arrays(np.float32, (3, 2, 2), elements=floats(-8, 8, width=32)), number=integers(0, 6), sign=integers(0, 1)
)
def test_mean_spread_and_members(weights: np.ndarray, number: int, sign: int) -> None:
    rows = np.random.default_rng(number).uniform(0.1, 1, (number, 2)).astype(np.float32) * (1 if sign else -1)
    found = run(ensemble_model([member(some) for some in weights], {"record_hash": "whole"}), rows)
    direction = 1 if rows.sum() > 0 else -1
    each = direction * np.einsum("ei,mio->emo", (rows + _SHIFT).astype("f8"), weights.astype("f8"))
    np.testing.assert_allclose(found["members"], each, atol=1e-4)
    np.testing.assert_allclose(found["scores"], each.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(found["spread"], each.std(axis=1, ddof=1), atol=1e-4)
    np.testing.assert_allclose(found["image"], rows + _SHIFT, atol=1e-6)


def test_members_that_are_alike_do_not_differ() -> None:
    weights = np.array([[0.1, 0.7], [0.3, 1e6]], np.float32)
    rows = np.random.default_rng(1).uniform(0, 1, (50, 2)).astype(np.float32)
    found = run(ensemble_model([member(weights)] * 5, {}), rows)
    np.testing.assert_allclose(found["spread"], 0, atol=0.2)  # a unit in the last place of a million
    assert (found["spread"][:, 0] < 1e-6).all()
    np.testing.assert_array_equal(found["members"][:, 0], run(member(weights), rows)["scores"])


def test_the_file_says_what_it_is_and_keeps_equal_constants_once() -> None:
    random = np.random.default_rng(2)
    model = ensemble_model([member(random.normal(size=(2, 3))) for _ in range(4)], {"record_hash": "whole"})
    (text,) = [item.value for item in model.metadata_props if item.key == "ntupleml"]
    assert json.loads(text) == {"outputs": ["scores", "spread", "members", "image"], "record_hash": "whole"}
    shapes = {
        value.name: [one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim]
        for value in model.graph.output
    }
    assert shapes == {
        "scores": ["events", 3], "spread": ["events", 3], "members": ["events", 4, 3], "image": ["events", 2],
    }  # fmt: skip
    held = [numpy_helper.to_array(one) for one in model.graph.initializer]
    assert sum(one.shape == (2,) and (one == _SHIFT).all() for one in held) == 1
    assert sum(one.shape == (2, 3) for one in held) == 4


@pytest.mark.parametrize("opset", [13, 18, 21])
def test_other_operator_sets(opset: int) -> None:
    random = np.random.default_rng(3)
    model = ensemble_model([member(random.normal(size=(2, 2))) for _ in range(3)], {})
    rows = random.normal(size=(20, 2)).astype(np.float32)
    for name, values in run(with_opset(model, opset), rows).items():
        np.testing.assert_allclose(values, run(model, rows)[name], atol=1e-6)


def test_double_precision() -> None:
    random = np.random.default_rng(4)
    weights = random.normal(size=(3, 2, 2))
    found = run(
        ensemble_model([member(some, np.float64) for some in weights], {}), rows := random.uniform(0, 1, (9, 2))
    )
    each = np.einsum("ei,mio->emo", rows + _SHIFT.astype("f8"), weights)
    np.testing.assert_allclose(found["spread"], each.std(axis=1, ddof=1), atol=1e-14)
    assert found["spread"].dtype == np.float64
    assert helper.tensor_dtype_to_np_dtype(TensorProto.DOUBLE) == np.float64


def test_pixels_of_an_image_stand_behind_the_mean() -> None:
    """As behind the scores of single models, whose image is the mean of the members' too."""
    random = np.random.default_rng(5)
    model = ensemble_model([member(random.normal(size=(2, 3))) for _ in range(3)], {})
    rows = random.uniform(0, 1, (7, 2)).astype(np.float32)
    evaluator = session_evaluator(open_session(model.SerializeToString(), "ensemble", 1), "image")
    assert evaluator.ensemble is not None
    found = evaluator.ensemble({"variables": rows})
    wanted = run(model, rows)
    np.testing.assert_array_equal(found.scores, np.hstack([wanted["scores"], wanted["image"]]))
    np.testing.assert_array_equal(found.spread, wanted["spread"])
    np.testing.assert_array_equal(evaluator.evaluate({"variables": rows}), found.scores)
