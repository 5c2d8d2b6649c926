"""Functions that TMVA needs and ONNX does not have in double precision, and sums in TMVA's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.onnx_models import quantile_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder

# S. L. Moshier, Cephes Math Library 2.1 (1989), ndtr.c: erf below and erfc above 1; lowest power first.
_ERF_NUMERATOR = (
    5.55923013010394962768e4, 7.00332514112805075473e3, 2.23200534594684319226e3, 9.00260197203842689217e1,
    9.60497373987051638749e0,
)  # fmt: skip
_ERF_DENOMINATOR = (
    4.92673942608635921086e4, 2.26290000613890934246e4, 4.59432382970980127987e3, 5.21357949780152679795e2,
    3.35617141647503099647e1, 1.0,
)  # fmt: skip
_ERFC_NUMERATOR = (
    5.57535335369399327526e2, 1.02755188689515710272e3, 9.34528527171957607540e2, 5.26445194995477358631e2,
    1.96520832956077098242e2, 4.86371970985681366614e1, 7.46321056442269912687e0, 5.64189564831068821977e-1,
    2.46196981473530512524e-10,
)  # fmt: skip
_ERFC_DENOMINATOR = (
    5.57535340817727675546e2, 1.65666309194161350182e3, 2.24633760818710981792e3, 1.82390916687909736289e3,
    9.75708501743205489753e2, 3.54937778887819891062e2, 8.67072140885989742329e1, 1.32281951154744992508e1,
    1.0,
)  # fmt: skip
#: Beyond it the error function is ±1 to double precision.
_ERF_END = 6.0


def columns(graph: GraphBuilder, value: str, count: int) -> list[str]:
    """Append a selection of each column; names of matrices of one column."""
    return [graph.add("Gather", value, graph.constant([column], np.int64), axis=1) for column in range(count)]


def ordered_sum(graph: GraphBuilder, terms: Sequence[str]) -> str:
    """Append a sum from left to right: of float64, so that it is the same bit for bit as that of a loop."""
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("Add", total, term)
    return total


def error_function_nodes(graph: GraphBuilder, value: str) -> str:
    """Append erf of float64 numbers; relative accuracy 1e-15."""
    one = graph.constant(1.0)
    size = graph.add("Min", graph.add("Abs", value), graph.constant(_ERF_END))
    inner = graph.add("Min", size, one)
    square = graph.add("Mul", inner, inner)
    centre = graph.add("Mul", inner, _ratio(graph, square, _ERF_NUMERATOR, _ERF_DENOMINATOR))
    outer = graph.add("Max", size, one)
    gauss = graph.add("Exp", graph.add("Neg", graph.add("Mul", outer, outer)))
    tail = graph.add("Sub", one, graph.add("Mul", gauss, _ratio(graph, outer, _ERFC_NUMERATOR, _ERFC_DENOMINATOR)))
    result = graph.add("Where", graph.add("Less", size, one), centre, tail)
    return graph.add("Mul", graph.add("Sign", value), result)


def normal_quantile_nodes(graph: GraphBuilder, fraction: str) -> str:
    """Append the quantile function of the normal distribution, for float64 fractions from 1e-11 to 1 − 1e-11.

    That of `quantile_nodes` cuts off at scikit-learn's bounds.
    """
    centred = graph.add("Sub", fraction, graph.constant(0.5))
    square = graph.add("Sub", graph.constant(0.425**2), graph.add("Mul", centred, centred))
    numerator, denominator = quantile_nodes._CENTRE_NUMERATOR, quantile_nodes._CENTRE_DENOMINATOR
    centre = graph.add("Mul", centred, _ratio(graph, square, numerator, denominator))
    tail_fraction = graph.add("Min", fraction, graph.add("Sub", graph.constant(1.0), fraction))
    root = graph.add("Sqrt", graph.add("Neg", graph.add("Log", tail_fraction)))
    distance = graph.add("Sub", root, graph.constant(1.6))
    tail = _ratio(graph, distance, quantile_nodes._TAIL_NUMERATOR, quantile_nodes._TAIL_DENOMINATOR)
    tail = graph.add("Mul", tail, graph.add("Sign", centred))
    return graph.add("Where", graph.add("LessOrEqual", graph.add("Abs", centred), graph.constant(0.425)), centre, tail)


def _ratio(graph: GraphBuilder, value: str, numerator: tuple[float, ...], denominator: tuple[float, ...]) -> str:
    return quantile_nodes._ratio(graph, value, numerator, denominator)
