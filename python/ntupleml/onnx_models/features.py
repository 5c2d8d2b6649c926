"""Raw objects of a group in a graph, and nodes that make features and numbers of an event from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.onnx_models.arrays import OnnxArrays
from ntupleml.onnx_models.lwtnn_sequences import counts, first_steps, sequence_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.events.groups import InputGroup
    from ntupleml.features.event_numbers import CombinationMaker
    from ntupleml.onnx_models.graph import GraphBuilder


class RawObjects(NamedTuple):
    """Names of values of a graph."""

    #: Raw columns, float32, events × length × columns; missing ones replaced, anything where no object is.
    values: str
    #: Whether an object is there: bool, events × length × 1.
    filled: str


def raw_objects(graph: GraphBuilder, group: InputGroup, length: int | None) -> RawObjects:
    """Append the objects of an input, of a fixed number where a length is given, and at least one slot."""
    objects = sequence_input(graph, group.name, f"{group.name}_length", length or 1)
    if length is not None:
        objects = first_steps(graph, objects, length)
    filled = counts(graph, objects)
    values = objects.steps
    if group.missing is not None:
        values = graph.filled(values, group.missing, np.float32)
    return RawObjects(values, filled)


def feature_nodes(graph: GraphBuilder, make: Callable[[Any, Any], Any], objects: RawObjects) -> str:
    """Append what a `FeatureMaker` makes of objects, computed in float64, float32; anything where no object is."""
    arrays = OnnxArrays(graph)
    return graph.cast(make(arrays, arrays.value(_doubles(graph, objects))).name, np.float32)


def combination_nodes(graph: GraphBuilder, maker: CombinationMaker, objects: RawObjects) -> str:
    """Append numbers of an event that are made of its objects, float32, events × combinations."""
    arrays = OnnxArrays(graph)
    filled = arrays.value(graph.add("Squeeze", objects.filled, graph.constant([2], np.int64)))
    return graph.cast(maker.make(arrays, arrays.value(_doubles(graph, objects)), filled).name, np.float32)


def _doubles(graph: GraphBuilder, objects: RawObjects) -> str:
    """Raw columns in double precision, 0 where no object is."""
    values = graph.cast(objects.values, np.float64)
    return graph.add("Where", objects.filled, values, graph.constant(0.0))
