"""All ROC curves of a classifier: each class against the rest and against each other class, with one sort per class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.roc import RocCurve, SortedEvents, curve_of_sorted, falling_order, influences_of_sorted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.roc_points import RocPoints

#: Background efficiencies at which the signal efficiency is given, TMVA's.
BACKGROUND_EFFICIENCIES = (0.01, 0.10, 0.30)
#: Signal efficiencies at which the background rejection is given.
SIGNAL_EFFICIENCIES = (0.3, 0.5, 0.7, 0.8, 0.9)


class RocSummary(NamedTuple):
    """What is kept of a ROC curve."""

    #: Numbers of events.
    signal_entries: int
    background_entries: int
    auc: Measurement
    #: Signal efficiency by background efficiency, `BACKGROUND_EFFICIENCIES`.
    efficiencies: dict[float, Measurement | Undefined]
    #: Background rejection, the inverse of the background efficiency, by signal efficiency, `SIGNAL_EFFICIENCIES`.
    rejections: dict[float, Measurement | Undefined]
    #: Points of the curve.
    points: RocPoints
    #: Number of different scores: 1 where the score is constant and tells nothing.
    distinct_scores: int
    #: See `RocCurve`.
    step_back: float

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "signal_entries": self.signal_entries,
            "background_entries": self.background_entries,
            "auc": self.auc,
            "signal_efficiency_at_background_efficiency": self.efficiencies,
            "rejection_at_signal_efficiency": self.rejections,
            "distinct_scores": self.distinct_scores,
            "step_back": self.step_back,
            "points": self.points,
        }


class ClassRocs(NamedTuple):
    """ROC curves of the scores of one classifier."""

    #: By class: its events against all others, by its score.
    against_rest: dict[str, RocSummary | Undefined]
    #: By class and by other class: the events of these two classes, by the score of the first; empty for two classes,
    #: where these curves are those against the rest.
    pairs: dict[str, dict[str, RocSummary | Undefined]]
    #: Mean of the areas against the rest, weighted with the sums of weights of the classes.
    average_auc: Measurement | Undefined


def class_rocs(
    scores: NDArray[Any],
    truth: NDArray[np.integer[Any]],
    weights: NDArray[Any] | None,
    classes: Sequence[str],
    *,
    pairs: bool = True,
) -> ClassRocs:
    """ROC curves of each class against the rest and, of three or more classes, of each pair of classes.

    Parameters
    ----------
    scores : array, shape (n_events, n_classes)
    truth : array of int, shape (n_events,)
        True class.
    weights : array, shape (n_events,), or None
        Event weights, negative ones as they are; None for weights of 1.
    pairs : bool, default: True
        Whether the pairs are wanted.

    Notes
    -----
    The average is what scikit-learn's `roc_auc_score` calls one-vs-rest with weighted mean. Its uncertainty takes
    into account that the areas of all classes are measured with the same events; the shares of the classes are taken
    as known.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    >>> class_rocs(scores, np.array([0, 0, 1, 1]), None, ["s", "b"]).against_rest["s"].auc.value
    0.75
    """
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        weights = None if (weights == 1).all() else weights  # counting is faster
    shares = _shares(truth, weights, len(classes))
    narrow = truth.astype(np.int16)  # a quarter of the memory
    influences = np.zeros(len(truth))
    rest: dict[str, RocSummary | Undefined] = {}
    others: dict[str, dict[str, RocSummary | Undefined]] = {}
    for index, name in enumerate(classes):
        order = falling_order(column := np.ascontiguousarray(scores[:, index]))
        true, falling = narrow[order], column[order]
        events = SortedEvents(falling, true == index, None if weights is None else weights[order])
        curve = curve_of_sorted(events)
        rest[name] = _summary(curve, events)
        if isinstance(curve, RocCurve):
            influences[order] += shares[index] * influences_of_sorted(curve, events)
        if pairs and len(classes) > 2:
            others[name] = {
                other: _of_pair(events, true, number) for number, other in enumerate(classes) if number != index
            }
    return ClassRocs(rest, others, _average(rest, shares, influences))


def roc_summary(
    scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64]
) -> RocSummary | Undefined:
    """What is kept of the curve of `roc_curve`."""
    order = falling_order(scores)
    events = SortedEvents(scores[order], is_signal[order], weights[order])
    return _summary(curve_of_sorted(events), events)


def _of_pair(events: SortedEvents, true: NDArray[np.integer[Any]], other: int) -> RocSummary | Undefined:
    """Signal against the events of one other class alone."""
    kept = np.flatnonzero(events.is_signal | (true == other))
    weights = None if events.weights is None else events.weights[kept]
    pair = SortedEvents(events.scores[kept], events.is_signal[kept], weights)
    return _summary(curve_of_sorted(pair), pair)


def _summary(curve: RocCurve | Undefined, events: SortedEvents) -> RocSummary | Undefined:
    if isinstance(curve, Undefined):
        return curve
    num_signal = int(np.count_nonzero(events.is_signal))
    values, uncertainties = curve.efficiencies_at(BACKGROUND_EFFICIENCIES)
    efficiencies: dict[float, Measurement | Undefined] = {
        level: Measurement(*pair)
        for level, pair in zip(
            BACKGROUND_EFFICIENCIES, zip(values.tolist(), uncertainties.tolist(), strict=True), strict=True
        )
    }
    return RocSummary(
        num_signal,
        len(events.scores) - num_signal,
        curve.auc,
        efficiencies,
        dict(zip(SIGNAL_EFFICIENCIES, curve.rejections_at(SIGNAL_EFFICIENCIES), strict=True)),
        curve.points(),
        len(curve.thresholds) - 1,
        curve.step_back,
    )


def _shares(truth: NDArray[np.integer[Any]], weights: NDArray[np.float64] | None, size: int) -> NDArray[np.float64]:
    sums = np.bincount(truth, weights, minlength=size)
    total = float(sums.sum())
    return sums / total if total > 0 else np.zeros(size)


def _average(
    results: Mapping[str, RocSummary | Undefined], shares: NDArray[np.float64], influences: NDArray[np.float64]
) -> Measurement | Undefined:
    areas = []
    for name, result in results.items():
        if isinstance(result, Undefined):
            return Undefined(f"class '{name}': {result.reason}")
        areas.append(result.auc.value)
    return Measurement(float(shares @ np.array(areas)), math.sqrt(float(influences @ influences)))
