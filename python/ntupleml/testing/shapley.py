"""Shapley values of a method's inputs, as a step of the testing stage."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import as_plain
from ntupleml.metrics.shapley import ShapleyImportance, shapley_importance, shapley_values
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.shapley import draw_shapley_importance
from ntupleml.testing.method_inputs import read_with_inputs
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

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
) -> Answer:
    """Importance of the inputs of one method by Shapley values.

    Parameters
    ----------
    events, background : int
        Number of events whose scores are explained, and of events with which they are compared.
    """
    material.announce(["shap_importance"])
    preparation = material.at_most(max(_MOST_EVENTS, events)).preparation
    read, inputs = read_with_inputs(preparation)
    result = importance_of_scores(read, inputs, explained=events, background=background, seed=material.seed)
    remark = f"largest mean |SHAP value|: {', '.join(result.ranking()[:3])}"
    group = Group(inputs.method, (), (), (_picture(result, inputs, preparation),), inputs.method)
    return Answer("", (group,), numbers={inputs.method: result}, remarks=(remark,))


def importance_of_scores(
    events: TestedEvents,
    inputs: MethodInputs,
    *,
    explained: int = EXPLAINED,
    background: int = BACKGROUND,
    seed: int = 0,
) -> ShapleyImportance:
    """Importance of inputs by Shapley values of some events, each explained for the model that never saw it.

    The explained events are drawn with equal chances and counted with their weights; those of the background are
    drawn with chances in proportion to the absolute weight, of the events that the same model scores. Variables that
    are vectors of the same objects are one input.
    """
    random = np.random.default_rng([seed, _STREAM])
    units = _units(inputs)
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


def _units(inputs: MethodInputs) -> dict[str, list[str]]:
    """Inputs by their names: variables, and vectors of the same objects together."""
    units: dict[str, list[str]] = {}
    for name in inputs.variables:
        together = inputs.together([name])
        if not any(name in unit for unit in units.values()):
            units[", ".join(together)] = together
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
