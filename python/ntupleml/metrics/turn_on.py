"""Selecting events above a threshold of the truth by a prediction: turn-on curves, and ROC curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.bayesian_efficiency import bayesian_efficiency_in_bins
from ntupleml.metrics.low_rate_roc import LowRateRoc, low_rate_roc
from ntupleml.metrics.measurement import Interval, Undefined, no_sum_of_weights
from ntupleml.metrics.variable_bins import even_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.response import Sample

#: Bins of the truth at most.
_BINS = 24


class TurnOn(NamedTuple):
    """What one threshold does."""

    threshold: float
    #: Shape (n_bins + 1,). Of the truth; the outermost bins hold what is beyond them.
    edges: NDArray[np.float64]
    #: Share of the events of each bin whose prediction is above the threshold.
    efficiencies: list[Interval | Undefined]
    #: Of all cuts on the prediction: events whose truth is above the threshold against the others. The working point
    #: is the cut at the threshold itself.
    roc: LowRateRoc | Undefined


def turn_on(sample: Sample, weights: NDArray[np.float64], threshold: float) -> TurnOn | Undefined:
    """Efficiency of "prediction > threshold" in bins of the truth, and the ROC curve of "truth > threshold".

    Parameters
    ----------
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.

    Notes
    -----
    Shares have the shortest Bayesian intervals of 68.3 % (`bayesian_efficiencies`).
    """
    rows = np.flatnonzero(sample.known)
    prediction, truth, own = sample.prediction[rows], sample.truth[rows], weights[rows]
    if undefined := no_sum_of_weights(own):
        return undefined
    bins = even_bins(truth, _BINS)
    assert not isinstance(bins, Undefined)
    passed = prediction > threshold
    efficiencies = bayesian_efficiency_in_bins(passed, bins, own)
    return TurnOn(threshold, bins.edges, efficiencies, low_rate_roc(prediction, truth > threshold, own, passed))
