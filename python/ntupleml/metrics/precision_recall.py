"""Precision against recall of cuts on a score, and the average precision, with event weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.roc import roc_curve
from ntupleml.metrics.roc_points import levels_of_background, signal_efficiencies_of_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.roc import RocCurve

#: Recalls at which the precision is given.
RECALLS = (0.3, 0.5, 0.7, 0.9)


class PrecisionRecall(NamedTuple):
    """Purity of what a cut selects (precision) against its signal efficiency (recall)."""

    signal_entries: int
    background_entries: int
    #: Mean precision over the recall.
    average_precision: Measurement
    #: Precision where everything is selected, which guessing has at every recall.
    signal_share: Measurement
    #: Recall up to which all events count together, since negative weights leave negative sums; else 0.
    together_up_to: float
    #: By recall, `RECALLS`.
    precisions: dict[float, Measurement]
    #: At most 185 points of the curve: shape (n_points,), the recall ascending.
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    uncertainty: NDArray[np.float64]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        points = {"recall": self.recall, "precision": self.precision, "precision_uncertainty": self.uncertainty}
        named = {name: getattr(self, name) for name in self._fields[:5]}
        return named | {"precision_at_recall": self.precisions, "points": points}


def precision_recall(
    scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> PrecisionRecall | Undefined:
    """Precision and recall of the cuts `score ≥ threshold`.

    Parameters
    ----------
    scores : array, shape (n_events,)
        Larger for signal.
    is_signal : array of bool, shape (n_events,)
    weights : array, shape (n_events,), optional
        Event weights, by default 1; negative ones count as they are.

    Returns
    -------
    PrecisionRecall or Undefined
        Undefined where the ROC curve is.

    Notes
    -----
    With S and B the sums of weights above a threshold, the precision is S / (S + B) with the variance of a weighted
    share, Σw²(δ − p)² / (S + B)², δ being 1 for signal. The average precision is Σ ΔR P, the steps ΔR of the recall
    times the precision after each, as scikit-learn's `average_precision_score`. Its variance is the sum over the
    events of (w ∂AP/∂w)², the infinitesimal jackknife (Jaeckel 1972): numbers of events fluctuate, those of the
    classes too. Cuts so tight that negative weights make S or B negative, at them or at a looser cut, are no cuts of
    their own: the first step of the recall ends where they end, so that a precision is between 0 and 1.

    Examples
    --------
    >>> found = precision_recall(np.array([0.9, 0.7, 0.6, 0.2]), np.array([True, False, True, False]))
    >>> round(found.average_precision.value, 4), found.signal_share.value
    (0.8333, 0.5)
    """
    curve = roc_curve(scores, is_signal, weights)
    return curve if isinstance(curve, Undefined) else _of_curve(curve)


def _of_curve(curve: RocCurve) -> PrecisionRecall:
    negative = (curve.signal.sums[1:] < 0) | (curve.background.sums[1:] < 0)
    start = 1 + len(negative) - int(np.argmax(negative[::-1])) if negative.any() else 1
    samples = (curve.signal, curve.background)
    (signal, background), squares = ([getattr(one, name)[start:] for one in samples] for name in ("sums", "squares"))
    total, steps = signal + background, np.diff(signal, prepend=0) / signal[-1]
    total = np.where(total > 0, total, np.inf)  # where nothing but weights of zero is selected
    precision = signal / total
    variance = np.square(1 - precision) * squares[0] + np.square(precision) * squares[1]
    uncertainty = np.sqrt(np.maximum(variance, 0)) / total
    average = float(steps @ precision)
    # What one more unit of weight at each point changes: of signal its own precision, and that of all looser cuts.
    as_signal = (precision - average) / signal[-1] + _from_here_on(steps * background / np.square(total))
    as_background = -_from_here_on(steps * signal / np.square(total))
    spread = sum(
        float(np.diff(own, prepend=0) @ np.square(change))
        for own, change in zip(squares, (as_signal, as_background), strict=True)
    )
    reached = curve.signal.highest[start:]
    levels = levels_of_background(curve.background.effective_entries)
    wanted = np.concatenate([RECALLS, signal_efficiencies_of_points(curve.efficiencies_at(levels)[0])])
    at = np.minimum(np.searchsorted(reached, wanted), len(reached) - 1)
    points = np.unique(at[len(RECALLS) :])
    measured = [Measurement(float(precision[point]), float(uncertainty[point])) for point in (-1, *at[: len(RECALLS)])]
    return PrecisionRecall(
        curve.signal.entries,
        curve.background.entries,
        Measurement(average, math.sqrt(spread)),
        measured[0],
        float(reached[0]) if negative.any() else 0.0,
        dict(zip(RECALLS, measured[1:], strict=True)),
        reached[points],
        precision[points],
        uncertainty[points],
    )


def _from_here_on(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of each value and all that follow."""
    return np.cumsum(values[::-1])[::-1]
