"""Reading values off the fine histograms of TMVA's densities and cumulative distributions, as ONNX operators.

All is in double precision and in the order of TMVA's own steps (`PDF::GetVal`, `MethodLikelihood::GetMvaValue`), so
that the results are the same bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.tmva.method import Histogram


def interpolation_nodes(
    graph: GraphBuilder, values: str, histograms: Sequence[Histogram], *, overflow: bool = False
) -> str:
    """Append straight lines between the contents of bins at their centres, and beyond the outer centres; float64.

    Each histogram, of at least two bins, takes one column; NaN gives NaN. With `overflow` a value that is not below a
    histogram's end is in a bin of content 0 beyond it, else in the last bin.
    """
    lows, widths = _lows(graph, histograms), _widths(graph, histograms)
    last = graph.constant([histogram.contents.size - 1 for histogram in histograms], np.int64)
    one = graph.constant(1, np.int64)
    bins = _bins(graph, values, histograms, overflow=overflow)
    centres = _centres(graph, bins, lows, widths)
    forwards = graph.add("And", graph.add("Greater", values, centres), graph.add("Not", graph.add("Equal", bins, last)))
    forwards = graph.add("Or", forwards, graph.add("Equal", bins, graph.constant(0, np.int64)))
    others = graph.add("Where", forwards, graph.add("Add", bins, one), graph.add("Sub", bins, one))
    contents = _contents(graph, bins, histograms)
    rise = graph.add("Sub", contents, _contents(graph, others, histograms))
    run = graph.add("Sub", centres, _centres(graph, others, lows, widths))
    product = graph.add("Mul", graph.add("Sub", values, centres), rise)
    result = graph.add("Add", contents, graph.add("Div", product, run))
    # Infinity times a slope of zero is no number, of which TMVA's TMath::Max makes the least content.
    undefined = graph.add("And", graph.add("IsNaN", result), graph.add("Not", graph.add("IsNaN", values)))
    return graph.add("Where", undefined, graph.constant(0.0), result)


def content_nodes(graph: GraphBuilder, values: str, histograms: Sequence[Histogram]) -> str:
    """Append the contents of the bins that values are in, 0 beyond the end; arguments and result as above."""
    contents = _contents(graph, _bins(graph, values, histograms, overflow=True), histograms)
    return graph.add("Where", graph.add("IsNaN", values), values, contents)


def inverse_nodes(graph: GraphBuilder, values: str, histograms: Sequence[Histogram]) -> str:
    """Append the inverse of cumulative distributions, with the odd ends of TMVA's own (`PDF::GetValInverse`); float64.

    Each histogram takes one column; all have the same number of bins.
    """
    num_bins = histograms[0].contents.size
    size = 1 << num_bins.bit_length()
    # Bins count from 1 here, as in ROOT; TMVA never looks at the content of the last, and takes 0 for it.
    ladder = np.full((len(histograms), size), np.inf)
    below, above = np.zeros((2, len(histograms), size))
    for row, histogram in enumerate(histograms):
        ladder[row, 0] = -np.inf
        ladder[row, 1:num_bins] = below[row, 1:num_bins] = above[row, : num_bins - 1] = histogram.contents[:-1]
    table = graph.constant(ladder.ravel())
    position = graph.constant(np.arange(len(histograms))[None, :] * size, np.int64)
    start = position
    step = size // 2
    while step:  # binary search for the last bin whose content is not above the value
        candidate = graph.add("Add", position, graph.constant(step, np.int64))
        not_above = graph.add("LessOrEqual", graph.add("Gather", table, candidate), values)
        position = graph.add("Where", not_above, candidate, position)
        step //= 2
    lower = graph.add("Gather", graph.constant(below.ravel()), position)
    length = graph.add("Sub", graph.add("Gather", graph.constant(above.ravel()), position), lower)
    part = graph.add("Div", graph.add("Sub", values, lower), length)
    fraction = graph.add("Where", graph.add("Greater", length, graph.constant(1e-10)), part, lower)
    bins = graph.add("Sub", graph.add("Sub", position, start), graph.constant(1, np.int64))
    lows, widths = _lows(graph, histograms), _widths(graph, histograms)
    centres = _centres(graph, bins, lows, widths)
    following = _centres(graph, graph.add("Add", bins, graph.constant(1, np.int64)), lows, widths)
    return graph.add("Add", centres, graph.add("Mul", graph.add("Sub", following, centres), fraction))


def _lows(graph: GraphBuilder, histograms: Sequence[Histogram]) -> str:
    return graph.constant([histogram.low for histogram in histograms])


def _widths(graph: GraphBuilder, histograms: Sequence[Histogram]) -> str:
    return graph.constant([(histogram.high - histogram.low) / histogram.contents.size for histogram in histograms])


def _bins(graph: GraphBuilder, values: str, histograms: Sequence[Histogram], *, overflow: bool) -> str:
    """Numbers of bins, from 0; the first for what lies below, and for NaN.

    As in `TAxis::FindBin`, what rounding puts on the wrong side of an edge goes to the right one.
    """
    counts = np.array([histogram.contents.size for histogram in histograms])
    spans = graph.constant([histogram.high - histogram.low for histogram in histograms])
    lows, widths = _lows(graph, histograms), _widths(graph, histograms)
    zero, one = graph.constant(0.0), graph.constant(1.0)
    offset = graph.add("Sub", values, lows)
    position = graph.add("Div", graph.add("Mul", graph.constant(counts), offset), spans)
    bins = graph.add("Floor", graph.add("Where", graph.add("IsNaN", position), zero, position))
    lower = graph.add("Add", lows, graph.add("Mul", bins, widths))
    following = graph.add("Add", bins, one)
    upper = graph.add("Add", lows, graph.add("Mul", following, widths))
    bins = graph.add("Where", graph.add("GreaterOrEqual", values, upper), following, bins)
    bins = graph.add("Where", graph.add("Less", values, lower), graph.add("Sub", bins, one), bins)
    if overflow:
        highs = graph.constant([histogram.high for histogram in histograms])
        beyond = graph.add("GreaterOrEqual", values, highs)
        within = graph.add("Min", bins, graph.constant(counts - 1))
        bins = graph.add("Where", beyond, graph.constant(counts), within)
    else:
        bins = graph.add("Min", bins, graph.constant(counts - 1))
    return graph.cast(graph.add("Max", bins, zero), np.int64)


def _centres(graph: GraphBuilder, bins: str, lows: str, widths: str) -> str:
    middles = graph.add("Add", graph.cast(bins, np.float64), graph.constant(0.5))
    return graph.add("Add", lows, graph.add("Mul", middles, widths))


def _contents(graph: GraphBuilder, bins: str, histograms: Sequence[Histogram]) -> str:
    """Contents of bins; behind each histogram's last bin comes one of content 0."""
    tables = [np.append(histogram.contents, 0.0) for histogram in histograms]
    starts = np.cumsum([0, *(table.size for table in tables[:-1])])
    index = graph.add("Add", bins, graph.constant(starts, np.int64))
    table = graph.constant(np.concatenate(tables), np.float32)
    return graph.cast(graph.add("Gather", table, index), np.float64)
