"""The step of data and simulation: each variable of the tested classes stacked, with recorded data as points."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined, as_plain, histogram
from ntupleml.metrics.input_binning import choose_binning
from ntupleml.metrics.score_distributions import score_stack, sum_of_weights
from ntupleml.plots.pictures import Picture, Table, together
from ntupleml.plots.score_distributions import draw_variable_stacks
from ntupleml.testing.inputs import IN_ONE_PICTURE, inputs_names
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.score_distributions import ScoreStack
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

_INTRODUCTION = (
    "Sums of weights of the classes, and recorded data as points with √N. The ratio is data over simulation; its band "
    "is the statistical uncertainty of the simulation. Data are in no training, no ROC curve and no significance."
)


def has_data(material: Material) -> bool:
    """Whether the fold files have recorded data, and there are variables."""
    return material.found is not None and bool(material.variables) and not isinstance(material.data, Undefined)


def data_and_simulation(material: Material) -> Answer:
    """Stacks of all variables with recorded data, outside the blinded region."""
    names = [name.replace("inputs", "data", 1) for name in inputs_names(material.variables, [])[1:]]
    material.announce(names)
    data, method = material.data, material.methods[0]
    if isinstance(data, Undefined):
        raise NtuplemlError(
            f"{material.preparation.testing_path}: data_class: recorded data are not there: {data.reason}; mark a "
            "process of the dataset config with data: true"
        )
    simulation, hidden = material.events, material.blinded(material.events, method)
    introduction = _INTRODUCTION
    if hidden is not None:
        simulation = simulation.chosen(np.flatnonzero(~hidden))
        introduction += (
            f" Events that pass '{material.testing.blind}' by the scores of {method} are left out, of data and "
            f"simulation alike: {hidden.sum():,} events of the simulation."
        )
    stacks = {variable: _stack(simulation, data, variable) for variable in material.variables}
    shown = {name: one for name, one in stacks.items() if one is not None}
    pictures = [
        _picture(name, variable, shown[variable])
        for name, variable in zip(names, material.variables, strict=True)
        if variable in shown
    ]
    if material.for_page:
        pictures = _in_panels(dict(zip(shown, pictures, strict=True)), shown)
    return Answer(introduction, (Group("", (), (), tuple(pictures), ""),), (), shown)


def _stack(simulation: TestedEvents, data: TestedEvents, variable: str) -> ScoreStack | None:
    """None where no event has a finite value."""
    values, recorded = simulation.values_of(variable), data.values_of(variable)
    of_classes = [simulation.truth == index for index in range(len(simulation.classes))]
    edges = choose_binning(
        [*(values[chosen] for chosen in of_classes), recorded],
        [*(simulation.weights[chosen] for chosen in of_classes), data.weights],
    ).edges
    if edges is None:
        return None
    edges = _wider(edges)
    classes = {
        name: histogram(values[chosen], simulation.weights[chosen], edges)
        for name, chosen in zip(simulation.classes, of_classes, strict=True)
    }
    return score_stack(classes, histogram(recorded, data.weights, edges))


def _wider(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every second edge where bins are many, for points that are far enough apart."""
    return edges[::2] if len(edges) % 2 == 1 and len(edges) > 40 else edges


def _picture(name: str, variable: str, stack: ScoreStack) -> Picture:
    rows: list[tuple[Cell, ...]] = [(of, sum_of_weights(one)) for of, one in stack.classes.items()]
    rows += [("all classes", sum_of_weights(stack.total))]
    if not isinstance(stack.data, Undefined):
        shape = stack.shape if isinstance(stack.shape, Undefined) else stack.shape.p_value
        rows += [("data", sum_of_weights(stack.data)), ("data / all classes", stack.normalisation)]
        rows.append(("p-value of the shapes (χ²)", shape))
    scaled = "" if stack.scale == 1 else f" The simulation is scaled by {stack.scale:.3g} to the data."
    return Picture(
        name,
        f"Sums of weights of all classes in bins of '{variable}', unseen events; points: recorded data.{scaled}",
        partial(draw_variable_stacks, {variable: stack}),
        {"variable": variable, **as_plain(stack)},
        (Table(("", "Sum of weights"), tuple(rows)),),
    )


def _in_panels(pictures: dict[str, Picture], stacks: dict[str, ScoreStack]) -> list[Picture]:
    names = list(pictures)
    chunks = [names[start : start + IN_ONE_PICTURE] for start in range(0, len(names), IN_ONE_PICTURE)]
    return [
        together(
            f"data_{number}",
            "Sums of weights of all classes, unseen events; points: recorded data.",
            {name: pictures[name] for name in chunk},
            partial(draw_variable_stacks, {name: stacks[name] for name in chunk}),
            "variable",
        )
        for number, chunk in enumerate(chunks, start=1)
    ]
