"""Whether predictions rise in proportion to the truth: a line through the means of bins."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.estimates import mean
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.variable_bins import rows_of_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.response import Sample
    from ntupleml.metrics.variable_bins import VariableBins

#: Bins with means that a line needs.
_FEWEST_BINS = 3


class Linearity(NamedTuple):
    """Means of the prediction in bins of the truth, and the line through them."""

    #: Shape (n_bins,). Mean truth of the bins that have events.
    truth: list[float]
    #: Mean prediction.
    prediction: list[Measurement]
    #: Of the line.
    slope: Measurement
    intercept: Measurement
    #: The mean that is the farthest from the line, less the line, and the truth there.
    largest_deviation: Measurement
    place: float


def linearity(sample: Sample, weights: NDArray[np.float64], bins: VariableBins) -> Linearity | Undefined:
    """Line through the mean predictions in bins of the truth, each weighted with its uncertainty.

    Parameters
    ----------
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.
    bins : VariableBins
        Of the truth.

    Notes
    -----
    Least squares of the means y_i ± σ_i at the mean truths t_i: slope (S S_ty − S_t S_y)/Δ with S_ab = Σ a b / σ² and
    Δ = S S_tt − S_t²; variances S/Δ and S_tt/Δ. The uncertainty of the largest deviation is that of its mean alone.
    """
    points = []
    for rows in rows_of_bins(bins):
        chosen = rows[sample.known[rows]]
        own = weights[chosen]
        if no_sum_of_weights(own) is None:
            predicted = mean(sample.prediction[chosen], own).measurement
            if predicted.uncertainty > 0:
                points.append((mean(sample.truth[chosen], own).value, predicted))
    if len(points) < _FEWEST_BINS:
        return Undefined("fewer than three bins of the truth have a mean with an uncertainty")
    truth = np.array([place for place, _ in points])
    means, errors = np.array([tuple(one) for _, one in points]).T
    weight = 1 / np.square(errors)
    total, first, second = weight.sum(), weight @ truth, weight @ np.square(truth)
    determinant = total * second - first**2
    if determinant <= 0:
        return Undefined("the truth is the same in all bins")
    slope = (total * (weight @ (truth * means)) - first * (weight @ means)) / determinant
    intercept = (weight @ means - slope * first) / total
    deviations = means - intercept - slope * truth
    worst = int(np.argmax(np.abs(deviations)))
    return Linearity(
        truth.tolist(),
        [one for _, one in points],
        Measurement(float(slope), math.sqrt(total / determinant)),
        Measurement(float(intercept), math.sqrt(second / determinant)),
        Measurement(float(deviations[worst]), float(errors[worst])),
        float(truth[worst]),
    )
