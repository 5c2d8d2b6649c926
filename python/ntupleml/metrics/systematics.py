"""Changes by systematic variations, with statistical uncertainties: paired where the events are the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.roc import auc_influences, roc_curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class ClassScores(NamedTuple):
    """Events with one score: nominal ones, or those of a variation."""

    #: Shape (n_events,).
    scores: NDArray[Any]
    weights: NDArray[np.float64]
    #: Shape (n_events,). Whether an event is of the class.
    is_class: NDArray[np.bool_]

    def of_class(self) -> ClassScores:
        """Those of the class."""
        chosen = np.flatnonzero(self.is_class)
        return ClassScores(self.scores[chosen], self.weights[chosen], self.is_class[chosen])


class Change(NamedTuple):
    """What a variation makes of a number."""

    nominal: float
    shifted: float
    #: Shifted minus nominal.
    difference: Measurement


class ShapeChange(NamedTuple):
    """What a variation makes of a distribution that is normalised to 1."""

    #: Shape (n_bins,). Shifted over nominal; 1 where nominal has nothing.
    ratio: NDArray[np.float64]
    uncertainties: NDArray[np.float64]


class Shape(NamedTuple):
    """A nominal distribution, normalised to 1."""

    edges: NDArray[np.float64]
    #: Shape (n_bins,). Shares.
    shares: NDArray[np.float64]
    uncertainties: NDArray[np.float64]


class Band(NamedTuple):
    """Sum in quadrature of the relative changes of all variations, bin by bin."""

    #: Shape (n_bins,). Not negative.
    up: NDArray[np.float64]
    down: NDArray[np.float64]


def area_change(nominal: ClassScores, shifted: ClassScores, *, paired: bool) -> Change | Undefined:
    """Change of the area under the ROC curve of a class against the rest.

    Parameters
    ----------
    paired : bool
        Whether both are the same events in the same order, with other weights.

    Notes
    -----
    Paired, the variance is the sum over events of the squared differences of their influences on the two areas (see
    `ntupleml.metrics.roc.auc_influences`); else the sum of the two variances.
    """
    curves = [roc_curve(one.scores, one.is_class, one.weights) for one in (nominal, shifted)]
    first, second = curves
    if isinstance(first, Undefined):
        return first
    if isinstance(second, Undefined):
        return second
    if paired:
        influences = [
            auc_influences(curve, one.scores, one.is_class, one.weights)
            for curve, one in ((first, nominal), (second, shifted))
        ]
        uncertainty = float(np.sqrt(np.square(influences[1] - influences[0]).sum()))
    else:
        uncertainty = math.hypot(first.auc.uncertainty, second.auc.uncertainty)
    difference = Measurement(second.auc.value - first.auc.value, uncertainty)
    return Change(first.auc.value, second.auc.value, difference)


def efficiency_change(
    nominal: ClassScores, shifted: ClassScores, threshold: float, *, paired: bool
) -> Change | Undefined:
    """Change of the weighted share of events with a score of at least a threshold.

    Parameters
    ----------
    nominal, shifted : ClassScores
        All their events count, of whichever class.

    Notes
    -----
    An event adds w (δ − p) / Σw to the fluctuation of a share p, where δ is 1 if it passes.
    """
    found = []
    for one in (nominal, shifted):
        total = float(one.weights.sum())
        if not total > 0:
            return Undefined("sum of weights is not positive")
        passed = one.scores >= threshold
        share = float(one.weights[passed].sum()) / total
        found.append((share, one.weights * (passed - share) / total))
    (first, before), (second, after) = found
    variance = np.square(after - before).sum() if paired else np.square(before).sum() + np.square(after).sum()
    return Change(first, second, Measurement(second - first, float(np.sqrt(variance))))


def yield_change(nominal: ClassScores, shifted: ClassScores, *, paired: bool) -> Change | Undefined:
    """Relative change of the sum of weights, as a change from 1.

    Notes
    -----
    The variance of the ratio r of two sums of the same events is Σ(v − r w)² / (Σw)²; of two samples the sum of the
    relative variances.
    """
    before, after = nominal.weights, shifted.weights
    if not before.sum() > 0:
        return Undefined("sum of weights is not positive")
    total = float(before.sum())
    ratio = float(after.sum()) / total
    if paired:
        variance = np.square(after - ratio * before).sum()
    else:
        variance = np.square(after).sum() + ratio**2 * np.square(before).sum()
    return Change(1.0, ratio, Measurement(ratio - 1, float(np.sqrt(variance)) / total))


def shape_of(events: ClassScores, edges: NDArray[np.float64]) -> Shape | Undefined:
    """Distribution of a score with the uncertainties of its shares."""
    total = float(events.weights.sum())
    if not total > 0:
        return Undefined("sum of weights is not positive")
    bins, weights = _bins(events.scores, edges), events.weights / total
    number = len(edges) - 1
    shares, squares = (
        np.bincount(bins, values, number)[:number].astype(np.float64) for values in (weights, np.square(weights))
    )
    outside = np.maximum(np.square(weights).sum() - squares, 0)
    return Shape(edges, shares, np.sqrt((1 - shares) ** 2 * squares + shares**2 * outside))


def shape_change(
    nominal: ClassScores, shifted: ClassScores, edges: NDArray[np.float64], *, paired: bool
) -> ShapeChange | Undefined:
    """Ratio of two distributions, each normalised to 1.

    Notes
    -----
    The variance of the ratio r = q / p of the shares of a bin is Σ (a (δ − q) − r c (δ − p))² / p² for the same events
    with the weights c before and a after the variation, each normalised to 1; of two samples r² times the sum of the
    relative variances of q and p.
    """
    first, second = shape_of(nominal, edges), shape_of(shifted, edges)
    if isinstance(first, Undefined):
        return first
    if isinstance(second, Undefined):
        return second
    known = first.shares > 0
    p, q = np.where(known, first.shares, 1.0), second.shares
    ratio = np.where(known, q / p, 1.0)
    if not paired:
        relative = np.where(q > 0, second.uncertainties / np.where(q > 0, q, 1.0), 0.0)
        return ShapeChange(ratio, np.where(known, ratio * np.hypot(relative, first.uncertainties / p), 0.0))
    c, a = nominal.weights / nominal.weights.sum(), shifted.weights / shifted.weights.sum()
    bins, number = _bins(nominal.scores, edges), len(edges) - 1
    # Of events outside of the bin a (0 − q) − r c (0 − p) = q (c − a).
    outside = c - a
    inside = [np.bincount(bins, values, number)[:number] for values in (a * a, a * c, c * c, outside**2)]
    differs = [np.bincount(bins, values * outside, number)[:number] for values in (a, c)]
    of_bin = inside[0] - 2 * ratio * inside[1] + ratio**2 * inside[2] + 2 * q * (differs[0] - ratio * differs[1])
    variance = q**2 * float(np.square(outside).sum()) + of_bin
    return ShapeChange(ratio, np.where(known, np.sqrt(np.maximum(variance, 0)) / p, 0.0))


def _bins(scores: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of each score; the last bin holds its upper edge, and what is outside is behind all bins."""
    number = len(edges) - 1
    bins = np.searchsorted(edges, scores, side="right") - 1
    bins[scores == edges[-1]] = number - 1
    return np.where((bins < 0) | (bins >= number), number, bins)


def band_of(changes: Sequence[Mapping[str, ShapeChange]]) -> Band:
    """Band of several sources of uncertainty: in each bin the largest change up and down of each, in quadrature.

    Parameters
    ----------
    changes : sequence of mapping of str to ShapeChange
        Of each source its variations, `up` and `down`; a single one is mirrored.
    """
    up = down = np.zeros(1)
    for of_source in changes:
        shifts = [one.ratio - 1 for one in of_source.values()]
        if len(shifts) == 1:
            shifts.append(-shifts[0])
        up = up + np.square(np.maximum(np.max(shifts, axis=0), 0))
        down = down + np.square(np.maximum(-np.min(shifts, axis=0), 0))
    return Band(np.sqrt(up), np.sqrt(down))
