"""Slots as nodes: the steps of preprocessing, what events have told, and our Keras layer of the same steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.config.slots import maker_of_layer
from ntupleml.features.slots import UNKNOWN
from ntupleml.onnx_models.arrays import OnnxArrays
from ntupleml.onnx_models.scaler_nodes import scaler_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.features.slots import SlotEvents, SlotMaker
    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.onnx_models.layer_parts import LayerParts


def slot_nodes(graph: GraphBuilder, name: str, maker: SlotMaker, scaler: Any) -> dict[str, str]:
    """Append what a network gets of the raw slots of an input, float32, as `preprocessing.slots.slot_inputs` makes it.

    Returns
    -------
    dict of str to str
        Names of values by those of the network's inputs.
    """
    events = events_nodes(graph, name, maker)
    numbers: str = maker.numbers(events).name
    scaled = scaler_nodes(graph, numbers, scaler)
    if maker.keeps_zeros and scaled != numbers:
        is_zero = graph.add("Equal", numbers, graph.constant(0, np.float32))
        scaled = graph.add("Mul", scaled, graph.cast(graph.add("Not", is_zero), np.float32))
    if maker.flat:
        return {name: scaled}
    filled: str = maker.filled(events).name
    objects = graph.add("Reshape", scaled, graph.constant([0, maker.types.total, -1], np.int64))
    if maker.type_columns:
        column = graph.add("Unsqueeze", filled, graph.constant([2], np.int64))
        kinds = graph.add("Mul", column, graph.constant(maker.type_of_slots, np.float32))
        objects = graph.add("Concat", objects, kinds, axis=2)
    return {name: objects, f"{name}_mask": filled}


def slot_steps(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Append the layer of steps: slots in the shape in which it gets them."""
    maker = maker_of_layer(parts.settings["slots"], parts.settings.get("steps", []))
    numbers: str = maker.numbers(events_nodes(graph, values[0], maker)).name
    if len(parts.shape) == 1:
        return numbers
    return graph.add("Reshape", numbers, graph.constant([0, maker.types.total, 3], np.int64))


def counted_numbers(graph: GraphBuilder, numbers: str) -> str:
    """Append 1 for numbers that are neither 0 nor -999, else 0."""
    empty = [graph.add("Equal", numbers, graph.constant(one, np.float32)) for one in (0.0, UNKNOWN)]
    return graph.cast(graph.add("Not", graph.add("Or", *empty)), np.float32)


def events_nodes(graph: GraphBuilder, raw: str, maker: SlotMaker) -> SlotEvents:
    """Append the steps; `raw` is events × slots × 3, or the same flat."""
    flat = graph.add("Reshape", raw, graph.constant([0, 3 * maker.types.total], np.int64))
    arrays = OnnxArrays(graph, np.float32)
    return maker.events(arrays, arrays.value(flat))
