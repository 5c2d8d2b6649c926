"""ROC curves of one or several methods: each class against the rest, and against each other class."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.class_rocs import SIGNAL_EFFICIENCIES, ClassRocs, class_rocs, plain_roc
from ntupleml.plots.pictures import Picture, Table, together
from ntupleml.testing.preparation import tested_events
from ntupleml.testing.steps import write_step

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.class_rocs import RocSummary
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

_NUMBERS = ("AUC", *(f"1/ε_B at ε_S = {level:g}" for level in SIGNAL_EFFICIENCIES))


def roc_names(preparation: Preparation) -> list[str]:
    """Names of the pictures that `roc_pictures` makes."""
    return _names(preparation.reading.classes)


def _names(classes: Sequence[str]) -> list[str]:
    # Of two classes, the curve of the second says what that of the first says.
    if len(classes) == 2:
        return [f"roc_{classes[0]}"]
    return [f"roc_{name}" for name in classes] + [f"roc_pairs_{name}" for name in classes]


def rocs_of_methods(events: TestedEvents) -> dict[str, ClassRocs]:
    """All ROC curves of all methods, with the areas that a summary wants.

    Parameters
    ----------
    events : TestedEvents
    """
    return {
        method: class_rocs(scores, events.truth, events.weights, events.classes)
        for method, scores in events.scores.items()
    }


def roc_pictures(
    events: TestedEvents, rocs: Mapping[str, ClassRocs] | None = None, *, in_panels: bool = False
) -> list[Picture]:
    """Pictures of the ROC curves, of all methods together.

    Parameters
    ----------
    events : TestedEvents
    rocs : mapping of str to ClassRocs, optional
        Those of `rocs_of_methods`, where they are there already.
    in_panels : bool, default: False
        Of three or more classes make one picture, ``roc_classes``, of all classes against the rest, and one,
        ``roc_pairs``, of all pairs.

    Returns
    -------
    list of Picture
        Of two classes ``roc_{first class}``; of more ``roc_{class}``, each class against the rest, and
        ``roc_pairs_{class}``, each class against each other class.
    """
    found = rocs_of_methods(events) if rocs is None else rocs
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
            partial(_draw_all, rest, "classes"),
            "Class",
        ),
        together(
            "roc_pairs",
            "ROC curves of each class against each other class by the score of the first: events of these two classes "
            "only. Bands: one standard deviation.",
            of_pairs,
            partial(_draw_all, pairs, "pairs"),
            "Class",
        ),
    ]


def roc_overview(events: TestedEvents, rocs: Mapping[str, ClassRocs]) -> Picture:
    """The curves of all methods, each class against the rest, as one small picture called ``roc_curves``."""
    rest = _against_rest(events.classes, rocs)
    return Picture(
        "roc_curves",
        "ROC curves of each class against the rest by its score: background rejection 1 − ε_B against signal "
        f"efficiency. Bands: one standard deviation.{_remarks(rest)}",
        partial(_draw_all, rest, "overview"),
        {"average_auc": {method: as_plain(one.average_auc) for method, one in rocs.items()}},
    )


def _against_rest(
    classes: Sequence[str], rocs: Mapping[str, ClassRocs]
) -> dict[str, dict[str, RocSummary | Undefined]]:
    """Curves by class and method; of two classes those of the first."""
    return {
        name: {method: one.against_rest[name] for method, one in rocs.items()}
        for name in (classes[:1] if len(classes) == 2 else classes)
    }


def _draw_all(results: Any, what: str, config: PlotConfig) -> Figure:
    from ntupleml.plots.roc import draw_all_class_rocs, draw_all_pair_rocs

    if what == "pairs":
        return draw_all_pair_rocs(results, config)
    return draw_all_class_rocs(results, config, overview=what == "overview")


def roc_files(preparation: Preparation, *, overwrite: bool = False) -> list[Path]:
    """Read the events, and write the ROC curves as pictures with their numbers.

    Parameters and errors are those of `tested_events` and `write_step`. The files written are returned.
    """

    def pictures() -> list[Picture]:
        rocs = rocs_of_methods(events := tested_events(preparation))
        for method, one in rocs.items():
            log.info("%s: AUC %s", method, _area_text(one.average_auc))
        return roc_pictures(events, rocs)

    return write_step(preparation, roc_names(preparation), pictures, overwrite=overwrite)


def _rest_picture(
    signal: str, results: dict[str, RocSummary | Undefined], rocs: Mapping[str, ClassRocs], classes: list[str]
) -> Picture:
    rest = next(name for name in classes if name != signal) if len(classes) == 2 else "the rest"
    averages: list[tuple[Cell, ...]] = []
    if len(classes) > 2:
        averages = [(method, one.average_auc) for method, one in rocs.items()]
    tables = [Table(("Method", *_NUMBERS), tuple((method, *_cells(one)) for method, one in results.items()))]
    if averages:
        tables.append(Table(("Method", "Average AUC"), tuple(averages), "Mean over the classes, by sums of weights"))
    return Picture(
        f"roc_{signal}",
        f"ROC curves of '{signal}' against {rest if len(classes) > 2 else repr(rest)} by its score: background "
        f"rejection 1 − ε_B and rejection factor 1/ε_B against signal efficiency. Bands: one standard deviation."
        f"{_remarks({signal: results})}",
        partial(_draw_rest, signal, results, classes),
        {
            "signal": signal,
            "background": [name for name in classes if name != signal],
            "average_auc": {method: as_plain(one.average_auc) for method, one in rocs.items()},
            "methods": {method: plain_roc(one) for method, one in results.items()},
        },
        tuple(tables),
    )


def _pairs_picture(
    signal: str, others: dict[str, dict[str, RocSummary | Undefined]], classes: Sequence[str]
) -> Picture:
    rows = tuple((other, method, *_cells(one)) for other, methods in others.items() for method, one in methods.items())
    return Picture(
        f"roc_pairs_{signal}",
        f"ROC curves of '{signal}' against each other class by the score of '{signal}': events of these two classes "
        f"only. Bands: one standard deviation.",
        partial(_draw_pairs, signal, others, classes),
        {
            "signal": signal,
            "against": {
                other: {method: plain_roc(one) for method, one in methods.items()} for other, methods in others.items()
            },
        },
        (Table(("Against", "Method", *_NUMBERS), rows),),
    )


def _draw_rest(
    signal: str, results: Mapping[str, RocSummary | Undefined], classes: Sequence[str], config: PlotConfig
) -> Figure:
    from ntupleml.plots.roc import draw_class_roc

    return draw_class_roc(signal, results, classes, config)


def _draw_pairs(
    signal: str,
    others: Mapping[str, Mapping[str, RocSummary | Undefined]],
    classes: Sequence[str],
    config: PlotConfig,
) -> Figure:
    from ntupleml.plots.roc import draw_pair_rocs

    return draw_pair_rocs(signal, others, classes, config)


def _cells(result: RocSummary | Undefined) -> list[Cell]:
    if isinstance(result, Undefined):
        return [result] * len(_NUMBERS)
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
    return f"{area.value:.4f} ± {area.uncertainty:.4f}" if isinstance(area, Measurement) else str(area)
