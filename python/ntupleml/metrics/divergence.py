"""Jensen-Shannon divergence of two weighted histograms, without the bias of small samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, as_plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.variable_bins import Sums


class Divergence(NamedTuple):
    """Jensen-Shannon divergence of two distributions.

    Attributes
    ----------
    value : Measurement
        In bits, 0 for equal and 1 for separate distributions, less what fluctuations alone are expected to give; so it
        may be slightly negative.
    p_value : float
        Chance of a value at least as large where the distributions are equal.
    """

    value: Measurement
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for a YAML or JSON file."""
        return {"divergence": as_plain(self.value), "p_value": self.p_value}


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
        Undefined where a histogram has no positive sum, or everything is in one bin.

    Notes
    -----
    J = ½ Σ p log₂(p/m) + ½ Σ q log₂(q/m), m = (p + q)/2, of the histograms normalised to 1 (Lin, IEEE Trans. Inf.
    Theory 37 (1991) 145), less its expectation b = Σ (σ²ₚ + σ²_q) / (8 m ln 2) for equal parents with the bins'
    variances σ². The uncertainty is first-order propagation and, in quadrature, the spread for equal parents, where
    the first order is zero. Of equal parents, J is distributed as a sum of squares, whose mean b and variance v =
    2 Σ ((σ²ₚ + σ²_q) / (8 m ln 2))² give the p-value: that of χ² = J·k/b with k = 2b²/v degrees of freedom
    (Satterthwaite, Biometrics Bull. 2 (1946) 110).
    """
    from scipy.special import chdtrc, xlogy

    shares, variances = [], []
    for (sums, squares), name in ((first, "slice"), (second, "other slices")):
        positive = np.maximum(sums, 0.0)
        total = float(positive.sum())
        if reason := no_total(sums, squares):
            return Undefined(f"{name}: {reason.reason}")
        share = positive / total
        shares.append(share)
        variances.append((np.square(1 - share) * squares + np.square(share) * (squares.sum() - squares)) / total**2)
    mean = 0.5 * (shares[0] + shares[1])
    counted = mean > 0
    if np.count_nonzero(counted) < 2:
        return Undefined("all values are in one bin")
    safe = np.where(counted, mean, 1.0)
    value = float(sum(np.sum(xlogy(share, share / safe)) for share in shares)) / (2 * math.log(2))
    variance = 0.0
    for share, (_, squares), (sums, _) in zip(shares, (first, second), (first, second), strict=True):
        slope = np.where(share > 0, np.log2(np.where(share > 0, share, 1.0) / safe), 0.0) / 2
        total = float(np.maximum(sums, 0.0).sum())
        variance += float(squares @ np.square(slope - slope @ share)) / total**2
    by_bin = np.where(counted, (variances[0] + variances[1]) / (8 * safe * math.log(2)), 0.0)
    if not by_bin.any():
        # Each sample is in one bin of its own.
        entries = sum(float(squares.sum()) / float(sums.sum()) ** 2 for sums, squares in (first, second))
        by_bin = (1 - mean) * counted * entries / (8 * math.log(2))
    expected, spread = float(by_bin.sum()), 2 * float(by_bin @ by_bin)
    freedom = 2 * expected**2 / spread
    p_value = float(chdtrc(freedom, max(value, 0.0) * freedom / expected))
    return Divergence(Measurement(value - expected, math.sqrt(variance + spread)), p_value)
