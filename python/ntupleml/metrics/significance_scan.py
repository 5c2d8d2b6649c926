"""Significances against a cut on the score of one class, and the best cut with its uncertainty and bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.significance import Yields, significance_curve, significance_formulas
from ntupleml.metrics.significance_bins import SMALLEST_BACKGROUND
from ntupleml.metrics.significance_cut import no_usable_scores, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.significance import Formula, SignificanceCurve

#: Cuts of a scan, and samples of the bootstrap.
NUM_CUTS, NUM_REPLICAS = 200, 200
#: One standard deviation to both sides of the median.
_INTERVAL = (0.158655, 0.841345)
#: Events of these kinds are summed up apart: background and signal, each with positive and with negative weights.
_KINDS = 4


class BestCut(NamedTuple):
    """The cut of a scan with the largest significance, by one formula."""

    #: Uncertainty: standard deviation in the bootstrap and, in quadrature, that of the distance to the next cuts.
    cut: Measurement
    #: 68% interval of the cut in the bootstrap.
    interval: tuple[float, float]
    #: At this cut; uncertainty of the simulated samples, to first order.
    significance: Measurement
    #: How much larger this significance is expected to be than that of the same cut on other events, for the cut was
    #: chosen on the events that it is evaluated on; and the precision of the bootstrap.
    bias: Measurement
    #: Sums of weights above the cut.
    signal: Measurement
    background: Measurement
    signal_efficiency: Measurement
    background_efficiency: Measurement

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        results = {name: result for name, result in self._asdict().items() if name != "interval"}
        return results | {"cut": {**self.cut._asdict(), "interval": self.interval}}


@dataclass(frozen=True, eq=False)
class SignificanceScan:
    """What is left above each of some cuts."""

    #: Shape (n_cuts,). Ascending; the first selects all events.
    cuts: NDArray[np.float64]
    #: Arrays of shape (n_cuts,).
    yields: Yields
    #: Values and uncertainties.
    signal_efficiency: tuple[NDArray[np.float64], NDArray[np.float64]]
    background_efficiency: tuple[NDArray[np.float64], NDArray[np.float64]]
    #: By the names of `significance_formulas`.
    curves: dict[str, SignificanceCurve]
    #: By the same.
    best: dict[str, BestCut | Undefined]
    #: As the formulas took them.
    b_reg: float
    background_uncertainty: float

    @property
    def enough_background(self) -> NDArray[np.bool_]:
        """Whether a cut leaves so many effective background events that it may be the best one."""
        enough: NDArray[np.bool_] = _enough_background(self.yields)
        return enough

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        pairs = {
            "signal": (self.yields.signal, np.sqrt(self.yields.signal_variance)),
            "background": (self.yields.background, np.sqrt(self.yields.background_variance)),
            "signal_efficiency": self.signal_efficiency,
            "background_efficiency": self.background_efficiency,
        }
        return {
            "b_reg": self.b_reg,
            "background_uncertainty": self.background_uncertainty,
            "best": self.best,
            "cuts": self.cuts,
            **{name: {"value": value, "uncertainty": uncertainty} for name, (value, uncertainty) in pairs.items()},
            **self.curves,
        }


def scan_significance(
    scores: NDArray[Any],
    is_signal: NDArray[np.bool_],
    weights: NDArray[Any],
    *,
    b_reg: float = 10.0,
    background_uncertainty: float = 0.0,
    num_cuts: int = NUM_CUTS,
    num_replicas: int = NUM_REPLICAS,
    seed: int | Sequence[int] = 0,
) -> SignificanceScan | Undefined:
    """Yields, efficiencies and significances of the events with ``scores > cut``, for many cuts; and the best cuts.

    Parameters
    ----------
    scores : array of float, shape (n_events,)
        Of the signal class.
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.
    b_reg, background_uncertainty : float
        See `significance_formulas`.
    num_cuts : int, default: 200
        About as many cuts; a half at quantiles of the signal, a quarter at those of the upper end of the background,
        and a quarter evenly over the scores.
    num_replicas : int, default: 200
        Samples of the bootstrap.
    seed : int or sequence of int
        Of the bootstrap.

    Returns
    -------
    SignificanceScan or Undefined
        Undefined where signal or background cannot be normalised, for scores that are NaN, infinite
        or all the same.

    Notes
    -----
    Only cuts that leave at least `SMALLEST_BACKGROUND` effective background events can be the best: with fewer, the
    largest significance is that of a lucky fluctuation. The largest of many significances is biased still; the
    bootstrap estimates the bias as the mean of Z*(c*) − Z(c*), where c* is the best cut of a bootstrap sample, Z* its
    significances and Z those of all events (B. Efron, "Estimating the error rate of a prediction rule", J. Am. Stat.
    Assoc. 78 (1983) 316). Events between two cuts, signal and background, with positive and with negative weights,
    are fluctuated together by a scaled Poisson distribution of the same mean and variance (G. Bohm and G. Zech,
    arXiv:1309.1287), which for equal weights is that of the events.
    """
    if undefined := no_usable_scores(scores):
        return undefined
    scores = np.asarray(scores)
    is_signal = np.asarray(is_signal, dtype=np.bool_)
    weights = np.asarray(weights, dtype=np.float64)
    for kind, name in ((is_signal, "signal"), (~is_signal, "background")):
        if undefined := no_sum_of_weights(weights[kind], name):
            return undefined
    if np.min(scores) == np.max(scores):
        return Undefined(f"all scores are {float(scores[0]):g}")
    cuts = _cuts(scores, is_signal, num_cuts)
    sums, squares = sums_between(scores, is_signal, weights, cuts)
    yields = yields_above(sums, squares)
    curves, best = {}, {}
    efficiencies = (
        share((yields.signal, yields.signal_variance), (yields.signal[0], yields.signal_variance[0])),
        share((yields.background, yields.background_variance), (yields.background[0], yields.background_variance[0])),
    )
    replicas = _replicas(sums, squares, num_replicas, np.random.default_rng(seed))
    for name, formula in significance_formulas(b_reg, background_uncertainty).items():
        curves[name] = significance_curve(yields, formula)
        best[name] = _best_cut(cuts, yields, efficiencies, curves[name], formula, replicas)
    return SignificanceScan(cuts, yields, *efficiencies, curves, best, b_reg, background_uncertainty)


def _cuts(scores: NDArray[Any], is_signal: NDArray[np.bool_], number: int) -> NDArray[np.float64]:
    """Ascending cuts, the first below all scores and none at or above the largest."""
    lowest, highest = float(np.min(scores)), float(np.max(scores))
    below = min(lowest - 1e-6 * (highest - lowest), np.nextafter(lowest, -np.inf))
    signal, background = np.sort(scores[is_signal]), np.sort(scores[~is_signal])
    even = np.linspace(lowest, highest, number // 4 + 2)[1:-1]
    ranks = np.linspace(0, len(signal), number // 2 + 1, endpoint=False).astype(np.int64)[1:]
    # Share of the background that is left, down to the last few events.
    left = np.geomspace(1, min(SMALLEST_BACKGROUND / len(background), 1), number // 4)
    tail = len(background) - np.maximum((left * len(background)).astype(np.int64), 1)
    cuts = np.unique(np.concatenate([[below], even, signal[ranks], background[tail]]).astype(np.float64))
    chosen: NDArray[np.float64] = cuts[cuts < highest]
    return chosen


def sums_between(
    scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64], cuts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Σw and Σw² of each kind of events, shape (4, n_cuts), above each cut and not above the next.

    No score may be at or below the first cut.
    """
    between = np.searchsorted(cuts, np.asarray(scores, dtype=np.float64), side="left") - 1
    cell = between + len(cuts) * (2 * is_signal + (weights < 0))
    size = _KINDS * len(cuts)
    sums = [np.bincount(cell, values, minlength=size) for values in (weights, weights * weights)]
    return sums[0].astype(np.float64).reshape(_KINDS, -1), sums[1].astype(np.float64).reshape(_KINDS, -1)


