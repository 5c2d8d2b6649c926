"""The pictures of the step that shows efficiency, purity and the shape of the background against variables."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ntupleml.metrics.binned_efficiency import binned_efficiency
from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.sculpting import score_slices
from ntupleml.metrics.slice_shapes import shape_in_slices
from ntupleml.metrics.two_samples import TwoSampleTest
from ntupleml.metrics.variable_bins import even_bins
from ntupleml.plots.binned_efficiency import draw_binned_efficiency
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.sculpting import draw_background_shape, draw_sculpting_overview
from ntupleml.testing.sculpting_summary import (
    OVERVIEW,
    column_of,
    file_names,
    scores_of,
    sculpting_summary,
    worst_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.metrics.binned_efficiency import BinnedEfficiency
    from ntupleml.metrics.measurement import Verdict
    from ntupleml.metrics.sculpting import ScoreSlices, SliceShape
    from ntupleml.metrics.slice_shapes import ShapeInSlices
    from ntupleml.metrics.variable_bins import VariableBins
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.sculpting_summary import SculptingRow
    from ntupleml.testing.tested_events import TestedEvents

#: Variables that the overview shows, the worst ones of more.
_MOST_LINES = 40


def sculpting_pictures(
    events: TestedEvents,
    method: str | None = None,
    rows: Sequence[SculptingRow] | None = None,
    *,
    shown: Sequence[SculptingRow] | None = None,
    seed: int = 0,
) -> list[Picture]:
    """An overview of all variables, and two pictures for each class and variable.

    Parameters
    ----------
    events : TestedEvents
    method : str, optional
        By default the first method of the events.
    rows : sequence of SculptingRow, optional
        A `sculpting_summary` of this method; by default it is made of all variables.
    shown : sequence of SculptingRow, optional
        Those that get pictures of their own; by default all.
    seed : int, default: 0
    """
    rows = sculpting_summary(events, method, seed=seed) if rows is None else rows
    method = method or next(iter(events.scores))
    return [_overview(events, method, rows), *_pictures_of(events, method, rows, rows if shown is None else shown)]


def _pictures_of(
    events: TestedEvents, method: str, rows: Sequence[SculptingRow], shown: Sequence[SculptingRow]
) -> Iterator[Picture]:
    scores = scores_of(events, method)
    files = file_names(list(dict.fromkeys(row.variable for row in rows)))
    slices = {
        name: score_slices(scores[:, index], events.truth != index, events.weights)
        for index, name in enumerate(events.classes)
        if name in {row.class_name for row in shown}
    }
    for variable, of_variable in groupby(shown, key=lambda row: row.variable):
        bins = even_bins(column_of(events, variable))
        for row in of_variable:
            name = f"{row.class_name}_{files[variable]}"
            yield _efficiency_picture(events, method, row, bins, name)
            yield _shape_picture(events, method, row, (slices[row.class_name], bins), name)


def _overview(events: TestedEvents, method: str, rows: Sequence[SculptingRow]) -> Picture:
    distances: dict[str, dict[str, tuple[float, Verdict]]] = {}
    for row in worst_rows(rows):
        if row.variable in distances or len(distances) < _MOST_LINES:
            by_class = distances.setdefault(row.variable, {})
            if isinstance(row.distance, TwoSampleTest):
                by_class[row.class_name] = (row.distance.statistic, row.verdict)
    numbers: dict[str, Any] = {"method": method, "events": len(events), "variables": {}}
    for row in rows:
        content: dict[str, Any] = {"verdict": row.verdict.level, "text": row.verdict.text}
        numbers["variables"].setdefault(row.variable, {})[row.class_name] = content
        content["result"] = str(row.result) if isinstance(row.result, Undefined) else row.result.to_dict()
    header = ("Variable", "Score of", "Largest K-S distance", "p-value", "Squared distance correlation", "Verdict")
    return Picture(
        OVERVIEW,
        f"How much the shape of the background changes with the scores of {method}: the largest Kolmogorov-Smirnov "
        "distance between a fifth of the background by score and the rest; filled where it is significant and matters "
        f"(dashed line). {_events_text(events)}",
        partial(draw_sculpting_overview, distances, events.classes),
        numbers,
        (Table(header, tuple(_overview_row(row) for row in worst_rows(rows))),),
    )


def _overview_row(row: SculptingRow) -> tuple[Cell, ...]:
    test = row.distance
    correlation = row.result if isinstance(row.result, Undefined) else row.result.distance_correlation
    return (
        row.variable,
        row.class_name,
        *((test, test) if isinstance(test, Undefined) else (test.statistic, test.p_value)),
        correlation if isinstance(correlation, Undefined) else correlation.squared,
        row.verdict.level,
    )


def _events_text(events: TestedEvents) -> str:
    sampled = "".join(f", of {name} a sample of {share:.3g}" for name, share in events.sampled.items())
    return f"Of {len(events)} tested events{sampled}."


def _outside_text(result: BinnedEfficiency | ShapeInSlices) -> str:
    """What the bins do not show."""
    beyond = result.below + result.above
    texts = [f"the outermost bins also hold the {beyond} events beyond them"] if beyond else []
    texts += [f"{result.missing} events without a finite value are left out"] if result.missing else []
    return f" In the variable, {' and '.join(texts)}." if texts else ""


def _efficiency_picture(
    events: TestedEvents, method: str, row: SculptingRow, bins: VariableBins | Undefined, name: str
) -> Picture:
    index = events.classes.index(row.class_name)
    scores, is_signal = events.scores[method][:, index], events.truth == index
    result = bins if isinstance(bins, Undefined) else binned_efficiency(scores, is_signal, events.weights, bins)
    numbers: dict[str, Any] = {"class": row.class_name, "variable": row.variable, "method": method}
    numbers["events"] = len(events)
    numbers["efficiency"] = str(result) if isinstance(result, Undefined) else result.to_dict()
    rows: tuple[tuple[Cell, ...], ...] = ((str(result),),)
    header: tuple[str, ...] = ("Result",)
    if not isinstance(result, Undefined):
        header = ("Wanted", "Cut", "Signal efficiency", "Background efficiency", "Purity")
        rows = tuple((cut.wanted, cut.threshold, cut.signal, cut.background, cut.purity) for cut in result.cuts)
    return Picture(
        f"efficiency_{name}",
        f"Efficiency of {row.class_name} and of all other classes, and purity, in bins of {row.variable} for cuts on "
        f"the score of {row.class_name} by {method} that keep given shares of it (dashed: of all events). "
        f"{_events_text(events)}{'' if isinstance(result, Undefined) else _outside_text(result)}",
        partial(draw_binned_efficiency, result, row.class_name, row.variable),
        numbers,
        (Table(header, rows),),
    )


def _shape_picture(
    events: TestedEvents,
    method: str,
    row: SculptingRow,
    found: tuple[ScoreSlices | Undefined, VariableBins | Undefined],
    name: str,
) -> Picture:
    slices, bins = found
    shape: ShapeInSlices | Undefined
    if isinstance(slices, Undefined):
        shape = slices
    elif isinstance(bins, Undefined):
        shape = bins
    else:
        shape = shape_in_slices(slices, bins, events.weights)
    numbers: dict[str, Any] = {"class": row.class_name, "variable": row.variable, "method": method}
    numbers |= {"events": len(events), "verdict": row.verdict.level, "text": row.verdict.text}
    numbers["sculpting"] = str(row.result) if isinstance(row.result, Undefined) else row.result.to_dict()
    numbers["shape"] = str(shape) if isinstance(shape, Undefined) else shape.to_dict()
    return Picture(
        f"shape_{name}",
        f"Shape of the background of {row.class_name} in {row.variable}, in slices of the score of {row.class_name} by "
        f"{method} from the least (0%) to the most (100%) like {row.class_name}; D is the Kolmogorov-Smirnov distance "
        f"to the other slices. {_events_text(events)}{'' if isinstance(shape, Undefined) else _outside_text(shape)}",
        partial(draw_background_shape, shape, row.result, row.class_name, row.variable),
        numbers,
        (_slices_table(row),),
    )


def _slices_table(row: SculptingRow) -> Table:
    if isinstance(row.result, Undefined):
        return Table(("Result",), ((str(row.result),),))
    header = ("Slice", "Scores", "Effective events", "K-S distance", "p-value", "Jensen-Shannon [bits]", "p-value")
    return Table(header, tuple(map(_slice_row, row.result.slices)))


def _slice_row(one: SliceShape) -> tuple[Cell, ...]:
    test, found = one.kolmogorov_smirnov, one.jensen_shannon
    return (
        f"{100 * one.shares[0]:.0f} to {100 * one.shares[1]:.0f}%",
        f"{one.scores[0]:.4g} to {one.scores[1]:.4g}",
        one.effective_entries,
        *((test, test) if isinstance(test, Undefined) else (test.statistic, test.p_value)),
        *((found, found) if isinstance(found, Undefined) else (found.value, found.p_value)),
    )
