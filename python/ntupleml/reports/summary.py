"""The summary: how well every method does on every fold, and whether it can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.datasets.excluding import EXCLUDE
from ntupleml.metrics import Measurement, Undefined, Verdict, effective_entries
from ntupleml.metrics.number_texts import count_text
from ntupleml.plots.cells import cell_text
from ntupleml.plots.pictures import Table
from ntupleml.reports.page import Section
from ntupleml.testing.material import POOLED, attempt
from ntupleml.testing.roc import roc_overview
from ntupleml.testing.steps import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.metrics.class_rocs import RocSummary
    from ntupleml.metrics.measurement import Level
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material


#: Names that are listed; of more there is their number.
_MOST_NAMES = 4
#: Of verdicts.
_ORDER = ("attention", "unknown", "good")


def summary(material: Material, verdicts: Sequence[tuple[str, Verdict]]) -> Section:
    """The first screen (one picture, the areas, all verdicts), then areas by fold, events, and what is left out."""
    of_classes = material.target == "classes"
    groups = [
        *([_first_picture(material), Group("", (), (area_table(material),))] if of_classes else []),
        _at_a_glance(verdicts, material.methods),
        *([Group("Area under the ROC curve by fold", (_AREAS,), (auc_table(material),))] if of_classes else []),
        Group("Tested events", (_tested(material), *_sampling(material)), (events_table(material),)),
    ]
    if material.events.left_out:
        rows = tuple(material.events.left_out.items())
        groups.append(Group("Left out", (), (Table(("Method", "Reason"), rows),)))
    return Section(
        "summary", "Summary", _in_one_sentence(material, verdicts), tuple(groups), first_screen=3 if of_classes else 0
    )


def title_of(material: Material) -> str:
    """What is trained: the title of the testing config, else what is learnt and by which methods.

    Examples
    --------
    E.g. "signal against background_1, background_2: keras and xgboost".
    """
    if material.testing.title:
        return material.testing.title
    methods = _listed(material.methods, "methods")
    if material.target != "classes":
        what = "Reconstruction" if material.target == "reconstruction" else _listed(material.events.outputs, "values")
        return f"{what}: {methods}"
    signals = material.signals
    others = [name for name in material.classes if name not in signals]
    if not signals or not others:
        return f"{_listed(material.classes, 'classes')}: {methods}"
    return f"{_listed(signals, 'signals')} against {_listed(others, 'classes')}: {methods}"


def _listed(names: Sequence[str], what: str) -> str:
    """A few names, or the number of many."""
    if len(names) > _MOST_NAMES:
        return f"{len(names)} {what}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _in_one_sentence(material: Material, verdicts: Sequence[tuple[str, Verdict]]) -> str:
    """Which method is the best, how good it is, and whether anything has to be looked at."""
    events, areas = count_text(len(material.events)), areas_of_methods(material)
    known = {method: area for method, area in areas.items() if isinstance(area, Measurement)}
    remarkable = sum(verdict.level == "attention" for _, verdict in verdicts)
    end = f"{remarkable} of {len(verdicts)} checks ask for a look" if remarkable else "no check asks for a look"
    if not areas:
        return f"{events} events are tested that the models never saw; {end}."
    if not known:
        return f"No area under a ROC curve could be computed for {events} events; {end}."
    best = max(known, key=lambda method: known[method].value)
    of_several = f" is the best of {len(known)} methods and" if len(known) > 1 else ""
    return (
        f"{best}{of_several} separates with an AUC of {cell_text(known[best])} on {events} events that "
        f"its models never saw; {end}."
    )


def areas_of_methods(material: Material) -> dict[str, Measurement | Undefined]:
    """The area of each method on all events: the average of the classes; empty where no classes are learnt."""
    methods = material.methods if material.target == "classes" else []
    return {method: _area_of_all(material, method) for method in methods}


def _area_of_all(material: Material, method: str) -> Measurement | Undefined:
    """What the table has: the average of the classes, or the one area of two classes that have the same."""
    rocs = material.rocs[method][POOLED]
    areas = [_area(one) for one in rocs.against_rest.values()]
    return areas[0] if len(areas) == 2 and _are_equal(*areas) else rocs.average_auc


def _first_picture(material: Material) -> Group:
    """The ROC curves of all methods, or why there are none."""
    rocs = {method: material.rocs[method][POOLED] for method in material.methods}
    picture = attempt(lambda: roc_overview(material.events, rocs, material.signals), "ROC curves")
    if isinstance(picture, Undefined):
        return Group("", (f"ROC curves: not made: {picture.reason}",))
    return Group("", (), (), (picture,))


def _at_a_glance(verdicts: Sequence[tuple[str, Verdict]], methods: Sequence[str]) -> Group:
    """Every question with its answer in a few words, the numbers folded up; what has to be looked at comes first.

    Methods of which the same is said stand together.
    """
    together: dict[tuple[str, Level, str], dict[str, str]] = {}
    for name, verdict in verdicts:
        method = next((one for one in methods if name.endswith(f" {one}")), "")
        question = name.removesuffix(method).rstrip()
        plain = verdict.short or verdict.text
        together.setdefault((question, verdict.level, plain), {})[method] = verdict.text
    judged = []
    for (question, level, plain), texts in sorted(together.items(), key=lambda one: _ORDER.index(one[0][1])):
        name = " ".join((question, ", ".join(filter(None, texts)))).strip()
        text = " ".join(f"{method}: {text}" if len(texts) > 1 else text for method, text in texts.items())
        judged.append((name, Verdict(level, text, plain)))
    return Group("", () if judged else ("No section has a verdict.",), verdicts=tuple(judged))


#: Areas that differ by less are shown alike.
_SAME_AREA = 1e-5
_AREAS = (
    "Each class against the rest, by its score; 1 is perfect, ½ is chance. The average is weighted with the classes' "
    "sums of weights. Uncertainties are statistical, one standard deviation."
)


def _tested(material: Material) -> str:
    models = material.preparation.models
    folds = ", ".join(f"model {sample.model} on fold {sample.fold}" for sample in material.preparation.samples)
    weights = material.preparation.reading.weight_branch
    weighted = f"weighted with {weights}" if weights else "of weight 1"
    if material.preparation.reading.factors:
        weighted += " times the class weights"
    together = (
        "Every event is scored by the model that did not see it" if len(models) > 1 else "Events that it never saw"
    )
    return f"{together}: {folds}; {count_text(len(material.events))} events, {weighted}."


def area_table(material: Material) -> Table:
    """Rows: the average and the classes, or the one area of two classes; columns: methods."""
    found = {method: material.rocs[method][POOLED] for method in material.methods}
    areas = {method: {name: _area(one) for name, one in rocs.against_rest.items()} for method, rocs in found.items()}
    if _is_one_area([list(one.values()) for one in areas.values()]):
        return Table(("", *found), (("AUC", *(next(iter(one.values())) for one in areas.values())),))
    rows: list[tuple[Cell, ...]] = [("average", *(rocs.average_auc for rocs in found.values()))]
    rows += [(name, *(areas[method][name] for method in found)) for name in material.events.classes]
    return Table(("AUC", *found), tuple(rows))


def _is_one_area(areas: Sequence[Sequence[Measurement | Undefined]]) -> bool:
    """Whether there are two classes whose scores add up to 1, so that they have the same area."""
    return all(len(both) == 2 and _are_equal(*both) for both in areas)


def auc_table(material: Material) -> Table:
    """Rows: methods on each fold and on all together; columns: average and classes.

    Of two classes whose scores add up to 1 there is but one area.
    """
    found = [
        (method, key, material.rocs[method][key])
        for method in material.methods
        for key in [*(key for key in material.rocs[method] if key != POOLED), POOLED]
    ]
    areas = [[_area(one) for one in rocs.against_rest.values()] for _, _, rocs in found]
    if _is_one_area(areas):
        single = tuple(
            (method, _events_of(material, key), both[0]) for (method, key, _), both in zip(found, areas, strict=True)
        )
        return Table(("Method", "Events of", "AUC"), single)
    rows = tuple(
        (method, _events_of(material, key), rocs.average_auc, *of_classes)
        for (method, key, rocs), of_classes in zip(found, areas, strict=True)
    )
    return Table(("Method", "Events of", "Average", *material.events.classes), rows)


def _area(result: RocSummary | Undefined) -> Measurement | Undefined:
    return result if isinstance(result, Undefined) else result.auc


def _are_equal(first: Measurement | Undefined, second: Measurement | Undefined) -> bool:
    if isinstance(first, Undefined) or isinstance(second, Undefined):
        return isinstance(first, Undefined) and isinstance(second, Undefined)
    return abs(first.value - second.value) < _SAME_AREA


def _events_of(material: Material, key: str) -> str:
    folds = {str(sample.model): sample.fold for sample in material.preparation.samples}
    if key != POOLED:
        return f"fold {folds[key]}"
    return "all folds" if len(folds) > 1 else f"fold {next(iter(folds.values()))}"


def events_table(material: Material) -> Table:
    """Events, sums of weights and effective events of each class, and of recorded data."""
    events, rows = material.events, []
    for index, name in enumerate(events.classes):
        rows.append(_event_row(name, events.weights[events.truth == index]))
    if not isinstance(material.data, Undefined):
        rows.append(_event_row("recorded data", material.data.weights))
    return Table(("Class", "Events", "Σw", "Negative weights", "Effective events"), tuple(rows))


def _event_row(name: str, weights: np.ndarray) -> tuple[Cell, ...]:
    total = Measurement(float(weights.sum()), float(np.sqrt(weights @ weights)))
    negative = f"{np.mean(weights < 0):.2%}" if len(weights) else "–"
    return name, len(weights), total, negative, round(effective_entries(weights), 1)


def _sampling(material: Material) -> list[str]:
    shares, excluded = material.events.sampled, material.events.excluded
    trained = ", ".join(f"{count_text(number)} of {name}" for name, number in excluded.items())
    notes = [f"Events that other trainings saw are left out ({EXCLUDE} of the testing config): {trained}."]
    if not shares:
        return notes if excluded else []
    texts = ", ".join(f"{share:.3g} of {name}" for name, share in shares.items())
    sample = f"A random sample of the events is tested, weighted up (max_events of the testing config): {texts}."
    return [sample, *(notes if excluded else [])]
