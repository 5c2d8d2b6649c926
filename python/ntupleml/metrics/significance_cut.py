"""What a cut on the score of one class selects: yields, efficiencies, purity and significances, with uncertainties."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.significance import Yields, significance_curve, significance_formulas

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class CutPerformance:
    """Events whose score is above a cut."""

    cut: float
    #: Numbers of selected signal and background events, without weights.
    entries: tuple[int, int]
    #: Sums of their weights S and B, 0 ± 0 without events.
    signal: Measurement
    background: Measurement
    #: S and B as shares of all signal and of all background.
    signal_efficiency: Measurement | Undefined
    background_efficiency: Measurement | Undefined
    #: S / (S + B).
    purity: Measurement | Undefined
    #: By the names of `significance_formulas`.
    significances: dict[str, Measurement | Undefined]
    #: Smallest and largest score of all events.
    score_range: tuple[float, float]

    def numbers(self) -> dict[str, Measurement | Undefined]:
        """All results by their names."""
        return {
            "signal": self.signal,
            "background": self.background,
            "signal_efficiency": self.signal_efficiency,
            "background_efficiency": self.background_efficiency,
            "purity": self.purity,
            **self.significances,
        }

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        entries = {"signal": self.entries[0], "background": self.entries[1]}
        return {"cut": self.cut, "entries": entries, **self.numbers(), "score_range": self.score_range}


def cut_performance(
    scores: NDArray[Any],
    is_signal: NDArray[np.bool_],
    weights: NDArray[Any],
    cut: float,
    *,
    b_reg: float = 10.0,
    background_uncertainty: float = 0.0,
) -> CutPerformance | Undefined:
    """Yields, efficiencies, purity and significances of the events with ``scores > cut``.

    Parameters
    ----------
    scores : array of float, shape (n_events,)
        Of the signal class.
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.
    b_reg, background_uncertainty : float
        See `significance_formulas`.

    Returns
    -------
    CutPerformance or Undefined
        Undefined without events, and for scores that are NaN or infinite. What cannot be computed with the cut is
        undefined itself: significances as `significance_curve` has it, and all ratios of nothing.

    Notes
    -----
    Variance of the purity p = S / (S + B): ((1 − p)² V_S + p² V_B) / (S + B)², and of an efficiency ε, of which T is
    the whole and P the part that passes: ((1 − ε)² V_P + ε² (V_T − V_P)) / T², as ROOT's TEfficiency has it for
    weighted events (normal approximation).
    """
    if undefined := no_usable_scores(scores):
        return undefined
    weights = np.asarray(weights, dtype=np.float64)
    selected = np.asarray(scores, dtype=np.float64) > cut
    kinds = (("signal", is_signal), ("background", ~np.asarray(is_signal)))
    passing = {name: weights[selected & kind] for name, kind in kinds}
    efficiencies: dict[str, Measurement | Undefined] = {}
    for name, kind in kinds:
        whole = weights[kind]
        undefined = no_sum_of_weights(whole, name)
        efficiencies[name] = undefined or _at(share(_sums(passing[name]), _sums(whole)))
    yields = Yields(*_sums(passing["signal"]), *_sums(passing["background"]))
    nothing = None if selected.any() else Undefined(f"no events have a score above {cut:g}")
    single = Yields(*(np.array([part]) for part in yields))
    formulas = significance_formulas(b_reg, background_uncertainty)
    return CutPerformance(
        float(cut),
        (len(passing["signal"]), len(passing["background"])),
        Measurement(yields.signal, math.sqrt(yields.signal_variance)),
        Measurement(yields.background, math.sqrt(yields.background_variance)),
        efficiencies["signal"],
        efficiencies["background"],
        nothing or purity_of(yields),
        {name: nothing or significance_curve(single, formula).at(0) for name, formula in formulas.items()},
        (float(np.min(scores)), float(np.max(scores))),
    )


def no_usable_scores(scores: NDArray[Any]) -> Undefined | None:
    """Why nothing can be selected by these scores, if so."""
    if not len(scores):
        return Undefined("no events")
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    return Undefined(f"{bad} of {len(scores)} scores are NaN or infinite") if bad else None


def _sums(weights: NDArray[np.float64]) -> tuple[float, float]:
    return float(weights.sum()), float(weights @ weights)


def _at(pair: tuple[Any, Any]) -> Measurement:
    return Measurement(float(pair[0]), float(pair[1]))


def share(part: tuple[Any, Any], whole: tuple[Any, Any]) -> tuple[Any, Any]:
    """Part of a sum of weights, and its uncertainty, for one part or an array of them.

    Parameters
    ----------
    part, whole : (float or array, float or array)
        Σw and Σw²; the events of the part belong to the whole, whose Σw is positive.
    """
    value = part[0] / whole[0]
    outside = np.maximum(whole[1] - part[1], 0.0)  # rounding
    return value, np.hypot((1 - value) * np.sqrt(part[1]), value * np.sqrt(outside)) / whole[0]


def purity_of(yields: Yields) -> Measurement | Undefined:
    """S / (S + B) of one selection; undefined where the sum is not positive."""
    total = yields.signal + yields.background
    if total <= 1e-9 * math.sqrt(yields.signal_variance + yields.background_variance):
        return Undefined("sum of selected weights is not positive")
    value = yields.signal / total
    uncertainty = math.hypot(
        (1 - value) * math.sqrt(yields.signal_variance), value * math.sqrt(yields.background_variance)
    )
    return Measurement(value, uncertainty / total)
