"""How well a value is predicted: residuals with bias and resolution, overall and in bins of the truth."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.histograms import Histogram, histogram
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.variable_bins import even_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Share of a normal distribution within one standard deviation.
CENTRAL_SHARE = math.erf(1 / math.sqrt(2))
#: Bins of the truth, of the residuals, and of either side of the map of truth and prediction, at most.
_BINS_OF_TRUTH, _BINS_OF_RESIDUALS, _BINS_OF_MAP = 12, 60, 40
#: Effective events that an uncertainty needs.
_FEWEST_EVENTS = 2.0


class Residuals(NamedTuple):
    """Prediction less truth of some events."""

    entries: int
    #: Weighted mean.
    bias: Measurement
    #: Standard deviation.
    resolution: Measurement | Undefined
    #: Half of the range that holds the central 68 %: the resolution where tails do not count.
    central_width: Measurement | Undefined


class Map(NamedTuple):
    """Sums of weights in cells of truth and prediction."""

    #: Shapes (n_rows + 1,) and (n_columns + 1,). Edges.
    truth: NDArray[np.float64]
    prediction: NDArray[np.float64]
    #: Shape (n_rows, n_columns). By truth and prediction; events outside are left out.
    sums: NDArray[np.float64]


class Regression(NamedTuple):
    """Prediction of one value."""

    #: Of all events.
    residuals: Residuals
    #: Weighted correlation coefficient of truth and prediction.
    correlation: Measurement | Undefined
    #: Shape (n_bins + 1,). Bins of the truth; what is beyond them is in the outermost.
    edges: NDArray[np.float64]
    in_bins: tuple[Residuals | Undefined, ...]
    #: Of the residuals.
    distribution: Histogram
    map: Map
    #: Share of the events with a negative weight.
    negative_share: float
    #: Events without a finite truth, which are left out.
    missing: int


def regression(truth: NDArray[Any], prediction: NDArray[Any], weights: NDArray[np.float64]) -> Regression | Undefined:
    """Residuals of the prediction of one value.

    Parameters
    ----------
    truth, prediction : array, shape (n_events,)
        Events whose truth is NaN or infinite are left out.
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.

    Returns
    -------
    Regression or Undefined
        Undefined without events, and where the sum of weights is not positive.

    Notes
    -----
    With r the residuals, μ their weighted mean, σ² their weighted variance and n = (Σw)²/Σw² the effective events:

    * bias μ, with the variance Σw²(r − μ)² / (Σw)²;
    * resolution σ, where σ² = n / (n − 1) Σw(r − μ)² / Σw; its variance is that of the mean of (r − μ)², over 4σ²;
    * central width: half of the distance between the quantiles of 15.9 % and 84.1 %, read off the running sums of
      weights. The variance of a quantile is p(1 − p)/n over the squared density there, which is taken from the
      quantiles at p ± √(p(1 − p)/n) (Woodruff, J. Am. Stat. Assoc. 47 (1952) 635); those of the two are correlated.
    * correlation ρ, with the variance Σw²(uv − ρ(u² + v²)/2)² / (Σw)², u and v being truth and prediction in units of
      their standard deviations from their means.
    """
    finite = np.isfinite(truth)
    if not finite.all():
        truth, prediction, weights = truth[finite], prediction[finite], weights[finite]
    if undefined := no_sum_of_weights(weights):
        return undefined
    true, predicted = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    differences = predicted - true
    bins = even_bins(true, _BINS_OF_TRUTH)
    shape = even_bins(differences, _BINS_OF_RESIDUALS)
    assert not isinstance(bins, Undefined)
    assert not isinstance(shape, Undefined)
    order = np.argsort(bins.of_event, kind="stable")
    limits = np.searchsorted(bins.of_event[order], np.arange(bins.number + 1))
    return Regression(
        residuals(differences, weights),
        _correlation(true, predicted, weights),
        bins.edges,
        tuple(
            no_sum_of_weights(weights[rows]) or residuals(differences[rows], weights[rows])
            for rows in (order[start:stop] for start, stop in itertools.pairwise(limits))
        ),
        histogram(differences, weights, shape.edges),
        _map(true, predicted, weights),
        float(np.mean(weights < 0)),
        int(np.count_nonzero(~finite)),
    )


def residuals(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Residuals:
    """Mean and width of weighted numbers, whose sum of weights is positive; formulas as for `regression`."""
    total, squares = float(weights.sum()), np.square(weights)
    effective = total**2 / float(squares.sum())
    mean = float(weights @ values) / total
    distances = np.square(values - mean)
    bias = Measurement(mean, math.sqrt(float(squares @ distances)) / total)
    if effective < _FEWEST_EVENTS:
        few = Undefined("fewer than two effective events")
        return Residuals(len(values), bias, few, few)
    variance = float(weights @ distances) / total
    resolution: Measurement | Undefined = Undefined("negative weights make the variance negative")
    if variance > 0:
        spread = math.sqrt(float(squares @ np.square(distances - variance))) / total
        value = math.sqrt(variance * effective / (effective - 1))
        resolution = Measurement(value, spread / (2 * math.sqrt(variance)))
    elif variance == 0:
        resolution = Measurement(0.0, 0.0)
    return Residuals(len(values), bias, resolution, _central_width(values, weights, effective))


def _central_width(values: NDArray[np.float64], weights: NDArray[np.float64], effective: float) -> Measurement:
    low, high = 0.5 * (1 - CENTRAL_SHARE), 0.5 * (1 + CENTRAL_SHARE)
    shift = math.sqrt(low * high / effective)  # the same for both, since high = 1 − low
    wanted = np.clip([low, high, low - shift, low + shift, high - shift, high + shift], 0, 1)
    lower, upper, *around = _quantiles(values, weights, wanted)
    deviations = 0.5 * (around[1] - around[0]), 0.5 * (around[3] - around[2])
    # Correlation of the two shares: low (1 − high) / (low high).
    covariance = low / high * deviations[0] * deviations[1]
    variance = deviations[0] ** 2 + deviations[1] ** 2 - 2 * covariance
    return Measurement(0.5 * (upper - lower), 0.5 * math.sqrt(max(variance, 0.0)))


def _quantiles(values: NDArray[np.float64], weights: NDArray[np.float64], shares: NDArray[np.float64]) -> list[float]:
    """Where the running share of the weights, in the middle of each event, reaches some shares for the first time."""
    order = np.argsort(values)
    ordered, own = values[order], weights[order]
    reached = (np.cumsum(own) - 0.5 * own) / own.sum()
    return [float(one) for one in np.interp(shares, np.maximum.accumulate(reached), ordered)]


def _correlation(
    truth: NDArray[np.float64], prediction: NDArray[np.float64], weights: NDArray[np.float64]
) -> Measurement | Undefined:
    total = float(weights.sum())
    scaled = []
    for name, values in (("truth", truth), ("prediction", prediction)):
        distances = values - float(weights @ values) / total
        variance = float(weights @ np.square(distances)) / total
        if variance <= 0:
            return Undefined(f"the {name} is the same for all events")
        scaled.append(distances / math.sqrt(variance))
    first, second = scaled
    value = float(weights @ (first * second)) / total
    influences = weights * (first * second - 0.5 * value * (np.square(first) + np.square(second)))
    return Measurement(value, math.sqrt(float(influences @ influences)) / total)


def _map(truth: NDArray[np.float64], prediction: NDArray[np.float64], weights: NDArray[np.float64]) -> Map:
    edges = []
    for values in (truth, prediction):
        bins = even_bins(values, _BINS_OF_MAP)
        assert not isinstance(bins, Undefined)
        edges.append(bins.edges)
    import boost_histogram

    filled = boost_histogram.Histogram(
        *(boost_histogram.axis.Regular(len(some) - 1, some[0], some[-1]) for some in edges),
        storage=boost_histogram.storage.Double(),
    )
    filled.fill(truth, prediction, weight=weights)
    return Map(edges[0], edges[1], np.array(filled.view()))
