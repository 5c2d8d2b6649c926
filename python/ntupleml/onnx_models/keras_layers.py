"""The layers of a Keras network as ONNX operators, in single precision as Keras computes them.

A layer is one function and one line in `NODES`; its settings and shapes are in `artifacts.keras_layers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts.keras_options import numbers_of
from ntupleml.onnx_models.keras_activations import ACTIVATION_LAYERS, activation_nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder

#: Least standard deviation that Keras' `Normalization` divides by, and largest factor of its `UnitNormalization`.
_LEAST_WIDTH, _LARGEST_FACTOR = 1e-7, 1e12


class LayerParts(NamedTuple):
    """What the nodes of a layer are made from.

    Attributes
    ----------
    settings : mapping
        As in the file, all checked.
    weights : sequence of arrays
    width : int
        Numbers per event that it gets.
    """

    settings: Mapping[str, Any]
    weights: Sequence[NDArray[Any]]
    width: int


def layer_nodes(graph: GraphBuilder, kind: str, values: Sequence[str], parts: LayerParts) -> str:
    """Append a layer as it is at inference.

    Parameters
    ----------
    graph : GraphBuilder
    kind : str
        Class of the layer, a key of `NODES`.
    values : sequence of str
        Its inputs, each events × numbers, float32.
    parts : LayerParts

    Returns
    -------
    str
        Name of its output; of its input where it changes nothing.
    """
    return NODES[kind](graph, values, parts)


def _constant(graph: GraphBuilder, values: Any) -> str:
    return graph.constant(values, np.float32)


def _dense(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    kernel, *bias = (_constant(graph, weights) for weights in parts.weights)
    result = graph.add("Gemm", values[0], kernel, *bias)
    return activation_nodes(graph, result, parts.settings.get("activation"))


def _activation(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    return activation_nodes(graph, values[0], parts.settings.get("activation"))


def _activation_layer(kind: str) -> LayerNodes:
    return lambda graph, values, parts: ACTIVATION_LAYERS[kind](graph, values[0], parts.settings)


def _unchanged(_graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    return values[0]


def _centred_and_scaled(parts: LayerParts) -> tuple[NDArray[Any] | None, NDArray[Any] | None, list[NDArray[Any]]]:
    """Weights γ and β of a normalising layer, each where it has them, and the others."""
    others = list(parts.weights)
    scale = others.pop(0) if parts.settings.get("scale", True) else None
    centre = others.pop(0) if parts.settings.get("center", True) else None
    return scale, centre, others


def _batch_normalization(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """By the averages of the training: (x − μ) γ / √(σ² + ε) + β as one factor and one summand."""
    scale, centre, (mean, variance) = _centred_and_scaled(parts)
    factor = np.float32(1) / np.sqrt(variance + np.float32(parts.settings.get("epsilon", 1e-3)))
    factor = factor if scale is None else factor * scale
    summand = -mean * factor if centre is None else centre - mean * factor
    return graph.add("Add", graph.add("Mul", values[0], _constant(graph, factor)), _constant(graph, summand))


def _sum(graph: GraphBuilder, value: str) -> str:
    """Sum over the numbers of an event."""
    return graph.add("ReduceSum", value, graph.constant([1], np.int64), keepdims=1)


def _layer_normalization(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    scale, centre, _ = _centred_and_scaled(parts)
    width = _constant(graph, parts.width)
    centred = graph.add("Sub", values[0], graph.add("Div", _sum(graph, values[0]), width))
    variance = graph.add("Div", _sum(graph, graph.add("Mul", centred, centred)), width)
    variance = graph.add("Add", variance, _constant(graph, parts.settings.get("epsilon", 1e-3)))
    result = graph.add("Div", centred, graph.add("Sqrt", variance))
    if scale is not None:
        result = graph.add("Mul", result, _constant(graph, scale))
    return result if centre is None else graph.add("Add", result, _constant(graph, centre))


def _unit_normalization(graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    norm = graph.add("Sqrt", _sum(graph, graph.add("Mul", values[0], values[0])))
    factor = graph.add("Min", graph.add("Reciprocal", norm), _constant(graph, _LARGEST_FACTOR))
    return graph.add("Mul", values[0], factor)


def _normalization(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """By the mean and variance that it was given, or adapted to."""
    settings = parts.settings
    if parts.weights:
        mean, variance = parts.weights[:2]
    else:
        mean, variance = (np.asarray(numbers_of(settings[key]), np.float32) for key in ("mean", "variance"))
    width = _constant(graph, np.maximum(np.sqrt(variance), np.float32(_LEAST_WIDTH)))
    if settings.get("invert"):
        return graph.add("Add", _constant(graph, mean), graph.add("Mul", values[0], width))
    return graph.add("Div", graph.add("Sub", values[0], _constant(graph, mean)), width)


def _rescaling(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    scale, offset = (numbers_of(parts.settings.get(key, default)) for key, default in (("scale", 1.0), ("offset", 0.0)))
    return graph.add("Add", graph.add("Mul", values[0], _constant(graph, scale)), _constant(graph, offset))


def _multiply(graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    result, *others = values
    for value in others:
        result = graph.add("Mul", result, value)
    return result


def _merged(operator: str, **attributes: Any) -> LayerNodes:
    return lambda graph, values, _parts: graph.add(operator, *values, **attributes)


if TYPE_CHECKING:
    LayerNodes = Callable[[GraphBuilder, Sequence[str], LayerParts], str]

#: Class of a layer: its nodes.
NODES: dict[str, LayerNodes] = {
    "Activation": _activation,
    "ActivityRegularization": _unchanged,
    "Add": _merged("Sum"),
    "AlphaDropout": _unchanged,
    "Average": _merged("Mean"),
    "BatchNormalization": _batch_normalization,
    "Concatenate": _merged("Concat", axis=1),
    "Dense": _dense,
    "Dropout": _unchanged,
    "ELU": _activation_layer("ELU"),
    "GaussianDropout": _unchanged,
    "GaussianNoise": _unchanged,
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": _activation_layer("LeakyReLU"),
    "Maximum": _merged("Max"),
    "Minimum": _merged("Min"),
    "Multiply": _multiply,
    "Normalization": _normalization,
    "ReLU": _activation_layer("ReLU"),
    "Rescaling": _rescaling,
    "Softmax": _activation_layer("Softmax"),
    "Subtract": _merged("Sub"),
    "UnitNormalization": _unit_normalization,
    "keras.ops.Absolute": _merged("Abs"),
    "keras.ops.Add": _merged("Add"),
    "keras.ops.Concatenate": _merged("Concat", axis=1),
    "keras.ops.Divide": _merged("Div"),
    "keras.ops.Maximum": _merged("Max"),
    "keras.ops.Minimum": _merged("Min"),
    "keras.ops.Multiply": _merged("Mul"),
    "keras.ops.Negative": _merged("Neg"),
    "keras.ops.Subtract": _merged("Sub"),
    "keras.ops.TrueDivide": _merged("Div"),
}
