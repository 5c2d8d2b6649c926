"""Working points as taggers have them: the cut that keeps some share of all other classes, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.binned_efficiency import ratios
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.roc import roc_against_rest
from ntupleml.plots.pictures import Picture
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Loose, medium and tight.
BACKGROUND_EFFICIENCIES = (0.1, 0.01, 0.001)


class WorkingPoint(NamedTuple):
    """A cut on a score, score ≥ threshold."""

    threshold: float
    #: Weighted share of each true class that passes.
    efficiencies: dict[str, Measurement | Undefined]


def working_points(
    events: TestedEvents, method: str, levels: Sequence[float] = BACKGROUND_EFFICIENCIES
) -> dict[str, dict[float, WorkingPoint | Undefined]]:
    """The loosest cut on the score of each class that lets no more than a share of the other classes pass.

    Parameters
    ----------
    levels : sequence of float
        Largest shares of all other classes together, by their weights.

    Returns
    -------
    dict of str to dict of float to WorkingPoint or Undefined
        By class and share; undefined where no cut that anything passes is as tight.
    """
    return {name: _of_score(events, events.scores[method], index, levels) for index, name in enumerate(events.classes)}


def _of_score(
    events: TestedEvents, scores: NDArray[np.float32], signal: int, levels: Sequence[float]
) -> dict[float, WorkingPoint | Undefined]:
    curve = roc_against_rest(scores, events.truth, signal, events.weights)
    if isinstance(curve, Undefined):
        return dict.fromkeys(levels, curve)
    found: dict[float, WorkingPoint | Undefined] = {}
    for level in levels:
        # With negative weights the share may step back below the level: the tightest cut counts.
        point = int(np.searchsorted(curve.background.highest, level, side="right")) - 1
        if point == 0:
            found[level] = Undefined(f"the tightest cut lets more than {level:g} of the other classes pass")
            continue
        threshold = float(curve.thresholds[point])
        found[level] = WorkingPoint(threshold, _efficiencies(events, scores[:, signal] >= threshold))
    return found


def _efficiencies(events: TestedEvents, passed: NDArray[np.bool_]) -> dict[str, Measurement | Undefined]:
    squares, size = np.square(events.weights), len(events.classes)
    sums = [
        np.bincount(events.truth[chosen], values[chosen], minlength=size).astype(np.float64)
        for chosen in (passed, ~passed)
        for values in (events.weights, squares)
    ]
    return dict(zip(events.classes, ratios(*sums), strict=True))


def working_points_of_classes(material: Material, *, background: Sequence[float] = ()) -> Answer:
    """Cuts and efficiencies at some shares of all other classes."""
    levels = tuple(map(_share, background)) or BACKGROUND_EFFICIENCIES
    material.announce(["working_points.yaml"])
    (method, *_) = material.methods
    found = working_points(material.events, method, levels)
    remarks = [
        f"score of '{name}', {level:g} of all others: {_in_words(point)}"
        for name, by_level in found.items()
        for level, point in by_level.items()
    ]
    numbers = {"method": method, "events": len(material.events), "background_efficiency": as_plain(found)}
    picture = Picture("working_points", "", None, numbers)
    return Answer("", (Group("", pictures=(picture,)),), numbers=found, remarks=tuple(remarks))


def _share(text: str | float) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise NtuplemlError(f"--background {text}: a share of the events is wanted, between 0 and 1")
    return share


def _in_words(point: WorkingPoint | Undefined) -> str:
    if isinstance(point, Undefined):
        return str(point)
    parts = [
        f"{name} {one if isinstance(one, Undefined) else measurement_text(one)}"
        for name, one in point.efficiencies.items()
    ]
    return f"score ≥ {point.threshold:.6g} keeps {', '.join(parts)}"
