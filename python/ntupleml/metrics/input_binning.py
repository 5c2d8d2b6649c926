"""How a variable is to be histogrammed: its range without outliers, its default values, bins of one per integer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Bins of a variable that is not integer-valued.
NUM_BINS = 50
#: Integer-valued variables get one bin per value, up to this number of values.
MOST_INTEGER_BINS = 100
#: Share of the events of a class that may be below the range, and above it.
_OUTSIDE = 0.001
#: The range ends no farther from the median than this number of times the distance of the 5 and 95 % quantiles,
#: so that a single outlier among few events does not decide it.
_REACH = 3.0
#: What is outside by less than this share of the range is taken in.
_EXTENSION = 0.15
#: Largest number up to which every integer has a float32 of its own.
_LARGEST_INTEGER = 2**24
#: A default value is at least this share of the events, and this number of those looked at.
_DEFAULT_SHARE, _DEFAULT_EVENTS = 5e-4, 5
#: Default values of a variable that are looked for.
_MOST_DEFAULTS = 3
#: A variable with more values than this is continuous.
_FEW_VALUES = 20
#: A single value of a continuous variable that has more than this share of the events is worth a word.
_SPIKE_SHARE = 0.02


class Binning(NamedTuple):
    """How one variable is histogrammed."""

    #: Shape (n_bins + 1,); None where no event has a finite value.
    edges: NDArray[np.float64] | None
    #: Whether all values are integers; a bin holds whole numbers then, where possible one.
    is_integer: bool = False
    #: Values far from all others that many events have, such as −999: they stand for "missing".
    defaults: tuple[float, ...] = ()
    #: The commonest value of a continuous variable, where many events have it.
    spike: float | None = None
    #: About the median and the width, for sums that keep their precision.
    centre: float = 0.0
    scale: float = 1.0


def choose_binning(values: Sequence[NDArray[Any]], weights: Sequence[NDArray[Any]]) -> Binning:
    """Choose the bins of a variable from some of its values.

    The range has 99.8 % of each class (weighted with |w|), and ends no farther from the median than three times the
    distance of the 5 % or 95 % quantile; where no more than 15 % of it would be added, it has all values.

    Parameters
    ----------
    values : sequence of arrays, shape (n_events of the class,)
        By class.
    weights : sequence of arrays
        Of the same shapes.

    Examples
    --------
    >>> rest = np.linspace(0, 5, 1001)
    >>> chosen = choose_binning([np.concatenate([rest, np.full(100, -999.0)])], [np.ones(1101)])
    >>> chosen.edges[[0, -1]], chosen.defaults
    (array([0., 5.]), (-999.0,))
    """
    finite = [np.isfinite(some) for some in values]
    pooled = np.concatenate([some[chosen] for some, chosen in zip(values, finite, strict=True)])
    distinct, counts = np.unique(pooled, return_counts=True)
    if not len(distinct):
        return Binning(None)
    defaults = default_values(distinct, counts)
    kept = ~np.isin(distinct, np.array(defaults, dtype=distinct.dtype))
    distinct, counts = distinct[kept].astype(np.float64), counts[kept]
    low, high, centre = _range(values, weights, finite, defaults, distinct)
    is_integer = bool(np.abs(distinct[[0, -1]]).max() <= _LARGEST_INTEGER and np.all(distinct == np.rint(distinct)))
    edges = _integer_edges(low, high) if is_integer else _edges(low, high)
    commonest = int(counts.argmax())
    is_spike = not is_integer and len(distinct) > _FEW_VALUES and counts[commonest] > _SPIKE_SHARE * counts.sum()
    spike = float(distinct[commonest]) if is_spike else None
    return Binning(edges, is_integer, defaults, spike, centre, (high - low) or 1.0)


def default_values(distinct: NDArray[Any], counts: NDArray[np.int64]) -> tuple[float, ...]:
    """Values at the ends of a distribution that stand alone, far from all others, and that many events have.

    Far is at least half the width of the others (their 1 to 99 % quantiles), or anything where a single negative
    value stands before a continuous variable that is never negative. Where the others are but a few values, as those
    of a number of jets, far is five times their width, or twice it for a negative value before others that are not.

    Parameters
    ----------
    distinct : array, shape (n_values,)
        Finite values, each once, ascending.
    counts : array of int, shape (n_values,)
        How many events have them.

    Examples
    --------
    >>> default_values(np.array([-10.0, 0.0, 1.0, 2.0]), np.array([7, 50, 20, 10]))
    (-10.0,)
    """
    first, last = 0, len(distinct)
    fewest = max(_DEFAULT_EVENTS, _DEFAULT_SHARE * counts.sum())
    found: list[float] = []
    while len(found) < _MOST_DEFAULTS and last - first > 3:
        after, before = slice(first + 1, last), slice(first, last - 1)
        below = counts[first] >= fewest and _is_far(distinct[first], distinct[after], counts[after])
        above = counts[last - 1] >= fewest and _is_far(distinct[last - 1], distinct[before], counts[before])
        if not (below or above):
            break
        found.append(float(distinct[first] if below else distinct[last - 1]))
        first, last = (first + 1, last) if below else (first, last - 1)
    return tuple(found)


def _is_far(end: Any, others: NDArray[Any], counts: NDArray[np.int64]) -> bool:
    value, first, last = float(end), float(others[0]), float(others[-1])
    reached = np.cumsum(counts) / counts.sum()
    width = float(others[np.searchsorted(reached, 0.99)]) - float(others[np.searchsorted(reached, 0.01)])
    gap = first - value if value < first else value - last
    is_sign = value < 0 <= first
    if len(others) > _FEW_VALUES and not np.array_equal(others, np.rint(others)):
        # -1 or -10 stands for "there is none", however long the tail of a mass or momentum may be.
        return (is_sign and value.is_integer()) or gap >= (0.02 if is_sign else 0.5) * width
    return gap >= (2.0 if is_sign else 5.0) * width


def _range(
    values: Sequence[NDArray[Any]],
    weights: Sequence[NDArray[Any]],
    finite: Sequence[NDArray[np.bool_]],
    defaults: tuple[float, ...],
    distinct: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Lower and upper end of the range, and about the median."""
    ends = []
    for some, some_weights, chosen in zip(values, weights, finite, strict=True):
        kept = chosen & ~np.isin(some, np.array(defaults, dtype=some.dtype)) if defaults else chosen
        if kept.any():
            ends.append(_weighted_quantiles(some[kept], np.abs(some_weights[kept])))
    lowest, low_side, median, high_side, highest = np.array(ends).T
    least, most = float(distinct[0]), float(distinct[-1])
    reach = np.where(low_side < median, median - _REACH * (median - low_side), lowest)
    low = float(np.maximum(lowest, reach).min())
    reach = np.where(high_side > median, median + _REACH * (high_side - median), highest)
    high = float(np.minimum(highest, reach).max())
    if low >= high:
        low, high = least, most
    margin = _EXTENSION * (high - low)
    return least if least > low - margin else low, most if most < high + margin else high, float(np.median(median))


def _weighted_quantiles(values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    order = np.argsort(values)
    reached = np.cumsum(weights[order], dtype=np.float64)
    if not reached[-1] > 0:  # all weights are zero
        reached = np.arange(1, len(values) + 1, dtype=np.float64)
    wanted = np.array([_OUTSIDE, 0.05, 0.5, 0.95, 1 - _OUTSIDE]) * reached[-1]
    positions = np.minimum(np.searchsorted(reached, wanted), len(values) - 1)
    quantiles: NDArray[np.float64] = values[order][positions].astype(np.float64)
    return quantiles


def _edges(low: float, high: float) -> NDArray[np.float64]:
    if low == high:  # one bin around a constant, wide enough for its size
        half = max(0.5, 1e-3 * abs(low))
        return np.array([low - half, high + half])
    return np.linspace(low, high, NUM_BINS + 1)


def _integer_edges(low: float, high: float) -> NDArray[np.float64]:
    first, last = math.floor(low), math.ceil(high)
    number = last - first + 1
    step = 1 if number <= MOST_INTEGER_BINS else math.ceil(number / NUM_BINS)
    num_bins = math.ceil(number / step)
    return first - 0.5 + step * np.arange(num_bins + 1, dtype=np.float64)
