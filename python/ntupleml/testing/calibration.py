"""The step that asks whether scores are probabilities: reliability curves, Brier scores and calibration errors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.brier import multiclass_brier_score
from ntupleml.metrics.calibration import Calibration, calibration, calibration_verdict
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import count_text, measurement_text
from ntupleml.plots.calibration import draw_calibration
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: How the events are weighted.
PLAIN, WITH_CLASS_WEIGHTS = "event weights", "with class weights"


@dataclass(frozen=True)
class CalibrationSummary:
    """Calibration of one method."""

    method: str
    #: By class and, within it, by mixture (how the events are weighted).
    classes: dict[str, dict[str, Calibration | Undefined]]
    #: Brier scores of all classes together, by mixture.
    brier: dict[str, Measurement | Undefined]
    #: For the last mixture, that with class weights where there are any: the one that the training saw.
    verdict: Verdict

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "method": self.method,
            "verdict": self.verdict.level,
            "text": self.verdict.text,
            "multiclass_brier_score": self.brier,
            "classes": self.classes,
        }


_INTRODUCTION = (
    "Of the events with a score near p, a share p should belong to the class. It matters where scores are used as "
    "probabilities, not for cuts on them."
)


def calibration_curves(material: Material) -> Answer:
    """Reliability curves of every method, and whether its scores are probabilities."""
    material.announce(["calibration"])
    class_weights, included = material.class_weights
    found = {
        method: calibration_summary(material.events, method, class_weights, included=included)
        for method in material.methods
    }
    return Answer.by_method(
        {method: calibration_pictures(material.events, one) for method, one in found.items()},
        _INTRODUCTION,
        numbers=found,
        question="Calibrated?",
        verdicts={method: one.verdict for method, one in found.items()},
        remarks=[line for one in found.values() for line in _remarks(one)],
    )


def _remarks(summary: CalibrationSummary) -> Iterator[str]:
    for mixture, brier in summary.brier.items():
        text = str(brier) if isinstance(brier, Undefined) else measurement_text(brier)
        yield f"Brier score of all classes ({mixture}): {text}"
    yield f"is it calibrated: {summary.verdict.level}: {summary.verdict.text}"


def calibration_summary(
    events: TestedEvents,
    method: str | None = None,
    class_weights: Mapping[str, float] | None = None,
    *,
    included: bool = False,
) -> CalibrationSummary:
    """Calibration of the scores of all classes.

    Parameters
    ----------
    method : str, optional
        By default the first method of the events.
    class_weights : mapping of str to float, optional
        Those of the training. Scores of a training with class weights are probabilities in the mixture of classes that
        it saw, which is not that of the event weights alone; so both are made where the class weights differ.
    included : bool, default: False
        Whether the weights of the events have the class weights already; then only this mixture is made.
    """
    scores = events.scores_of(method)
    method = method or next(iter(events.scores))
    mixtures = _mixtures(events, {} if class_weights is None else class_weights, included=included)
    classes = {
        name: {
            mixture: calibration(scores[:, index], events.truth == index, weights)
            for mixture, weights in mixtures.items()
        }
        for index, name in enumerate(events.classes)
    }
    brier = {mixture: multiclass_brier_score(scores, events.truth, weights) for mixture, weights in mixtures.items()}
    last = list(mixtures)[-1]
    judged = {name: by_mixture[last] for name, by_mixture in classes.items()}
    return CalibrationSummary(method, classes, brier, calibration_verdict(judged, last))


def _mixtures(
    events: TestedEvents, class_weights: Mapping[str, float], *, included: bool
) -> dict[str, NDArray[np.float64]]:
    if included:
        return {WITH_CLASS_WEIGHTS: events.weights}
    factors = np.array([class_weights.get(name, 1.0) for name in events.classes])
    if np.all(factors == factors[0]):
        return {PLAIN: events.weights}
    return {PLAIN: events.weights, WITH_CLASS_WEIGHTS: events.weights * factors[events.truth]}


def calibration_pictures(events: TestedEvents, summary: CalibrationSummary) -> list[Picture]:
    """One picture with the reliability curves of all classes.

    Parameters
    ----------
    summary : CalibrationSummary
        Of these events.
    """
    mixtures = " and ".join(summary.brier)
    sampled = "".join(f", of {name} a sample of {share:.3g}" for name, share in events.sampled.items())
    return [
        Picture(
            "calibration",
            f"Share of each class in bins of its score by {summary.method}, against the mean score ({mixtures}): on "
            "the dashed line scores are probabilities. Below, the sums of weights. ECE is the expected calibration "
            f"error. Of {count_text(len(events))} tested events{sampled}.",
            partial(draw_calibration, summary.classes),
            {"events": len(events), **as_plain(summary)},
            _tables(summary),
        )
    ]


def _tables(summary: CalibrationSummary) -> tuple[Table, ...]:
    header = ("Class", "Weights", "Brier score", "Reliability", "Resolution", "Uncertainty", "ECE", "ECE if calibrated")
    lines: list[tuple[Cell, ...]] = []
    for name, by_mixture in summary.classes.items():
        for mixture, one in by_mixture.items():
            if isinstance(one, Undefined):
                lines.append((name, mixture, one, "", "", "", "", ""))
                continue
            parts = one.decomposition
            numbers = (parts.reliability, parts.resolution, parts.uncertainty)
            lines.append((name, mixture, one.brier, *numbers, one.error.value, one.error.expected))
    return (
        Table(header, tuple(lines), "Each class against the rest"),
        Table(("Weights", "Brier score"), tuple(summary.brier.items()), "All classes together"),
    )
