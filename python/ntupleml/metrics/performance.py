"""How well a classifier tells each class from the rest: the numbers that TMVA's factory prints at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.metrics.class_rocs import BACKGROUND_EFFICIENCIES, RocSummary, class_rocs
from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.separation import separation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.metrics.roc_points import RocPoints

__all__ = ["BACKGROUND_EFFICIENCIES", "ClassPerformance", "Performance", "performance"]


class ClassPerformance(NamedTuple):
    """One class against the rest, by the score of this class."""

    #: Number of events of the class.
    entries: int
    auc: Measurement | Undefined
    #: Efficiency of the class by the efficiency of the rest, `BACKGROUND_EFFICIENCIES`.
    efficiencies: dict[float, Measurement | Undefined]
    separation: Measurement | Undefined
    #: Points of the ROC curve.
    points: RocPoints | Undefined
    #: See `RocCurve`.
    step_back: float

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "entries": self.entries,
            "auc": self.auc,
            "efficiency": self.efficiencies,
            "separation": self.separation,
            "step_back": self.step_back,
            "roc": self.points,
        }


class Performance(NamedTuple):
    """All classes, each against the rest."""

    classes: dict[str, ClassPerformance]
    #: Mean of the classes' areas, weighted with their sums of weights.
    average_auc: Measurement | Undefined

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"average_auc": self.average_auc, "classes": self.classes}


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

    Notes
    -----
    The average and its uncertainty are those of `class_rocs`.
    """
    rocs = class_rocs(scores, truth, weights, classes, pairs=False)
    results = {}
    for index, name in enumerate(classes):
        is_signal = truth == index
        separated = separation(scores[:, index], is_signal, weights)
        results[name] = _class_performance(rocs.against_rest[name], separated, int(is_signal.sum()))
    return Performance(results, rocs.average_auc)


def _class_performance(
    roc: RocSummary | Undefined, separated: Measurement | Undefined, entries: int
) -> ClassPerformance:
    if isinstance(roc, Undefined):
        return ClassPerformance(entries, roc, dict.fromkeys(BACKGROUND_EFFICIENCIES, roc), separated, roc, 0.0)
    return ClassPerformance(entries, roc.auc, roc.efficiencies, separated, roc.points, roc.step_back)
