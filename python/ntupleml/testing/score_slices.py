"""The scores of a method in slices of a variable such as a pT: distributions by class, and how well they separate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics import Measurement, Undefined, Verdict, as_plain, histogram, roc_against_rest
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.score_distributions import density, logarithmic_edges, score_edges
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.score_slices import SlicedDensities, draw_score_slices
from ntupleml.testing.control_sample import Slices
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Bins of the linear pictures.
_BINS = 30
#: By how much an area must be smaller in a slice to be pointed at, and by how many standard deviations.
_MATTERS, _SIGNIFICANT = 0.05, 3.0
#: Where there are no slices.
_ALL = "all events"


class _Sliced(NamedTuple):
    """Events by what their slice is called, all of them first."""

    events: TestedEvents
    slices: dict[str, NDArray[np.intp]]


Areas = dict[str, dict[str, Measurement | Undefined]]


def has_slices(material: Material) -> bool:
    """Whether the testing config has slices."""
    return material.testing.slices is not None


def score_slices(material: Material) -> Answer:
    """Distributions of every method in all slices, and areas below the ROC curves."""
    material.announce(f"score_slices_{name}" for name in material.classes)
    events, config = material.events, material.testing.slices
    rows = {_ALL: np.arange(len(events))}
    if config is not None:
        of_event, names = Slices.of(events, config)
        rows |= {name: np.flatnonzero(of_event == number) for number, name in enumerate(names)}
    sliced = _Sliced(events, rows)
    areas = {method: _areas(sliced, method) for method in material.methods}
    return Answer.by_method(
        {method: _pictures(sliced, method, areas[method]) for method in material.methods},
        "Scores of the events that the models never saw, each true class normalised to 1 in each slice.",
        numbers=areas,
        question="Separates alike in all slices?",
        verdicts={method: _verdict(of_method) for method, of_method in areas.items()},
        only_first_open=True,
        remarks=[f"{method}: {_verdict(of_method).text}" for method, of_method in areas.items()],
    )


def _areas(sliced: _Sliced, method: str) -> Areas:
    """Area against the rest by class and slice."""
    events, slices = sliced
    scores = events.scores[method]
    found: Areas = {}
    for index, name in enumerate(events.classes):
        for where, rows in slices.items():
            curve = roc_against_rest(scores[rows], events.truth[rows], index, events.weights[rows])
            found.setdefault(name, {})[where] = curve if isinstance(curve, Undefined) else curve.auc
    return found


def _pictures(sliced: _Sliced, method: str, areas: Areas) -> list[Picture]:
    return [_picture(sliced, method, index, areas[name]) for index, name in enumerate(sliced.events.classes)]


def _picture(sliced: _Sliced, method: str, index: int, areas: Mapping[str, Measurement | Undefined]) -> Picture:
    events, slices = sliced
    name, scores = events.classes[index], events.scores[method][:, index]
    edges = score_edges([scores], _BINS), logarithmic_edges(scores)
    found = {
        where: tuple(_densities(events, scores, rows, some) for some in edges if some is not None)
        for where, rows in slices.items()
    }
    rows_of_table: list[tuple[Cell, ...]] = [(where, len(slices[where]), area) for where, area in areas.items()]
    numbers = {
        where: {
            "events": len(slices[where]),
            "auc": as_plain(areas[where]),
            "densities": [as_plain(one) for one in of_slice],
        }
        for where, of_slice in found.items()
    }
    return Picture(
        f"score_slices_{name}",
        f"{method}: score of '{name}' by true class in slices; above with a linear, below with a logarithmic axis, "
        "whose first bin holds all that is smaller.",
        partial(draw_score_slices, name, found),
        {"score": name, "slices": numbers},
        (Table(("Slice", "Events", "AUC"), tuple(rows_of_table)),),
    )


def _densities(
    events: TestedEvents, scores: NDArray[np.float32], rows: NDArray[np.intp], edges: NDArray[np.float64]
) -> SlicedDensities:
    values, truth = np.maximum(scores[rows], edges[0]), events.truth[rows]
    weights = events.weights[rows]
    found = {}
    for index, name in enumerate(events.classes):
        own = truth == index
        found[name] = density(histogram(values[own], weights[own], edges))
    return found


def _verdict(areas: Areas) -> Verdict:
    """The class and slice that lose most against all events."""
    losses: list[tuple[float, float, str, str, Measurement]] = []
    for name, by_slice in areas.items():
        whole = by_slice[_ALL]
        for where, area in by_slice.items():
            if isinstance(whole, Measurement) and isinstance(area, Measurement) and where != _ALL:
                spread = float(np.hypot(whole.uncertainty, area.uncertainty))
                losses.append((whole.value - area.value, spread, name, where, area))
    if not losses:
        return Verdict("unknown", "no slices, or none of them has events of all classes")
    loss, spread, name, where, area = max(losses)
    text = f"the score of '{name}' for {where} has an AUC of {measurement_text(area)}"
    if loss > _MATTERS and loss > _SIGNIFICANT * spread:
        return Verdict("attention", f"{text}, {loss:.3f} less than for all events", f"It is worse where {where}.")
    difference = measurement_text(Measurement(-loss, spread))
    text = f"no slice is much worse than all events: {text} (difference {difference})"
    return Verdict("good", text, "It is about as good in every slice.")
