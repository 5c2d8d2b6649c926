"""Keras' activation functions as ONNX operators, as Keras computes them on TensorFlow.

Only operators that all versions of ONNX from 13 to 23 have in the same form.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ntupleml.onnx_models.graph import GraphBuilder

    Activation = Callable[[GraphBuilder, str], str]


def activation_nodes(graph: GraphBuilder, value: str, activation: Any) -> str:
    """Append an activation as a Keras file has it, float32, softmax along the last axis; the value itself for none."""
    if isinstance(activation, dict):
        return ACTIVATION_LAYERS[activation["class_name"]](graph, value, activation["config"])
    return ACTIVATIONS[activation or "linear"](graph, value)


def _number(graph: GraphBuilder, value: float) -> str:
    return graph.constant(value, np.float32)


def _operator(name: str, **attributes: Any) -> Activation:
    return lambda graph, value: graph.add(name, value, **attributes)


def clip_nodes(graph: GraphBuilder, value: str, low: float, high: float) -> str:
    """Append the nearest number in a range."""
    return graph.add("Clip", value, _number(graph, low), _number(graph, high))


def _log_sigmoid(graph: GraphBuilder, value: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", value)))


def _mish(graph: GraphBuilder, value: str) -> str:
    return graph.add("Mul", value, graph.add("Tanh", graph.add("Softplus", value)))


def _silu(graph: GraphBuilder, value: str) -> str:
    return graph.add("Mul", value, graph.add("Sigmoid", value))


def _hard_sigmoid(graph: GraphBuilder, value: str) -> str:
    shifted = clip_nodes(graph, graph.add("Add", value, _number(graph, 3)), 0, 6)
    return graph.add("Div", shifted, _number(graph, 6))


def _hard_silu(graph: GraphBuilder, value: str) -> str:
    return graph.add("Mul", value, _hard_sigmoid(graph, value))


def _gelu(graph: GraphBuilder, value: str) -> str:
    """X Φ(x) with the error function, in the form that ONNX Runtime joins to one operator."""
    argument = graph.add("Div", value, _number(graph, math.sqrt(2)))
    twice = graph.add("Add", graph.add("Erf", argument), _number(graph, 1))
    return graph.add("Mul", graph.add("Mul", value, twice), _number(graph, 0.5))


def _squareplus(graph: GraphBuilder, value: str) -> str:
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", value, value), _number(graph, 4)))
    return graph.add("Div", graph.add("Add", value, root), _number(graph, 2))


def _tanh_shrink(graph: GraphBuilder, value: str) -> str:
    return graph.add("Sub", value, graph.add("Tanh", value))


def _sparse_sigmoid(graph: GraphBuilder, value: str) -> str:
    shifted = clip_nodes(graph, graph.add("Add", value, _number(graph, 1)), 0, 2)
    return graph.add("Mul", shifted, _number(graph, 0.5))


def _sparse_plus(graph: GraphBuilder, value: str) -> str:
    """0 below −1, (x + 1)² / 4 to 1, and x above."""
    shifted = clip_nodes(graph, graph.add("Add", value, _number(graph, 1)), 0, 2)
    square = graph.add("Mul", graph.add("Mul", shifted, shifted), _number(graph, 0.25))
    return graph.add("Where", graph.add("Less", value, _number(graph, 1)), square, value)


#: Activation of each number, or of all together, by its name in a file.
ACTIVATIONS: dict[str, Activation] = {
    "celu": _operator("Elu", alpha=1.0),  # with α = 1 they are the same
    "elu": _operator("Elu", alpha=1.0),
    "exponential": _operator("Exp"),
    "gelu": _gelu,
    "hard_shrink": _operator("Shrink", bias=0.0, lambd=0.5),
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "hard_tanh": lambda graph, value: clip_nodes(graph, value, -1, 1),
    "leaky_relu": _operator("LeakyRelu", alpha=0.2),
    "linear": lambda _graph, value: value,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _operator("LogSoftmax", axis=-1),
    "mish": _mish,
    "relu": _operator("Relu"),
    "relu6": lambda graph, value: clip_nodes(graph, value, 0, 6),
    "selu": _operator("Selu"),
    "sigmoid": _operator("Sigmoid"),
    "silu": _silu,
    "soft_shrink": _operator("Shrink", bias=0.5, lambd=0.5),
    "softmax": _operator("Softmax", axis=-1),
    "softplus": _operator("Softplus"),
    "softsign": _operator("Softsign"),
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "squareplus": _squareplus,
    "swish": _silu,
    "tanh": _operator("Tanh"),
    "tanh_shrink": _tanh_shrink,
}


def _relu_layer(graph: GraphBuilder, value: str, settings: Mapping[str, Any]) -> str:
    """ReLU with a slope below, a threshold and a largest value, as Keras joins them."""
    slope, largest = settings.get("negative_slope") or 0.0, settings.get("max_value")
    threshold = settings.get("threshold") or 0.0
    if slope and largest is None and not threshold:
        return graph.add("LeakyRelu", value, alpha=slope)
    positive = graph.add("Relu", value)
    if threshold:
        above = graph.add("Greater", value, _number(graph, threshold))
        positive = graph.add("Where", above, value, _number(graph, 0))
    if largest is not None:
        positive = clip_nodes(graph, positive, 0, largest)
    if not slope:
        return positive
    below = graph.add("Relu", graph.add("Sub", _number(graph, threshold), value))
    return graph.add("Sub", positive, graph.add("Mul", below, _number(graph, slope)))


#: Layers that are activations, with the settings of a file and Keras' own defaults.
ACTIVATION_LAYERS: dict[str, Callable[[GraphBuilder, str, Mapping[str, Any]], str]] = {
    "ELU": lambda graph, value, settings: graph.add("Elu", value, alpha=float(settings.get("alpha", 1.0))),
    "LeakyReLU": lambda graph, value, settings: graph.add(
        "LeakyRelu", value, alpha=float(settings.get("negative_slope", 0.3))
    ),
    "ReLU": _relu_layer,
    "Softmax": lambda graph, value, _settings: graph.add("Softmax", value, axis=-1),
}
