"""lwtnn's layers on single rows as ONNX operators; on sequences they act at each step.

Formulas: lwtnn's ``include/lwtnn/generic/Stack.tcc``. Where ONNX Runtime has an operator in single precision only, or
ONNX keeps its parameter in single precision, double precision uses elementary operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.network import Dense, Highway, Linear, Maxout, Normalization

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.lwtnn.network import Activation, FeedForwardLayer
    from ntupleml.onnx_models.graph import GraphBuilder

#: Beyond this argument liblwtnn's sigmoid is exactly 0 or 1.
_SIGMOID_END = 30.0


def layer_nodes(
    graph: GraphBuilder, value: str, layer: FeedForwardLayer, dtype: type[np.generic], *, sequence: bool = False
) -> str:
    """Append a layer that works on rows: events × width or, with `sequence`, events × steps × width."""
    if isinstance(layer, Dense):
        return activation_nodes(graph, _dense(graph, value, layer, dtype, sequence), layer.activation, dtype)
    if isinstance(layer, Normalization):
        shifted = graph.add("Add", value, constant(graph, layer.bias, dtype))
        return scaled_nodes(graph, shifted, layer.weights, dtype)
    if isinstance(layer, Maxout):
        return graph.add("Max", *[linear_nodes(graph, value, unit, dtype, sequence) for unit in layer.units])
    return _highway(graph, value, layer, dtype, sequence)


def scaled_nodes(graph: GraphBuilder, value: str, factors: NDArray[np.float64], dtype: type[np.generic]) -> str:
    """Append the product with a factor for each value of the last axis.

    A product with a single number would lose digits in double precision: ONNX Runtime makes it an attribute, in single
    precision, of the product of matrices that follows (its MatMulScaleFusion). A matrix of one number is left alone.
    """
    if len(factors) == 1:
        return graph.add("MatMul", value, constant(graph, factors.reshape(1, 1), dtype))
    return graph.add("Mul", value, constant(graph, factors, dtype))


def _dense(graph: GraphBuilder, value: str, layer: Dense, dtype: type[np.generic], sequence: bool) -> str:
    if layer.weights is not None and layer.bias is not None:
        return linear_nodes(graph, value, Linear(layer.weights, layer.bias), dtype, sequence)
    if layer.weights is not None:
        return graph.add("MatMul", value, constant(graph, layer.weights.T, dtype))
    return value if layer.bias is None else graph.add("Add", value, constant(graph, layer.bias, dtype))


def linear_nodes(graph: GraphBuilder, value: str, linear: Linear, dtype: type[np.generic], sequence: bool) -> str:
    """Append W x + b; one operator does it all only where the value has no steps."""
    weights, bias = constant(graph, linear.weights.T, dtype), constant(graph, linear.bias, dtype)
    if not sequence:
        return graph.add("Gemm", value, weights, bias)
    return graph.add("Add", graph.add("MatMul", value, weights), bias)


def _highway(graph: GraphBuilder, value: str, layer: Highway, dtype: type[np.generic], sequence: bool) -> str:
    carry = _sigmoid(graph, linear_nodes(graph, value, layer.carry, dtype, sequence), dtype)
    transformed = linear_nodes(graph, value, layer.transform, dtype, sequence)
    transformed = activation_nodes(graph, transformed, layer.activation, dtype)
    rest = graph.add("Sub", constant(graph, 1.0, dtype), carry)
    return graph.add("Add", graph.add("Mul", carry, transformed), graph.add("Mul", rest, value))


def activation_nodes(
    graph: GraphBuilder, value: str, activation: Activation, dtype: type[np.generic], *, axis: int = -1
) -> str:
    """Append an activation function, softmax along an axis; ``linear`` gives the value itself."""
    function, alpha = activation
    if function == "linear":
        return value
    if function == "softmax":
        return graph.add("Softmax", value, axis=axis)
    if function == "sigmoid":
        return _sigmoid(graph, value, dtype)
    if function == "hard_sigmoid":
        # 0.2 x + 0.5; first the sum, since a product might be joined with a layer before: see scaled_nodes
        line = graph.add("Add", value, constant(graph, 2.5, dtype))
        line = graph.add("Mul", line, constant(graph, 0.2, dtype))
        return graph.add("Clip", line, constant(graph, 0.0, dtype), constant(graph, 1.0, dtype))
    if function == "swish":
        scaled = value if alpha == 1 else graph.add("Mul", value, constant(graph, alpha, dtype))
        return graph.add("Mul", value, _sigmoid(graph, scaled, dtype))
    if function in ("elu", "leakyrelu"):
        return _below_zero(graph, value, activation, dtype)
    return graph.add({"rectified": "Relu", "tanh": "Tanh", "abs": "Abs"}[function], value)


def _sigmoid(graph: GraphBuilder, value: str, dtype: type[np.generic]) -> str:
    """Liblwtnn's sigmoid; the ends, 1e-13 from the true function, do not show in single precision."""
    result = graph.add("Sigmoid", value)
    if dtype == np.float32:
        return result
    low, high = constant(graph, -_SIGMOID_END, dtype), constant(graph, _SIGMOID_END, dtype)
    result = graph.add("Where", graph.add("Less", value, low), constant(graph, 0.0, dtype), result)
    return graph.add("Where", graph.add("Greater", value, high), constant(graph, 1.0, dtype), result)


def _below_zero(graph: GraphBuilder, value: str, activation: Activation, dtype: type[np.generic]) -> str:
    """ELU and leaky ReLU: the value itself above zero, another function below."""
    function, alpha = activation
    if dtype == np.float32:
        return graph.add("Elu" if function == "elu" else "LeakyRelu", value, alpha=alpha)
    other = value
    if function == "elu":
        other = graph.add("Sub", graph.add("Exp", value), constant(graph, 1.0, dtype))
    other = graph.add("Mul", other, constant(graph, alpha, dtype))
    return graph.add("Where", graph.add("Greater", value, constant(graph, 0.0, dtype)), value, other)


def constant(graph: GraphBuilder, values: float | NDArray[np.float64], dtype: type[np.generic]) -> str:
    """Append a number or array of the network; refused if it is beyond single precision, where that is asked for."""
    if dtype == np.float32 and np.abs(values).max(initial=0) > np.finfo(np.float32).max:
        raise NtuplemlError("the network has a weight beyond the range of float32; convert it with dtype float64")
    return graph.constant(np.ascontiguousarray(values), dtype)
