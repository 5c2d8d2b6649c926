"""htt-ml's five scalers, fitted on given rows, with event weights where asked; the results are plain scikit-learn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Weights: TypeAlias = NDArray[np.float64] | None


log = logging.getLogger(__name__)

#: A fitted scikit-learn scaler.
Scaler: TypeAlias = Any
#: Number of quantiles of the quantile transformer, scikit-learn's default.
NUM_QUANTILES = 1000


def fit_scaler(
    method: str, rows: NDArray[Any], *, weights: NDArray[Any] | None = None, seed: int = 0, where: str = "preprocessing"
) -> Scaler:
    """Fit a scaler to events.

    Parameters
    ----------
    method : str
        A key of `SCALERS`.
    rows : array, shape (n_events, n_variables)
        The events to fit on: those the network is trained on, not those that validate it. Must be finite.
    weights : array, shape (n_events,), optional
        Event weights. None: all events count the same, and the result is what scikit-learn's own ``fit`` gives.
    seed : int
        Seed of the quantile transformer, which looks at a random 10,000 of the events where there are more.

    Returns
    -------
    scikit-learn scaler
        `sklearn.preprocessing.StandardScaler`, `RobustScaler`, `MinMaxScaler` or `QuantileTransformer`, computing
        in float64.

    Raises
    ------
    NtuplemlError
        If there is no such method, there are no events, an input or weight is not finite, or the weights, negative
        ones included, leave no positive sum or give a negative variance.

    Notes
    -----
    With weights: the standard scaler takes the weighted mean and variance, in which negative weights cancel positive
    ones as they do in a histogram. The robust scaler and the quantile transformer take weighted quantiles, for which
    the *modulus* of the weights counts, since with negative weights a cumulative distribution does not rise
    throughout. The min-max scaler and the identity do not depend on weights. A variable that is constant is shifted
    but not divided, as in scikit-learn.

    Examples
    --------
    >>> fit_scaler("standard_scaler", np.array([[1.0], [5.0]]), weights=np.array([3.0, 1.0])).mean_
    array([2.])
    """
    if method not in SCALERS:
        raise NtuplemlError(f"{where}: no preprocessing '{method}'{did_you_mean(method, SCALERS)}")
    rows = np.asarray(rows, dtype=np.float64)
    if len(rows) == 0:
        raise NtuplemlError(f"{where}: no events to fit the {method} to")
    if not np.isfinite(rows).all():
        raise NtuplemlError(
            f"{where}: cannot fit the {method}: {np.count_nonzero(~np.isfinite(rows))} inputs are "
            "NaN or infinite; replace them, e.g. with missing: {value: -10} in the training config"
        )
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(rows),) or not np.isfinite(weights).all():
            raise NtuplemlError(f"{where}: cannot fit the {method}: one finite weight per event is needed")
        if weights.sum() <= 0:
            raise NtuplemlError(
                f"{where}: cannot fit the {method} with weights: their sum is {weights.sum():g}; a positive one is "
                "needed; fit without weights"
            )
    scaler = SCALERS[method](rows, weights, seed, where)
    log.info("fitted the %s to %d events%s", method, len(rows), "" if weights is None else " with weights")
    return scaler


def _standard(rows: NDArray[np.float64], weights: Weights, _seed: int, where: str) -> Scaler:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    with np.errstate(invalid="ignore"):  # a negative variance is an error of ours, below
        scaler.fit(rows, sample_weight=weights)
    if weights is not None:
        # Sums of weights of both signs round the variance of a constant to below zero.
        constant = np.ptp(rows, axis=0) == 0
        scaler.var_[constant], scaler.scale_[constant] = 0.0, 1.0
    bad = np.flatnonzero(~(scaler.var_ >= 0))
    if bad.size:
        raise NtuplemlError(
            f"{where}: the negative weights give variable {bad[0]} a negative variance; fit without weights"
        )
    return scaler


def _identity(rows: NDArray[np.float64], _weights: Weights, _seed: int, _where: str) -> Scaler:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(rows)
    scaler.mean_ = np.zeros_like(scaler.mean_)
    scaler.var_ = np.ones_like(scaler.var_)
    scaler.scale_ = np.ones_like(scaler.scale_)
    return scaler


def _robust(rows: NDArray[np.float64], weights: Weights, _seed: int, _where: str) -> Scaler:
    from sklearn.preprocessing import RobustScaler

    scaler = RobustScaler().fit(rows)
    if weights is not None:
        lower, upper = scaler.quantile_range
        quartiles = weighted_quantiles(rows, np.abs(weights), np.array([lower, 50.0, upper]) / 100.0)
        scaler.center_ = quartiles[1]
        spread = quartiles[2] - quartiles[0]
        # As scikit-learn does, a spread that is zero but for rounding divides by one.
        scaler.scale_ = np.where(spread < 10 * np.finfo(spread.dtype).eps, 1.0, spread)
    return scaler


def _min_max(rows: NDArray[np.float64], _weights: Weights, _seed: int, _where: str) -> Scaler:
    from sklearn.preprocessing import MinMaxScaler

    return MinMaxScaler(feature_range=(-1, 1)).fit(rows)


def _quantile(rows: NDArray[np.float64], weights: Weights, seed: int, _where: str) -> Scaler:
    from sklearn.preprocessing import QuantileTransformer

    num_quantiles = min(NUM_QUANTILES, len(rows))
    scaler = QuantileTransformer(n_quantiles=num_quantiles, output_distribution="normal", random_state=seed).fit(rows)
    if weights is not None:
        scaler.quantiles_ = weighted_quantiles(rows, np.abs(weights), scaler.references_)
    return scaler


#: Scaler by name: builders called with rows, weights or None, seed, and where for messages.
SCALERS: dict[str, Callable[[NDArray[np.float64], Weights, int, str], Scaler]] = {
    "standard_scaler": _standard,
    "identity": _identity,
    "robust_scaler": _robust,
    "min_max_scaler": _min_max,
    "quantile_transformer": _quantile,
}


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
