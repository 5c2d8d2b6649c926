"""ROC curves where the false positive rate is low: in equal factors of it, with the working point of a threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.metrics.bayesian_efficiency import bayesian_efficiency
from ntupleml.metrics.measurement import Interval, Measurement, Undefined
from ntupleml.metrics.roc import roc_curve
from ntupleml.metrics.roc_points import levels_of_background

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class WorkingPoint(NamedTuple):
    """What passes a threshold: weighted shares with Bayesian intervals."""

    background_efficiency: Interval | Undefined
    signal_efficiency: Interval | Undefined


class LowRateRoc(NamedTuple):
    """Signal efficiency against background efficiency (the false positive rate), down to one event of background."""

    #: Shape (n_points,). In equal factors, up to 1.
    background_efficiency: NDArray[np.float64]
    #: Shape (n_points,).
    signal_efficiency: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    #: Area below the whole curve.
    auc: Measurement
    #: Of the threshold in use, if there is one.
    working_point: WorkingPoint | None


def low_rate_roc(
    scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64], passed: NDArray[np.bool_] | None
) -> LowRateRoc | Undefined:
    """ROC curve at background efficiencies in equal factors.

    Parameters
    ----------
    scores : array of float, shape (n_events,)
        Larger for signal.
    is_signal : array of bool, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.
    passed : array of bool, shape (n_events,), optional
        Which events pass the threshold in use.

    Returns
    -------
    LowRateRoc or Undefined
        As `roc_curve`.
    """
    curve = roc_curve(scores, is_signal, weights)
    if isinstance(curve, Undefined):
        return curve
    levels = levels_of_background(curve.background.effective_entries)
    point = None
    if passed is not None:
        shares = (bayesian_efficiency(passed[kind], weights[kind]) for kind in (~is_signal, is_signal))
        point = WorkingPoint(*shares)
    return LowRateRoc(levels, *curve.efficiencies_at(levels), curve.auc, point)
