"""Bins of a variable, and the sums of weights of several kinds of events in them, filled in one go."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

#: Events from which ranges and quantiles are read off; taken at equal distances.
_SAMPLE = 50_000
#: Share of the events that may lie outside the range of a picture, at either end.
_OUTSIDE = 0.005
#: Variables of whole numbers with at most this range have a bin for each.
_LONGEST_RANGE_OF_INTEGERS = 40
#: Cells of the table that finds the bins of many events.
_CELLS = 65_536


class VariableBins(NamedTuple):
    """Bins of a variable, and in which of them each event is."""

    #: Shape (n_bins + 1,). Ascending.
    edges: NDArray[np.float64]
    #: Shape (n_events,). Bin of each event; n_bins where the value is NaN or infinite. What is beyond the edges is in
    #: the outermost bins, but in no bin (n_bins) of `bins_of_edges`.
    of_event: NDArray[np.intp]
    #: Number of events whose value is NaN or infinite.
    missing: int
    #: Number of events beyond the edges.
    below: int
    above: int

    @property
    def number(self) -> int:
        """Number of bins."""
        return len(self.edges) - 1


class Sums(NamedTuple):
    """Sums of weights by kind of event and bin."""

    #: Shape (n_kinds, n_bins). Σw and Σw².
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]


def sums_in_bins(
    kinds: NDArray[np.intp],
    number: int,
    bins: VariableBins,
    weights: NDArray[np.float64],
) -> Sums:
    """Sums of weights of several kinds of events in the bins of a variable.

    Parameters
    ----------
    kinds : array of intp, shape (n_events,)
        Kind of each event, from 0; those of the kind `number` count nowhere.
    number : int
        Number of kinds.
    bins : VariableBins
        Of the same events. Events with missing values count nowhere.
    weights : array of float64, shape (n_events,)
    """
    (sums,) = sums_of_crossed(CrossedKinds(kinds, (number,)), bins, weights, np.square(weights))
    return sums


def rows_of_bins(bins: VariableBins) -> Iterator[NDArray[np.intp]]:
    """Positions of the events of each bin."""
    order = np.argsort(bins.of_event, kind="stable")
    limits = np.searchsorted(bins.of_event[order], np.arange(bins.number + 1))
    for start, stop in itertools.pairwise(limits):
        yield order[start:stop]


class CrossedKinds(NamedTuple):
    """Several ways in which events are of some kind, as one: filling them together takes not much longer than one."""

    #: Shape (n_events,).
    of_event: NDArray[np.intp]
    #: Numbers of kinds.
    numbers: tuple[int, ...]


#: Ways that are crossed: with more of them, the sums no longer fit into a processor's cache.
_CROSSED = 3


def crossed_kinds(ways: Sequence[tuple[NDArray[np.intp], int]]) -> list[CrossedKinds]:
    """Kinds of events and their numbers, as for `sums_in_bins`, some of them crossed."""
    crossed = []
    for first in range(0, len(ways), _CROSSED):
        some = ways[first : first + _CROSSED]
        numbers = tuple(number for _, number in some)
        of_event = np.ravel_multi_index([kinds for kinds, _ in some], [number + 1 for number in numbers])
        crossed.append(CrossedKinds(of_event, numbers))
    return crossed


def sums_of_crossed(
    kinds: CrossedKinds, bins: VariableBins, weights: NDArray[np.float64], squares: NDArray[np.float64]
) -> list[Sums]:
    """What `sums_in_bins` gives for each of the ways that were crossed, from the weights and their squares."""
    index = kinds.of_event * (bins.number + 1)
    index += bins.of_event
    shape = [*(number + 1 for number in kinds.numbers), bins.number + 1]
    filled = [np.bincount(index, one, minlength=math.prod(shape)).reshape(shape) for one in (weights, squares)]
    ways = range(len(kinds.numbers))
    return [
        Sums(
            *(
                np.asarray(one.sum(axis=tuple(other for other in ways if other != way))[:-1, :-1], dtype=np.float64)
                for one in filled
            )
        )
        for way in ways
    ]


def even_bins(values: NDArray[Any], number: int = 24) -> VariableBins | Undefined:
    """Bins of equal width with round edges for a picture; whole numbers are in the middle of their bins.

    The range leaves out at most some half percent of the events at either end, which the outermost bins hold.

    Parameters
    ----------
    values : array, shape (n_events,)
        Of any kind: constant, with few values, with NaN and infinite ones.
    number : int, default: 24
        Largest number of bins; for whole numbers in a small range, one more per number.

    Returns
    -------
    VariableBins or Undefined
        Undefined where there is no finite value.

    Examples
    --------
    >>> even_bins(np.array([1.0, 2.0, 2.0, 4.0])).edges
    array([0.5, 1.5, 2.5, 3.5, 4.5])
    """
    finite = np.isfinite(values)
    if not finite.any():
        return Undefined("no finite values" if len(values) else "no events")
    sample = _sample(values, finite)
    edges = _even_edges(sample, number)
    with np.errstate(invalid="ignore"):
        position = (np.asarray(values, dtype=np.float64) - edges[0]) / (edges[1] - edges[0])
    below = int(np.count_nonzero(finite & (position < 0)))
    above = int(np.count_nonzero(finite & (position > len(edges) - 1)))
    index = np.where(finite, np.clip(position, 0, len(edges) - 2), len(edges) - 1).astype(np.intp)
    return VariableBins(edges, index, int(np.count_nonzero(~finite)), below, above)


def bins_of_edges(values: NDArray[Any], edges: Sequence[float] | NDArray[Any]) -> VariableBins:
    """Bins with given edges, each with its lower edge and without its upper one; what is beyond them is in no bin.

    Parameters
    ----------
    values : array, shape (n_events,)
    edges : sequence of float, shape (n_bins + 1,)
        Ascending.

    Examples
    --------
    >>> bins_of_edges(np.array([0.0, 1.5, 2.0, np.nan]), [0, 1, 2]).of_event
    array([0, 1, 2, 2])
    """
    limits, found = np.asarray(edges, dtype=np.float64), np.asarray(values, dtype=np.float64)
    finite = np.isfinite(found)
    index = np.searchsorted(limits, found, side="right") - 1
    below, above = finite & (index < 0), finite & (index >= len(limits) - 1)
    index[~finite | below | above] = len(limits) - 1
    numbers = (int(np.count_nonzero(some)) for some in (~finite, below, above))
    return VariableBins(limits, index, *numbers)


def quantile_bins(values: NDArray[Any], number: int = 200) -> VariableBins | Undefined:
    """Bins with about equal numbers of events for comparisons of distributions; few values have a bin each.

    For more than 50,000 events, the edges are read off a sample of them, and rounded to a 65,536th of the sample's
    range, which makes filling ten times faster.

    Parameters
    ----------
    values : array, shape (n_events,)
    number : int, default: 240
        Largest number of bins.

    Returns
    -------
    VariableBins or Undefined
        Undefined where there is no finite value.
    """
    finite = np.isfinite(values)
    if not finite.any():
        return Undefined("no finite values" if len(values) else "no events")
    ordered = np.sort(_sample(values, finite))
    distinct = np.unique(ordered)
    first = np.arange(1, len(distinct))
    if len(distinct) > number:
        first = np.unique(np.searchsorted(distinct, ordered[np.arange(1, number) * len(ordered) // number]))
        first = first[first > 0]
    # Between two values, so that no value is at an edge, where rounding would decide.
    inner = 0.5 * (distinct[first - 1] + distinct[first])
    edges = np.concatenate([ordered[:1], inner, [np.nextafter(ordered[-1], np.inf)]])
    every = finite.all()
    known = values if every else np.where(finite, values, values.dtype.type(edges[0]))
    index = _index(known, edges, inner)
    if not every:
        index[~finite] = len(edges) - 1
    return VariableBins(edges, index, 0 if every else int(np.count_nonzero(~finite)), 0, 0)


def _index(values: NDArray[Any], edges: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.intp]:
    """Bin of each value: by search or, for many values, from a table of the bins of small cells."""
    if len(values) <= _SAMPLE or not len(inner):
        return np.searchsorted(inner, values, side="right")
    width = (edges[-1] - edges[0]) / (_CELLS - 1)
    scale = 1 / width if width > 0 else math.inf
    if not math.isfinite(scale) or scale > float(np.finfo(np.float32).max):
        return np.searchsorted(inner, values, side="right")
    # A value is in the cell whose middle it is nearest to, so that whole numbers cannot fall to either side of an edge.
    middles = edges[0] + np.arange(_CELLS) * width
    table = np.searchsorted(inner, middles, side="right")
    kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float64)
    with np.errstate(over="ignore"):
        position = np.subtract(values, kind.type(edges[0]), dtype=kind)
        position *= kind.type(scale)
        position += kind.type(0.5)
    cells = np.clip(position, 0, _CELLS - 1, out=position).astype(np.int32)
    index: NDArray[np.intp] = table[cells]
    return index


def _sample(values: NDArray[Any], finite: NDArray[np.bool_]) -> NDArray[np.float64]:
    step = max(1, math.ceil(len(values) / _SAMPLE))
    taken = values[::step][finite[::step]]
    taken = taken if len(taken) else values[finite]
    return taken.astype(np.float64)


def _even_edges(sample: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    low, high = (float(one) for one in np.quantile(sample, [_OUTSIDE, 1 - _OUTSIDE], method="nearest"))
    if low == high:
        low, high = float(sample.min()), float(sample.max())
    if low == high:
        half = max(0.5, 1e-3 * abs(low))
        return np.array([low - half, low + half])
    if np.all(sample == np.rint(sample)):
        if high - low <= _LONGEST_RANGE_OF_INTEGERS:
            return np.arange(low - 0.5, high + 1)
        width = float(math.ceil((high - low + 1) / number))
        return low - 0.5 + width * np.arange(math.ceil((high - low + 1) / width) + 1, dtype=np.float64)
    width = _round_up((high - low) / number)
    first = math.floor(low / width)
    edges: NDArray[np.float64] = width * np.arange(first, max(math.ceil(high / width), first + 1) + 1, dtype=np.float64)
    # Far from zero the width may be lost in rounding.
    return edges if np.all(np.diff(edges) > 0) else np.array([low, high])


def _round_up(width: float) -> float:
    """The next larger one of 1, 2, 2.5, 5 times a power of ten."""
    size = 10.0 ** math.floor(math.log10(width))
    return next((step * size for step in (1, 2, 2.5, 5, 10) if step * size >= width), 10 * size)
