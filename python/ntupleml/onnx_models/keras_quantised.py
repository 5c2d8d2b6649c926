"""Quantised layers of HGQ2 and QKeras as ONNX operators, with the bits that their libraries compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.onnx_models.layer_parts import LayerParts, constant
from ntupleml.quantised.layers import QuantisedRelu, activation_of, dense_of, quantiser_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.quantised.fixed_point import Quantiser
    from ntupleml.quantised.layers import QuantisedDense


def quantiser_nodes(graph: GraphBuilder, value: str, quantiser: Quantiser) -> str:
    """Append the rounding of numbers, float32: saturated, scaled, rounded and scaled back as HGQ2 does it."""
    if quantiser.overflow.startswith("SAT"):
        lowest, highest = (constant(graph, limit) for limit in quantiser.limits)
        value = graph.add("Min", graph.add("Max", value, lowest), highest)
    scaled = graph.add("Mul", value, constant(graph, np.ldexp(1.0, quantiser.fraction)))
    whole = _ROUNDINGS[quantiser.rounding](graph, scaled)
    value = graph.add("Mul", whole, constant(graph, np.ldexp(1.0, -quantiser.fraction)))
    if quantiser.overflow == "WRAP":
        value = _wrapped(graph, value, quantiser)
    if quantiser.overflow != "NONE" and (quantiser.bits <= 0).any():
        value = graph.add("Mul", value, constant(graph, quantiser.bits > 0))
    return value


def _half_up(graph: GraphBuilder, value: str) -> str:
    return graph.add("Floor", graph.add("Add", value, constant(graph, 0.5)))


def _half_down(graph: GraphBuilder, value: str) -> str:
    return graph.add("Neg", _half_up(graph, graph.add("Neg", value)))


def _by_size(rounding: Callable[[GraphBuilder, str], str]) -> Callable[[GraphBuilder, str], str]:
    """Rounding of the absolute value."""

    def nodes(graph: GraphBuilder, value: str) -> str:
        return graph.add("Mul", rounding(graph, graph.add("Abs", value)), graph.add("Sign", value))

    return nodes


def _floor(graph: GraphBuilder, value: str) -> str:
    return graph.add("Floor", value)


#: By HGQ2's names; ONNX's own rounding is to even.
_ROUNDINGS: dict[str, Callable[[GraphBuilder, str], str]] = {
    "TRN": _floor,
    "RND": _half_up,
    "RND_CONV": lambda graph, value: graph.add("Round", value),
    "TRN_ZERO": _by_size(_floor),
    "RND_ZERO": _by_size(_half_down),
    "RND_MIN_INF": _half_down,
    "RND_INF": _by_size(_half_up),
}


def _wrapped(graph: GraphBuilder, value: str, quantiser: Quantiser) -> str:
    """Numbers modulo the range: less the range times the whole part of how often it fits."""
    size = np.ldexp(1.0, quantiser.sign + np.maximum(quantiser.integer, -quantiser.fraction))
    offset = quantiser.sign * size / 2
    times = graph.add("Mul", graph.add("Add", value, constant(graph, offset)), constant(graph, 1 / size))
    return graph.add("Sub", value, graph.add("Mul", graph.add("Floor", times), constant(graph, size)))


def dense(graph: GraphBuilder, values: Sequence[str], parts: LayerParts, kind: str) -> str:
    """A dense layer; in double precision where a sum of fixed numbers may need more bits than single precision has."""
    layer = dense_of((kind, parts.settings), parts.weights)
    value = values[0] if layer.inputs is None else quantiser_nodes(graph, values[0], layer.inputs)
    value = _product(graph, value, layer)
    if layer.is_relu:
        value = graph.add("Relu", value)
    return value if layer.output is None else _relu_nodes(graph, value, layer.output)


def _product(graph: GraphBuilder, value: str, layer: QuantisedDense) -> str:
    bits = layer.sum_bits
    kind: Any = np.float32 if bits is None or layer.is_exact_in_float32 else np.float64
    weights = [layer.kernel.values, *([] if layer.bias is None else [layer.bias.values])]
    value = value if kind is np.float32 else graph.cast(value, kind)
    result = graph.add("Gemm", value, *(graph.constant(one, kind) for one in weights))
    return result if kind is np.float32 else graph.cast(result, np.float32)


def _relu_nodes(graph: GraphBuilder, value: str, relu: QuantisedRelu) -> str:
    clips = relu.clips
    if relu.slope is not None and clips is not None:
        value = graph.add("Max", value, constant(graph, clips.limits[0]))
        value = graph.add("LeakyRelu", value, alpha=2.0**-relu.slope)
    return quantiser_nodes(graph, value, relu.quantiser)


def quantiser(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """A quantiser by itself, of HGQ2."""
    return quantiser_nodes(graph, values[0], quantiser_of(parts.settings, parts.weights))


def activation(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """An activation of QKeras."""
    return _relu_nodes(graph, values[0], activation_of(parts.settings))
