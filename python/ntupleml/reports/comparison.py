"""Trainings side by side: areas and their differences, ROC curves overlaid, configs, verdicts, training curves."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics import Measurement, Undefined, as_plain, auc_influences, roc_against_rest
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.roc import draw_class_roc
from ntupleml.testing.material import POOLED, Material, attempt
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import Answer, Group
from ntupleml.testing.training_curves import loss_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics import Verdict
    from ntupleml.metrics.class_rocs import RocSummary
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

#: How trainings are called on the page.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ABSENT = "not there"
#: Steps whose verdicts of the other trainings are shown.
_JUDGED = ("scores", "efficiency", "calibration", "engines")


def compared_trainings(material: Material, others: Sequence[Preparation]) -> Answer:
    """Other trainings beside the first one."""
    materials = [material, *(Material(other, for_page=True) for other in others)]
    same = [same_events(material, one) for one in materials[1:]]
    letters = LETTERS[1 : len(materials)]
    groups = [
        Group("Area under the ROC curve", tuple(_notes(materials, same)), (area_table(materials, same),)),
        Group("ROC curves", (), (), tuple(_roc_pictures(materials)), "comparison"),
        Group("Configs", (), (config_table([one.preparation for one in materials]),)),
        *_losses(materials),
    ]
    named = ", ".join(f"{letter} is {other.training_path}" for letter, other in zip(letters, others, strict=True))
    introduction = (
        f"{LETTERS[0]} is {material.preparation.training_path}, the training that the other sections show; {named}. "
        f"Differences are from {LETTERS[0]}."
    )
    verdicts = [found for letter, one in zip(letters, materials[1:], strict=True) for found in _verdicts(letter, one)]
    return Answer(introduction, tuple(groups), tuple(verdicts))


def same_events(first: Material, second: Material) -> bool:
    """Whether both trainings were tested on the same events of the same files, in the same order."""
    one, other = first.events, second.events
    files = [[Path(sample.path).resolve() for sample in some.preparation.samples] for some in (first, second)]
    return (
        files[0] == files[1]
        and one.classes == other.classes
        and np.array_equal(one.truth, other.truth)
        and np.array_equal(one.weights, other.weights)
    )


def _notes(materials: Sequence[Material], same: Sequence[bool]) -> list[str]:
    notes = []
    for letter, is_same in zip(LETTERS[1:], same, strict=False):
        events = f"The events of {LETTERS[0]} and {letter} are"
        notes.append(
            f"{events} the same, so the uncertainties of the differences take into account what fluctuates together."
            if is_same
            else f"{events} not the same (other fold files, weights or classes), so the uncertainties are added in "
            "quadrature, as for independent samples."
        )
    for letter, one in zip(LETTERS, materials, strict=False):
        alone = [
            f"'{name}'" for name in one.events.classes if not all(name in some.events.classes for some in materials)
        ]
        if alone:
            notes.append(
                f"Not all have the classes {', '.join(alone)} of {letter}: what the others are told from is not the "
                "same."
            )
    return notes


def _rows(materials: Sequence[Material]) -> list[tuple[str, ...]]:
    """Methods that are compared, of each training: those of the same name, else the main ones."""
    common = [name for name in materials[0].methods if all(name in one.methods for one in materials)]
    return [(name,) * len(materials) for name in common] or [tuple(one.methods[0] for one in materials)]


def _title(methods: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(methods))


def area_table(materials: Sequence[Material], same: Sequence[bool]) -> Table:
    """Areas of all trainings and their differences from the first, by method and class.

    Parameters
    ----------
    same : sequence of bool
        Whether the trainings, without the first, were tested on the events of the first.
    """
    rows: list[tuple[Cell, ...]] = []
    names = list(dict.fromkeys(name for one in materials for name in one.events.classes))
    letters = LETTERS[: len(materials)]
    for methods in _rows(materials):
        found = [one.rocs[method][POOLED] for one, method in zip(materials, methods, strict=True)]
        differences = [
            _paired_differences(materials[0], one, (methods[0], method))
            if is_same
            else (
                _difference(found[0].average_auc, rocs.average_auc),
                {
                    name: _difference(_area(found[0].against_rest, name), _area(rocs.against_rest, name))
                    for name in names
                },
            )
            for one, method, rocs, is_same in zip(materials[1:], methods[1:], found[1:], same, strict=True)
        ]
        rows.append(
            (_title(methods), "average", *(one.average_auc for one in found), *(average for average, _ in differences))
        )
        rows += [
            (
                _title(methods),
                name,
                *(_area(one.against_rest, name) for one in found),
                *(shifts[name] for _, shifts in differences),
            )
            for name in names
        ]
    return Table(("Method", "Class", *letters, *(f"{one} − {letters[0]}" for one in letters[1:])), tuple(rows))


def _area(results: Mapping[str, RocSummary | Undefined], name: str) -> Measurement | Undefined:
    if name not in results:
        return Undefined(f"no class '{name}'")
    result = results[name]
    return result if isinstance(result, Undefined) else result.auc


def _difference(first: Measurement | Undefined, second: Measurement | Undefined) -> Measurement | Undefined:
    """Of independent numbers."""
    for one in (first, second):
        if isinstance(one, Undefined):
            return one
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    return Measurement(second.value - first.value, math.hypot(first.uncertainty, second.uncertainty))


class _Area(NamedTuple):
    """Area of one class, and what each event adds to its fluctuation."""

    value: float
    influences: NDArray[np.float64]


def _areas(events: TestedEvents, method: str) -> list[_Area | Undefined]:
    """By class."""
    found: list[_Area | Undefined] = []
    for index in range(len(events.classes)):
        curve = roc_against_rest(events.scores[method], events.truth, index, events.weights)
        if isinstance(curve, Undefined):
            found.append(curve)
            continue
        column, is_signal = events.scores[method][:, index], events.truth == index
        found.append(_Area(curve.auc.value, auc_influences(curve, column, is_signal, events.weights)))
    return found


def _paired_differences(
    first: Material, second: Material, pair: tuple[str, str]
) -> tuple[Measurement | Undefined, dict[str, Measurement | Undefined]]:
    """Differences of the average area and of those of the classes, measured with the same events.

    The variance is the sum of the squares of what each event adds to the difference; the shares of the classes in
    the average are taken as known.
    """
    events = first.events
    areas = [_areas(some.events, method) for some, method in zip((first, second), pair, strict=True)]
    sums = np.bincount(events.truth, events.weights, minlength=len(events.classes))
    shares = sums / sums.sum() if sums.sum() > 0 else np.zeros(len(sums))
    classes: dict[str, Measurement | Undefined] = {}
    average, influences, missing = 0.0, np.zeros(len(events)), None
    for name, share, one, other in zip(events.classes, shares, *areas, strict=True):
        if isinstance(one, Undefined) or isinstance(other, Undefined):
            classes[name] = missing = one if isinstance(one, Undefined) else other
            continue
        shift = other.influences - one.influences
        classes[name] = Measurement(other.value - one.value, float(np.linalg.norm(shift)))
        average += share * (other.value - one.value)
        influences += share * shift
    return missing or Measurement(float(average), float(np.linalg.norm(influences))), classes


def _roc_pictures(materials: Sequence[Material]) -> list[Picture]:
    first = materials[0].events.classes
    common = [name for name in first if all(name in one.events.classes for one in materials)]
    rows = _rows(materials)
    return [
        _roc_picture(name, materials, methods, "" if number == 0 else f"_{methods[0]}")
        for number, methods in enumerate(rows)
        for name in (common[:1] if len(first) == 2 else common)
    ]


def _roc_picture(name: str, materials: Sequence[Material], methods: Sequence[str], suffix: str) -> Picture:
    results = {
        f"{letter}: {method}": one.rocs[method][POOLED].against_rest[name]
        for letter, one, method in zip(LETTERS, materials, methods, strict=False)
    }
    areas = {label: one if isinstance(one, Undefined) else one.auc for label, one in results.items()}
    numbers = {label: as_plain(one) for label, one in results.items()}
    caption = f"{_title(methods)}: ROC curves of {name} against the rest, of all trainings."
    draw = partial(draw_class_roc, name, results, materials[0].events.classes)
    table = Table(("Training", "AUC"), tuple(areas.items()))
    return Picture(f"roc_{name}{suffix}", caption, draw, numbers, (table,))


def config_table(preparations: Sequence[Preparation]) -> Table:
    """Keys of the training configs, and of the testing configs, that are not the same in all."""
    rows: list[tuple[Cell, ...]] = []
    for stage in ("training", "testing"):
        found = [flat_settings(getattr(one, stage).model_dump(mode="json")) for one in preparations]
        keys = dict.fromkeys(key for one in found for key in one)
        by_key = {key: [one.get(key, _ABSENT) for one in found] for key in keys}
        rows += [(f"{stage}: {key}", *values) for key, values in by_key.items() if len(set(values)) > 1]
    return Table(("Key", *LETTERS[: len(preparations)]), tuple(rows), "" if rows else "All keys are the same")


def flat_settings(content: Any, key: str = "") -> dict[str, str]:
    """Values by the path of their keys; lists of plain values are one value."""
    if isinstance(content, dict) and content:
        return {
            name: text
            for part, value in content.items()
            for name, text in flat_settings(value, f"{key}.{part}" if key else str(part)).items()
        }
    if isinstance(content, list) and any(isinstance(one, dict | list) for one in content):
        return {
            name: text
            for index, one in enumerate(content)
            for name, text in flat_settings(one, f"{key}[{index}]").items()
        }
    if isinstance(content, list):
        return {key: ", ".join(map(str, content)) or "none"}
    return {key: "none" if content in (None, {}) else str(content)}


def _losses(materials: Sequence[Material]) -> list[Group]:
    groups = []
    for letter, some in zip(LETTERS, materials, strict=False):
        pictures = [
            picture
            for method in some.methods
            for picture in loss_pictures(some.records(method), f"loss_{letter}_{method}")
        ]
        if pictures:
            groups.append(Group(f"Training curves of {letter}", (), (), tuple(pictures), "comparison"))
    return groups


def _verdicts(letter: str, other: Material) -> list[tuple[str, Verdict]]:
    """What the steps say of another training; what they say of the first is where it belongs."""
    steps = [STEPS[name] for name in _JUDGED]
    made = [attempt(partial(step, other), f"the training {letter}") for step in steps]
    return [
        (f"{letter}: {name}", verdict)
        for one in made
        if not isinstance(one, Undefined)
        for name, verdict in one.verdicts
    ]
