"""Weighted Brier scores: how far probabilities are from the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What rounding may do to a probability, and to the sum of those of an event.
_ROUNDING, _ROUNDING_OF_SUM = 1e-5, 1e-3


def no_probabilities(scores: NDArray[Any]) -> Undefined | None:
    """Why scores are no probabilities, if so: some are below 0, above 1 or NaN.

    Parameters
    ----------
    scores : array, of any shape
    """
    if not scores.size:
        return None
    low, high = float(scores.min()), float(scores.max())
    if math.isnan(low):
        return Undefined(f"{np.count_nonzero(np.isnan(scores))} scores are NaN")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        return Undefined(f"the scores, from {low:.4g} to {high:.4g}, are no probabilities")
    return None


def brier_score(scores: NDArray[Any], is_class: NDArray[np.bool_], weights: NDArray[Any]) -> Measurement | Undefined:
    """Weighted Brier score of one class: mean of (score − truth)², truth 1 for the class and else 0.

    Parameters
    ----------
    scores : array, shape (n_events,)
        Probabilities of the class.
    is_class : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.

    Returns
    -------
    Measurement or Undefined
        Undefined where there are no events, their sum of weights is not positive or the scores are no probabilities.

    Notes
    -----
    Brier, Mon. Weather Rev. 78 (1950) 1, in the form of scikit-learn's `brier_score_loss` for two classes. The variance
    is that of a weighted mean, Σ w² (q − q̄)² / (Σw)².
    """
    if reason := no_sum_of_weights(weights) or no_probabilities(scores):
        return reason
    distances = np.asarray(scores, dtype=np.float64) - is_class
    return weighted_mean(np.square(distances), np.asarray(weights, dtype=np.float64))


def multiclass_brier_score(
    scores: NDArray[Any], truth: NDArray[np.integer[Any]], weights: NDArray[Any]
) -> Measurement | Undefined:
    """Weighted Brier score of all classes: mean over the events of Σ (score − truth)² over the classes, from 0 to 2.

    Parameters
    ----------
    scores : array, shape (n_events, n_classes)
        Probabilities, which sum up to 1 for each event.
    truth : array of int, shape (n_events,)
    weights : array, shape (n_events,)

    Returns
    -------
    Measurement or Undefined
        Undefined as `brier_score`, and where the scores of an event do not sum up to 1.

    Notes
    -----
    Brier's original definition, Mon. Weather Rev. 78 (1950) 1.
    """
    if reason := no_sum_of_weights(weights) or no_probabilities(scores):
        return reason
    sums = scores.sum(axis=1, dtype=np.float64)
    bad = int(np.count_nonzero(np.abs(sums - 1) > _ROUNDING_OF_SUM))
    if bad:
        return Undefined(f"the scores of {bad} of {len(sums)} events do not sum up to 1")
    # Σ (s − y)² = Σ s² − 2 s_true + 1, without a matrix of the truth.
    of_truth = np.take_along_axis(scores, truth[:, np.newaxis], axis=1)[:, 0].astype(np.float64)
    squares = np.einsum("ij,ij->i", scores, scores, dtype=np.float64)
    return weighted_mean(squares - 2 * of_truth + 1, np.asarray(weights, dtype=np.float64))


def weighted_mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Measurement:
    """Weighted mean and its uncertainty, √(Σ w² (q − q̄)²) / Σw; the sum of weights must be positive."""
    total = float(weights.sum())
    mean = float(weights @ values) / total
    deviations = weights * (values - mean)
    return Measurement(mean, math.sqrt(float(deviations @ deviations)) / total)
