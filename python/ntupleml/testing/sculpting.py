"""Whether scores sculpt variables: efficiency, purity and the shape of the background against each of them."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.binned_efficiency import binned_efficiency
from ntupleml.metrics.distance_correlation import LARGEST_SAMPLE
from ntupleml.metrics.measurement import Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import count_text
from ntupleml.metrics.sculpting import (
    Sculpting,
    SlicedScore,
    score_slices,
    sculpting,
    sculpting_verdict,
    sliced_score,
    worst_first,
)
from ntupleml.metrics.slice_shapes import shape_in_slices
from ntupleml.metrics.two_samples import TwoSampleTest
from ntupleml.metrics.variable_bins import crossed_kinds, even_bins, quantile_bins, sums_of_crossed
from ntupleml.plots.binned_efficiency import draw_binned_efficiency
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.sculpting import draw_background_shape, draw_sculpting_overview
from ntupleml.testing.material import Material
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.binned_efficiency import BinnedEfficiency
    from ntupleml.metrics.sculpting import ScoreSlices, SliceShape
    from ntupleml.metrics.slice_shapes import ShapeInSlices
    from ntupleml.metrics.variable_bins import CrossedKinds, VariableBins
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.tested_events import TestedEvents

#: Name of the overview of all variables.
_OVERVIEW = "sculpting"
#: Combinations of class and variable whose distance correlations take a large sample each; more take a small one.
_FEW_COMBINATIONS, _SMALL_SAMPLE = 20, 500
#: Longest part of a file's name that a variable gets.
_LONGEST_NAME = 60
#: Variables that the overview shows, the worst ones of more.
_MOST_LINES = 40
#: Pairs of class and variable that get pictures on a page, of the first method and of each other one; more where the
#: user named spectators.
_SHOWN_FIRST, _SHOWN_OTHERS, _SPECTATORS_FIRST = 3, 2, 6
#: Rows that the log has.
_LOGGED = 5


def sculpting_of_variables(material: Material, *, variables: Sequence[str] = ()) -> Answer:
    """What the scores of every method do to variables: those that are wanted, else the spectators, else the inputs.

    On a page the overview is of all variables, with pictures of the worst.
    """
    spectators = material.testing.spectators
    shown = material.variables
    if not material.for_page:
        shown = list(dict.fromkeys(variables or spectators or material.inputs))
        material.announce(_names(shown, material.classes))
        material = _reading(material, shown)
    rows, pictures, remarks = {}, {}, []
    for method in material.methods:
        found = rows[method] = sculpting_summary(material.events, method, shown, seed=material.seed)
        chosen = _worst_of(found, spectators, len(rows) == 1) if material.for_page else found
        pictures[method] = sculpting_pictures(material.events, method, found, shown=chosen, seed=material.seed)
        remarks += [f"{row.verdict.level}: {row.verdict.text}" for row in worst_rows(found, _LOGGED)]
    verdicts = {method: sculpts(found, variables or spectators) for method, found in rows.items()}
    remarks += [f"does it sculpt: {verdict.level}: {verdict.text}" for verdict in verdicts.values()]
    return Answer.by_method(
        pictures,
        _introduction(spectators),
        numbers=rows,
        question="Sculpts?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=remarks,
    )


def _names(variables: Sequence[str], classes: Sequence[str]) -> list[str]:
    parts = [f"{class_name}_{name}" for name in file_names(variables).values() for class_name in classes]
    return [_OVERVIEW, *(f"{kind}_{part}" for part in parts for kind in ("efficiency", "shape"))]


def _reading(material: Material, wanted: Sequence[str]) -> Material:
    """The same, with some more branches or formulas read beside the inputs and spectators."""
    if material.found is None:
        return material
    reading = material.found.reading
    more = [name for name in wanted if name not in (*reading.variables, *reading.spectators)]
    reading = replace(reading, spectators=[*reading.spectators, *more])
    return Material(replace(material.found, reading=reading), material.announce) if more else material


def _worst_of(rows: Sequence[SculptingRow], spectators: Sequence[str], is_first: bool) -> list[SculptingRow]:
    """The rows with pictures on a page: the worst ones, of the spectators where there are some."""
    most = (_SPECTATORS_FIRST if spectators else _SHOWN_FIRST) if is_first else _SHOWN_OTHERS
    return worst_rows([row for row in rows if row.variable in spectators] or rows, most)


def _introduction(spectators: Sequence[str]) -> str:
    shown = (
        f"Shown are the spectators ({', '.join(spectators)})"
        if spectators
        else "Shown are the variables with the largest changes: name those that must not change as spectators in "
        "the testing config"
    )
    return (
        "Where a selection by the score changes the shape of the background in a variable, a signal looks larger or "
        f"smaller there than it is. {shown}; testing/sculpting.py shows any variable."
    )


class SculptingRow(NamedTuple):
    """What the score of one class does to the background in one variable."""

    class_name: str
    variable: str
    result: Sculpting | Undefined
    #: With its significance corrected for the number of rows that were made together.
    verdict: Verdict

    @property
    def distance(self) -> TwoSampleTest | Undefined:
        """Largest Kolmogorov-Smirnov distance of a slice."""
        if isinstance(self.result, Undefined):
            return self.result
        tests = [shape.kolmogorov_smirnov for shape in self.result.slices]
        known = [test for test in tests if isinstance(test, TwoSampleTest)]
        return max(known, key=lambda test: test.statistic) if known else Undefined("no slice could be compared")


def file_names(variables: Sequence[str]) -> dict[str, str]:
    """Variables as parts of the names of files: what is no letter, digit, dot or minus becomes a low line.

    Examples
    --------
    >>> file_names(["pt_1", "pt_1/pt_2", "pt_1*pt_2"])
    {'pt_1': 'pt_1', 'pt_1/pt_2': 'pt_1_pt_2', 'pt_1*pt_2': 'pt_1_pt_2_2'}
    """
    names: dict[str, str] = {}
    for variable in variables:
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", variable)[:_LONGEST_NAME].strip("_.") or "variable"
        name, number = plain, 1
        # Some file systems take names that differ only in capitals for the same.
        while name.lower() in {taken.lower() for taken in names.values()}:
            number += 1
            name = f"{plain}_{number}"
        names[variable] = name
    return names


def sculpting_summary(
    events: TestedEvents, method: str | None = None, variables: Sequence[str] | None = None, *, seed: int = 0
) -> list[SculptingRow]:
    """What the score of each class does to the background, all other classes, in each variable.

    Parameters
    ----------
    method : str, optional
        By default the first method of the events.
    variables : sequence of str, optional
        By default all that the events have.
    seed : int, default: 0
        Of the samples for the distance correlations.

    Returns
    -------
    list of SculptingRow
        By variable and, within it, by class. All events count, but for the distance correlations, which take a random
        sample of at most 2,000 background events, or 500 for more than 20 rows.
    """
    scores = events.scores_of(method)
    variables = events.variables if variables is None else list(variables)
    few = len(variables) * len(events.classes) <= _FEW_COMBINATIONS
    largest_sample = LARGEST_SAMPLE if few else _SMALL_SAMPLE
    sliced = [
        sliced_score(scores[:, index], events.truth != index, events.weights, seed + index, largest_sample)
        for index in range(len(events.classes))
    ]
    squares = np.square(events.weights)
    crossed = crossed_kinds(
        [(one.slices.of_event, one.slices.number) for one in sliced if isinstance(one, SlicedScore)]
    )
    results = [
        result
        for variable in variables
        for result in _results_of(events.values_of(variable), sliced, crossed, events.weights, squares)
    ]
    pairs = [(class_name, variable) for variable in variables for class_name in events.classes]
    return [
        SculptingRow(*pair, result, sculpting_verdict(result, *pair, num_results=len(results)))
        for pair, result in zip(pairs, results, strict=True)
    ]


def _results_of(
    values: NDArray[np.float32],
    sliced: Sequence[SlicedScore | Undefined],
    crossed: Sequence[CrossedKinds],
    weights: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> list[Sculpting | Undefined]:
    """One variable, for all classes."""
    values = np.ascontiguousarray(values)
    bins = quantile_bins(values)
    if isinstance(bins, Undefined):
        return [bins] * len(sliced)
    filled = iter([sums for kinds in crossed for sums in sums_of_crossed(kinds, bins, weights, squares)])
    return [score if isinstance(score, Undefined) else sculpting(score, values, bins, next(filled)) for score in sliced]


def worst_rows(rows: Sequence[SculptingRow], number: int | None = None) -> list[SculptingRow]:
    """The rows with the largest significant effects, worst first."""
    return [rows[position] for position in worst_first([row.result for row in rows])[:number]]


def sculpts(rows: Sequence[SculptingRow], spectators: Sequence[str]) -> Verdict:
    """Whether a classifier sculpts the background: one answer for all classes and variables.

    Parameters
    ----------
    rows : sequence of SculptingRow
        Of a `sculpting_summary`.
    spectators : sequence of str
        Variables whose shape should stay as it is. Without any there is no answer: inputs that help to tell the classes
        apart depend on the score, and may.
    """
    worst = worst_rows([row for row in rows if row.variable in spectators])
    if not worst:
        largest = worst_rows(rows, 1)
        inputs = f" (of the inputs: {largest[0].verdict.text})" if largest else ""
        return Verdict(
            "unknown",
            f"no spectators are named in the testing config whose shape should not be sculpted{inputs}",
            "Nothing is named whose shape should stay: give spectators in the testing config.",
        )
    bad = [row for row in worst if row.verdict.level == "attention"]
    if bad:
        more = f"; so in {len(bad)} of {len(worst)} cases" if len(bad) > 1 else ""
        return bad[0].verdict._replace(text=bad[0].verdict.text + more)
    unclear = [row for row in worst if row.verdict.level == "unknown"]
    return (unclear or worst)[0].verdict


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
    method : str, optional
        By default the first method of the events.
    rows : sequence of SculptingRow, optional
        A `sculpting_summary` of this method; by default it is made of all variables.
    shown : sequence of SculptingRow, optional
        Those that get pictures of their own; by default all.
    """
    rows = sculpting_summary(events, method, seed=seed) if rows is None else rows
    method = method or next(iter(events.scores))
    return [_overview(events, method, rows), *_pictures_of(events, method, rows, rows if shown is None else shown)]


def _pictures_of(
    events: TestedEvents, method: str, rows: Sequence[SculptingRow], shown: Sequence[SculptingRow]
) -> Iterator[Picture]:
    scores = events.scores_of(method)
    files = file_names(list(dict.fromkeys(row.variable for row in rows)))
    slices = {
        name: score_slices(scores[:, index], events.truth != index, events.weights)
        for index, name in enumerate(events.classes)
        if name in {row.class_name for row in shown}
    }
    for variable, of_variable in groupby(shown, key=lambda row: row.variable):
        bins = even_bins(np.ascontiguousarray(events.values_of(variable)))
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
        content["result"] = as_plain(row.result)
    header = ("Variable", "Score of", "Largest K-S distance", "p-value", "Squared distance correlation", "Verdict")
    return Picture(
        _OVERVIEW,
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
    return f"Of {count_text(len(events))} tested events{sampled}."


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
    numbers["efficiency"] = as_plain(result)
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
    numbers["sculpting"] = as_plain(row.result)
    numbers["shape"] = as_plain(shape)
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
