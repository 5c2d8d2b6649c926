"""Permutation importance of a method's inputs, as a step of the testing stage."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, as_plain
from ntupleml.metrics.number_texts import count_text, measurement_text
from ntupleml.metrics.permutation import PermutationImportance, permutation_importance
from ntupleml.plots.permutation import draw_permutation_importance
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.method_inputs import inputs_of_method, read_with_inputs, variable_groups
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.method_inputs import MethodInputs
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: Events that are taken unless more are asked for, and how often each variable is shuffled.
MOST_EVENTS, REPEATS = 100_000, 5


def permutation_importances(material: Material, *, repeats: int = REPEATS, group: Sequence[str] = ()) -> Answer:
    """Permutation importance of the inputs of every method, in at most 100,000 events unless more are asked for.

    Parameters
    ----------
    repeats : int, default: 5
        How often each variable is shuffled.
    group : sequence of str
        Variables that are shuffled together: `NAME=A,B`.
    """
    material.announce(["permutation_importance"])
    asked = None if material.for_page else material.preparation.asked_events
    material = material.at_most(asked or MOST_EVENTS)
    results: dict[str, PermutationImportance | Undefined] = {}
    groups = []
    for method in material.methods if material.for_page else material.preparation.methods:
        title = f"{method}: permutation importance"
        made = material.tried(partial(_of_method, material, method, repeats, group), title)
        if isinstance(made, Undefined):
            groups.append(Group(title, (f"Not made: {made.reason}",)))
            results[method] = made
            continue
        results[method], picture = made
        groups.append(Group(title, (), (), (picture,), method))
    remarks = tuple(
        f"decrease of the average AUC: {most_important(one)}"
        for one in results.values()
        if not isinstance(one, Undefined)
    )
    return Answer("", tuple(groups), numbers=results, remarks=remarks)


def _of_method(
    material: Material, method: str, repeats: int, groups: Sequence[str]
) -> tuple[PermutationImportance, Picture]:
    preparation = material.preparation
    inputs = inputs_of_method(material.events, preparation, method) if material.for_page else None
    events = material.events if inputs is not None else None
    if events is None or inputs is None:
        events, inputs = read_with_inputs(preparation, method)
    result = importance_of_inputs(events, inputs, preparation, repeats=repeats, groups=groups)
    return result, importance_picture(result, events, inputs, preparation, groups)


def importance_of_inputs(
    events: TestedEvents,
    inputs: MethodInputs,
    preparation: Preparation,
    *,
    repeats: int = REPEATS,
    groups: Sequence[str] = (),
) -> PermutationImportance:
    """Permutation importance of the inputs of a method; each event stays with the model that never saw it."""
    units = {name: [name] for name in inputs.variables} | inputs.wholes | variable_groups(groups, inputs.variables)
    log.info("%s: %d inputs are shuffled %d times each, in %d events", inputs.method, len(units), repeats, len(events))
    return permutation_importance(
        events.scores[inputs.method],
        events.truth,
        events.weights,
        events.classes,
        {name: partial(_shuffled_scores, inputs, unit) for name, unit in units.items()},
        repeats=repeats,
        seed=preparation.testing.seed,
        strata={name: _strata(inputs, unit) for name, unit in units.items()},
    )


def _shuffled_scores(inputs: MethodInputs, unit: Sequence[str], donors: NDArray[np.int64]) -> NDArray[np.float32]:
    return inputs.score(
        {**inputs.columns, **{name: inputs.columns[name][donors] for name in unit}},
        inputs.models,
    )


def _strata(inputs: MethodInputs, unit: Sequence[str]) -> NDArray[np.int64]:
    """Events that may exchange values: of one model, and where vectors of the same objects stay, of one length."""
    if len(inputs.together(unit)) == len(unit) or not len(inputs.models):
        return inputs.models
    import awkward as ak

    vectors = dict.fromkeys(name for group in inputs.vectors for name in group if name in unit)
    lengths = [np.asarray(ak.num(inputs.columns[name]), dtype=np.int64) for name in vectors]
    _, strata = np.unique(np.stack([inputs.models, *lengths]), axis=1, return_inverse=True)
    return np.asarray(strata, dtype=np.int64).ravel()


def importance_picture(
    result: PermutationImportance,
    events: TestedEvents,
    inputs: MethodInputs,
    preparation: Preparation,
    groups: Sequence[str],
) -> Picture:
    """The ranking as a picture."""
    numbers: dict[str, Any] = {
        "method": inputs.method,
        "models": list(preparation.models),
        "seed": preparation.testing.seed,
        "sampled": events.sampled,
        "groups": inputs.wholes | variable_groups(groups, inputs.variables),
        **as_plain(result),
    }
    sampled = " (a random sample)" if events.sampled else ""
    caption = (
        f"Permutation importance of the inputs of {inputs.method}: what is lost of the area under the ROC curve of "
        f"each class against the rest, and gained in log loss, where the values of an input are shuffled among the "
        f"events; {count_text(len(events))} events{sampled}, {result.repeats} times each. Inputs that are correlated "
        "share their importance."
    )
    draw: Callable[[Any], Any] = partial(draw_permutation_importance, result)
    return Picture("permutation_importance", caption, draw, numbers, (_table(result),))


def _table(result: PermutationImportance) -> Table:
    classes = [f"AUC of {name}" for name in result.classes]
    rows = [("none", result.reference), *((name, result.importances[name]) for name in result.ranking())]
    return Table(
        ("shuffled", "average AUC", *classes, "log loss"),
        tuple((name, one.average_auc, *one.auc.values(), one.log_loss) for name, one in rows),
        "First row: the values with all inputs as they are; others: decrease of the areas, increase of the log loss",
    )


def most_important(result: PermutationImportance, number: int = 3) -> str:
    """The first variables of the ranking for a line of the log.

    Examples
    --------
    >>> from ntupleml.metrics.measurement import Undefined
    >>> from ntupleml.metrics.permutation import Quality
    >>> worth = {"x": Measurement(0.1, 0.01), "y": Measurement(0.2, 0.01)}
    >>> found = {name: Quality({}, value, Undefined("no events")) for name, value in worth.items()}
    >>> most_important(PermutationImportance([], 100, 5, found["x"], found))
    'y 0.200 ± 0.010, x 0.100 ± 0.010'
    """
    first = {name: result.importances[name].average_auc for name in result.ranking()[:number]}
    return ", ".join(
        f"{name} {measurement_text(value)}" if isinstance(value, Measurement) else f"{name} {value}"
        for name, value in first.items()
    )
