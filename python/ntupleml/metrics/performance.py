"""How well a classifier tells each class from the rest: the numbers that TMVA's factory prints at its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, as_plain
from ntupleml.metrics.roc import RocCurve, RocPoints, auc_influences, roc_against_rest
from ntupleml.metrics.separation import separation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Background efficiencies at which the signal efficiency is given, TMVA's.
BACKGROUND_EFFICIENCIES = (0.01, 0.10, 0.30)


class ClassPerformance(NamedTuple):
    """One class against the rest, by the score of this class.

    Attributes
    ----------
    entries : int
        Number of events of the class.
    auc : Measurement or Undefined
    efficiencies : dict of float to Measurement or Undefined
        Efficiency of the class by the efficiency of the rest, `BACKGROUND_EFFICIENCIES`.
    separation : Measurement or Undefined
    points : RocPoints or Undefined
        Points of the ROC curve.
    step_back : float
        See `RocCurve`.
    """

    entries: int
    auc: Measurement | Undefined
    efficiencies: dict[float, Measurement | Undefined]
    separation: Measurement | Undefined
    points: RocPoints | Undefined
    step_back: float

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for a YAML or JSON file; what is undefined is a text with the reason."""
        return {
            "entries": self.entries,
            "auc": as_plain(self.auc),
            "efficiency": {level: as_plain(value) for level, value in self.efficiencies.items()},
            "separation": as_plain(self.separation),
            "step_back": self.step_back,
            "roc": str(self.points) if isinstance(self.points, Undefined) else self.points.to_dict(),
        }


class Performance(NamedTuple):
    """All classes, each against the rest.

    Attributes
    ----------
    classes : dict of str to ClassPerformance
    average_auc : Measurement or Undefined
        Mean of the classes' areas, weighted with their sums of weights.
    """

    classes: dict[str, ClassPerformance]
    average_auc: Measurement | Undefined

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for a YAML or JSON file."""
        return {
            "average_auc": as_plain(self.average_auc),
            "classes": {name: result.to_dict() for name, result in self.classes.items()},
        }


def performance(
    scores: NDArray[Any], truth: NDArray[np.integer[Any]], weights: NDArray[np.float64], classes: Sequence[str]
) -> Performance:
    """Performance of a classifier on some events.

    Parameters
    ----------
    scores : array, shape (n_events, n_classes)
    truth : array of int, shape (n_events,)
        True class.
    weights : array of float64, shape (n_events,)
    classes : sequence of str

    Notes
    -----
    The average is what scikit-learn's `roc_auc_score` calls one-vs-rest with weighted mean. Its uncertainty takes
    into account that the areas of all classes are measured with the same events; the shares of the classes are taken
    as known.
    """
    results = {}
    influences = np.zeros(len(truth))
    areas: dict[str, Measurement | Undefined] = {}
    shares = _shares(truth, weights, len(classes))
    for index, name in enumerate(classes):
        is_signal = truth == index
        curve = roc_against_rest(scores, truth, index, weights)
        results[name] = _class_performance(
            curve, separation(scores[:, index], is_signal, weights), int(is_signal.sum())
        )
        areas[name] = results[name].auc
        if isinstance(curve, RocCurve):
            influences += shares[index] * auc_influences(curve, scores[:, index], is_signal, weights)
    return Performance(results, _average(areas, shares, influences))


def _class_performance(
    curve: RocCurve | Undefined, separated: Measurement | Undefined, entries: int
) -> ClassPerformance:
    if isinstance(curve, Undefined):
        return ClassPerformance(entries, curve, dict.fromkeys(BACKGROUND_EFFICIENCIES, curve), separated, curve, 0.0)
    efficiencies: dict[float, Measurement | Undefined] = {
        level: curve.efficiency_at(level) for level in BACKGROUND_EFFICIENCIES
    }
    return ClassPerformance(entries, curve.auc, efficiencies, separated, curve.points(), curve.step_back)


def _shares(truth: NDArray[np.integer[Any]], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    sums = np.bincount(truth, weights, minlength=size)
    total = float(sums.sum())
    return sums / total if total > 0 else np.zeros(size)


def _average(
    areas: Mapping[str, Measurement | Undefined], shares: NDArray[np.float64], influences: NDArray[np.float64]
) -> Measurement | Undefined:
    for name, area in areas.items():
        if isinstance(area, Undefined):
            return Undefined(f"class '{name}': {area.reason}")
    values = np.array([area.value for area in areas.values() if isinstance(area, Measurement)])
    return Measurement(float(shares @ values), math.sqrt(float(influences @ influences)))
