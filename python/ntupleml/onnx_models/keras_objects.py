"""Our own layers on objects, `ntupleml.models.layers`, as ONNX operators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.features import vectors as features
from ntupleml.onnx_models.arrays import OnnxArrays, Value
from ntupleml.onnx_models.layer_parts import LayerParts, constant, summed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder

#: How well a query fits an empty slot, as in `models.layers`.
_NOTHING = -1e9


def masked_pooling(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """What is taken over the objects of an event, one after the other."""
    found = [_POOLS[mode](graph, *values) for mode in parts.settings["modes"]]
    return found[0] if len(found) == 1 else graph.add("Concat", *found, axis=-1)


def _pool_sum(graph: GraphBuilder, value: str, mask: str) -> str:
    axis = graph.constant([-2], np.int64)
    return graph.add("Squeeze", graph.add("MatMul", graph.add("Unsqueeze", mask, axis), value), axis)


def _pool_mean(graph: GraphBuilder, value: str, mask: str) -> str:
    number = graph.add("Max", summed(graph, mask, -1), constant(graph, 1))
    return graph.add("Div", _pool_sum(graph, value, mask), number)


def _pool_max(graph: GraphBuilder, value: str, mask: str) -> str:
    """Empty slots get the least number added: ONNX Runtime's `Where` on all values takes three times as long."""
    least = graph.add("Mul", graph.add("Sub", mask, constant(graph, 1)), constant(graph, np.finfo(np.float32).max))
    present = graph.add("Add", value, graph.add("Unsqueeze", least, graph.constant([-1], np.int64)))
    largest = graph.add("ReduceMax", present, axes=[-2], keepdims=0)
    is_empty = graph.add("Less", summed(graph, mask, -1), constant(graph, 0.5))
    return graph.add("Where", is_empty, constant(graph, 0), largest)


def _pool_last(graph: GraphBuilder, value: str, mask: str) -> str:
    number = graph.cast(summed(graph, mask, 1), np.int64)
    one, zero = graph.constant(1, np.int64), graph.constant(0, np.int64)
    place = graph.add("Max", graph.add("Sub", number, one), zero)
    last = graph.add("GatherND", value, place, batch_dims=1)
    return graph.add("Where", graph.add("Less", number, one), constant(graph, 0), last)


_POOLS = {"sum": _pool_sum, "mean": _pool_mean, "max": _pool_max, "last": _pool_last}


def vector_features(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Features of four-vectors, 0 where no object is."""
    vectors, mask = values
    arrays = OnnxArrays(graph, np.float32)
    found: Value = features.vector_features(arrays, arrays.value(vectors), parts.settings["features"])
    return graph.add("Mul", found.name, graph.add("Unsqueeze", mask, graph.constant([2], np.int64)))


def self_attention(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """What objects see of one another; events × heads × objects × d inside."""
    heads = parts.settings["heads"]
    size = parts.width // (3 * heads)
    joined = of_heads(graph, values[0], 3 * heads, size)
    return _seen(graph, graph.split(joined, [heads] * 3), size, heads, values[1])


def cross_attention(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """What vectors see of objects, and of themselves where their keys and values come with the queries."""
    heads, given, both = parts.settings["heads"], parts.width, parts.shapes[1][-1]
    assert both is not None
    size = both // (2 * heads)
    mask, bias = (*values[2:], None, None)[:2]
    keys_values = graph.split(of_heads(graph, values[1], 2 * heads, size), [heads] * 2)
    if 2 * given == both:
        seen = _seen(graph, [of_heads(graph, values[0], heads, size), *keys_values], size, heads, mask, bias)
        if mask is None:
            return seen
        is_any = graph.add("ReduceMax", mask, axes=[1], keepdims=1)
        return graph.add("Mul", seen, graph.add("Unsqueeze", is_any, graph.constant([2], np.int64)))
    queries, *own = graph.split(of_heads(graph, values[0], 3 * heads, size), [heads] * 3)
    keys_values = [graph.add("Concat", *pair, axis=2) for pair in zip(own, keys_values, strict=True)]
    if mask is not None:
        pads = graph.constant([0, parts.shape[0], 0, 0], np.int64)
        mask = graph.add("Pad", mask, pads, constant(graph, 1))
    return _seen(graph, [queries, *keys_values], size, heads, mask)


def of_heads(graph: GraphBuilder, value: str, heads: int, size: int) -> str:
    """Events × heads × objects × d."""
    value = graph.add("Reshape", value, graph.constant([0, 0, heads, size], np.int64))
    return graph.add("Transpose", value, perm=[0, 2, 1, 3])


def _seen(
    graph: GraphBuilder, parts: Sequence[str], size: int, heads: int, mask: str | None, bias: str | None = None
) -> str:
    """Softmax of q·k / √d times the values, for each head, from queries, keys and values."""
    queries, keys, values = parts
    queries = graph.add("Mul", queries, constant(graph, 1 / math.sqrt(size)))
    fit = graph.add("MatMul", queries, graph.add("Transpose", keys, perm=[0, 1, 3, 2]))
    if bias is not None:
        fit = graph.add("Add", fit, graph.add("Transpose", bias, perm=[0, 3, 1, 2]))
    if mask is not None:
        mask = graph.add("Unsqueeze", mask, graph.constant([1, 2], np.int64))
    return attended(graph, fit, values, mask, heads * size)


def attended(graph: GraphBuilder, fit: str, values: str, mask: str | None, width: int) -> str:
    """Mean of values by their fits, where a mask says that they are; both by heads."""
    if mask is not None:
        fit = graph.add("Where", graph.add("Greater", mask, constant(graph, 0.5)), fit, constant(graph, _NOTHING))
    result = graph.add("MatMul", graph.add("Softmax", fit, axis=-1), values)
    result = graph.add("Transpose", result, perm=[0, 2, 1, 3])
    return graph.add("Reshape", result, graph.constant([0, 0, width], np.int64))


def learnt_vectors(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """The same vectors for each event."""
    vectors = parts.weights[0]
    events = graph.add("Shape", values[0], start=0, end=1)
    shape = graph.add("Concat", events, graph.constant(vectors.shape, np.int64), axis=0)
    return graph.add("Expand", constant(graph, vectors), shape)
