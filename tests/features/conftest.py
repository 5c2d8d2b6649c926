"""Formulas of features as ONNX Runtime computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import helper
from onnxruntime import InferenceSession

from ntupleml.onnx_models.arrays import OnnxArrays
from ntupleml.onnx_models.graph import IR_VERSION, OPSET, GraphBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.features.arrays import Arrays


def _in_onnx(formula: Callable[[Arrays, Any], Any], values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    graph = GraphBuilder(prefix="g/")
    arrays = OnnxArrays(graph, dtype)
    graph.add("Identity", formula(arrays, arrays.value("x")).name, output="y")
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    given, wanted = (helper.make_tensor_value_info(name, kind, None) for name in ("x", "y"))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "formula", [given], [wanted], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    result: NDArray[Any] = InferenceSession(model.SerializeToString()).run(None, {"x": values.astype(dtype)})[0]
    return result


@pytest.fixture
def in_onnx() -> Callable[..., NDArray[Any]]:
    """Evaluates a formula of (arrays, x) on values of a type."""
    return _in_onnx
