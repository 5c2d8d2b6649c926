"""Shapley values of a method's inputs, as a step of the testing stage."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import as_plain
from ntupleml.metrics.shapley import ShapleyImportance, shapley_importance, shapley_values
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.shapley import draw_shapley_importance
from ntupleml.testing.method_inputs import read_with_inputs, variable_groups
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.method_inputs import MethodInputs
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: Events that are explained, and with which they are compared, unless other numbers are given.
EXPLAINED, BACKGROUND = 200, 100
#: Events that these are drawn from.
_MOST_EVENTS = 100_000
#: Distinguishes the random numbers of the drawing from those of other purposes.
_STREAM = 11


def shapley_importances(
    material: Material,
    *,
    events: int = EXPLAINED,
    background: int = BACKGROUND,
    group: Sequence[str] = (),
    whole_groups: bool = False,
) -> Answer:
    """Importance of the inputs of one method by Shapley values.

    Parameters
    ----------
    events, background : int
        Number of events whose scores are explained, and of events with which they are compared.
    group : sequence of str
        Variables that are one input: `NAME=A,B`.
    whole_groups : bool, default: False
        Whether each group of inputs, or collection of a group, is one input.
    """
    material.announce(["shap_importance"])
    preparation = material.at_most(max(_MOST_EVENTS, events)).preparation
    read, inputs = read_with_inputs(preparation)
    units = units_of(inputs, group, whole_groups=whole_groups)
    result = importance_of_scores(read, inputs, units, explained=events, background=background, seed=material.seed)
    remark = f"largest mean |SHAP value|: {', '.join(result.ranking()[:3])}"
    shown = Group(inputs.method, (), (), (_picture(result, inputs, preparation),), inputs.method)
    return Answer("", (shown,), numbers={inputs.method: result}, remarks=(remark,))


def importance_of_scores(
    events: TestedEvents,
    inputs: MethodInputs,
    units: Mapping[str, Sequence[str]] | None = None,
    *,
    explained: int = EXPLAINED,
    background: int = BACKGROUND,
    seed: int = 0,
) -> ShapleyImportance:
    """Importance of inputs by Shapley values of some events, each explained for the model that never saw it.

    The explained events are drawn with equal chances and counted with their weights; those of the background are
    drawn with chances in proportion to the absolute weight, of the events that the same model scores. Variables of a
    unit are one input; by default those of the same objects.
    """
    random = np.random.default_rng([seed, _STREAM])
    units = units or units_of(inputs)
    chosen = np.sort(random.choice(len(events), min(explained, len(events)), replace=False))
    log.info("%s: %d events are explained, %d inputs", inputs.method, len(chosen), len(units))
    num_classes = len(events.classes)
    values, base = np.zeros((len(chosen), len(units), num_classes)), np.zeros((len(chosen), num_classes))
    largest = 0
    for model in inputs.sources:
        own = np.flatnonzero(inputs.models[chosen] == model)
        if not len(own):
            continue
        others = _background(inputs.models == model, events.weights, background, random)
        largest = max(largest, len(others))
        values[own], base[own] = shapley_values(
            partial(_score, inputs, list(units.values()), model), chosen[own], others, len(units), seed=seed
        )
    return shapley_importance(
        values,
        base,
        events.scores[inputs.method][chosen],
        events.weights[chosen],
        list(units),
        events.classes,
        largest,
    )


def units_of(inputs: MethodInputs, groups: Sequence[str] = (), *, whole_groups: bool = False) -> dict[str, list[str]]:
    """Inputs by their names: variables that are wanted together, those of the same objects, and all others alone."""
    units = {name: inputs.together(some) for name, some in variable_groups(groups, inputs.variables).items()}
    taken = [name for some in units.values() for name in some]
    if twice := next((name for name in taken if taken.count(name) > 1), None):
        raise NtuplemlError(f"--group: '{twice}' is in two groups (objects go together); name it once")
    for name, some in inputs.wholes.items():
        collections = [own for own in inputs.wholes.values() if set(own) < set(some)]
        wanted = whole_groups or any(set(some) == set(own) for own in inputs.vectors)
        if wanted and not collections and set(taken).isdisjoint(some):
            units[name] = list(some)
            taken += some
    for name in inputs.variables:
        if name not in taken:
            together = [one for one in inputs.together([name]) if one not in taken]
            units[", ".join(together)] = together
            taken += together
    return units


def _background(
    of_model: NDArray[np.bool_], weights: NDArray[np.float64], number: int, random: np.random.Generator
) -> NDArray[np.int64]:
    positions = np.flatnonzero(of_model)
    size = np.abs(weights[positions])
    weighted = np.count_nonzero(size) >= min(number, len(positions))
    chances = size / size.sum() if weighted else None
    drawn = random.choice(positions, min(number, len(positions)), replace=False, p=chances)
    return np.asarray(drawn, dtype=np.int64)


def _score(
    inputs: MethodInputs, units: Sequence[Sequence[str]], model: int, positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    columns: dict[str, Any] = {
        name: values[positions[:, 0]] for name, values in inputs.columns.items() if name not in inputs.variables
    }
    for index, unit in enumerate(units):
        columns |= {name: inputs.columns[name][positions[:, index]] for name in unit}
    return inputs.score(columns, np.full(len(positions), model))


def _picture(result: ShapleyImportance, inputs: MethodInputs, preparation: Preparation) -> Picture:
    numbers = {
        "method": inputs.method,
        "models": list(preparation.models),
        "seed": preparation.testing.seed,
        **as_plain(result),
    }
    caption = (
        f"Mean absolute Shapley values of the inputs of {inputs.method}: by how much each moves the score of an event "
        f"away from the mean of {result.background} others; {result.entries} events."
    )
    table = Table(
        ("input", *result.classes),
        tuple((name, *(result.importances[one][name] for one in result.classes)) for name in result.ranking()),
    )
    return Picture("shap_importance", caption, partial(draw_shapley_importance, result), numbers, (table,))
