"""Scikit-learn's quantile transformer as ONNX operators, exact in float64.

ONNX has neither a sorted search nor the quantile function of the normal distribution: the search is a binary one,
written out step by step over a table, and the quantile function is Wichura's algorithm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.onnx_models.special_functions import normal_quantile_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder

#: Scikit-learn's `BOUNDS_THRESHOLD`: values this near to a variable's smallest or largest quantile count as outside.
BOUNDS_THRESHOLD = 1e-7


def quantile_nodes(graph: GraphBuilder, values: str, scaler: Any) -> str:
    """Append a fitted `sklearn.preprocessing.QuantileTransformer` to a graph.

    Parameters
    ----------
    values : str
        Name of the variables, float64, events × variables.

    Returns
    -------
    str
        Name of the transformed variables, float64.
    """
    quantiles = np.asarray(scaler.quantiles_, dtype=np.float64)
    lower, upper = graph.constant(quantiles[0]), graph.constant(quantiles[-1])
    inside = graph.add("Min", graph.add("Max", values, lower), upper)
    fraction = _interpolation(graph, inside, quantiles, np.asarray(scaler.references_, dtype=np.float64))
    zero, one = graph.constant(0.0), graph.constant(1.0)
    if scaler.output_distribution == "uniform":
        fraction = graph.add("Where", graph.add("GreaterOrEqual", values, upper), one, fraction)
        return graph.add("Where", graph.add("LessOrEqual", values, lower), zero, fraction)
    near = graph.constant(BOUNDS_THRESHOLD)
    above = graph.add("Greater", graph.add("Add", values, near), upper)
    below = graph.add("Less", graph.add("Sub", values, near), lower)
    fraction = graph.add("Where", above, one, fraction)
    fraction = graph.add("Where", below, zero, fraction)
    # cut off as scikit-learn does: the quantiles go from about −5.2 to 5.2
    smallest = BOUNDS_THRESHOLD - np.spacing(1)
    fraction = graph.add("Clip", fraction, graph.constant(smallest), graph.constant(1 - smallest))
    return normal_quantile_nodes(graph, fraction)


def _interpolation(
    graph: GraphBuilder, values: str, quantiles: NDArray[np.float64], references: NDArray[np.float64]
) -> str:
    """Fraction of events below each value: linear between quantiles, the middle of a step where quantiles repeat.

    Scikit-learn interpolates from below and from above and takes the mean, which differs from one interpolation
    only exactly at a repeated quantile; there a third table holds the mean.
    """
    num_quantiles, num_variables = quantiles.shape
    size = 1 << max(1, (num_quantiles - 1).bit_length())
    table = np.full((num_variables, size), np.inf)
    table[:, :num_quantiles] = quantiles.T
    slope, at_quantile = np.zeros((2, num_variables, size))
    reference = np.zeros(size)
    reference[:num_quantiles] = references
    for column in range(num_variables):
        steps = np.diff(quantiles[:, column])
        rises = np.flatnonzero(steps > 0)
        slope[column, rises] = np.diff(references)[rises] / steps[rises]
        first = np.searchsorted(quantiles[:, column], quantiles[:, column], side="left")
        last = np.searchsorted(quantiles[:, column], quantiles[:, column], side="right") - 1
        at_quantile[column, :num_quantiles] = 0.5 * (references[first] + references[last])

    quantile_table = graph.constant(table.ravel())
    position = _last_not_above(graph, values, quantile_table, num_variables, size)
    lower_end = graph.add("Gather", quantile_table, position)
    start = graph.add("Gather", graph.constant(np.tile(reference, num_variables)), position)
    gradient = graph.add("Gather", graph.constant(slope.ravel()), position)
    between = graph.add("Add", graph.add("Mul", gradient, graph.add("Sub", values, lower_end)), start)
    exact = graph.add("Gather", graph.constant(at_quantile.ravel()), position)
    return graph.add("Where", graph.add("Equal", values, lower_end), exact, between)


def _last_not_above(graph: GraphBuilder, values: str, table: str, num_variables: int, size: int) -> str:
    """Binary search: index into the table of the last quantile not above each value. `size` is a power of two."""
    position = graph.constant(np.arange(num_variables)[None, :] * size, np.int32)
    step = size // 2
    while step:
        candidate = graph.add("Add", position, graph.constant(step, np.int32))
        not_above = graph.add("LessOrEqual", graph.add("Gather", table, candidate), values)
        position = graph.add("Where", not_above, candidate, position)
        step //= 2
    return position
