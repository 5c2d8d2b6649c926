"""Expected significances: all cuts on the score of each class, and its bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.reports.page import Group, Section
from ntupleml.testing.significance import significance_pictures

if TYPE_CHECKING:
    from ntupleml.reports.material import Material


def section(material: Material) -> Section:
    """Pictures of every method."""
    testing = material.preparation.testing
    groups = tuple(
        Group(
            method,
            (),
            (),
            tuple(significance_pictures(material.events, testing, method, in_panels=True)),
            method,
            is_open=number == 0,
        )
        for number, method in enumerate(material.methods)
    )
    return Section("significance", "Significance", _INTRODUCTION, groups)


_INTRODUCTION = (
    "Each class as signal, all others as background. Yields are the sums of weights of the tested events, not scaled "
    "to any luminosity; the best cut is chosen on the same events that it is measured with."
)
