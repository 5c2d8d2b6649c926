"""Calibration: whether a score is the share of events that belong to its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.reports.page import Group, Section
from ntupleml.testing.calibration import calibration_pictures, calibration_summary, class_weights_of

if TYPE_CHECKING:
    from ntupleml.reports.material import Material


def section(material: Material) -> Section:
    """Reliability curves of every method."""
    groups, verdicts = [], []
    for method in material.methods:
        summary = calibration_summary(material.events, method, **class_weights_of(material.preparation))
        verdicts.append((f"Calibrated? {method}", summary.verdict))
        pictures = tuple(calibration_pictures(material.events, summary))
        groups.append(Group(method, (), (), pictures, method))
    return Section("calibration", "Calibration", _INTRODUCTION, tuple(groups), tuple(verdicts))


_INTRODUCTION = (
    "Of the events with a score near p, a share p should belong to the class. It matters where scores are used as "
    "probabilities, not for cuts on them."
)
