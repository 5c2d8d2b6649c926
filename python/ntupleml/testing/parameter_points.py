"""How well models with hypotheses as inputs tell the signal of each hypothesis from the background of the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.class_rocs import class_rocs
from ntupleml.plots.parameter_points import draw_areas
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: More points make no table that anybody reads.
_MOST_POINTS = 300
_INTRODUCTION = (
    "Area under the ROC curve of the signal at each of its points, against the events of all other classes that were "
    "given the same values."
)


class AreaAtPoint(NamedTuple):
    """Area under the ROC curve of a signal class at one point, against all other classes at this point."""

    #: Values of the parameters.
    point: tuple[float, ...]
    #: Number of events of the signal, and of the others.
    entries: int
    background_entries: int
    #: By method.
    auc: dict[str, Measurement | Undefined]


def has_parameters(material: Material) -> bool:
    """Whether the models take hypotheses."""
    return material.found is not None and material.found.training.parameters is not None


def areas_at_points(material: Material) -> Answer:
    """For each class that has the parameters, a table and a picture of all methods together."""
    parameters = material.preparation.training.parameters
    if parameters is None:
        raise NtuplemlError(f"{material.preparation.training_path}: has no parameters, so there are no points of them")
    material.announce([f"points_{name}" for name in parameters.of])
    found = {name: _areas(material.events, name, parameters.names) for name in parameters.of}
    pictures = tuple(_picture(name, areas, parameters.names) for name, areas in found.items())
    return Answer(_INTRODUCTION, (Group("", pictures=pictures),), numbers=found)


def _areas(events: TestedEvents, signal: str, names: list[str]) -> list[AreaAtPoint]:
    values = np.column_stack([events.values_of(name) for name in names])
    is_signal = events.truth == events.classes.index(signal)
    points = np.unique(values[is_signal], axis=0)
    if len(points) > _MOST_POINTS:
        raise NtuplemlError(
            f"class '{signal}' has {len(points)} different values of {', '.join(names)}; no more than {_MOST_POINTS} "
            "are shown one by one"
        )
    areas = []
    for point in points:
        chosen = np.flatnonzero((values == point).all(axis=1))
        truth, weights = events.truth[chosen], events.weights[chosen]
        auc: dict[str, Measurement | Undefined] = {}
        for method, scores in events.scores.items():
            one = class_rocs(scores[chosen], truth, weights, events.classes, pairs=False).against_rest[signal]
            auc[method] = one if isinstance(one, Undefined) else one.auc
        entries = int(np.count_nonzero(is_signal[chosen]))
        areas.append(AreaAtPoint(tuple(map(float, point)), entries, len(chosen) - entries, auc))
    return areas


def _picture(signal: str, areas: list[AreaAtPoint], names: list[str]) -> Picture:
    methods = list(areas[0].auc) if areas else []
    rows = tuple(
        (", ".join(f"{value:g}" for value in one.point), one.entries, one.background_entries, *one.auc.values())
        for one in areas
    )
    return Picture(
        f"points_{signal}",
        f"Area under the ROC curve of '{signal}' against all other classes at each point of {', '.join(names)}. Bars: "
        "one standard deviation.",
        partial(draw_areas, [one.point for one in areas], [one.auc for one in areas], names),
        {"parameters": names, "points": as_plain(areas)},
        (Table((", ".join(names), "Signal events", "Other events", *methods), rows),),
    )
