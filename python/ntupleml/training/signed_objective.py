"""Cross-entropy of events whose weights have either sign, for XGBoost, whose own objectives refuse negative ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Smallest second derivative of an event, as XGBoost's own objectives have it.
_SMALLEST_HESSIAN = 1e-16
#: Smallest probability whose logarithm is taken.
_SMALLEST_PROBABILITY = 1e-16


def probabilities(sums: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Probability of each class from the sums of its trees.

    Parameters
    ----------
    sums : array, shape (n_events,) or (n_events, n_classes)
        One sum for two classes, else one per class.

    Returns
    -------
    array of float64, shape (n_events, n_classes)
        Softmax; for one sum, its sigmoid is the probability of class 1.

    Examples
    --------
    >>> probabilities(np.array([0.0, 1000.0]))
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    sums = sums.astype(np.float64)
    if sums.ndim == 1:
        sums = np.stack([np.zeros_like(sums), sums], axis=1)
    exponentials: NDArray[np.float64] = np.exp(sums - sums.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def mean_cross_entropy(
    sums: NDArray[np.floating[Any]], classes: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """Weighted mean of −ln p of the true class, Σ w (−ln p) / Σ w.

    Parameters
    ----------
    sums : array, shape (n_events,) or (n_events, n_classes)
        See `probabilities`.
    classes : array of int64, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Their sum is not zero.
    """
    of_truth = np.take_along_axis(probabilities(sums), classes[:, np.newaxis], axis=1)[:, 0]
    return float(np.average(-np.log(np.maximum(of_truth, _SMALLEST_PROBABILITY)), weights=weights))


def signed_objective(
    classes: NDArray[np.int64], weights: NDArray[np.float64]
) -> Callable[[NDArray[np.float32], Any], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """First and second derivatives of the weighted cross-entropy by the sums, as `xgboost.train` wants them.

    Parameters
    ----------
    classes : array of int64, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Of either sign.

    Notes
    -----
    w (p − y) and w p (1 − p), the latter twice for more than two classes, as in XGBoost's `multi:softprob`, where the
    second derivatives of the classes are not independent.
    """

    def derivatives(sums: NDArray[np.float32], _: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        gradients = probabilities(sums)
        hessians = np.maximum(gradients * (1 - gradients), _SMALLEST_HESSIAN)
        gradients[np.arange(len(classes)), classes] -= 1
        gradients *= weights[:, np.newaxis]
        hessians *= weights[:, np.newaxis]
        if sums.ndim == 1:
            return gradients[:, 1].astype(np.float32), hessians[:, 1].astype(np.float32)
        return gradients.astype(np.float32), (2 * hessians).astype(np.float32)

    return derivatives
