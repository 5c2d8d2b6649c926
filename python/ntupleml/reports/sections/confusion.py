"""Confusion matrices of every method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.reports.page import Group, Section
from ntupleml.testing.confusion import confusion_of_events, confusion_pictures

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Picture
    from ntupleml.reports.material import Material

#: Shown of every method; the first method has the others, too.
_MAIN = ("confusion_standard", "confusion_efficiency2", "confusion_purity2")


def section(material: Material) -> Section:
    """Sums of weights, efficiencies and purities of all methods; the other forms of the first."""
    groups = []
    for number, method in enumerate(material.methods):
        pictures = _pictures(material, method)
        main = tuple(picture for picture in pictures if picture.name in _MAIN)
        groups.append(Group(method, (), (), main, method, is_open=number == 0))
        others = tuple(picture for picture in pictures if picture.name not in _MAIN)
        if number == 0:
            groups.append(Group(f"{method}: other forms", (), (), others, method, is_open=False))
    return Section("confusion", "Confusion", _INTRODUCTION, tuple(groups))


_INTRODUCTION = (
    "An event is predicted to be of the class with the largest score. Efficiencies are shares of a true class, "
    "purities of what is predicted to be a class."
)


def _pictures(material: Material, method: str) -> list[Picture]:
    preparation = material.preparation
    factors = list(preparation.training.class_weights_of(preparation.condition).values())
    total = confusion_of_events(material.events, method, preparation.reading.factors)
    pictures = confusion_pictures(total, material.events.classes, factors)
    if all(factor == 1 for factor in factors):  # those with class weights would be the same
        pictures = [picture for picture in pictures if "_cw" not in picture.name]
    return pictures
