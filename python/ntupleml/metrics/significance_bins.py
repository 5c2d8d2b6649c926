"""Significance of a fit to the distribution of a score: those of its bins, added in quadrature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.histograms import histogram
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.significance import Yields, significance_curve, significance_formulas
from ntupleml.metrics.significance_cut import no_usable_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.significance import SignificanceCurve

#: Effective number of background events, (Σw)² / Σw², that a selection or bin needs before it may be preferred: its
#: background is known to 1/√10 = 32% then.
SMALLEST_BACKGROUND = 10.0
#: Formulas that are added in quadrature. The regularisation of the AMS belongs to one selection: in every bin it would
#: add the background anew.
BINNED_FORMULAS = ("asimov", "s_over_sqrt_b", "s_over_sqrt_s_plus_b")


class BinnedTotal(NamedTuple):
    """√(Σ Z²) of the bins."""

    significance: Measurement
    #: By how much fluctuations of the simulated samples are expected to have raised it.
    bias: float


@dataclass(frozen=True, eq=False)
class BinnedSignificance:
    """Significances in bins of a score."""

    #: Number of bins before some were merged.
    wanted: int
    #: Shape (n_bins + 1,).
    edges: NDArray[np.float64]
    #: Arrays, one entry per bin.
    yields: Yields
    #: Significance of each bin, by formula.
    curves: dict[str, SignificanceCurve]
    #: By formula.
    totals: dict[str, BinnedTotal]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "bins_before_merging": self.wanted,
            "edges": self.edges,
            "signal": _with_uncertainty(self.yields.signal, self.yields.signal_variance),
            "background": _with_uncertainty(self.yields.background, self.yields.background_variance),
            **{
                name: {"total": total.significance, "bias_of_total": total.bias, "bins": self.curves[name]}
                for name, total in self.totals.items()
            },
        }


def _with_uncertainty(sums: NDArray[np.float64], variances: NDArray[np.float64]) -> dict[str, list[float]]:
    return {"value": sums.tolist(), "uncertainty": np.sqrt(variances).tolist()}


def binned_significance(
    scores: NDArray[Any],
    is_signal: NDArray[np.bool_],
    weights: NDArray[Any],
    num_bins: int = 20,
    *,
    background_uncertainty: float = 0.0,
) -> BinnedSignificance | Undefined:
    """Significances in bins of a score, and √(Σ Z²) over the bins.

    Parameters
    ----------
    scores : array of float, shape (n_events,)
        Of the signal class.
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.
    num_bins : int, default: 20
        Bins of equal width from the smallest to the largest score. From the largest score on, bins are merged with
        their lower neighbours until each has at least `SMALLEST_BACKGROUND` effective background events and no
        negative sum of weights; what is left at the lower end is merged with the bin above.
    background_uncertainty : float, default: 0
        Relative systematic uncertainty of the background in each bin, independent from bin to bin.

    Notes
    -----
    Variance Σ (Z_i / Z)² σ_i² with the variances σ_i² of the bins. As a sum of squares, Z is biased upwards by
    ½ Σ σ_i² (1 − (Z_i / Z)²) / Z in second order.
    """
    if undefined := no_usable_scores(scores):
        return undefined
    lowest, highest = float(np.min(scores)), float(np.max(scores))
    if lowest == highest:
        return Undefined(f"all scores are {lowest:g}")
    weights = np.asarray(weights, dtype=np.float64)
    is_signal = np.asarray(is_signal, dtype=np.bool_)
    for kind, name in ((is_signal, "signal"), (~is_signal, "background")):
        if undefined := no_sum_of_weights(weights[kind], name):
            return undefined
    edges = np.linspace(lowest, highest, num_bins + 1)
    if not np.all(np.diff(edges) > 0):
        return Undefined(f"scores from {lowest:g} to {highest:g} are too close for {num_bins} bins")
    signal = histogram(scores[is_signal], weights[is_signal], edges)
    background = histogram(scores[~is_signal], weights[~is_signal], edges)
    yields = Yields(signal.sums, signal.squares, background.sums, background.squares)
    starts = _merged_bins(yields)
    if not starts:
        return Undefined(f"fewer than {SMALLEST_BACKGROUND:g} effective background events")
    merged = Yields(*(np.add.reduceat(part, starts) for part in yields))
    formulas = significance_formulas(background_uncertainty=background_uncertainty)
    curves = {name: significance_curve(merged, formulas[name]) for name in BINNED_FORMULAS}
    return BinnedSignificance(
        num_bins,
        np.append(edges[starts], edges[-1]),
        merged,
        curves,
        {name: _total(curve) for name, curve in curves.items()},
    )


def _merged_bins(yields: Yields) -> list[int]:
    """Start index of each merged bin; empty where not even all bins together will do."""
    starts: list[int] = []
    stop = len(yields.signal)
    for index in reversed(range(stop)):
        if _usable(yields, index, stop):
            starts.insert(0, index)
            stop = index
    if not starts:
        return []
    starts[0] = 0
    # What is left at the lower end may have a negative sum.
    while len(starts) > 1 and not _usable(yields, 0, starts[1]):
        del starts[1]
    return starts if len(starts) > 1 or _usable(yields, 0, len(yields.signal)) else []


def _usable(yields: Yields, start: int, stop: int) -> bool:
    """Whether some neighbouring bins together have enough background, and no negative sum."""
    signal, _, background, variance = (float(part[start:stop].sum()) for part in yields)
    return signal >= 0 and background > 0 and background**2 >= SMALLEST_BACKGROUND * variance


def _total(curve: SignificanceCurve) -> BinnedTotal:
    total = math.sqrt(float(curve.values @ curve.values))
    if total == 0:
        return BinnedTotal(Measurement(0.0, float(np.linalg.norm(curve.uncertainties))), 0.0)
    shares = curve.values / total
    bias = float(curve.uncertainties**2 @ (1 - shares**2)) / (2 * total)
    return BinnedTotal(Measurement(total, float(np.linalg.norm(shares * curve.uncertainties))), bias)
