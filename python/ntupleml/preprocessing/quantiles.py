"""Quantiles of weighted events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def weighted_quantiles(
    rows: NDArray[np.float64], weights: NDArray[np.float64], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of each column of weighted events, linear between events.

    Parameters
    ----------
    rows : array, shape (n_events, n_variables)
        The events.
    weights : array, shape (n_events,)
        Their weights, none of them negative, at least one positive.
    fractions : array, shape (n_fractions,)
        Fractions of the sum of weights, from 0 to 1.

    Returns
    -------
    array, shape (n_fractions, n_variables)

    Notes
    -----
    An event sits in the middle of its own weight, at C_i − w_i/2 with C the cumulative sum in order of the variable;
    the scale is stretched so that the first event lies at 0 and the last at 1. With equal weights this is the usual
    (i)/(n − 1), that is, `numpy.quantile` with its default method. Events of weight zero have no influence.

    Examples
    --------
    >>> weighted_quantiles(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 2.0, 1.0]), np.array([0.25, 0.5]))
    array([[0.5],
           [1. ]])
    """
    counted = weights > 0
    rows, weights = rows[counted], weights[counted]
    result = np.empty((len(fractions), rows.shape[1]))
    for column in range(rows.shape[1]):
        order = np.argsort(rows[:, column], kind="stable")
        middle = np.cumsum(weights[order]) - weights[order] / 2
        span = middle[-1] - middle[0]
        position = (middle - middle[0]) / span if span > 0 else np.zeros_like(middle)
        result[:, column] = np.interp(fractions, position, rows[order, column])
    # Interpolation rounds; a transformer needs quantiles that never fall.
    return np.maximum.accumulate(result, axis=0)
