"""ROC curves of weighted events: the curve with its uncertainties, the area below it, and working points on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: What is smaller has a square near the end of floating point.
_SMALLEST_SUM = 1e-150
#: Points of a curve in a file.
_POINTS = 101


class RocPoints(NamedTuple):
    """Some points of a ROC curve.

    Attributes
    ----------
    signal_efficiency : array of float64, shape (n_points,)
        Ascending.
    background_efficiency, uncertainty : array of float64, shape (n_points,)
        At these signal efficiencies.
    """

    signal_efficiency: NDArray[np.float64]
    background_efficiency: NDArray[np.float64]
    uncertainty: NDArray[np.float64]

    def to_dict(self) -> dict[str, list[float]]:
        """As plain numbers, for a YAML or JSON file."""
        return {
            "signal_efficiency": self.signal_efficiency.tolist(),
            "background_efficiency": self.background_efficiency.tolist(),
            "background_efficiency_uncertainty": self.uncertainty.tolist(),
        }


@dataclass(frozen=True, eq=False)
class RocCurve:
    """Efficiencies of cuts `score ≥ threshold`, from the tightest cut to the loosest.

    Attributes
    ----------
    thresholds : array of float64, shape (n_points,)
        The scores that occur, descending; the first is infinity, which nothing passes.
    signal_efficiency, background_efficiency : array of float64, shape (n_points,)
        Weighted share of each sample that passes. Negative weights count as they are, so that both are unbiased;
        they may then step back, or leave the range from 0 to 1.
    signal_uncertainty, background_uncertainty : array of float64, shape (n_points,)
        Their statistical uncertainties at the fixed threshold.
    auc : Measurement
        Area below the curve: the chance that a signal event has a larger score than a background event.
    step_back : float
        The largest distance by which one of the efficiencies falls as the threshold is lowered: 0 without negative
        weights; where it is not small, too few events determine the curve.
    """

    thresholds: NDArray[np.float64]
    signal_efficiency: NDArray[np.float64]
    background_efficiency: NDArray[np.float64]
    signal_uncertainty: NDArray[np.float64]
    background_uncertainty: NDArray[np.float64]
    auc: Measurement
    step_back: float

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
        return _read_off(
            np.asarray(background_efficiencies, dtype=np.float64),
            (self.background_efficiency, self.background_uncertainty),
            (self.signal_efficiency, self.signal_uncertainty),
            side="right",
        )

    def background_efficiencies_at(
        self, signal_efficiencies: Sequence[float] | NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Background efficiencies at given signal efficiencies, with their uncertainties, as `efficiencies_at`."""
        return _read_off(
            np.asarray(signal_efficiencies, dtype=np.float64),
            (self.signal_efficiency, self.signal_uncertainty),
            (self.background_efficiency, self.background_uncertainty),
            side="left",
        )

    def rejection_at(self, signal_efficiency: float) -> Measurement | Undefined:
        """Background rejection at a signal efficiency: the inverse of the background efficiency there.

        Undefined where the background efficiency is not positive.
        """
        values, uncertainties = self.background_efficiencies_at([signal_efficiency])
        if values[0] < 0:
            return Undefined("the background efficiency is negative")
        if values[0] == 0:
            return Undefined("no background event passes")
        return Measurement(float(1 / values[0]), float(uncertainties[0] / values[0] ** 2))

    def points(self, number: int = _POINTS) -> RocPoints:
        """Some points of the curve, equidistant in the signal efficiency: for a picture or a file."""
        grid = np.linspace(0, 1, number)
        return RocPoints(grid, *self.background_efficiencies_at(grid))

    def to_dict(self, number: int = _POINTS) -> dict[str, Any]:
        """Area and points of the curve as plain numbers, for a YAML or JSON file."""
        return {
            "auc": {"value": self.auc.value, "uncertainty": self.auc.uncertainty},
            "step_back": self.step_back,
            **self.points(number).to_dict(),
        }


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
    scores, is_signal = np.asarray(scores), np.asarray(is_signal, dtype=np.bool_)
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, dtype=np.float64)
    if undefined := _no_curve(scores, is_signal, weights):
        return undefined
    order = np.argsort(scores)[::-1]
    sorted_scores = scores[order]
    # Events of equal score pass a cut together.
    last = np.flatnonzero(np.append(sorted_scores[1:] != sorted_scores[:-1], True))
    passing, weights = is_signal[order], weights[order]
    signal = _Sample.of(np.where(passing, weights, 0.0), last, int(np.count_nonzero(passing)))
    background = _Sample.of(np.where(passing, 0.0, weights), last, len(scores) - signal.entries)
    signal_efficiency, signal_uncertainty = signal.efficiency()
    background_efficiency, background_uncertainty = background.efficiency()
    has_negative = bool(weights.min() < 0)
    return RocCurve(
        thresholds=np.append(np.inf, sorted_scores[last].astype(np.float64)),
        signal_efficiency=signal_efficiency,
        background_efficiency=background_efficiency,
        signal_uncertainty=signal_uncertainty,
        background_uncertainty=background_uncertainty,
        auc=_area(signal, background, signal_efficiency, background_efficiency),
        step_back=max(map(_step_back, (signal_efficiency, background_efficiency))) if has_negative else 0.0,
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


@dataclass(frozen=True, eq=False)
class _Sample:
    """Running sums of one sample at the points of a curve, which begin with 0."""

    entries: int
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, weights: NDArray[np.float64], last: NDArray[np.int64], entries: int) -> _Sample:
        """From weights in the order of falling scores, 0 for events of the other sample."""
        sums, squares = np.zeros(len(last) + 1), np.zeros(len(last) + 1)
        np.take(np.cumsum(weights), last, out=sums[1:])
        np.take(np.cumsum(np.square(weights)), last, out=squares[1:])
        return cls(entries, sums, squares)

    def efficiency(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share that passes, and its uncertainty."""
        total, passed = self.sums[-1], self.squares
        value = self.sums / total
        variance = np.square(1 - value) * passed + np.square(value) * (passed[-1] - passed)
        return value, np.sqrt(np.maximum(variance, 0)) / total


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
    below, above = _placements(curve.signal_efficiency, curve.background_efficiency)
    # Position of each event's score among the falling thresholds.
    point = len(below) - 1 - np.searchsorted(curve.thresholds[:0:-1], np.asarray(scores, dtype=np.float64))
    influences = weights * (np.where(is_signal, below[point], above[point]) - curve.auc.value)
    for chosen in (is_signal, ~is_signal):
        entries = np.count_nonzero(chosen)
        influences[chosen] *= math.sqrt(entries / (entries - 1)) / weights[chosen].sum()
    return influences


def _placements(
    signal_efficiency: NDArray[np.float64], background_efficiency: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of background below, and of signal above each threshold; of equal scores one half."""
    below = 1 - 0.5 * (background_efficiency[1:] + background_efficiency[:-1])
    above = 0.5 * (signal_efficiency[1:] + signal_efficiency[:-1])
    return below, above


def _area(
    signal: _Sample,
    background: _Sample,
    signal_efficiency: NDArray[np.float64],
    background_efficiency: NDArray[np.float64],
) -> Measurement:
    """Area and its uncertainty, from the placement of each point's events in the other sample."""
    below, above = _placements(signal_efficiency, background_efficiency)
    value = float(np.diff(signal.sums) @ below / signal.sums[-1])
    variance = 0.0
    for sample, placement in ((signal, below), (background, above)):
        spread = float(np.diff(sample.squares) @ np.square(placement - value)) / sample.sums[-1] ** 2
        variance += spread * sample.entries / (sample.entries - 1)
    return Measurement(value, math.sqrt(max(variance, 0.0)))


def _no_curve(scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64]) -> Undefined | None:
    """Why there is no curve, if so."""
    for values, name in ((scores, "scores"), (weights, "weights")):
        bad = int(np.count_nonzero(np.isnan(values)))
        if bad:
            return Undefined(f"{bad} of {len(values)} {name} are NaN")
    for chosen, name in ((is_signal, "signal"), (~is_signal, "background")):
        entries = int(np.count_nonzero(chosen))
        if entries < 2:
            return Undefined(f"no {name} events" if entries == 0 else f"only one {name} event")
        total = float(weights @ chosen)
        # A sum that differs from zero by no more than rounding is zero.
        rounding = np.finfo(np.float64).eps * entries * math.sqrt(float(np.square(weights) @ chosen))
        if abs(total) <= max(rounding, _SMALLEST_SUM):
            return Undefined(f"sum of {name} weights is zero")
        if total < 0:
            return Undefined(f"sum of {name} weights is negative")
    return None


