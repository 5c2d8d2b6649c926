"""The step of the control region: whether simulation has the scores of the data, slice by slice."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined, as_plain, histogram
from ntupleml.metrics.control_region import LEVEL, ControlRegion, control_region
from ntupleml.metrics.score_distributions import score_edges
from ntupleml.plots.control_region import ComparedScore, draw_compared_scores, draw_distances
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.control_sample import Slices, named_control
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Bins of the pictures.
_BINS = 30


class _Control(NamedTuple):
    """A control sample in memory, and its slices."""

    events: TestedEvents
    slices: Slices


def has_control(material: Material) -> bool:
    """Whether a config names a control sample."""
    return material.found is not None and named_control(material.found) is not None


def scores_in_control_region(material: Material, *, level: float = LEVEL) -> Answer:
    """Tests of all scores of every method in all slices."""
    named = named_control(material.preparation)
    if named is None:
        raise NtuplemlError(
            f"{material.preparation.testing_path}: control: no control sample is named here, nor as adversary: against "
            f"in {material.preparation.training_path}; name the classes of its simulation and data"
        )
    if not 0 < level < 1:
        raise NtuplemlError(f"--level {level:g}: a chance is wanted, between 0 and 1")
    outputs = material.preparation.reading.outputs or material.classes
    material.announce(["control_region", *(f"control_{name}" for name in outputs)])
    events = material.control
    if isinstance(events, Undefined):
        return Answer(f"The control sample could not be read: {events.reason}.")
    control = _Control(events, Slices.of(events, named.slices))
    results = {method: _result(control, method, level) for method in material.methods if method in events.scores}
    simulation, data = events.classes
    return Answer.by_method(
        {method: _pictures(control, method, result) for method, result in results.items()},
        f"Held-out rows of '{simulation}' and '{data}'. Kolmogorov-Smirnov distances D of each score between them; one "
        f"is rejected where it is above c(α) √((n₁ + n₂) / (n₁ n₂)), with effective entries n and α = {level:g}.",
        numbers=results,
        question="Simulation like data?",
        verdicts={method: result.verdict for method, result in results.items()},
        only_first_open=True,
        remarks=[f"{method}: {result.verdict.text}" for method, result in results.items()],
    )


def _result(control: _Control, method: str, level: float) -> ControlRegion:
    events, slices = control
    return control_region(events.scores[method], events.truth == 1, events.weights, events.outputs, *slices, level)


def _pictures(control: _Control, method: str, result: ControlRegion) -> list[Picture]:
    rows: list[tuple[Cell, ...]] = [
        (
            one.score,
            one.slice or "all",
            *(round(number, 1) for number in one.entries),
            *(
                (one.test,) * 3
                if isinstance(one.test, Undefined)
                else (one.test.statistic, one.critical, one.test.p_value)
            ),
            "yes" if one.rejects_corrected else "alone" if one.rejects else "no",
        )
        for one in result.tests
    ]
    simulation, data = control.events.classes
    header = ("Score of", "Slice", f"n of {simulation}", f"n of {data}", "D", "Critical D", "p-value", "Rejected")
    overview = Picture(
        "control_region",
        f"{method}: Kolmogorov-Smirnov distance of each score between '{simulation}' and '{data}'. Bars end at the "
        f"critical distance of one test at the level {result.level:g}, ticks are that for {len(rows)} tests.",
        partial(draw_distances, result),
        {"method": method, **as_plain(result)},
        (
            Table(header, tuple(rows), "Rejected alone: by this test, but not as one of all"),
            Table(("Score of", "Sum of the distances of all slices"), tuple(result.sums.items())),
        ),
    )
    return [overview, *(_distribution(control, method, result, index) for index in range(len(control.events.outputs)))]


def _distribution(control: _Control, method: str, result: ControlRegion, index: int) -> Picture:
    events, slices = control
    name = events.outputs[index]
    scores = events.scores[method][:, index]
    edges = score_edges([scores], _BINS)
    found: dict[str, ComparedScore] = {}
    tests = {one.slice: one.test for one in result.tests if one.score == name}
    for number, where in enumerate(slices.names):
        inside = slices.of_event == number if slices.of_event is not None else events.truth >= 0
        chosen = [inside & (events.truth == kind) for kind in (0, 1)]
        histograms = [histogram(scores[rows], events.weights[rows], edges) for rows in chosen]
        found[where] = ComparedScore(histograms[0], histograms[1], tests[where])
    simulation, data = events.classes
    return Picture(
        f"control_{name}",
        f"{method}: score of '{name}' of '{simulation}' (line with its statistical uncertainty), scaled to the sum of "
        f"'{data}' (points) in each slice, and below their ratio.",
        partial(draw_compared_scores, name, events.classes, found),
        {"score": name, "slices": {where or "all": as_plain(one) for where, one in found.items()}},
    )