def yields_above(sums: NDArray[np.float64], squares: NDArray[np.float64]) -> Yields:
    """Yields above each cut, from sums of shape (…, 4, n_cuts)."""
    above = np.cumsum(sums[..., ::-1], axis=-1)[..., ::-1]
    variances = np.cumsum(squares[..., ::-1], axis=-1)[..., ::-1]
    return Yields(
        above[..., 2, :] + above[..., 3, :],
        variances[..., 2, :] + variances[..., 3, :],
        above[..., 0, :] + above[..., 1, :],
        variances[..., 0, :] + variances[..., 1, :],
    )


def _replicas(
    sums: NDArray[np.float64], squares: NDArray[np.float64], number: int, random: np.random.Generator
) -> Yields:
    """Yields of bootstrap samples, shape (number, n_cuts)."""
    filled = squares > 0
    scale = np.divide(squares, sums, out=np.zeros_like(sums), where=filled)  # of one kind, so no sum is zero
    entries = np.divide(sums**2, squares, out=np.zeros_like(sums), where=filled)
    drawn = random.poisson(entries, size=(number, *entries.shape)).astype(np.float64) * scale
    return yields_above(drawn, drawn * scale)


def _enough_background(yields: Yields) -> Any:
    return (yields.background > 0) & (yields.background**2 >= SMALLEST_BACKGROUND * yields.background_variance)


