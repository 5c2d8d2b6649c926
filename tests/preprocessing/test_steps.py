"""Steps of preprocessing: the numbers of scikit-learn's own transformers, in NumPy and as ONNX nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.preprocessing import PowerTransformer, StandardScaler

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.scaler_nodes import scaler_nodes
from ntupleml.preprocessing.steps import fit_steps, transformed

ROWS = np.random.default_rng(4).lognormal([0.0, 2.0, -1.0], [1.0, 0.3, 0.5], (400, 3)).astype(np.float32)
CHAINS: dict[str, tuple[list[Any], list[Any]]] = {
    "components": ([{"type": "pca", "n_components": 2}], [PCA(2)]),
    "white": (["standard_scaler", {"type": "pca", "whiten": True}], [StandardScaler(), PCA(whiten=True)]),
    "box-cox": (["box_cox"], [PowerTransformer(method="box-cox")]),
    "yeo-johnson": (["standard_scaler", "yeo_johnson"], [StandardScaler(), PowerTransformer()]),
    "all": (["box_cox", "pca"], [PowerTransformer(method="box-cox"), PCA()]),
}


def in_graph(steps: list[Any], rows: np.ndarray) -> np.ndarray:
    graph = GraphBuilder()
    value = "rows"
    for step in steps:
        value = scaler_nodes(graph, value, step)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(np.float32))
    declared = [helper.make_tensor_value_info("rows", kind, ["events", rows.shape[1]])]
    given = [helper.make_tensor_value_info(value, kind, None)]
    body = helper.make_graph(graph.nodes, "steps", declared, given, initializer=graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"rows": rows})[0])


@pytest.mark.parametrize("chain", CHAINS)
def test_numbers_are_those_of_scikit_learn(chain: str) -> None:
    names, transformers = CHAINS[chain]
    steps = fit_steps(names, ROWS)
    expected = ROWS.astype(np.float64)
    for one in transformers:
        expected = one.fit_transform(expected)
    np.testing.assert_allclose(np.abs(transformed(steps, ROWS)), np.abs(expected), atol=2e-5)
    others = (ROWS * np.float32(1.3)) if chain in ("box-cox", "all") else np.concatenate([ROWS * 2, -ROWS])
    np.testing.assert_allclose(in_graph(steps, others), transformed(steps, others), atol=1e-6, rtol=1e-6)
    assert transformed(steps, ROWS).dtype == np.float32


def test_logarithms_are_box_coxes_limit() -> None:
    (step,) = fit_steps(["box_cox"], ROWS)
    step.lambdas_ = np.array([0.0, 1.0, 0.5])
    raw = step._scaler.inverse_transform(in_graph([step], ROWS))
    for column, power in enumerate((0.0, 1.0, 0.5)):
        np.testing.assert_allclose(
            raw[:, column], stats.boxcox(ROWS[:, column].astype(np.float64), power), rtol=1e-4, atol=1e-4
        )


def test_what_is_smaller_than_all_seen_counts_as_the_smallest() -> None:
    (step,) = steps = fit_steps(["box_cox"], ROWS)
    least = ROWS.min(axis=0, keepdims=True)
    below = np.concatenate([least, least / 2, -least, 0 * least])
    for found in (transformed(steps, below), in_graph([step], below)):
        np.testing.assert_array_equal(found, np.repeat(found[:1], 4, axis=0))
        assert np.isfinite(found).all()


def test_weights_count_for_scalers() -> None:
    weights = np.random.default_rng(1).uniform(0, 2, len(ROWS))
    (step, _) = fit_steps(["standard_scaler", "pca"], ROWS, weights=weights)
    np.testing.assert_allclose(step.mean_, np.average(ROWS, axis=0, weights=weights), rtol=1e-6)


@pytest.mark.parametrize(
    ("step", "rows", "message"),
    [
        ("pcs", ROWS, r"^preprocessing\[0\]: no preprocessing 'pcs'; nearest: 'pca'"),
        ({"type": "yeo_johnson", "lambda": 1}, ROWS, "yeo_johnson has no setting 'lambda'"),
        ({"n_components": 1}, ROWS, "no preprocessing 'None'"),
        ("box_cox", ROWS - 1, "box_cox takes positive inputs only, but input "),
        ({"type": "pca", "n_components": "many"}, ROWS, "The 'n_components' parameter of PCA must be"),
    ],
)
def test_mistakes(step: Any, rows: np.ndarray, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        fit_steps([step], rows)
