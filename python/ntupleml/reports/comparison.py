"""Two trainings side by side: areas and their differences, ROC curves overlaid, configs, verdicts, training curves."""

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
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.metrics import Verdict
    from ntupleml.metrics.class_rocs import RocSummary
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

#: How the trainings are called on the page.
FIRST, SECOND = "A", "B"
_ABSENT = "not there"
#: Steps whose verdicts of the second training are shown.
_JUDGED = ("scores", "efficiency", "calibration", "engines")


def two_trainings(material: Material, other: Preparation) -> Answer:
    """The second training beside the first one."""
    second = Material(other, for_page=True)
    same = same_events(material, second)
    groups = [
        Group(
            "Area under the ROC curve",
            tuple(_notes(material, second, same=same)),
            (area_table(material, second, same=same),),
        ),
        Group("ROC curves", (), (), tuple(_roc_pictures(material, second)), "comparison"),
        Group("Configs", (), (config_table(material.preparation, other),)),
        *_losses(material, second),
    ]
    introduction = (
        f"{FIRST} is {material.preparation.training_path}, the training that the other sections show; {SECOND} is "
        f"{other.training_path}. Differences are {SECOND} − {FIRST}."
    )
    return Answer(introduction, tuple(groups), tuple(_verdicts(second)))


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


def _notes(first: Material, second: Material, *, same: bool) -> list[str]:
    notes = [
        "The events are the same, so the uncertainties of the differences take into account what fluctuates together."
        if same
        else "The events are not the same (other fold files, weights or classes), so the uncertainties are added in "
        "quadrature, as for independent samples."
    ]
    for name, one, other in ((FIRST, first, second), (SECOND, second, first)):
        alone = [f"'{text}'" for text in one.events.classes if text not in other.events.classes]
        if alone:
            notes.append(
                f"Only {name} has the classes {', '.join(alone)}: what the others are told from is not the same."
            )
    return notes


def _pairs(first: Material, second: Material) -> list[tuple[str, str]]:
    """Methods that are compared: those of the same name, else the main ones."""
    common = [(name, name) for name in first.methods if name in second.methods]
    return common or [(first.methods[0], second.methods[0])]


def _title(pair: tuple[str, str]) -> str:
    return pair[0] if pair[0] == pair[1] else f"{pair[0]} and {pair[1]}"


def area_table(first: Material, second: Material, *, same: bool) -> Table:
    """Areas of both trainings and their differences, by method and class."""
    rows: list[tuple[Cell, ...]] = []
    for pair in _pairs(first, second):
        found = [some.rocs[name][POOLED] for some, name in zip((first, second), pair, strict=True)]
        averages = [one.average_auc for one in found]
        areas = {
            name: [_area(one.against_rest, name) for one in found]
            for name in dict.fromkeys([*first.events.classes, *second.events.classes])
        }
        if same:
            average, shifts = _paired_differences(first, second, pair)
        else:
            average, shifts = _difference(*averages), {name: _difference(*both) for name, both in areas.items()}
        rows.append((_title(pair), "average", *averages, average))
        rows += [(_title(pair), name, *areas[name], shifts[name]) for name in areas]
    return Table(("Method", "Class", FIRST, SECOND, f"{SECOND} − {FIRST}"), tuple(rows))


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


def _roc_pictures(first: Material, second: Material) -> list[Picture]:
    common = [name for name in first.events.classes if name in second.events.classes]
    return [
        _roc_picture(name, first, second, pair)
        for pair in _pairs(first, second)
        for name in (common[:1] if len(first.events.classes) == 2 else common)
    ]


def _roc_picture(name: str, first: Material, second: Material, pair: tuple[str, str]) -> Picture:
    classes = first.events.classes
    results = {
        f"{letter}: {method}": some.rocs[method][POOLED].against_rest[name]
        for letter, some, method in ((FIRST, first, pair[0]), (SECOND, second, pair[1]))
    }

    areas = {label: one if isinstance(one, Undefined) else one.auc for label, one in results.items()}
    numbers = {label: as_plain(one) for label, one in results.items()}
    stem = f"roc_{name}" if pair == _pairs(first, second)[0] else f"roc_{name}_{pair[0]}"
    caption = f"{_title(pair)}: ROC curves of {name} against the rest, of both trainings."
    draw = partial(draw_class_roc, name, results, classes)
    return Picture(stem, caption, draw, numbers, (Table(("Training", "AUC"), tuple(areas.items())),))


def config_table(first: Preparation, second: Preparation) -> Table:
    """Keys of the training configs, and of the testing configs, that are not the same."""
    rows: list[tuple[Cell, ...]] = []
    for stage in ("training", "testing"):
        one, other = (flat_settings(getattr(some, stage).model_dump(mode="json")) for some in (first, second))
        rows += [
            (f"{stage}: {key}", one.get(key, _ABSENT), other.get(key, _ABSENT))
            for key in dict.fromkeys([*one, *other])
            if one.get(key, _ABSENT) != other.get(key, _ABSENT)
        ]
    return Table(("Key", FIRST, SECOND), tuple(rows), "" if rows else "All keys are the same")


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


def _losses(first: Material, second: Material) -> list[Group]:
    groups = []
    for letter, some in ((FIRST, first), (SECOND, second)):
        pictures = [
            picture
            for method in some.methods
            for picture in loss_pictures(some.records(method), f"loss_{letter}_{method}")
        ]
        if pictures:
            groups.append(Group(f"Training curves of {letter}", (), (), tuple(pictures), "comparison"))
    return groups


def _verdicts(second: Material) -> list[tuple[str, Verdict]]:
    """What the second training's steps say of it; those of the first are where they belong."""
    steps = [STEPS[name] for name in _JUDGED]
    made = [attempt(partial(step, second), "the second training") for step in steps]
    return [
        (f"{SECOND}: {name}", verdict)
        for one in made
        if not isinstance(one, Undefined)
        for name, verdict in one.verdicts
    ]
