"""Numbers of weighted events with the influence of each event: uncertainties of whatever is computed from several."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Share of a normal distribution within one standard deviation.
CENTRAL_SHARE = math.erf(1 / math.sqrt(2))
#: Effective events that an uncertainty, and a fit of a core, need.
_FEWEST_EVENTS, _FEWEST_IN_CORE = 2.0, 10.0
#: Standard deviations on either side of the mean that the fit of a core takes.
CORE_RANGE = 2.0
#: Share of a normal distribution in that range, and its variance there in units of the whole one.
_CORE_SHARE = math.erf(CORE_RANGE / math.sqrt(2))
_CORE_VARIANCE = 1 - 2 * CORE_RANGE * math.exp(-(CORE_RANGE**2) / 2) / math.sqrt(2 * math.pi) / _CORE_SHARE
#: Fits of a core at most, and the change, in units of the statistical uncertainty, that ends them.
_MOST_FITS, _SMALL_CHANGE = 200, 1e-3


class Estimate(NamedTuple):
    """A number, and how each event moves it."""

    value: float
    #: Shape (n_events,). Change of the number by the event; the variance is the sum of their squares.
    influences: NDArray[np.float64]

    @property
    def measurement(self) -> Measurement:
        """The number with its statistical uncertainty."""
        return Measurement(self.value, float(np.sqrt(self.influences @ self.influences)))

    def over(self, other: Estimate) -> Estimate:
        """Ratio to another number of the same events, which is not zero."""
        value = self.value / other.value
        return Estimate(value, (self.influences - value * other.influences) / other.value)

    def among(self, rows: NDArray[np.bool_]) -> Estimate:
        """The same as a number of more events, which have no influence.

        Parameters
        ----------
        rows : array of bool, shape (n_more_events,)
            Where the events are among all.
        """
        influences = np.zeros(len(rows))
        influences[rows] = self.influences
        return Estimate(self.value, influences)


def measured(estimate: Estimate | Undefined) -> Measurement | Undefined:
    """An estimate with its uncertainty, or why there is none."""
    return estimate if isinstance(estimate, Undefined) else estimate.measurement


def effective_events(weights: NDArray[np.float64]) -> float:
    """(Σw)² / Σw² of events whose sum of weights is positive."""
    return float(weights.sum()) ** 2 / float(weights @ weights)


def mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    """Weighted mean; the sum of weights is positive, here and below."""
    total = float(weights.sum())
    value = float(weights @ values) / total
    return Estimate(value, weights * (values - value) / total)


def standard_deviation(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate | Undefined:
    """√(n / (n − 1) Σw(x − μ)² / Σw) with n effective events."""
    total, effective = float(weights.sum()), effective_events(weights)
    if effective < _FEWEST_EVENTS:
        return Undefined("fewer than two effective events")
    squares = np.square(values - float(weights @ values) / total)
    variance = float(weights @ squares) / total
    if variance < 0:
        return Undefined("negative weights make the variance negative")
    if variance == 0:
        return Estimate(0.0, np.zeros(len(values)))
    width = math.sqrt(variance)
    influences = weights * (squares - variance) / (2 * width * total)
    return Estimate(width * math.sqrt(effective / (effective - 1)), influences)


def quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], shares: tuple[float, ...]
) -> list[Estimate] | Undefined:
    """Where the running share of the weights, in the middle of each event, reaches some shares for the first time.

    Notes
    -----
    An event moves the quantile q of the share p by w(p − [x ≤ q]) / (f Σw). The density f there is taken from the
    quantiles at p ± √(p(1 − p)/n) (Woodruff, J. Am. Stat. Assoc. 47 (1952) 635).
    """
    effective = effective_events(weights)
    if effective < _FEWEST_EVENTS:
        return Undefined("fewer than two effective events")
    order = np.argsort(values)
    ordered, own = values[order], weights[order]
    total = float(own.sum())
    reached = np.maximum.accumulate((np.cumsum(own) - 0.5 * own) / total)
    found = []
    for share in shares:
        step = math.sqrt(share * (1 - share) / effective)
        around = np.clip([share - step, share, share + step], 0, 1)
        below, value, above = (float(one) for one in np.interp(around, reached, ordered))
        slope = 0.5 * (above - below) / step
        found.append(Estimate(value, weights * (share - (values <= value)) * slope / total))
    return found


def central_width(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate | Undefined:
    """Half of the range between the quantiles of 15.9 % and 84.1 %."""
    found = quantiles(values, weights, (0.5 * (1 - CENTRAL_SHARE), 0.5 * (1 + CENTRAL_SHARE)))
    if isinstance(found, Undefined):
        return found
    low, high = found
    return Estimate(0.5 * (high.value - low.value), 0.5 * (high.influences - low.influences))


class Core(NamedTuple):
    """Normal distribution of the core."""

    mean: Estimate
    width: Estimate


def core(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Core | Undefined:
    """Mean and standard deviation of a normal distribution, fitted within ±2 of its standard deviations.

    Notes
    -----
    The unbinned likelihood of a normal distribution that is cut off at μ ± 2σ is the largest where the mean of the
    events in this range is μ, and their variance kσ² with k = 1 − 4φ(2)/(2Φ(2) − 1) = 0.774. The range follows the
    fit until both stand still; the first one has the median and the central width. Influences are those of these two
    equations, events of normal density at the ends of the range included.
    """
    if effective_events(weights) < _FEWEST_IN_CORE:
        return Undefined("fewer than ten effective events")
    middle, spread = quantiles(values, weights, (0.5,)), central_width(values, weights)
    assert not isinstance(middle, Undefined)
    assert not isinstance(spread, Undefined)
    if spread.value <= 0:
        return Undefined("the central 68 % have no width")
    found = _fixed_point(values, weights, middle[0].value, spread.value)
    if isinstance(found, Undefined):
        return found
    centre, width = found
    distances, total = values - centre, float(weights.sum())
    inside = weights * (np.abs(distances) <= CORE_RANGE * width)
    content, k = float(inside.sum()) / total, _CORE_VARIANCE
    slope = width * content * (2 * k - (CORE_RANGE**2 - k) * (1 - k))
    return Core(
        Estimate(centre, inside * distances / (k * content * total)),
        Estimate(width, inside * (np.square(distances) - k * width**2) / (slope * total)),
    )


def _fixed_point(
    values: NDArray[np.float64], weights: NDArray[np.float64], centre: float, width: float
) -> tuple[float, float] | Undefined:
    """Mean and width that the events within their range give back."""
    order = np.argsort(values)
    start, scale = centre, width
    ordered, own = (values[order] - start) / scale, weights[order]  # so that squares keep their digits
    sums = [np.concatenate([[0.0], np.cumsum(own * ordered**power)]) for power in (0, 1, 2)]
    enough = _SMALL_CHANGE / math.sqrt(effective_events(weights))
    centre, width = 0.0, 1.0
    for _ in range(_MOST_FITS):
        ends = np.searchsorted(ordered, [centre - CORE_RANGE * width, centre + CORE_RANGE * width])
        content, first, second = (float(one[ends[1]] - one[ends[0]]) for one in sums)
        if content <= 0:
            return Undefined("no positive sum of weights in the core")
        average = first / content
        variance = second / content - average**2
        if variance <= 0:
            return Undefined("the core has no width")
        changes = abs(average - centre), abs(math.sqrt(variance / _CORE_VARIANCE) - width)
        centre, width = average, math.sqrt(variance / _CORE_VARIANCE)
        if max(changes) < enough * width:
            return start + scale * centre, scale * width
    return Undefined(f"the fit of the core does not stand still after {_MOST_FITS} steps")


def derivative(function: Callable[[float], Estimate | Undefined], place: Measurement) -> float:
    """How a number changes with one that it is computed from, over the uncertainty of the latter; 0 if unknown."""
    step = place.uncertainty or 1e-3 * abs(place.value)
    if step >= abs(place.value):
        step = 0.1 * abs(place.value)
    ends = [function(place.value + sign * step) for sign in (-1, 1)]
    if isinstance(ends[0], Undefined) or isinstance(ends[1], Undefined):
        return 0.0
    return (ends[1].value - ends[0].value) / (2 * step)
