"""ROC curves of one or several methods: each class against the rest, and against each other class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.class_rocs import SIGNAL_EFFICIENCIES, ClassRocs
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.pictures import Picture, Table, together
from ntupleml.plots.roc import (
    draw_all_class_rocs,
    draw_all_pair_rocs,
    draw_class_roc,
    draw_pair_rocs,
    draw_rocs_of_methods,
)
from ntupleml.testing.material import POOLED
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.metrics.class_rocs import RocSummary
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Columns of tables of curves.
HEADER_OF_CURVES = ("AUC", *(f"1/ε_B at ε_S = {level:g}" for level in SIGNAL_EFFICIENCIES))


_INTRODUCTION = "Events that the models never saw, by the score of the class. Higher curves are better."


def roc_curves(material: Material) -> Answer:
    """Of all methods together: each class against the rest and, of three or more, against each other class."""
    classes = material.classes
    # Of two classes, the curve of the second says what that of the first says.
    pairs = [] if len(classes) == 2 else [f"roc_pairs_{name}" for name in classes]
    material.announce([*(f"roc_{name}" for name in _shown(classes)), *pairs])
    methods = material.methods if material.for_page else list(material.events.scores)
    rocs = {method: material.rocs[method][POOLED] for method in methods}
    pictures = roc_pictures(material.events, rocs, in_panels=material.for_page)
    rest = tuple(pictures[: len(pictures) - (1 if material.for_page else len(pairs))] if pairs else pictures)
    groups = [Group("Each class against the rest", (), (), rest)]
    if pairs:
        groups.append(Group("Each class against each other class", (), (), tuple(pictures[len(rest) :])))
    remarks = tuple(f"{method}: AUC {_area_text(one.average_auc)}" for method, one in rocs.items())
    return Answer(_INTRODUCTION, tuple(groups), numbers=rocs, remarks=remarks)


def _shown(classes: Sequence[str]) -> Sequence[str]:
    return classes[:1] if len(classes) == 2 else classes


def roc_pictures(events: TestedEvents, found: Mapping[str, ClassRocs], *, in_panels: bool = False) -> list[Picture]:
    """Pictures of ROC curves by method.

    Parameters
    ----------
    in_panels : bool, default: False
        Of three or more classes make one picture, ``roc_classes``, of all classes against the rest, and one,
        ``roc_pairs``, of all pairs.

    Returns
    -------
    list of Picture
        Of two classes ``roc_{first class}``; of more ``roc_{class}``, each class against the rest, and
        ``roc_pairs_{class}``, each class against each other class.
    """
    classes = events.classes
    rest = _against_rest(classes, found)
    pictures = {name: _rest_picture(name, results, found, classes) for name, results in rest.items()}
    if len(classes) == 2:
        return list(pictures.values())
    pairs = {
        name: {
            other: {method: one.pairs[name][other] for method, one in found.items()}
            for other in classes
            if other != name
        }
        for name in classes
    }
    of_pairs = {name: _pairs_picture(name, others, classes) for name, others in pairs.items()}
    if not in_panels:
        return [*pictures.values(), *of_pairs.values()]
    return [
        together(
            "roc_classes",
            "ROC curves of each class against the rest by its score: background rejection 1 − ε_B and rejection factor "
            f"1/ε_B against signal efficiency. Bands: one standard deviation.{_remarks(rest)}",
            pictures,
            partial(draw_all_class_rocs, rest),
            "Class",
        ),
        together(
            "roc_pairs",
            "ROC curves of each class against each other class by the score of the first: events of these two classes "
            "only. Bands: one standard deviation.",
            of_pairs,
            partial(draw_all_pair_rocs, pairs),
            "Class",
        ),
    ]


def roc_overview(events: TestedEvents, rocs: Mapping[str, ClassRocs], signals: Sequence[str] = ()) -> Picture:
    """The curves that matter most, in one panel; a picture called ``roc_curves``.

    These are all methods for the one signal, or for the first of two classes; else all classes by the best method.
    """
    rest = _against_rest(events.classes, rocs)
    shown = [name for name in signals if name in rest] if len(events.classes) > 2 else list(rest)
    numbers = {"average_auc": {method: as_plain(one.average_auc) for method, one in rocs.items()}}
    if len(shown) == 1:
        (name,) = shown
        other = "" if len(events.classes) > 2 else next(one for one in events.classes if one != name)
        draw = partial(draw_rocs_of_methods, name, rest[name], other)
        against = repr(other) if other else "the rest"
        caption = f"ROC curves of '{name}' against {against}.{_remarks({name: rest[name]})}"
        return Picture("roc_curves", caption, draw, numbers)
    best = max(rocs, key=lambda method: _value(rocs[method].average_auc))
    of_best = {name: {best: methods[best]} for name, methods in rest.items()}
    by_best = f" by {best}, the best method" if len(rocs) > 1 else ""
    draw_all = partial(draw_all_class_rocs, of_best, overview=True)
    caption = f"ROC curves of each class against the rest{by_best}.{_remarks(of_best)}"
    return Picture("roc_curves", caption, draw_all, numbers)


def _value(area: Measurement | Undefined) -> float:
    return area.value if isinstance(area, Measurement) else -1.0


def _against_rest(
    classes: Sequence[str], rocs: Mapping[str, ClassRocs]
) -> dict[str, dict[str, RocSummary | Undefined]]:
    """Curves by class and method; of two classes those of the first."""
    return {name: {method: one.against_rest[name] for method, one in rocs.items()} for name in _shown(classes)}


def _rest_picture(
    signal: str, results: dict[str, RocSummary | Undefined], rocs: Mapping[str, ClassRocs], classes: list[str]
) -> Picture:
    rest = next(name for name in classes if name != signal) if len(classes) == 2 else "the rest"
    averages: list[tuple[Cell, ...]] = []
    if len(classes) > 2:
        averages = [(method, one.average_auc) for method, one in rocs.items()]
    tables = [
        Table(("Method", *HEADER_OF_CURVES), tuple((method, *cells_of_curve(one)) for method, one in results.items()))
    ]
    if averages:
        tables.append(Table(("Method", "Average AUC"), tuple(averages), "Mean over the classes, by sums of weights"))
    return Picture(
        f"roc_{signal}",
        f"ROC curves of '{signal}' against {rest if len(classes) > 2 else repr(rest)} by its score: background "
        f"rejection 1 − ε_B and rejection factor 1/ε_B against signal efficiency. Bands: one standard deviation."
        f"{_remarks({signal: results})}",
        partial(draw_class_roc, signal, results, classes),
        {
            "signal": signal,
            "background": [name for name in classes if name != signal],
            "average_auc": {method: as_plain(one.average_auc) for method, one in rocs.items()},
            "methods": {method: as_plain(one) for method, one in results.items()},
        },
        tuple(tables),
    )


def _pairs_picture(
    signal: str, others: dict[str, dict[str, RocSummary | Undefined]], classes: Sequence[str]
) -> Picture:
    rows = tuple(
        (other, method, *cells_of_curve(one)) for other, methods in others.items() for method, one in methods.items()
    )
    return Picture(
        f"roc_pairs_{signal}",
        f"ROC curves of '{signal}' against each other class by the score of '{signal}': events of these two classes "
        f"only. Bands: one standard deviation.",
        partial(draw_pair_rocs, signal, others, classes),
        {
            "signal": signal,
            "against": {
                other: {method: as_plain(one) for method, one in methods.items()} for other, methods in others.items()
            },
        },
        (Table(("Against", "Method", *HEADER_OF_CURVES), rows),),
    )


def cells_of_curve(result: RocSummary | Undefined) -> list[Cell]:
    """Area and rejections of a curve for a table."""
    if isinstance(result, Undefined):
        return [result] * len(HEADER_OF_CURVES)
    return [result.auc, *result.rejections.values()]


def _remarks(results: Mapping[str, Mapping[str, RocSummary | Undefined]]) -> str:
    """What the curves cannot show, of methods by their class."""
    known = [
        (method if len(results) == 1 else f"{method} for '{signal}'", result)
        for signal, methods in results.items()
        for method, result in methods.items()
        if not isinstance(result, Undefined)
    ]
    texts = ""
    if constant := [name for name, result in known if result.distinct_scores == 1]:
        texts += f" All events have the same score by {', '.join(constant)}, which tells nothing."
    step, name = max(((result.step_back, name) for name, result in known), default=(0.0, ""))
    if step > 1e-3:
        texts += f" Negative weights make efficiencies step back by up to {step:.3f} ({name})."
    return texts


def _area_text(area: Measurement | Undefined) -> str:
    return measurement_text(area) if isinstance(area, Measurement) else str(area)
