"""Efficiency of a signal for each of its points, such as masses: events whose largest score is that of the signal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.confusion import predicted_class
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.point_efficiency import SelectedShare, selected_share, shares_of_points
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.point_efficiency import draw_map_of_points, draw_points_of_signal
from ntupleml.testing.search import distinct_values, search_of, shares_by_class
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.search import Search
    from ntupleml.testing.tested_events import TestedEvents

#: Efficiencies below this share of the mean of all points, by so many standard deviations, are pointed at.
_LOW, _SIGNIFICANT = 0.5, 3.0


class PointEfficiency(NamedTuple):
    """Shares of events that are predicted to be of the signal."""

    parameters: tuple[str, ...]
    #: Of the signal, by the values of the parameters.
    points: dict[tuple[float, ...], SelectedShare]
    signal: SelectedShare
    #: False positives by class, and of all together.
    backgrounds: dict[str, SelectedShare]
    all_backgrounds: SelectedShare

    def plain(self) -> dict[str, object]:
        """As a file has it."""
        points = [
            {"point": dict(zip(self.parameters, point, strict=True)), **one._asdict()}
            for point, one in self.points.items()
        ]
        return {
            "signal": self.signal,
            "false_positives": {**self.backgrounds, "all": self.all_backgrounds},
            "points": points,
        }


def point_efficiencies(material: Material) -> Answer:
    """Efficiencies and false positives of every method."""
    search = search_of(material)
    material.announce(_names(search))
    found = {method: point_efficiency(search, material.events, method) for method in material.methods}
    verdicts = {method: _verdict(search, one) for method, one in found.items()}
    return Answer.by_method(
        {method: _pictures(search, method, one) for method, one in found.items()},
        f"Share of the events whose largest score is that of '{search.signal}': its efficiency for each point, and the "
        "false positives of the other classes.",
        numbers=found,
        question="Efficient at all points?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {verdict.text}" for method, verdict in verdicts.items()],
    )


def _names(search: Search) -> list[str]:
    return ["point_efficiency", *(["point_efficiency_map"] if len(search.config.points) == 2 else [])]


def point_efficiency(search: Search, events: TestedEvents, method: str) -> PointEfficiency:
    """Efficiencies and false positives of one method.

    Raises
    ------
    NtuplemlError
        Where the parameters have too many values for points.
    """
    selected = predicted_class(events.scores[method]) == events.classes.index(search.signal)
    own, parameters = events.truth == events.classes.index(search.signal), tuple(search.config.points)
    points: dict[tuple[float, ...], SelectedShare] = {}
    if parameters:
        values = np.stack([events.values_of(name)[own] for name in parameters], axis=1)
        distinct_values(values, search)
        points = shares_of_points(selected[own], events.weights[own], values)
    return PointEfficiency(
        parameters,
        points,
        selected_share(selected[own], events.weights[own]),
        shares_by_class(selected, events, search.backgrounds),
        selected_share(selected[~own], events.weights[~own]),
    )


def _pictures(search: Search, method: str, found: PointEfficiency) -> list[Picture]:
    rows: list[tuple[Cell, ...]] = [
        (", ".join(f"{value:g}" for value in point), *_cells(one)) for point, one in found.points.items()
    ]
    header = ("Events", "Selected", "Share", "68% interval")
    tables = [Table((", ".join(found.parameters), *header), tuple(rows), "Points")] if rows else []
    shares = {search.signal: found.signal, **found.backgrounds, "all other classes": found.all_backgrounds}
    tables.append(Table(("Class", *header), tuple((name, *_cells(one)) for name, one in shares.items()), "Classes"))
    caption = (
        f"{method}: share of the events with '{search.signal}' as the largest score; bars: 68% intervals (Wilson). "
        "Dashed: that of all events of the class; dotted: false positives of all other classes."
    )
    pictures = [
        Picture(
            "point_efficiency",
            caption,
            partial(draw_points_of_signal, search.signal, found.parameters, found.points, shares),
            {"signal": search.signal, "parameters": list(found.parameters), **as_plain(found)},
            tuple(tables),
        )
    ]
    if len(found.parameters) == 2:
        pictures.append(
            Picture(
                "point_efficiency_map",
                f"{method}: efficiency of '{search.signal}' for each of its points.",
                partial(draw_map_of_points, search.signal, found.parameters, found.points),
                {"points": as_plain(found)["points"]},
            )
        )
    return pictures


def _cells(one: SelectedShare) -> tuple[Cell, ...]:
    interval = one.interval if isinstance(one.interval, Undefined) else "{:.4f} to {:.4f}".format(*one.interval)
    return (one.entries, one.selected, one.share, interval)


def _verdict(search: Search, found: PointEfficiency) -> Verdict:
    if isinstance(found.signal.share, Undefined):
        return Verdict("unknown", f"no efficiency of '{search.signal}': {found.signal.share.reason}")
    rest = found.all_backgrounds.share
    false = rest.reason if isinstance(rest, Undefined) else measurement_text(rest)
    text = f"efficiency {measurement_text(found.signal.share)}, false positives {false}"
    known = {point: one.share for point, one in found.points.items() if isinstance(one.share, Measurement)}
    if not known:
        return Verdict("good", text, "It selects the signal.")
    point, lowest = min(known.items(), key=lambda one: one[1].value)
    mean = float(np.mean([one.value for one in known.values()]))
    where = ", ".join(f"{name} = {value:g}" for name, value in zip(found.parameters, point, strict=True))
    text += f"; lowest {measurement_text(lowest)} at {where}"
    is_low = lowest.value < _LOW * mean and mean - lowest.value > _SIGNIFICANT * lowest.uncertainty
    if is_low:
        return Verdict("attention", text, f"It selects few at {where}.")
    return Verdict("good", text, "It selects all points about as well.")
