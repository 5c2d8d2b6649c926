"""Selecting events with large values by a prediction: turn-on curves and ROC curves at thresholds."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.metrics.number_texts import count_text
from ntupleml.metrics.turn_on import TurnOn, turn_on
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.style import literal
from ntupleml.plots.trigger import draw_efficiencies_in_bins, draw_low_rate_rocs
from ntupleml.testing.estimators import config_of, samples_of, subjects_of, where_of
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.metrics.low_rate_roc import LowRateRoc
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.estimators import Subject
    from ntupleml.testing.material import Material

    Found = Mapping[float, Mapping[str, TurnOn | Undefined]]

_INTRODUCTION = (
    "A turn-on curve is the share of the events whose prediction is above a threshold, in bins of the truth, with "
    "68.3 % Bayesian intervals. A ROC curve is of all cuts on the prediction, for events whose truth is above the "
    "threshold against the others; the point on it is the cut at the threshold itself. Vectors count by their size."
)


def has_thresholds(material: Material) -> bool:
    """Whether the testing config names thresholds."""
    return bool(config_of(material).thresholds)


def turn_ons(material: Material) -> Answer:
    """Turn-on and ROC curves of every method and reference at each threshold."""
    thresholds = config_of(material).thresholds
    if not thresholds:
        where = f"{material.preparation.testing_path}: regression: thresholds"
        raise NtuplemlError(f"{where}: none are named; give the name of a value or vector: [numbers]")
    subjects = {one.name: one for one in subjects_of(material)}
    for name in thresholds:
        if name not in subjects:
            hint = did_you_mean(name, subjects)
            raise NtuplemlError(f"{where_of(material)}: thresholds: no value or vector '{name}'{hint}")
    material.announce(f"{kind}_{name}" for name in thresholds for kind in ("turn_on", "threshold_roc"))
    found: dict[str, Found] = {}
    pictures: list[Picture] = []
    for name, numbers in thresholds.items():
        found[name] = _of_subject(material, subjects[name], numbers)
        pictures += [_curves(material, name, found[name]), _rocs(material, name, found[name])]
    return Answer(_INTRODUCTION, (Group("", pictures=tuple(pictures), method=None),), numbers=found)


def _of_subject(material: Material, subject: Subject, thresholds: list[float]) -> Found:
    samples = samples_of(material, subject)[subject.size]
    weights = material.events.weights
    return {one: {name: turn_on(sample, weights, one) for name, sample in samples.items()} for one in thresholds}


def _curves(material: Material, name: str, found: Found) -> Picture:
    known = {
        threshold: {method: one for method, one in curves.items() if isinstance(one, TurnOn)}
        for threshold, curves in found.items()
    }
    edges = next((one.edges for curves in known.values() for one in curves.values()), np.arange(2.0))
    panels = {
        f"prediction > {threshold:g}": {method: one.efficiencies for method, one in curves.items()}
        for threshold, curves in known.items()
    }
    tables = tuple(
        Table(
            ("Truth", *curves),
            tuple(
                (f"{low:.4g} to {high:.4g}", *(one.efficiencies[place] for one in curves.values()))
                for place, (low, high) in enumerate(pairwise(edges))
            ),
            f"prediction > {threshold:g}",
        )
        for threshold, curves in known.items()
        if curves
    )
    return Picture(
        f"turn_on_{name}",
        f"Share of the events whose prediction of '{name}' is above a threshold, in bins of the truth: "
        f"{count_text(len(material.events))} tested events.",
        partial(draw_efficiencies_in_bins, edges, panels, f"Truth, {literal(name)}", quantity="Efficiency"),
        as_plain({"of": name, "thresholds": found}),
        tables,
    )


def _rocs(material: Material, name: str, found: Found) -> Picture:
    panels: dict[str, dict[str, LowRateRoc | Undefined]] = {
        f"truth > {threshold:g}": {
            method: one if isinstance(one, Undefined) else one.roc for method, one in curves.items()
        }
        for threshold, curves in found.items()
    }
    rows = tuple((title, method, *_cells(roc)) for title, curves in panels.items() for method, roc in curves.items())
    numbers: dict[str, Any] = {"of": name, "thresholds": panels}
    return Picture(
        f"threshold_roc_{name}",
        f"ROC curves of the prediction of '{name}' for events whose truth is above a threshold: "
        f"{count_text(len(material.events))} tested events.",
        partial(draw_low_rate_rocs, panels),
        as_plain(numbers),
        (Table(("Events", "Estimator", "Area", "Efficiency at the threshold", "False positives there"), rows),),
    )


def _cells(roc: LowRateRoc | Undefined) -> tuple[Cell, ...]:
    if isinstance(roc, Undefined):
        return (roc,) * 3
    point = roc.working_point
    assert point is not None
    return roc.auc, point.signal_efficiency, point.background_efficiency
