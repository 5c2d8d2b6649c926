"""ROC curves of all methods together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.reports.material import POOLED
from ntupleml.reports.page import Group, Section
from ntupleml.testing.roc import roc_overview, roc_pictures

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Picture
    from ntupleml.reports.material import Material


def section(material: Material) -> Section:
    """Each class against the rest and, of three or more classes, against each other class."""
    rocs = {method: material.rocs[method][POOLED] for method in material.methods}
    pictures = roc_pictures(material.events, rocs, in_panels=True)
    rest = tuple(picture for picture in pictures if picture.name != "roc_pairs")
    pairs = tuple(picture for picture in pictures if picture.name == "roc_pairs")
    groups = [Group("Each class against the rest", (), (), rest)]
    if pairs:
        groups.append(Group("Each class against each other class", (), (), pairs))
    introduction = "Events that the models never saw, by the score of the class. Higher curves are better."
    return Section("roc", "ROC curves", introduction, tuple(groups))


def first_picture(material: Material) -> Picture:
    """What the page begins with: the curves of all methods, each class against the rest."""
    return roc_overview(material.events, {method: material.rocs[method][POOLED] for method in material.methods})
