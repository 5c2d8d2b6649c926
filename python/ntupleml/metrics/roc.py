"""ROC curves of weighted events: the curve with its uncertainties, the area below it, and working points on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.roc_points import (
    RocPoints,
    RunningSums,
    levels_of_background,
    read_off,
    signal_efficiencies_of_points,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["RocCurve", "RocPoints", "SortedEvents", "auc_influences", "curve_of_sorted", "falling_order"]
__all__ += ["influences_of_sorted", "roc_against_rest", "roc_curve", "roc_of_pair"]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Efficiencies of cuts `score ≥ threshold`, from the tightest cut to the loosest."""

    #: Shape (n_points,). The scores that occur, descending; the first is infinity, which nothing passes.
    thresholds: NDArray[np.float64]
    #: What passes of each sample.
    signal: RunningSums
    background: RunningSums
    #: Area below the curve: the chance that a signal event has a larger score than a background event.
    auc: Measurement
    #: The largest distance by which one of the efficiencies falls as the threshold is lowered: 0 without negative
    #: weights; where it is not small, too few events determine the curve.
    step_back: float

    @property
    def signal_efficiency(self) -> NDArray[np.float64]:
        """Weighted share of the signal that passes, shape (n_points,).

        Negative weights count as they are, so that both efficiencies are unbiased; they may then step back, or leave
        the range from 0 to 1.
        """
        return self.signal.efficiency

    @property
    def background_efficiency(self) -> NDArray[np.float64]:
        """Weighted share of the background that passes, shape (n_points,)."""
        return self.background.efficiency

    @cached_property
    def signal_uncertainty(self) -> NDArray[np.float64]:
        """Statistical uncertainty of the signal efficiency at the fixed threshold, shape (n_points,)."""
        return self.signal.uncertainty()

    @cached_property
    def background_uncertainty(self) -> NDArray[np.float64]:
        """Statistical uncertainty of the background efficiency at the fixed threshold, shape (n_points,)."""
        return self.background.uncertainty()

    def efficiency_at(self, background_efficiency: float) -> Measurement:
        """Signal efficiency at a background efficiency, as `efficiencies_at`."""
        values, uncertainties = self.efficiencies_at([background_efficiency])
        return Measurement(float(values[0]), float(uncertainties[0]))

    def efficiencies_at(
        self, background_efficiencies: Sequence[float] | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Signal efficiencies at given background efficiencies, with their uncertainties.

        Parameters
        ----------
        background_efficiencies : array of float, shape (n,)
            From 0 to 1.

        Returns
        -------
        values, uncertainties : arrays of float64, shape (n,)

        Notes
        -----
        Linear between the points of the curve; at a step its upper end. Where the background efficiency steps back
        (negative weights), the tightest cut counts at which it is reached. The variance is that of the signal
        efficiency at the fixed threshold plus that of the threshold, which the background sample determines: half
        the change of the signal efficiency while the background efficiency moves by one standard deviation to both
        sides, squared. This is slope² × variance of the other efficiency (Greenhouse and Mantel, Biometrics 6 (1950)
        399), the slope taken over the distance that matters.
        """
        return read_off(
            np.asarray(background_efficiencies, dtype=np.float64),
            self.background,
            self.signal,
            side="right",
            falls=self.step_back > 0,
        )

    def background_efficiencies_at(
        self, signal_efficiencies: Sequence[float] | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Background efficiencies at given signal efficiencies, with their uncertainties, as `efficiencies_at`."""
        return read_off(
            np.asarray(signal_efficiencies, dtype=np.float64),
            self.signal,
            self.background,
            side="left",
            falls=self.step_back > 0,
        )

    def rejections_at(
        self, signal_efficiencies: Sequence[float] | NDArray[np.float64]
    ) -> list[Measurement | Undefined]:
        """Background rejections at given signal efficiencies: the inverse of the background efficiency there.

        Undefined where the background efficiency is not positive.
        """
        values, uncertainties = self.background_efficiencies_at(signal_efficiencies)
        return [_rejection(*pair) for pair in zip(values.tolist(), uncertainties.tolist(), strict=True)]

    def rejection_at(self, signal_efficiency: float) -> Measurement | Undefined:
        """Background rejection at a signal efficiency, as `rejections_at`."""
        return self.rejections_at([signal_efficiency])[0]

    def points(self) -> RocPoints:
        """At most 185 points that show the curve, also where it is steep and at its corners: for a picture or a file.

        The signal efficiencies are 0, 0.01, … 1; some that are 10⁻⁴ to 10⁻² away from 0 and from 1; and those at
        background efficiencies in equal factors from one (effective) event up to 1.
        """
        levels = levels_of_background(self.background.effective_entries)
        grid = signal_efficiencies_of_points(self.efficiencies_at(levels)[0])
        return RocPoints(grid, *self.background_efficiencies_at(grid))

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"auc": self.auc, "step_back": self.step_back, **self.points().plain()}


