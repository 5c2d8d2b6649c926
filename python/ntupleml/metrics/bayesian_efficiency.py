"""Efficiencies of weighted events with Bayesian intervals, as ROOT's TEfficiency gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.binned_efficiency import no_ratio
from ntupleml.metrics.measurement import Interval, Undefined
from ntupleml.metrics.variable_bins import sums_in_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.variable_bins import VariableBins

#: Probability that intervals hold.
LEVEL = 0.683
#: Halvings of the range of the probability below an interval, which is then known to 3·10⁻¹³.
_HALVINGS = 40
#: Share by which rounding may bring an efficiency out of the range from 0 to 1.
_ROUNDING = 1e-12


def shortest_beta_interval(
    a: NDArray[np.float64], b: NDArray[np.float64], level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The shortest interval that holds a probability of a Beta distribution.

    Parameters
    ----------
    a, b : array of float64, shape (n,)
        Parameters; one of each pair is above 1. Where a ≤ 1 the interval begins at 0, where b ≤ 1 it ends at 1.

    Returns
    -------
    lower, upper : arrays of float64, shape (n,)

    Notes
    -----
    The density is the same at both ends. They are found by bisection in the probability below the interval, in which
    the ratio of the densities rises.

    Examples
    --------
    >>> [round(float(end[0]), 4) for end in shortest_beta_interval(np.array([1.0]), np.array([4.0]))]
    [0.0, 0.2496]
    """
    from scipy.special import betaincinv

    low, high = np.zeros(len(a)), np.full(len(a), 1 - level)
    low[b <= 1] = 1 - level
    high[a <= 1] = 0.0
    inner = np.flatnonzero((a > 1) & (b > 1))
    alpha, beta = a[inner], b[inner]
    lowest, highest = low[inner], high[inner]
    for _ in range(_HALVINGS if len(inner) else 0):
        middle = 0.5 * (lowest + highest)
        left, right = betaincinv(alpha, beta, middle), betaincinv(alpha, beta, middle + level)
        with np.errstate(divide="ignore"):
            ratio = (alpha - 1) * np.log(left / right) + (beta - 1) * (np.log1p(-left) - np.log1p(-right))
        is_low = ratio < 0
        lowest, highest = np.where(is_low, middle, lowest), np.where(is_low, highest, middle)
    low[inner] = 0.5 * (lowest + highest)
    return betaincinv(a, b, low), np.where(b <= 1, 1.0, betaincinv(a, b, np.minimum(low + level, 1.0)))


def bayesian_efficiencies(
    passed: NDArray[np.float64], totals: NDArray[np.float64], squares: NDArray[np.float64], level: float = LEVEL
) -> list[Interval | Undefined]:
    """Shares of weighted events, each with its Bayesian interval.

    Parameters
    ----------
    passed, totals : array of float64, shape (n,)
        Σw of the events that pass, and of all.
    squares : array of float64, shape (n,)
        Σw² of all events.

    Returns
    -------
    list of Interval or Undefined
        Undefined where there are no events, where their sum of weights is not positive, and where negative weights
        bring the share out of the range from 0 to 1.

    Notes
    -----
    With a uniform prior and n = Σw / Σw² the posterior is Beta(n Σ_pass w + 1, n Σ_fail w + 1); its mode is the share.
    The interval is the shortest: ROOT's TEfficiency, kBBayesian with kPosteriorMode and SetShortestInterval.

    Examples
    --------
    >>> found, = bayesian_efficiencies(np.array([0.0]), np.array([3.0]), np.array([3.0]))
    >>> found.value, found.down, round(found.up, 4)
    (0.0, 0.0, 0.2496)
    """
    known = totals > 1e-12 * np.sqrt(squares)
    shares = passed / np.where(known, totals, 1.0)
    inside = known & (shares >= -_ROUNDING) & (shares <= 1 + _ROUNDING)
    shares = np.where(inside, np.clip(shares, 0, 1), shares)
    entries = np.square(totals) / np.where(known, squares, 1.0)
    a, b = (np.where(inside, entries * share, 1.0) + 1 for share in (shares, 1 - shares))
    low, high = shortest_beta_interval(a, b, level)
    return [
        Interval(share, max(share - below, 0.0), max(above - share, 0.0))
        if is_inside
        else Undefined(_no_interval(share, total, square, is_known=is_known))
        for share, below, above, is_inside, is_known, total, square in zip(
            *(one.tolist() for one in (shares, low, high, inside, known, totals, squares)), strict=True
        )
    ]


def _no_interval(share: float, total: float, square: float, *, is_known: bool) -> str:
    if not is_known:
        return no_ratio(total, square)
    return f"negative weights bring the share to {share:.3g}, beyond 0 to 1"


def bayesian_efficiency(passed: NDArray[np.bool_], weights: NDArray[Any], level: float = LEVEL) -> Interval | Undefined:
    """Weighted share of events that pass, as `bayesian_efficiencies`.

    Parameters
    ----------
    passed : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.
    """
    weights = np.asarray(weights, dtype=np.float64)
    sums = np.array([weights[passed].sum(), weights.sum(), weights @ weights])[:, np.newaxis]
    return bayesian_efficiencies(sums[0], sums[1], sums[2], level)[0]


def bayesian_efficiency_in_bins(
    passed: NDArray[np.bool_], bins: VariableBins, weights: NDArray[np.float64], level: float = LEVEL
) -> list[Interval | Undefined]:
    """`bayesian_efficiency` of the events in each bin of a variable."""
    failed, kept = zip(*sums_in_bins(passed.astype(np.intp), 2, bins, weights), strict=True)
    return bayesian_efficiencies(kept[0], kept[0] + failed[0], kept[1] + failed[1], level)
