"""The layers of a Keras network as ONNX operators, in single precision as Keras computes them.

A layer is one function and one line in `NODES`; its settings and shapes are in `artifacts.keras_layers`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.keras_options import numbers_of, sizes_of
from ntupleml.artifacts.keras_shapes import size_of
from ntupleml.onnx_models import keras_images as images
from ntupleml.onnx_models import keras_objects as objects
from ntupleml.onnx_models import keras_pairs as pairs
from ntupleml.onnx_models import keras_quantised as quantised
from ntupleml.onnx_models import slots
from ntupleml.onnx_models.keras_activations import ACTIVATION_LAYERS, activation_nodes
from ntupleml.onnx_models.layer_parts import DENSE, NORMALISATION, LayerParts, constant, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder

#: Least standard deviation that Keras' `Normalization` divides by, and largest factor of its `UnitNormalization`.
_LEAST_WIDTH, _LARGEST_FACTOR = 1e-7, 1e12


def layer_nodes(graph: GraphBuilder, kind: str, values: Sequence[str], parts: LayerParts) -> str:
    """Append a layer as it is at inference.

    Parameters
    ----------
    kind : str
        Class of the layer, a key of `NODES`.
    values : sequence of str
        Its inputs, float32.

    Returns
    -------
    str
        Name of its output; of its input where it changes nothing.
    """
    return NODES[kind](graph, values, parts)


def _dense(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    kernel, *bias = (constant(graph, weights) for weights in parts.weights)
    if parts.last_axis == 1:
        result = graph.add("Gemm", values[0], kernel, *bias)
        graph.nodes[-1].doc_string = DENSE
    else:
        result = graph.add("MatMul", values[0], kernel)
        result = graph.add("Add", result, *bias) if bias else result
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
    scaled = graph.add("Mul", values[0], constant(graph, factor))
    graph.nodes[-1].doc_string = NORMALISATION
    return graph.add("Add", scaled, constant(graph, summand))


def _layer_normalization(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    scale, centre, _ = _centred_and_scaled(parts)
    width = constant(graph, parts.width)
    centred = graph.add("Sub", values[0], graph.add("Div", summed(graph, values[0], parts.last_axis), width))
    variance = graph.add("Div", summed(graph, graph.add("Mul", centred, centred), parts.last_axis), width)
    variance = graph.add("Add", variance, constant(graph, parts.settings.get("epsilon", 1e-3)))
    result = graph.add("Div", centred, graph.add("Sqrt", variance))
    if scale is not None:
        result = graph.add("Mul", result, constant(graph, scale))
    return result if centre is None else graph.add("Add", result, constant(graph, centre))


def _unit_normalization(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    norm = graph.add("Sqrt", summed(graph, graph.add("Mul", values[0], values[0]), parts.last_axis))
    factor = graph.add("Min", graph.add("Reciprocal", norm), constant(graph, _LARGEST_FACTOR))
    return graph.add("Mul", values[0], factor)


def _normalization(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """By the mean and variance that it was given, or adapted to."""
    settings = parts.settings
    if parts.weights:
        mean, variance = parts.weights[:2]
    else:
        mean, variance = (np.asarray(numbers_of(settings[key]), np.float32) for key in ("mean", "variance"))
    width = constant(graph, np.maximum(np.sqrt(variance), np.float32(_LEAST_WIDTH)))
    if settings.get("invert"):
        return graph.add("Add", constant(graph, mean), graph.add("Mul", values[0], width))
    return graph.add("Div", graph.add("Sub", values[0], constant(graph, mean)), width)


def _rescaling(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    scale, offset = (numbers_of(parts.settings.get(key, default)) for key, default in (("scale", 1.0), ("offset", 0.0)))
    return graph.add("Add", graph.add("Mul", values[0], constant(graph, scale)), constant(graph, offset))


def _multiply(graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    result, *others = values
    for value in others:
        result = graph.add("Mul", result, value)
    return result


def _merged(operator: str) -> LayerNodes:
    return lambda graph, values, _parts: graph.add(operator, *values)


def _concatenated(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    return graph.add("Concat", *values, axis=parts.last_axis)


def _dot(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    one, two = sizes_of(parts.settings["axes"], 2)
    first, second = (
        value if axis == place else graph.add("Transpose", value, perm=[0, 2, 1])
        for value, axis, place in zip(values, (one, two), (2, 1), strict=True)
    )
    return graph.add("MatMul", first, second)


def _reshaped(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """A size that is open stays that of the value at the same place: 0 for ONNX, as are the events."""
    shape = parts.shape
    sizes = parts.settings.get("target_shape", [size_of(shape)])
    open_size = 0 if None in shape else size_of(shape) // math.prod(size for size in sizes if size != -1)
    target = [0, *(open_size if size == -1 else size for size in sizes)]
    return graph.add("Reshape", values[0], graph.constant(target, np.int64))


def _channels_first(graph: GraphBuilder, value: str, axes: int) -> str:
    return graph.add("Transpose", value, perm=[0, axes + 1, *range(1, axes + 1)])


def _channels_last(graph: GraphBuilder, value: str, axes: int) -> str:
    return graph.add("Transpose", value, perm=[0, *range(2, axes + 2), 1])


def _window(settings: Mapping[str, Any], spans: Sequence[int], strides: Sequence[int]) -> dict[str, Any]:
    """Attributes of a window's padding, as TensorFlow pads: as much in front as behind, or one less."""
    if settings.get("padding", "valid") != "same":
        return {}
    if max(strides) > 1:
        return {"auto_pad": "SAME_UPPER"}
    return {"pads": [*((span - 1) // 2 for span in spans), *(span // 2 for span in spans)]}


def _convolution(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    settings, axes = parts.settings, parts.last_axis - 1
    kernel, *bias = parts.weights
    strides, dilation = (sizes_of(settings.get(key, 1), axes) for key in ("strides", "dilation_rate"))
    spans = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:axes], dilation, strict=True)]
    result = graph.add(
        "Conv",
        _channels_first(graph, values[0], axes),
        constant(graph, np.moveaxis(kernel, (-1, -2), (0, 1))),
        *(constant(graph, one) for one in bias),
        strides=strides,
        dilations=dilation,
        **_window(settings, spans, strides),
    )
    return activation_nodes(graph, _channels_last(graph, result, axes), settings.get("activation"))


def _pooling(operator: str) -> LayerNodes:
    def nodes(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
        settings, axes = parts.settings, parts.last_axis - 1
        pool = sizes_of(settings.get("pool_size", 2), axes)
        strides = sizes_of(settings.get("strides") or settings.get("pool_size", 2), axes)
        first = _channels_first(graph, values[0], axes)
        window = _window(settings, pool, strides)
        return _channels_last(graph, graph.add(operator, first, kernel_shape=pool, strides=strides, **window), axes)

    return nodes


def _over_all(operator: str) -> LayerNodes:
    def nodes(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
        # as attributes: operator sets before 18 have the axes there
        return graph.add(operator, values[0], axes=list(range(1, parts.last_axis)), keepdims=0)

    return nodes


def _recurrent(graph: GraphBuilder, values: Sequence[str], parts: LayerParts, kind: str) -> str:
    """ONNX's own recurrent layers, which take steps × events × numbers and, in ONNX Runtime, at least one event."""
    settings = parts.settings
    kernel, recurrent, *bias = parts.weights
    order, gates = _GATES[kind], [settings.get(key, default) for key, default in _GATE_ACTIVATIONS]
    names = [gate.capitalize() for gate in gates]
    units = recurrent.shape[0]
    rows = graph.add("Shape", values[0], start=0, end=1)
    lacking = graph.add("Max", graph.add("Sub", graph.constant([1], np.int64), rows), graph.constant([0], np.int64))
    pads = graph.add("Concat", graph.constant([0] * 3, np.int64), lacking, graph.constant([0] * 2, np.int64), axis=0)
    steps = graph.add("Transpose", graph.add("Pad", values[0], pads), perm=[1, 0, 2])
    attributes: dict[str, Any] = {"hidden_size": units, "activations": [*names, names[1]]}
    if kind == "GRU":
        attributes = {
            "hidden_size": units,
            "activations": names,
            "linear_before_reset": int(settings.get("reset_after", True)),
        }
    weights = [constant(graph, _in_order(one, order)[np.newaxis]) for one in (kernel.T, recurrent.T)]
    biases = [constant(graph, _both_biases(one, order)) for one in bias]
    result = graph.add(kind, steps, *weights, *biases, **attributes)
    result = graph.add("Squeeze", result, graph.constant([1], np.int64))
    result = graph.add("Transpose", result, perm=[1, 0, 2])
    zero = graph.constant([0], np.int64)
    result = graph.add("Slice", result, zero, rows, zero)
    if settings.get("return_sequences"):
        return result
    return graph.add("Gather", result, graph.constant(-1, np.int64), axis=1)


#: Place in Keras' weights of each gate, in ONNX's order.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (0, 1, 2)}
_GATE_ACTIVATIONS = (("recurrent_activation", "sigmoid"), ("activation", "tanh"))


def _in_order(weights: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """Weights of gates, one after the other along the first axis, in another order."""
    gates = np.split(weights, len(order))
    return np.concatenate([gates[place] for place in order])


def _both_biases(bias: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """Biases of the inputs and of the recurrence; most layers have only the first."""
    both = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])
    return np.concatenate([_in_order(one, order) for one in both])[np.newaxis]


if TYPE_CHECKING:
    LayerNodes = Callable[[GraphBuilder, Sequence[str], LayerParts], str]

#: Class of a layer: its nodes.
NODES: dict[str, LayerNodes] = {
    "Activation": _activation,
    "ActivityRegularization": _unchanged,
    "Add": _merged("Sum"),
    "AlphaDropout": _unchanged,
    "Average": _merged("Mean"),
    "AveragePooling1D": _pooling("AveragePool"),
    "AveragePooling2D": _pooling("AveragePool"),
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenated,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Dense": _dense,
    "Dot": _dot,
    "Dropout": _unchanged,
    "ELU": _activation_layer("ELU"),
    "Flatten": _reshaped,
    "GRU": partial(_recurrent, kind="GRU"),
    "GaussianDropout": _unchanged,
    "GaussianNoise": _unchanged,
    "GlobalAveragePooling1D": _over_all("ReduceMean"),
    "GlobalAveragePooling2D": _over_all("ReduceMean"),
    "GlobalMaxPooling1D": _over_all("ReduceMax"),
    "GlobalMaxPooling2D": _over_all("ReduceMax"),
    "LSTM": partial(_recurrent, kind="LSTM"),
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": _activation_layer("LeakyReLU"),
    "MaxPooling1D": _pooling("MaxPool"),
    "MaxPooling2D": _pooling("MaxPool"),
    "Maximum": _merged("Max"),
    "Minimum": _merged("Min"),
    "Multiply": _multiply,
    "Normalization": _normalization,
    "ReLU": _activation_layer("ReLU"),
    "Rescaling": _rescaling,
    "Reshape": _reshaped,
    "Softmax": _activation_layer("Softmax"),
    "Subtract": _merged("Sub"),
    "UnitNormalization": _unit_normalization,
    "UpSampling2D": images.repeated,
    "hgq>QDense": partial(quantised.dense, kind="hgq>QDense"),
    "hgq>Quantizer": quantised.quantiser,
    "keras.ops.Absolute": _merged("Abs"),
    "keras.ops.Add": _merged("Add"),
    "keras.ops.Concatenate": _concatenated,
    "keras.ops.Divide": _merged("Div"),
    "keras.ops.Maximum": _merged("Max"),
    "keras.ops.Minimum": _merged("Min"),
    "keras.ops.Multiply": _merged("Mul"),
    "keras.ops.Negative": _merged("Neg"),
    "keras.ops.Subtract": _merged("Sub"),
    "keras.ops.TrueDivide": _merged("Div"),
    "ntupleml>Adjacency": pairs.adjacency,
    "ntupleml>CrossAttention": objects.cross_attention,
    "ntupleml>LatentDraw": _unchanged,
    "ntupleml>LearntVectors": objects.learnt_vectors,
    "ntupleml>MaskedBatchNormalization": _batch_normalization,
    "ntupleml>MaskedPooling": objects.masked_pooling,
    "ntupleml>NeighbourPooling": pairs.neighbour_pooling,
    "ntupleml>NeighbourSums": pairs.neighbour_sums,
    "ntupleml>Neighbours": pairs.neighbours,
    "ntupleml>PairAttention": pairs.pair_attention,
    "ntupleml>PairFeatures": pairs.pair_features,
    "ntupleml>PairSums": pairs.pair_sums,
    "ntupleml>PeriodicPadding": images.periodic_padding,
    "ntupleml>Propagation": pairs.propagation,
    "ntupleml>ReflectedConv2D": lambda graph, values, parts: _convolution(
        graph, values, images.with_both_kernels(parts)
    ),
    "ntupleml>SelfAttention": objects.self_attention,
    "ntupleml>SlotSteps": slots.slot_steps,
    "ntupleml>VectorFeatures": objects.vector_features,
    "qkeras>QActivation": quantised.activation,
    "qkeras>QBatchNormalization": _batch_normalization,
    "qkeras>QDense": partial(quantised.dense, kind="qkeras>QDense"),
    "qkeras>QDenseBatchnorm": partial(quantised.dense, kind="qkeras>QDenseBatchnorm"),
}
