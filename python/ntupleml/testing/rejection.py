"""Rejection of the backgrounds of a search against the efficiency of its signal, after a veto if there is one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.class_rocs import RocSummary, roc_summary
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.roc_points import RocPoints
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.roc import draw_named_rocs
from ntupleml.testing.roc import HEADER_OF_CURVES, cells_of_curve
from ntupleml.testing.search import Veto, curves_of_subsets, scaled, scales_text, search_of, veto_of, without_vetoed
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.search import Search
    from ntupleml.testing.tested_events import TestedEvents

#: Signal efficiency that the verdict is of, and the largest relative uncertainty of a rejection that is known.
_OF_VERDICT, _KNOWN = 0.5, 0.5

#: By how much the area of a point must be smaller to be pointed at, and by how many standard deviations.
_MATTERS, _SIGNIFICANT = 0.05, 3.0
#: Of efficiencies.
_ROUNDING = 1e-9


class Rejection(NamedTuple):
    """Curves of a search."""

    veto: Veto | None
    #: Against all backgrounds, and against each alone.
    backgrounds: dict[str, RocSummary | Undefined]
    #: Of each value of the first parameter of the points, against all backgrounds.
    points: dict[str, RocSummary | Undefined]


def rejections(material: Material) -> Answer:
    """Curves of every method."""
    search = search_of(material)
    material.announce(_names(search))
    found = {method: rejection(search, material.events, method) for method in material.methods}
    pictures = {
        method: [] if isinstance(one, Undefined) else _pictures(search, method, one) for method, one in found.items()
    }
    verdicts = {method: _verdict(one) for method, one in found.items()}
    return Answer.by_method(
        pictures,
        f"'{search.signal}' against all other classes by its score, on events that the models never saw. Efficiencies "
        "are shares of all events, those that a veto leaves out among them.",
        numbers=found,
        question="Rejects the backgrounds?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {verdict.text}" for method, verdict in verdicts.items()],
    )


def _names(search: Search) -> list[str]:
    return ["rejection", *(["rejection_points"] if search.config.points else [])]


def rejection(search: Search, events: TestedEvents, method: str) -> Rejection | Undefined:
    """Curves of one method; undefined where the weights cannot be scaled, or the veto cannot be made."""
    scores, own = events.scores[method], events.classes.index(search.signal)
    weights, veto = scaled(events, search.config.rejection.scale), veto_of(search, events, scores)
    if isinstance(weights, Undefined):
        return weights
    if isinstance(veto, Undefined):
        return veto
    column = without_vetoed(scores[:, own], veto[1])
    is_signal = events.truth == own
    curves = curves_of_subsets(search, events, weights, lambda rows, some: _curve(column[rows], is_signal[rows], some))
    return Rejection(veto[0], *curves)


def _curve(scores: NDArray[Any], is_signal: NDArray[np.bool_], weights: NDArray[np.float64]) -> RocSummary | Undefined:
    """ROC curve up to the signal efficiency after a veto; vetoed events count as unscored in the area."""
    curve, vetoed = roc_summary(scores, is_signal, weights), np.isneginf(scores)
    if isinstance(curve, Undefined) or not vetoed.any():
        return curve
    reach = float(weights[is_signal & ~vetoed].sum() / weights[is_signal].sum())
    beyond = Undefined(f"the veto leaves a signal efficiency of {reach:.3f}")
    kept = curve.points.signal_efficiency <= reach * (1 + _ROUNDING)
    return curve._replace(
        points=RocPoints(*(values[kept] for values in curve.points)),
        rejections={level: one if level <= reach else beyond for level, one in curve.rejections.items()},
    )


def _pictures(search: Search, method: str, found: Rejection) -> list[Picture]:
    veto = "" if found.veto is None else f" after a veto of {found.veto.of} ≥ {found.veto.threshold:.4g}"
    scale = search.config.rejection.scale
    what = (
        f"{method}: rejection of the backgrounds against the efficiency of '{search.signal}'{veto}{scales_text(scale)}"
    )
    rows = tuple((name, *cells_of_curve(one)) for name, one in found.backgrounds.items())
    tables = [Table(("Against", *HEADER_OF_CURVES), rows)]
    if found.veto is not None:
        caught = tuple((name, one.entries, one.selected, one.share) for name, one in found.veto.caught.items())
        tables.append(Table(("Class", "Events", "Left out", "Share"), caught, "Veto"))
    numbers = {"signal": search.signal, "scale": scale, "veto": as_plain(found.veto)}
    pictures = [
        Picture(
            "rejection",
            f"{what}. Bands: one standard deviation.",
            partial(draw_named_rocs, search.signal, found.backgrounds),
            numbers | {"backgrounds": as_plain(found.backgrounds)},
            tuple(tables),
        )
    ]
    if search.config.points:
        rows_of_points = tuple((name, *cells_of_curve(one)) for name, one in found.points.items())
        pictures.append(
            Picture(
                "rejection_points",
                f"{what}, for each value of {search.config.points[0]}. Bands: one standard deviation.",
                partial(draw_named_rocs, search.signal, found.points),
                numbers | {"points": as_plain(found.points)},
                (Table(("Signal", *HEADER_OF_CURVES), rows_of_points),),
            )
        )
    return pictures


def _verdict(found: Rejection | Undefined) -> Verdict:
    if isinstance(found, Undefined):
        return Verdict("unknown", f"no curves: {found.reason}")
    curve = next(iter(found.backgrounds.values()))
    if isinstance(curve, Undefined):
        return Verdict("unknown", f"no curve: {curve.reason}")
    factor = curve.rejections[_OF_VERDICT]
    where = f"at a signal efficiency of {_OF_VERDICT:g}"
    if isinstance(factor, Undefined) or factor.uncertainty > _KNOWN * factor.value:
        said = factor.reason if isinstance(factor, Undefined) else f"it is {measurement_text(factor)}"
        text = f"too few events to know the rejection {where}: {said}"
        return Verdict("unknown", text, "There are too few events to know the rejection.")
    text = f"{where} the backgrounds are rejected by a factor {measurement_text(factor)}"
    text += f"; AUC {measurement_text(curve.auc)}"
    worst = _worst(found)
    if worst:
        return Verdict("attention", f"{text}{worst}", "It is much worse for one of the points.")
    return Verdict("good", text, "It is about as good for all points.")


def _worst(found: Rejection) -> str:
    """The value of the points whose area is much smaller than that of all, if there is one."""
    whole = next(iter(found.backgrounds.values()))
    known = {name: one.auc for name, one in found.points.items() if isinstance(one, RocSummary)}
    if not known or isinstance(whole, Undefined):
        return ""
    name, area = min(known.items(), key=lambda one: one[1].value)
    missing = whole.auc.value - area.value
    if missing < _MATTERS or missing < _SIGNIFICANT * float(np.hypot(whole.auc.uncertainty, area.uncertainty)):
        return ""
    return f", but only {measurement_text(Measurement(*area))} for {name}"