def _best_cut(
    cuts: NDArray[np.float64],
    yields: Yields,
    efficiencies: tuple[tuple[Any, Any], tuple[Any, Any]],
    curve: SignificanceCurve,
    formula: Formula,
    replicas: Yields,
) -> BestCut | Undefined:
    chosen = _largest(curve, yields)
    if chosen < 0:
        return Undefined(
            f"no cut leaves {SMALLEST_BACKGROUND:g} effective background events and a significance that exists"
        )
    fluctuated = significance_curve(replicas, formula)
    best = _largest(fluctuated, replicas)
    kept = np.flatnonzero((best >= 0) & curve.exists[best])
    if len(kept) < 2:
        return Undefined("no bootstrap sample leaves enough background to repeat the choice")
    differences = fluctuated.values[kept, best[kept]] - curve.values[best[kept]]
    found = cuts[best[kept]]
    lower, upper = np.quantile(found, _INTERVAL)
    return BestCut(
        Measurement(float(cuts[chosen]), float(np.hypot(np.std(found), _spacing(cuts, int(chosen)) / np.sqrt(12)))),
        (float(lower), float(upper)),
        Measurement(float(curve.values[chosen]), float(curve.uncertainties[chosen])),
        Measurement(float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))),
        Measurement(float(yields.signal[chosen]), float(np.sqrt(yields.signal_variance[chosen]))),
        Measurement(float(yields.background[chosen]), float(np.sqrt(yields.background_variance[chosen]))),
        *(Measurement(float(value[chosen]), float(uncertainty[chosen])) for value, uncertainty in efficiencies),
    )


def _spacing(cuts: NDArray[np.float64], chosen: int) -> float:
    """Width of the interval whose values are nearer to one cut than to any other."""
    neighbours = cuts[max(chosen - 1, 0) : chosen + 2]
    return float(neighbours[-1] - neighbours[0]) / max(len(neighbours) - 1, 1)


def _largest(curve: SignificanceCurve, yields: Yields) -> Any:
    """Position of the largest significance with enough background, along the last axis; −1 where there is none."""
    values = np.where(curve.exists & _enough_background(yields), curve.values, -1.0)
    position = np.argmax(values, axis=-1)
    return np.where(np.take_along_axis(values, np.expand_dims(position, -1), -1)[..., 0] < 0, -1, position)
