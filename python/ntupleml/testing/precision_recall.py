"""Precision against recall of one or several methods, beside their ROC curves: each class against all others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.precision_recall import RECALLS, precision_recall
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.precision_recall import draw_precision_recall
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from ntupleml.metrics.precision_recall import PrecisionRecall
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

_HEADER = ("Average precision", "Share of the class", *(f"Precision at recall {level:g}" for level in RECALLS))
_CAPTION = (
    "Precision (purity of what a cut on the score of the class selects) against recall (its efficiency), each class "
    "against all others. Bands: one standard deviation. Dotted: the share of the class, which is the precision of "
    "guessing."
)


def precision_recall_curves(material: Material) -> Answer:
    """Of all methods together, each class against all others."""
    material.announce(["precision_recall"])
    events = material.events
    methods = material.methods if material.for_page else list(events.scores)
    found = {
        name: {
            method: precision_recall(events.scores[method][:, index], events.truth == index, events.weights)
            for method in methods
        }
        for index, name in enumerate(events.classes)
    }
    rows = tuple((name, method, *_cells(one)) for name, by_method in found.items() for method, one in by_method.items())
    tables = (Table(("Class", "Method", *_HEADER), rows),)
    numbers = {"events": len(events), "classes": as_plain(found)}
    picture = Picture("precision_recall", _CAPTION, partial(draw_precision_recall, found), numbers, tables)
    remarks = tuple(f"'{name}', {method}: average precision {_text(average)}" for name, method, average, *_ in rows)
    return Answer("", (Group("", pictures=(picture,)),), numbers=found, remarks=remarks)


def _cells(one: PrecisionRecall | Undefined) -> tuple[Cell, ...]:
    if isinstance(one, Undefined):
        return (one,) * len(_HEADER)
    return (one.average_precision, one.signal_share, *one.precisions.values())


def _text(average: Cell) -> str:
    return measurement_text(average) if isinstance(average, Measurement) else str(average)
