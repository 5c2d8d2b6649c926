"""S/√B against a cut on a score, as far as enough background is left: the curve, its maximum and the area below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.significance_cut import no_usable_scores
from ntupleml.metrics.significance_scan import sums_between, yields_above

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Background below which, by default, the scan ends.
FEWEST_BACKGROUND = 10.0
#: Of probabilities in single precision.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class CutScan:
    """What is left above each cut."""

    #: Shape (n_cuts,). Ascending.
    cuts: NDArray[np.float64]
    #: Shape (n_cuts,). Sums of weights above.
    signal: NDArray[np.float64]
    background: NDArray[np.float64]
    #: Shape (n_cuts,). S/√B, and the uncertainty of the samples.
    values: NDArray[np.float64]
    uncertainties: NDArray[np.float64]
    #: The largest value, and its cut.
    maximum: Measurement
    cut: float
    #: ∫ S/√B over the cut.
    area: Measurement


def standard_cuts(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Cuts that are dense where the score of a good classifier is: near the ends of its range.

    From 0 to 1 for probabilities, else stretched from the smallest to the largest score.

    Notes
    -----
    100 from 10⁻⁵ to 10⁻¹ in equal factors, 20 from 0.11 to 0.89 in equal steps, 600 from 0.9 to 1 in equal factors.
    """
    grid = np.concatenate([np.logspace(-5, -1, 100), np.linspace(0.11, 0.89, 20), np.logspace(-0.04575, 0, 600)])
    low, high = float(np.min(scores)), float(np.max(scores))
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return grid
    stretched: NDArray[np.float64] = low + (high - low) * grid
    return stretched


def cut_scan(
    scores: NDArray[Any],
    is_signal: NDArray[np.bool_],
    weights: NDArray[Any],
    cuts: NDArray[np.float64] | None = None,
    fewest_background: float = FEWEST_BACKGROUND,
) -> CutScan | Undefined:
    """S/√B of the events with ``scores > cut``, up to the first cut with too little background.

    Parameters
    ----------
    scores : array of float, shape (n_events,)
        Of the signal class.
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.
    cuts : array of float, shape (n_cuts,), optional
        Ascending; by default `standard_cuts`.
    fewest_background : float, default: 10
        The first cut with no more than this sum of background weights ends the scan.

    Returns
    -------
    CutScan or Undefined
        Undefined where signal or background cannot be normalised, where there are scores that are NaN or infinite, and
        where no cut leaves enough background.

    Notes
    -----
    The uncertainties are those of the samples, to first order: of S/√B (V_S + S² V_B / (4 B²)) / B with V = Σw² above
    the cut; of the area, with the trapezoidal rule, Σ v (Σ a ∂f/∂S)² over the events between neighbouring cuts, where
    the inner sum, with the lengths a of the rule, goes over all cuts that these events pass; so for the background. The
    cut of the maximum and the end of the scan are taken as given.

    Examples
    --------
    >>> scan = cut_scan(np.array([0.2, 0.6, 0.6, 0.3]), np.array([False, True, True, False]), np.ones(4),
    ...                 np.array([0.1, 0.25]), 0)
    >>> scan.maximum.value, scan.cut
    (2.0, 0.25)
    """
    if undefined := no_usable_scores(scores):
        return undefined
    is_signal, weights = np.asarray(is_signal, dtype=np.bool_), np.asarray(weights, dtype=np.float64)
    for kind, name in ((is_signal, "signal"), (~is_signal, "background")):
        if undefined := no_sum_of_weights(weights[kind], name):
            return undefined
    cuts = standard_cuts(scores) if cuts is None else cuts
    between = sums_between(scores, is_signal, weights, np.append(-np.inf, cuts))
    yields = yields_above(*between)
    few = np.append(np.flatnonzero(~(yields.background[1:] > max(fewest_background, 0.0))), len(cuts))[0]
    if not few:
        return Undefined(f"no cut leaves more than {fewest_background:g} of the background")
    signal, signal_variance, background, background_variance = (array[1 : few + 1] for array in yields)
    by_signal, by_background = 1 / np.sqrt(background), -0.5 * signal / background**1.5
    values = signal * by_signal
    variances = signal_variance * np.square(by_signal) + background_variance * np.square(by_background)
    best = int(np.argmax(values))
    area = 0.0
    lengths = _lengths(cuts[:few])
    for above, slope in ((signal_variance, by_signal), (background_variance, by_background)):
        own = above - np.append(above[1:], 0.0)
        area += float(own @ np.square(np.cumsum(lengths * slope)))
    return CutScan(
        cuts[:few],
        signal,
        background,
        values,
        np.sqrt(variances),
        Measurement(float(values[best]), float(np.sqrt(variances[best]))),
        float(cuts[best]),
        Measurement(float(lengths @ values), float(np.sqrt(max(area, 0.0)))),
    )


def _lengths(cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each value counts in the trapezoidal rule."""
    halves = np.diff(cuts) / 2
    lengths: NDArray[np.float64] = np.append(halves, 0.0) + np.append(0.0, halves)
    return lengths
