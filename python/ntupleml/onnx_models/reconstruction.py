"""Scores of a network that gives its inputs back, as ONNX operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.artifacts.keras_shapes import size_of
from ntupleml.config.inputs import LARGEST_LOG_VARIANCE
from ntupleml.features.slots import COLUMNS
from ntupleml.onnx_models.contract import OUTPUT
from ntupleml.onnx_models.layer_parts import constant, summed
from ntupleml.onnx_models.slots import counted_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ntupleml.artifacts.keras_shapes import Shape
    from ntupleml.artifacts.record import TargetRecord
    from ntupleml.onnx_models.graph import GraphBuilder


def size_given_back(name: str, shape: Shape, target: TargetRecord) -> int:
    """Numbers of a group; of objects in slots without those that say their type."""
    of_slots = name in target.slots and len(shape) > 1
    return size_of((*shape[:-1], len(COLUMNS)) if of_slots else shape)


def reconstruction_nodes(
    graph: GraphBuilder, given: str, wanted: Mapping[str, str], target: TargetRecord, shapes: Mapping[str, Shape]
) -> None:
    """Append the scores, one after the other.

    Parameters
    ----------
    given : str
        What the network gives: all groups, and behind them the numbers of its latent layer.
    wanted, shapes : mapping
        What the network takes, by its names.
    """
    sizes = [size_given_back(name, shapes[name], target) for name in target.groups]
    parts, latent = [given], []
    if len(sizes) > 1 or target.latent:
        parts = graph.split(given, [*sizes, *target.latent_sizes])
        parts, latent = parts[: len(sizes)], parts[len(sizes) :]
    nodes: dict[str, Callable[[], str]] = {
        "reconstruction_error": lambda: _error(graph, parts, wanted, target, shapes),
        "latent_norm": lambda: _mean_of_squares(graph, latent[0]),
        "kl": lambda: _divergence(graph, *latent),
    }
    graph.add("Concat", *(nodes[name]() for name in target.scores), axis=1, output=OUTPUT)


def _error(
    graph: GraphBuilder,
    parts: Sequence[str],
    wanted: Mapping[str, str],
    target: TargetRecord,
    shapes: Mapping[str, Shape],
) -> str:
    """Mean squared error over what is there, 0 where nothing is, events × 1."""
    sums, numbers = [], []
    one = graph.constant([1], np.int64)
    for name, part in zip(target.groups, parts, strict=True):
        value, size = wanted[name], size_given_back(name, shapes[name], target)
        if name in target.slots and len(shapes[name]) > 1:
            value = graph.split(value, [len(COLUMNS), (shapes[name][-1] or 0) - len(COLUMNS)], axis=2)[0]
        flat = graph.add("Reshape", value, graph.constant([0, size], np.int64))
        difference = graph.add("Sub", part, flat)
        squares = graph.add("Mul", difference, difference)
        if name in target.slots:
            counted = counted_numbers(graph, flat)
            sums.append(graph.add("ReduceSum", graph.add("Mul", squares, counted), one, keepdims=1))
            numbers.append(graph.add("ReduceSum", counted, one, keepdims=1))
            continue
        if f"{name}_mask" not in wanted:
            sums.append(graph.add("ReduceSum", squares, one, keepdims=1))
            numbers.append(graph.constant([size], np.float32))
            continue
        length, width = (part or 0 for part in shapes[name])
        squares = graph.add("Reshape", squares, graph.constant([0, length, width], np.int64))
        each = graph.add("ReduceSum", squares, graph.constant([2], np.int64), keepdims=0)
        mask = wanted[f"{name}_mask"]
        sums.append(graph.add("ReduceSum", graph.add("Mul", each, mask), one, keepdims=1))
        filled = graph.add("ReduceSum", mask, one, keepdims=1)
        numbers.append(graph.add("Mul", filled, graph.constant(width, np.float32)))
    number = graph.add("Max", graph.add("Sum", *numbers), graph.constant(1, np.float32))
    return graph.add("Div", graph.add("Sum", *sums), number)


def _mean_of_squares(graph: GraphBuilder, values: str) -> str:
    return graph.add("ReduceMean", graph.add("Mul", values, values), axes=[1], keepdims=1)


def _divergence(graph: GraphBuilder, mean: str, log_variance: str) -> str:
    """As `models.reconstruction.divergence`."""
    bounded = graph.add("Min", log_variance, constant(graph, LARGEST_LOG_VARIANCE))
    log_term = graph.add("Add", bounded, constant(graph, 1))
    found = graph.add("Sub", graph.add("Sub", log_term, graph.add("Mul", mean, mean)), graph.add("Exp", bounded))
    return graph.add("Mul", summed(graph, found, 1), constant(graph, -0.5))
