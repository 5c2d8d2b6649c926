"""The step of systematic variations: what shifted weights and shifted events change of areas, efficiencies, shapes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.score_distributions import score_edges
from ntupleml.metrics.systematics import (
    Change,
    ClassScores,
    ShapeChange,
    area_change,
    band_of,
    efficiency_change,
    shape_change,
    shape_of,
    yield_change,
)
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.systematics import VariedShape, draw_varied_shapes
from ntupleml.testing.steps import Answer
from ntupleml.testing.tested_events import read_tested_events
from ntupleml.testing.working_points import WorkingPoint, working_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.config.systematics import ShiftConfig
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.material import Material
    from ntupleml.testing.scored_parts import Reading
    from ntupleml.testing.tested_events import TestedEvents

_BINS = 20
#: Shares of all other classes whose cuts are looked at.
_LEVELS = (0.1, 0.01)
_INTRODUCTION = (
    "What systematic variations change: areas under ROC curves, efficiencies of the cuts that keep a share of the "
    "other classes in the nominal events, sums of weights, and the score of each class for its own events, normalised "
    "to 1. Uncertainties are statistical: of shifted weights those of the difference event by event, of shifted events "
    "as if they were others than the nominal ones."
)


class ClassChanges(NamedTuple):
    """What one variation changes of one class."""

    area: Change | Undefined
    #: Of the class, by the share of the other classes that the nominal cut keeps.
    efficiencies: dict[float, Change | Undefined]
    #: Sum of weights over the nominal one.
    sum_of_weights: Change | Undefined
    shape: ShapeChange | Undefined


#: By source, direction and class.
Changes = dict[str, dict[str, dict[str, ClassChanges]]]


def has_systematics(material: Material) -> bool:
    """Whether the testing config has variations."""
    return bool(material.testing.systematics)


def systematics(material: Material) -> Answer:
    """Changes by all variations, of every method."""
    sources = material.testing.systematics
    if not sources:
        raise NtuplemlError(
            f"{material.preparation.testing_path}: systematics: no variation is there; give e.g. pileup: {{up: "
            "w_pu_up / w_pu, down: w_pu_down / w_pu}"
        )
    material.announce(["systematics"])
    nominal = material.events
    shifted = {
        (source, direction): _shifted(material, nominal, shift, f"systematics: {source}: {direction}")
        for source, config in sources.items()
        for direction, shift in config.shifts.items()
    }
    numbers: dict[str, Changes] = {}
    pictures, remarks = {}, []
    for method in material.methods:
        found: Changes = {source: {} for source in sources}
        points = working_points(nominal, method, _LEVELS)
        edges = {name: _edges(nominal, method, index) for index, name in enumerate(nominal.classes)}
        for (source, direction), events in shifted.items():
            if method in events.scores:
                found[source][direction] = {
                    name: _changes(nominal, events, method, index, points[name], edges[name])
                    for index, name in enumerate(nominal.classes)
                }
        numbers[method] = found
        pictures[method] = [_picture(nominal, method, found, edges)]
        remarks.append(f"{method}: {_in_words(found)}")
    return Answer.by_method(pictures, _INTRODUCTION, numbers=numbers, only_first_open=True, remarks=remarks)


def _shifted(material: Material, nominal: TestedEvents, shift: ShiftConfig, key: str) -> TestedEvents:
    """The events with other weights, or other events."""
    preparation = material.preparation
    where = f"{preparation.testing_path}: {key}"
    if shift.weight is not None:
        factors = finite_factors(nominal.values_of(shift.weight), shift.weight, where)
        return replace(nominal, weights=nominal.weights * factors)
    events = read_tested_events(
        [shifted_sample(sample, shift, where) for sample in preparation.samples],
        preparation.sources,
        replace(shifted_reading(preparation.reading, shift), spectators=[], keys={}),
        tolerant=preparation.tolerant,
    )
    return replace(events, classes=list(nominal.classes), outputs=[])


def finite_factors(factors: NDArray[np.float32], formula: str, where: str) -> NDArray[np.float64]:
    """Factors of weights, all of them numbers."""
    bad = int((~np.isfinite(factors)).sum())
    if bad:
        raise NtuplemlError(
            f"{where}: '{formula}' is NaN or infinite for {bad:,} of {len(factors):,} events; say what they count, "
            "e.g. w > 0 ? w_up / w : 1"
        )
    return factors.astype(np.float64)


def shifted_reading(reading: Reading, shift: ShiftConfig) -> Reading:
    """What is read of shifted events: their trees, with the scores of the classes."""
    classes = [name if shift.tree is None else shift.tree.replace("{class}", name) for name in reading.classes]
    factors = dict(zip(classes, [reading.factors.get(name, 1.0) for name in reading.classes], strict=True))
    return replace(reading, classes=classes, outputs=list(reading.classes), factors=factors if reading.factors else {})


def shifted_sample(sample: HeldOutSample, shift: ShiftConfig, where: str) -> HeldOutSample:
    """The fold file with the shifted events."""
    if shift.datasets is None:
        return sample._replace(where=f"{where}: tree")
    if sample.fold >= len(shift.datasets):
        raise NtuplemlError(
            f"{where}: datasets: fold {sample.fold} is wanted, but there are {len(shift.datasets)} files; list all "
            "folds"
        )
    return sample._replace(path=shift.datasets[sample.fold], where=f"{where}: datasets[{sample.fold}]")


def _edges(events: TestedEvents, method: str, index: int) -> NDArray[np.float64]:
    return score_edges([events.scores[method][:, index]], _BINS)


def _scores(events: TestedEvents, method: str, index: int) -> ClassScores:
    return ClassScores(events.scores[method][:, index], events.weights, events.truth == index)


def _changes(
    nominal: TestedEvents,
    shifted: TestedEvents,
    method: str,
    index: int,
    points: dict[float, WorkingPoint | Undefined],
    edges: NDArray[np.float64],
) -> ClassChanges:
    before, after = _scores(nominal, method, index), _scores(shifted, method, index)
    paired = shifted.scores is nominal.scores
    own_before, own_after = before.of_class(), after.of_class()
    return ClassChanges(
        area_change(before, after, paired=paired),
        {
            level: point
            if isinstance(point, Undefined)
            else efficiency_change(own_before, own_after, point.threshold, paired=paired)
            for level, point in points.items()
        },
        yield_change(own_before, own_after, paired=paired),
        shape_change(own_before, own_after, edges, paired=paired),
    )


def _picture(nominal: TestedEvents, method: str, found: Changes, edges: dict[str, NDArray[np.float64]]) -> Picture:
    shapes: dict[str, VariedShape] = {}
    for index, name in enumerate(nominal.classes):
        shape = shape_of(_scores(nominal, method, index).of_class(), edges[name])
        changes = {source: known for source, shifts in found.items() if (known := _known_shapes(shifts, name))}
        if not isinstance(shape, Undefined) and changes:
            shapes[name] = VariedShape(shape, changes, band_of(list(changes.values())))
    return Picture(
        "systematics",
        f"{method}: score of each class for its own unseen events, normalised to 1, with the sum in quadrature of all "
        "variations as band; below the ratio of each variation to the nominal one, with its statistical uncertainty.",
        partial(draw_varied_shapes, shapes) if shapes else None,
        {"method": method, "changes": as_plain(found), "shapes": {name: as_plain(one) for name, one in shapes.items()}},
        _tables(found),
    )


def _known_shapes(by_direction: dict[str, dict[str, ClassChanges]], name: str) -> dict[str, ShapeChange]:
    shapes = {direction: classes[name].shape for direction, classes in by_direction.items()}
    return {direction: shape for direction, shape in shapes.items() if not isinstance(shape, Undefined)}


def _tables(found: Changes) -> tuple[Table, ...]:
    rows: list[tuple[Cell, ...]] = []
    for source, by_direction in found.items():
        for direction, classes in by_direction.items():
            for name, one in classes.items():
                efficiencies = [_cell(change) for change in one.efficiencies.values()]
                rows.append((source, direction, name, _cell(one.area), *efficiencies, _cell(one.sum_of_weights)))
    header = ("Source", "Direction", "Class", "Δ AUC", *(f"Δ efficiency at {level:g}" for level in _LEVELS))
    return (Table((*header, "Δ sum of weights / nominal"), tuple(rows), "Changes"),)


def _cell(change: Change | Undefined) -> Cell:
    return change if isinstance(change, Undefined) else change.difference


def _in_words(found: Changes) -> str:
    """The largest change of an area."""
    known = [
        (abs(one.area.difference.value), source, direction, name, one.area.difference)
        for source, by_direction in found.items()
        for direction, classes in by_direction.items()
        for name, one in classes.items()
        if not isinstance(one.area, Undefined)
    ]
    if not known:
        return "no area is defined"
    _, source, direction, name, difference = max(known, key=lambda one: one[0])
    return f"largest change of AUC: {_text(difference)} of '{name}' by {source} {direction}"


def _text(difference: Measurement) -> str:
    return f"{difference.value:+.2g} ± {difference.uncertainty:.1g}"
