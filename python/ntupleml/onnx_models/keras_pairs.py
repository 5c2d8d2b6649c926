"""Our own layers on pairs of objects and on neighbours, `ntupleml.models.layers`, as ONNX operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.features import pairs
from ntupleml.onnx_models.arrays import OnnxArrays, Value
from ntupleml.onnx_models.keras_objects import attended, masked_pooling, of_heads
from ntupleml.onnx_models.layer_parts import LayerParts, constant, summed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder

#: Distance of an object that is none, as in `models.layers`.
_FAR = 1e30


def _features(graph: GraphBuilder, vectors: str, names: Sequence[str]) -> str:
    arrays = OnnxArrays(graph, np.float32)
    found: Value = pairs.pair_features(arrays, arrays.value(vectors), names)
    return found.name


def _delta_r(graph: GraphBuilder, vectors: str) -> str:
    return graph.add("Squeeze", _features(graph, vectors, ["delta_r"]), graph.constant([3], np.int64))


def _expanded(graph: GraphBuilder, value: str, *axes: int) -> str:
    return graph.add("Unsqueeze", value, graph.constant(axes, np.int64))


def _both(graph: GraphBuilder, mask: str) -> str:
    """1 where both objects are."""
    return graph.add("Mul", _expanded(graph, mask, 2), _expanded(graph, mask, 1))


def pair_features(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Features of pairs, 0 where one of the objects is none."""
    vectors, mask = values
    found = _features(graph, vectors, parts.settings["features"])
    return graph.add("Mul", found, _expanded(graph, _both(graph, mask), 3))


def adjacency(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """1 for objects within the radius."""
    vectors, mask = values
    linked, radius = _both(graph, mask), parts.settings.get("radius")
    if radius is None:
        return linked
    is_near = graph.add("Less", _delta_r(graph, vectors), constant(graph, radius))
    return graph.add("Where", is_near, linked, constant(graph, 0))


def propagation(graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    """Sum over linked objects, divided by √(number of links) at both ends."""
    objects, links = values
    number = graph.add("Max", summed(graph, links, 2), constant(graph, 1))
    scale = graph.add("Reciprocal", graph.add("Sqrt", number))
    return graph.add("Mul", graph.add("MatMul", links, graph.add("Mul", objects, scale)), scale)


def pair_sums(graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    """Value of the first object, of the second, and of the pair."""
    first, second, *of_pairs = values
    result = graph.add("Add", _expanded(graph, first, 2), _expanded(graph, second, 1))
    return graph.add("Add", result, *of_pairs) if of_pairs else result


def pair_attention(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Mean of the linked objects by scores."""
    objects, scores, links = values
    heads = parts.shapes[1][-1]
    assert heads is not None
    fit = graph.add("Transpose", scores, perm=[0, 3, 1, 2])
    objects = of_heads(graph, objects, heads, parts.width // heads)
    return attended(graph, fit, objects, _expanded(graph, links, 1), parts.width)


def neighbours(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Places of the nearest other objects; -1 for none."""
    objects, mask = values
    number = parts.settings["neighbours"]
    if parts.settings.get("angular"):
        distance = _delta_r(graph, objects)
    else:
        difference = graph.add("Sub", _expanded(graph, objects, 2), _expanded(graph, objects, 1))
        distance = summed(graph, graph.add("Mul", difference, difference), 3, keepdims=0)
    length = graph.add("Squeeze", graph.add("Shape", mask, start=1, end=2), graph.constant([0], np.int64))
    places = graph.add("Range", graph.constant(0, np.int64), length, graph.constant(1, np.int64))
    is_same = graph.add("Equal", _expanded(graph, places, 0), _expanded(graph, places, 1))
    is_pair = graph.add("Greater", _both(graph, mask), constant(graph, 0.5))
    is_pair = graph.add("And", is_pair, graph.add("Not", is_same))
    distance = graph.add("Where", is_pair, distance, constant(graph, _FAR))
    pads = graph.constant([0, 0, 0, 0, 0, number], np.int64)
    distance = graph.add("Pad", distance, pads, constant(graph, _FAR))
    nearest, found = graph.several("TopK", 2, distance, graph.constant([number], np.int64), axis=-1, largest=0)
    exists = graph.add("Less", nearest, constant(graph, _FAR))
    return graph.add("Where", exists, graph.cast(found, np.float32), constant(graph, -1))


def neighbour_sums(graph: GraphBuilder, values: Sequence[str], _parts: LayerParts) -> str:
    """Value of each object and of each of its neighbours."""
    objects, of_neighbours, places = values
    places = graph.cast(graph.add("Max", places, constant(graph, 0)), np.int64)
    found = graph.add("GatherND", of_neighbours, _expanded(graph, places, 3), batch_dims=1)
    return graph.add("Add", found, _expanded(graph, objects, 2))


def neighbour_pooling(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """What is taken over neighbours."""
    edges, places = values
    exists = graph.cast(graph.add("Greater", places, constant(graph, -0.5)), np.float32)
    return masked_pooling(graph, [edges, exists], parts)
