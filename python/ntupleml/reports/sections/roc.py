"""ROC curves of all methods together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.reports.material import POOLED
from ntupleml.reports.page import Group, Section
from ntupleml.testing.roc import roc_pictures

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Picture
    from ntupleml.reports.material import Material


_PAIRS = "roc_pairs"


def section(material: Material) -> Section:
    """Of three or more classes, each against each other class; each against the rest is where the page begins."""
    pairs = tuple(picture for picture in _pictures(material) if picture.name == _PAIRS)
    introduction = "Each class against the rest is at the beginning of the page. Higher curves are better."
    groups = (Group("Each class against each other class", (), (), pairs),) if pairs else ()
    return Section("roc", "ROC curves", introduction, groups)


def first_pictures(material: Material) -> tuple[Picture, ...]:
    """What the page begins with: each class against the rest, by all methods."""
    return tuple(picture for picture in _pictures(material) if picture.name != _PAIRS)


def _pictures(material: Material) -> list[Picture]:
    rocs = {method: material.rocs[method][POOLED] for method in material.methods}
    return roc_pictures(material.events, rocs, in_panels=True)