def _rejection(background_efficiency: float, uncertainty: float) -> Measurement | Undefined:
    if background_efficiency < 0:
        return Undefined("the background efficiency is negative")
    if background_efficiency == 0:
        return Undefined("no background event passes")
    return Measurement(1 / background_efficiency, uncertainty / background_efficiency**2)


class SortedEvents(NamedTuple):
    """Events in the order of falling scores."""

    #: Shape (n_events,).
    scores: NDArray[Any]
    #: Shape (n_events,).
    is_signal: NDArray[np.bool_]
    #: Shape (n_events,); None for weights of 1.
    weights: NDArray[np.float64] | None


def falling_order(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Positions of the events in the order of falling scores; NaN comes first."""
    return np.argsort(scores)[::-1]


def roc_curve(
    scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[Any] | None = None
) -> RocCurve | Undefined:
    """ROC curve of one score.

    Parameters
    ----------
    scores : array, shape (n_events,)
        Larger for signal.
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,), optional
        Event weights; by default 1. Negative ones count as they are.

    Returns
    -------
    RocCurve or Undefined
        Undefined where a sample has no event, only one, or a sum of weights that is not positive, or a score or
        weight is NaN.

    Notes
    -----
    The variance of an efficiency p is Σw²(δ − p)² / (Σw)², where δ is 1 for events that pass, as in ROOT's
    TEfficiency for weighted events. The area is Σᵢⱼ wᵢ vⱼ ([sᵢ > tⱼ] + ½[sᵢ = tⱼ]) / (Σw Σv) over signal and
    background events. Its variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 44 (1988) 837) with
    weights: the event's placement in the other sample takes the place of δ, with a factor n / (n − 1) for each sample
    of n events, so that equal weights give their formula.

    Examples
    --------
    >>> curve = roc_curve(np.array([0.9, 0.7, 0.6, 0.2]), np.array([True, False, True, False]))
    >>> curve.auc.value, curve.efficiency_at(0.5).value
    (0.75, 1.0)
    """
    order = falling_order(scores := np.asarray(scores))
    weights = None if weights is None else np.asarray(weights, dtype=np.float64)[order]
    return curve_of_sorted(SortedEvents(scores[order], np.asarray(is_signal, dtype=np.bool_)[order], weights))


def curve_of_sorted(events: SortedEvents) -> RocCurve | Undefined:
    """ROC curve of sorted events, as `roc_curve`."""
    scores, is_signal, weights = events
    num_events, num_signal = len(scores), int(np.count_nonzero(is_signal))
    if undefined := _no_curve(scores, weights, num_signal):
        return undefined
    # Events of equal score pass a cut together.
    last = np.append(np.flatnonzero(scores[1:] != scores[:-1]), num_events - 1)
    signal_passed = np.zeros(len(last) + 1, dtype=np.int64)
    np.take(np.cumsum(is_signal, dtype=np.int64), last, out=signal_passed[1:])
    background_passed = np.append(0, last + 1) - signal_passed
    samples = []
    for name, passed, chosen in (("signal", signal_passed, is_signal), ("background", background_passed, ~is_signal)):
        own = None if weights is None else weights[chosen]
        if own is not None and (undefined := no_sum_of_weights(own, name)):
            return undefined
        samples.append(RunningSums.of(passed, own))
    signal, background = samples
    thresholds = np.empty(len(last) + 1)
    thresholds[0], thresholds[1:] = np.inf, scores[last]
    return RocCurve(
        thresholds,
        signal,
        background,
        _area(signal, background),
        max(map(_step_back, samples)) if weights is not None and weights.min() < 0 else 0.0,
    )


def roc_against_rest(
    scores: NDArray[Any], truth: NDArray[np.integer[Any]], signal: int, weights: NDArray[Any] | None = None
) -> RocCurve | Undefined:
    """ROC curve of the score of one class, all other classes being background.

    Parameters
    ----------
    scores : array, shape (n_events, n_classes)
    truth : array of int, shape (n_events,)
        True class.
    signal : int
        The class.
    weights : array, shape (n_events,), optional
    """
    return roc_curve(scores[:, signal], truth == signal, weights)


def roc_of_pair(
    scores: NDArray[Any],
    truth: NDArray[np.integer[Any]],
    signal: int,
    background: int,
    weights: NDArray[Any] | None = None,
) -> RocCurve | Undefined:
    """ROC curve of the score of one class against one other, events of further classes left out.

    Parameters are those of `roc_against_rest`.
    """
    chosen = np.flatnonzero((truth == signal) | (truth == background))
    return roc_curve(
        scores[chosen, signal], truth[chosen] == signal, None if weights is None else np.asarray(weights)[chosen]
    )


def auc_influences(
    curve: RocCurve, scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each event adds to the fluctuation of the area, whose variance is the sum of their squares.

    Sums over classes or differences between models of these numbers, event by event, have the variances of averages
    and differences of areas that are measured with the same events.

    Parameters
    ----------
    curve : RocCurve
        Of the events that follow.
    scores, is_signal, weights
        As for `roc_curve`.

    Returns
    -------
    array of float64, shape (n_events,)
    """
    order = falling_order(scores := np.asarray(scores))
    events = SortedEvents(scores[order], is_signal[order], np.asarray(weights, dtype=np.float64)[order])
    influences = np.empty(len(scores))
    influences[order] = influences_of_sorted(curve, events)
    return influences


