"""ROC curves of an anomaly trigger, down to the rates at which it runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.low_rate_roc import LowRateRoc, low_rate_roc
from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.trigger import draw_low_rate_rocs
from ntupleml.testing.steps import Answer
from ntupleml.testing.trigger import decisions, named_trigger, trigger_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.trigger import Trigger

    Curves = dict[str, dict[str, LowRateRoc | Undefined]]

_NAME = "low_rate_roc"


def low_rate_rocs(material: Material) -> Answer:
    """Curves of every method."""
    named_trigger(material)
    material.announce([_NAME])
    trigger = trigger_of(material)
    found = {method: _curves(trigger, material.events.scores[method]) for method in material.methods}
    return Answer.by_method(
        {method: [_picture(trigger, method, curves)] for method, curves in found.items()},
        f"Each signal against '{trigger.config.background}' by the score of the HLT, of what L1 accepts: for l1Seeded "
        "by its anomaly trigger, for l1All by any.",
        numbers=found,
        only_first_open=True,
    )


def _curves(trigger: Trigger, scores: NDArray[Any]) -> Curves:
    decided = decisions(trigger, scores)
    found: Curves = {}
    for scheme, bits in decided.bits.items():
        seeds = bits.seeds(scheme)
        found[scheme] = {}
        for name in trigger.signals:
            is_signal = trigger.of_class(name)
            rows = np.flatnonzero(seeds & (is_signal | trigger.is_background))
            found[scheme][name] = low_rate_roc(
                decided.hlt_scores[rows], is_signal[rows], trigger.events.weights[rows], bits.hlt_anomalous[rows]
            )
    return found


def _picture(trigger: Trigger, method: str, curves: Curves) -> Picture:
    rows: list[tuple[Cell, ...]] = []
    for scheme, by_class in curves.items():
        for name, curve in by_class.items():
            if isinstance(curve, Undefined):
                rows.append((scheme, name, curve, curve, curve))
            else:
                assert curve.working_point is not None
                rows.append((scheme, name, curve.auc, *curve.working_point))
    header = ("Scheme", "Signal", "AUC", "False positive rate at the threshold", "Efficiency at the threshold")
    return Picture(
        _NAME,
        f"{method}: efficiency of each signal against that of '{trigger.config.background}', weighted, of what L1 "
        "accepts. Bands: one standard deviation; points: the threshold in use, with 68.3 % intervals.",
        partial(draw_low_rate_rocs, curves),
        {"method": method, "background": trigger.config.background, "schemes": as_plain(curves)},
        (Table(header, tuple(rows)),),
    )
