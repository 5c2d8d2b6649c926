"""Jensen-Shannon divergence of two weighted histograms, without the bias of small samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.variable_bins import Sums


#: With fewer effective entries, the p-value would be too small.
_FEWEST_ENTRIES = 40


class Divergence(NamedTuple):
    """Jensen-Shannon divergence of two distributions."""

    #: In bits, 0 for equal and 1 for separate distributions, less what fluctuations alone are expected to give; so it
    #: may be slightly negative.
    value: Measurement
    #: Chance of a value at least as large where the distributions are equal.
    p_value: float

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"divergence": self.value, "p_value": self.p_value}


def no_total(sums: NDArray[np.float64], squares: NDArray[np.float64]) -> Undefined | None:
    """Why a histogram cannot be normalised, if so; a sum that differs from zero by no more than rounding is zero."""
    total, size = float(sums.sum()), math.sqrt(float(squares.sum()))
    if size == 0:
        return Undefined("no events")
    if total > 1e-12 * size:
        return None
    return Undefined(f"sum of weights is {'negative' if total < -1e-12 * size else 'zero'}")


def divergence(first: Sums, second: Sums) -> Divergence | Undefined:
    """Jensen-Shannon divergence of two weighted histograms of independent events.

    Parameters
    ----------
    first, second : Sums
        With arrays of shape (n_bins,). Sums that are negative count as 0.

    Returns
    -------
    Divergence or Undefined
        Undefined where a histogram has no positive sum or fewer than 40 effective entries, or everything is in one bin.

    Notes
    -----
    J = ½ Σ p log₂(p/m) + ½ Σ q log₂(q/m), m = (p + q)/2, of the histograms normalised to 1 (Lin, IEEE Trans. Inf.
    Theory 37 (1991) 145), less its expectation b = Σ (σ²ₚ + σ²_q) / (8 π ln 2) for equal parents, whose shares π and
    variances σ² are those of both samples together: those of the smaller one alone would be smallest where it has the
    fewest events by chance. The uncertainty is first-order propagation and, in quadrature, the spread for equal
    parents, where the first order is zero. The p-value is that of J to second order, Σ (p − q)² / (8 π ln 2), as J
    itself is larger where a bin is empty by chance. Of equal parents it is distributed as a sum of squares, whose mean
    b and variance v = 2 Σ ((σ²ₚ + σ²_q) / (8 π ln 2))² give that of χ² = J·k/b with k = 2b²/v degrees of freedom
    (Satterthwaite, Biometrics Bull. 2 (1946) 110).
    """
    from scipy.special import chdtrc, xlogy

    shares, totals = [], []
    for (sums, squares), name in ((first, "slice"), (second, "other slices")):
        if reason := no_total(sums, squares):
            return Undefined(f"{name}: {reason.reason}")
        positive = np.maximum(sums, 0.0)
        totals.append(float(positive.sum()))
        shares.append(positive / totals[-1])
        entries = float(sums.sum()) ** 2 / float(squares.sum())
        if entries < _FEWEST_ENTRIES:
            return Undefined(f"{name}: only {entries:.3g} effective entries")
    mean = 0.5 * (shares[0] + shares[1])
    counted = mean > 0
    if np.count_nonzero(counted) < 2:
        return Undefined("all values are in one bin")
    safe = np.where(counted, mean, 1.0)
    value = float(sum(np.sum(xlogy(share, share / safe)) for share in shares)) / (2 * math.log(2))
    variance = 0.0
    for share, total, (_, squares) in zip(shares, totals, (first, second), strict=True):
        slope = np.where(share > 0, np.log2(np.where(share > 0, share, 1.0) / safe), 0.0) / 2
        variance += float(squares @ np.square(slope - slope @ share)) / total**2
    quadratic, by_bin = _of_equal_parents(shares, [first.squares, second.squares], totals)
    expected, spread = float(by_bin.sum()), 2 * float(by_bin @ by_bin)
    freedom = 2 * expected**2 / spread
    p_value = float(chdtrc(freedom, quadratic * freedom / expected))
    return Divergence(Measurement(value - expected, math.sqrt(variance + spread)), p_value)


def _of_equal_parents(
    shares: Sequence[NDArray[np.float64]], squares: Sequence[NDArray[np.float64]], totals: Sequence[float]
) -> tuple[float, NDArray[np.float64]]:
    """Divergence to second order about equal parents, and what each bin adds to its expectation."""
    sizes = [float(of_sample.sum()) for of_sample in squares]
    entries = [total**2 / size for total, size in zip(totals, sizes, strict=True)]
    pooled, of_squares = (
        sum(number * part for number, part in zip(entries, parts, strict=True)) / sum(entries)
        for parts in (shares, [of_sample / size for of_sample, size in zip(squares, sizes, strict=True)])
    )
    factor = np.where(pooled > 0, 1 / (8 * math.log(2) * np.where(pooled > 0, pooled, 1.0)), 0.0)
    variances = np.square(1 - pooled) * of_squares + np.square(pooled) * (1 - of_squares)
    return float(factor @ np.square(shares[0] - shares[1])), factor * variances * sum(1 / number for number in entries)