def influences_of_sorted(curve: RocCurve, events: SortedEvents) -> NDArray[np.float64]:
    """`auc_influences` of sorted events, in their order."""
    scores, is_signal, weights = events
    placements = _placements(curve.signal_efficiency, curve.background_efficiency)
    for placement, sample in zip(placements, (curve.signal, curve.background), strict=True):
        placement -= curve.auc.value
        placement *= math.sqrt(sample.entries / (sample.entries - 1)) / float(sample.sums[-1])
    below, above = placements
    if len(below) < len(scores):  # of events with equal scores there is but one point
        point = np.append(0, np.cumsum(scores[1:] != scores[:-1]))
        below, above = below[point], above[point]
    influences = np.where(is_signal, below, above)
    if weights is not None:
        influences *= weights
    return influences


def _placements(
    signal_efficiency: NDArray[np.float64], background_efficiency: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of background below, and of signal above each threshold; of equal scores one half."""
    below, above = (values[1:] + values[:-1] for values in (background_efficiency, signal_efficiency))
    below *= -0.5
    below += 1
    above *= 0.5
    return below, above


def _area(signal: RunningSums, background: RunningSums) -> Measurement:
    """Area and its uncertainty, from the placement of each point's events in the other sample."""
    below, above = _placements(signal.efficiency, background.efficiency)
    value = float(np.diff(signal.sums) @ below / signal.sums[-1])
    variance = 0.0
    for sample, placement in ((signal, below), (background, above)):
        placement -= value
        placement *= placement
        spread = float(np.diff(sample.squares) @ placement) / sample.sums[-1] ** 2
        variance += spread * sample.entries / (sample.entries - 1)
    return Measurement(value, math.sqrt(max(variance, 0.0)))


def _no_curve(scores: NDArray[Any], weights: NDArray[np.float64] | None, num_signal: int) -> Undefined | None:
    """Reason the curve is undefined whatever the sums of weights are, or None."""
    # NaN comes first in the falling order.
    if len(scores) and scores[0] != scores[0]:
        return Undefined(f"{np.count_nonzero(np.isnan(scores))} of {len(scores)} scores are NaN")
    if weights is not None and (bad := len(weights) - np.count_nonzero(np.isfinite(weights))):
        return Undefined(f"{bad} of {len(weights)} weights are NaN or infinite")
    for entries, name in ((num_signal, "signal"), (len(scores) - num_signal, "background")):
        if entries < 2:
            return Undefined(f"no {name} events" if entries == 0 else f"only one {name} event")
    return None


def _step_back(sample: RunningSums) -> float:
    return float(np.max(sample.highest - sample.efficiency))
