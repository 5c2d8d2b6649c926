"""How well a value is predicted: residuals with bias and resolution, overall and in bins of the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.estimates import central_width, mean, measured, standard_deviation
from ntupleml.metrics.histograms import Histogram, histogram
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.variable_bins import even_bins, rows_of_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bins of the truth, of the residuals, and of either side of the map of truth and prediction, at most.
_BINS_OF_TRUTH, _BINS_OF_RESIDUALS, _BINS_OF_MAP = 12, 60, 40


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
      weights; variances of `quantiles`, correlated.
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
    return Regression(
        residuals(differences, weights),
        _correlation(true, predicted, weights),
        bins.edges,
        tuple(
            no_sum_of_weights(weights[rows]) or residuals(differences[rows], weights[rows])
            for rows in rows_of_bins(bins)
        ),
        histogram(differences, weights, shape.edges),
        _map(true, predicted, weights),
        float(np.mean(weights < 0)),
        int(np.count_nonzero(~finite)),
    )


def residuals(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Residuals:
    """Mean and width of weighted numbers, whose sum of weights is positive; formulas as for `regression`."""
    return Residuals(
        len(values),
        mean(values, weights).measurement,
        measured(standard_deviation(values, weights)),
        measured(central_width(values, weights)),
    )


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
