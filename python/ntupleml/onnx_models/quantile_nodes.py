"""Scikit-learn's quantile transformer as ONNX operators, exact in float64.

ONNX has neither a sorted search nor the quantile function of the normal distribution: the search is a binary one,
written out step by step over a table, and the quantile function is Wichura's algorithm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder

#: Scikit-learn's `BOUNDS_THRESHOLD`: values this near to a variable's smallest or largest quantile count as outside.
BOUNDS_THRESHOLD = 1e-7

# M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Appl. Stat. 37 (1988) 477,
# routine PPND16, relative accuracy 1e-16; lowest power first. Its third region, p below e^-25, cannot occur here.
_CENTRE_NUMERATOR = (
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
)  # fmt: skip
_CENTRE_DENOMINATOR = (
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
)  # fmt: skip
_TAIL_NUMERATOR = (
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
    1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
)  # fmt: skip
_TAIL_DENOMINATOR = (
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
)  # fmt: skip


def quantile_nodes(graph: GraphBuilder, values: str, scaler: Any) -> str:
    """Append a fitted `sklearn.preprocessing.QuantileTransformer` to a graph.

    Parameters
    ----------
    graph : GraphBuilder
    values : str
        Name of the variables, float64, events × variables.
    scaler : QuantileTransformer

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
    return normal_quantile_nodes(graph, graph.add("Where", below, zero, fraction))


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


def normal_quantile_nodes(graph: GraphBuilder, fraction: str) -> str:
    """Append the quantile function of the normal distribution, cut off as scikit-learn does.

    Parameters
    ----------
    graph : GraphBuilder
    fraction : str
        Name of the fractions from 0 to 1, float64.

    Returns
    -------
    str
        Name of the quantiles, float64, from about −5.2 to 5.2.
    """
    smallest = BOUNDS_THRESHOLD - np.spacing(1)
    one = graph.constant(1.0)
    fraction = graph.add("Clip", fraction, graph.constant(smallest), graph.constant(1 - smallest))
    centred = graph.add("Sub", fraction, graph.constant(0.5))
    square = graph.add("Sub", graph.constant(0.425**2), graph.add("Mul", centred, centred))
    centre = graph.add("Mul", centred, _ratio(graph, square, _CENTRE_NUMERATOR, _CENTRE_DENOMINATOR))

    tail_fraction = graph.add("Min", fraction, graph.add("Sub", one, fraction))
    root = graph.add("Sqrt", graph.add("Neg", graph.add("Log", tail_fraction)))
    distance = graph.add("Sub", root, graph.constant(1.6))
    tail = _ratio(graph, distance, _TAIL_NUMERATOR, _TAIL_DENOMINATOR)
    signed_tail = graph.add("Mul", tail, graph.add("Sign", centred))
    in_centre = graph.add("LessOrEqual", graph.add("Abs", centred), graph.constant(0.425))
    return graph.add("Where", in_centre, centre, signed_tail)


def _ratio(graph: GraphBuilder, value: str, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> str:
    return graph.add("Div", _polynomial(graph, value, numerator), _polynomial(graph, value, denominator))


def _polynomial(graph: GraphBuilder, value: str, coefficients: tuple[float, ...]) -> str:
    """Horner's scheme; lowest power first."""
    *lower, highest = coefficients
    result = graph.constant(highest)
    for coefficient in reversed(lower):
        result = graph.add("Add", graph.add("Mul", result, value), graph.constant(coefficient))
    return result