def _step_back(efficiency: NDArray[np.float64]) -> float:
    return float(np.max(np.maximum.accumulate(efficiency) - efficiency))


def _read_off(
    positions: NDArray[np.float64],
    along: tuple[NDArray[np.float64], NDArray[np.float64]],
    wanted: tuple[NDArray[np.float64], NDArray[np.float64]],
    *,
    side: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One efficiency where the other has given values, with its uncertainty; see `RocCurve.efficiencies_at`."""
    # Never falls, so that a position is found where the efficiency reaches it for the first time.
    reached = np.maximum.accumulate(along[0])
    value, low, share = _interpolate(positions, along[0], reached, wanted[0], side)
    shift = _between(along[1], low, share)
    own = _between(wanted[1], low, share)
    lower, upper = np.maximum(positions - shift, 0.0), np.minimum(positions + shift, 1.0)
    change = (
        _interpolate(upper, along[0], reached, wanted[0], side)[0]
        - _interpolate(lower, along[0], reached, wanted[0], side)[0]
    )
    width = upper - lower
    threshold = np.divide(change * shift, width, out=np.zeros_like(change), where=width > 0)
    return value, np.hypot(own, threshold)


def _interpolate(
    positions: NDArray[np.float64],
    along: NDArray[np.float64],
    reached: NDArray[np.float64],
    wanted: NDArray[np.float64],
    side: str,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Values between the points before and after each position, the point before, and the share of the way to the next.

    With the side "right" a position that several points have gives the last of them (the loosest cut), else the first.
    """
    if side == "right":
        low = np.searchsorted(reached, positions, side="right") - 1
    else:
        low = np.searchsorted(reached, positions, side="left")
        low = np.where(reached[np.minimum(low, len(reached) - 1)] == positions, low, low - 1)
    low = np.clip(low, 0, len(along) - 1)
    high = np.minimum(low + 1, len(along) - 1)
    distance = along[high] - along[low]
    share = np.divide(positions - along[low], distance, out=np.zeros_like(positions), where=distance > 0)
    share = np.clip(share, 0.0, 1.0)
    return (1 - share) * wanted[low] + share * wanted[high], low, share


def _between(values: NDArray[np.float64], low: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    high = np.minimum(low + 1, len(values) - 1)
    return (1 - share) * values[low] + share * values[high]
