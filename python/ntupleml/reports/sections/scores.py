"""Distributions of the scores: training part against unseen events, and all classes stacked with recorded data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.metrics import Undefined
from ntupleml.reports.page import Group, Section
from ntupleml.testing.score_distributions import overtraining, score_distribution_pictures

if TYPE_CHECKING:
    from ntupleml.reports.material import Material
    from ntupleml.testing.tested_events import TestedEvents


def section(material: Material) -> Section:
    """Pictures of every method, and whether it is overtrained."""
    groups, verdicts = [], []
    allowed = material.preparation.testing.overtraining.auc_difference
    for number, method in enumerate(material.methods):
        part, areas = material.training_parts[method], material.areas(method)
        result = overtraining(material.events, part, method, areas, allowed=allowed)
        verdicts.append((f"Overtrained? {method}", result.verdict))
        pictures = score_distribution_pictures(
            material.events, material.training_parts[method], _data(material, method), method, result, in_panels=True
        )
        groups.append(Group(method, (), (), tuple(pictures), method, is_open=number == 0))
    return Section("scores", "Scores", _INTRODUCTION, tuple(groups), tuple(verdicts))


_INTRODUCTION = (
    "Where the distributions of the events that a model was fitted on and of those that it never saw differ by more "
    "than chance, it has learnt its training events by heart."
)


def _data(material: Material, method: str) -> TestedEvents | Undefined:
    """Recorded data, where they have scores of this method."""
    data = material.data
    if isinstance(data, Undefined) or method in data.scores:
        return data
    return Undefined(data.left_out.get(method, "no scores"))
