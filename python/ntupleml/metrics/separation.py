"""Separation ⟨S²⟩ of two distributions: TMVA's measure of how little they overlap."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bins of TMVA's distributions of a method's output.
NUM_BINS = 40


def separation(
    values: NDArray[Any],
    is_signal: NDArray[np.bool_],
    weights: NDArray[Any] | None = None,
    *,
    num_bins: int = NUM_BINS,
    interval: tuple[float, float] | None = None,
) -> Measurement | Undefined:
    """Separation of the distributions of a variable or score: 0 where they are the same, 1 where they do not overlap.

    Parameters
    ----------
    values : array, shape (n_events,)
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,), optional
        Event weights; by default 1. Negative ones count as they are.
    num_bins : int
        Number of equidistant bins.
    interval : (float, float), optional
        Range of the bins, by default from the smallest to the largest value. Values outside count in the outermost
        bins, so that none is lost.

    Returns
    -------
    Measurement or Undefined
        Undefined where a sample has no event or a sum of weights that is not positive, or a value or weight is not
        finite.

    Examples
    --------
    >>> separation(np.array([0.0, 1.0]), np.array([True, False])).value
    1.0
    """
    values, is_signal = np.asarray(values, dtype=np.float64), np.asarray(is_signal, dtype=np.bool_)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    for array, name in ((values, "values"), (weights, "weights")):
        bad = len(array) - int(np.count_nonzero(np.isfinite(array)))
        if bad:
            return Undefined(f"{bad} of {len(array)} {name} are NaN or infinite")
    if not is_signal.any() or is_signal.all():
        return Undefined("no background events" if len(values) and is_signal.any() else "no signal events")
    low, high = interval or (float(values.min()), float(values.max()))
    width = (high - low) / num_bins or 1.0  # all values may be equal
    bins = np.clip((values - low) / width, 0, num_bins - 1).astype(np.int64)
    samples = (is_signal, ~is_signal)
    return separation_of_histograms(
        _histograms(bins, weights, samples, num_bins), _histograms(bins, np.square(weights), samples, num_bins)
    )


def _histograms(
    bins: NDArray[np.int64],
    weights: NDArray[np.float64],
    samples: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    num_bins: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    signal, background = (
        np.bincount(bins[chosen], weights[chosen], minlength=num_bins).astype(np.float64) for chosen in samples
    )
    return signal, background


def separation_of_histograms(
    sums: tuple[NDArray[np.float64], NDArray[np.float64]], squares: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> Measurement | Undefined:
    """Separation of two histograms of the same bins.

    Parameters
    ----------
    sums : two arrays of float64, shape (n_bins,)
        Σw of signal and of background in each bin.
    squares : two arrays of float64, shape (n_bins,)
        Σw², their variances.

    Notes
    -----
    ⟨S²⟩ = ½ Σ (s − b)² / (s + b) over the bins of the two histograms, each normalised to 1 (TMVA Users Guide,
    arXiv:physics/0703039, section on the evaluation of methods); bins with s + b ≤ 0 (negative weights) do not
    count, as in TMVA. The uncertainty is first-order propagation of the bins' variances through this formula with
    its normalisation; where the distributions agree within their uncertainties, it is too small.
    """
    totals = [float(contents.sum()) for contents in sums]
    for total, name in zip(totals, ("signal", "background"), strict=True):
        if not total > 0:
            return Undefined(f"sum of {name} weights is {'zero' if total == 0 else 'negative'}")
    signal, background = (contents / total for contents, total in zip(sums, totals, strict=True))
    counted = signal + background > 0
    both = np.where(counted, signal + background, 1.0)
    difference = np.where(counted, signal - background, 0.0)
    # Derivatives by the share of each bin.
    by_signal = 0.5 * difference * (signal + 3 * background) / np.square(both)
    by_background = -0.5 * difference * (3 * signal + background) / np.square(both)
    variance = _variance(by_signal, signal, squares[0]) / totals[0] ** 2
    variance += _variance(by_background, background, squares[1]) / totals[1] ** 2
    return Measurement(0.5 * float(np.sum(np.square(difference) / both)), math.sqrt(variance))


def _variance(derivatives: NDArray[np.float64], shares: NDArray[np.float64], variances: NDArray[np.float64]) -> float:
    """Variance by the contents of the bins, each of which changes the total and with it all shares."""
    return float(variances @ np.square(derivatives - derivatives @ shares))
