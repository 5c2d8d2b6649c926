"""Efficiency of an anomaly trigger against variables such as the pile-up."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.bayesian_efficiency import bayesian_efficiency_in_bins
from ntupleml.metrics.measurement import Interval, Undefined, as_plain
from ntupleml.metrics.trigger_regions import trigger_regions
from ntupleml.metrics.variable_bins import bins_of_edges, even_bins
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.style import literal
from ntupleml.plots.trigger import draw_efficiencies_in_bins
from ntupleml.testing.steps import Answer
from ntupleml.testing.trigger import decisions, has_trigger, named_trigger, trigger_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.config import VariableConfig
    from ntupleml.testing.material import Material
    from ntupleml.testing.trigger import Decisions, Trigger


class OfVariable(NamedTuple):
    """Efficiency in bins of one variable."""

    #: Shape (n_bins + 1,).
    edges: NDArray[np.float64]
    #: Number of events beyond the edges, and without a finite value: these are left out.
    left_out: int
    #: By scheme and class, one for each bin.
    schemes: dict[str, dict[str, list[Interval | Undefined]]]


def has_variables(material: Material) -> bool:
    """Whether the testing config names variables for an anomaly trigger."""
    config = material.testing.trigger
    return has_trigger(material) and config is not None and bool(config.variables)


def trigger_efficiencies_of_variables(material: Material) -> Answer:
    """Efficiency of every method against each variable."""
    config, where = named_trigger(material)
    if not config.variables:
        raise NtuplemlError(f"{where}: variables: none are named; give name: {{formula: …, edges: […]}} for each")
    material.announce(f"trigger_efficiency_{name}" for name in config.variables)
    trigger = trigger_of(material)
    found: dict[str, dict[str, OfVariable | Undefined]] = {}
    for method in material.methods:
        decided = decisions(trigger, material.events.scores[method])
        found[method] = {name: _of_variable(trigger, decided, one) for name, one in config.variables.items()}
    return Answer.by_method(
        {
            method: [_picture(method, name, config.variables[name], one) for name, one in variables.items()]
            for method, variables in found.items()
        },
        "Share of what L1 accepts that the anomaly trigger of the HLT accepts: regions (E or F) / (B or C), for l1All "
        "(E or F) / (B or C or D), with 68.3 % Bayesian intervals.",
        numbers=found,
        only_first_open=True,
    )


def _of_variable(trigger: Trigger, decided: Decisions, config: VariableConfig) -> OfVariable | Undefined:
    values = np.ascontiguousarray(trigger.events.values_of(config.formula))
    bins = even_bins(values) if config.edges is None else bins_of_edges(values, config.edges)
    if isinstance(bins, Undefined):
        return bins
    outside = bins.below + bins.above if config.edges is not None else 0
    found = OfVariable(bins.edges, outside + bins.missing, {})
    for scheme, bits in decided.bits.items():
        regions = trigger_regions(bits, scheme)
        found.schemes[scheme] = {}
        for name in trigger.classes:
            rows = np.flatnonzero(regions.counted(scheme) & trigger.of_class(name))
            chosen = bins._replace(of_event=bins.of_event[rows])
            found.schemes[scheme][name] = bayesian_efficiency_in_bins(
                regions.accepted[rows], chosen, trigger.events.weights[rows]
            )
    return found


def _picture(method: str, name: str, config: VariableConfig, found: OfVariable | Undefined) -> Picture:
    numbers: dict[str, Any] = {"method": method, "variable": config.formula}
    stem, label = f"trigger_efficiency_{name}", config.label or literal(config.formula)
    if isinstance(found, Undefined):
        empty = partial(draw_efficiencies_in_bins, np.arange(2.0), {}, label)
        return Picture(
            stem, f"{method}: '{config.formula}' has {found.reason}.", empty, numbers | as_plain({"undefined": found})
        )
    beyond = f" {found.left_out} events beyond the edges are left out." if found.left_out else ""
    return Picture(
        stem,
        f"{method}: share of what L1 accepts that the anomaly trigger of the HLT accepts, in bins of "
        f"{config.formula}.{beyond} Intervals: 68.3 %.",
        partial(draw_efficiencies_in_bins, found.edges, found.schemes, label),
        numbers | as_plain(found),
        tuple(_table(scheme, classes, found.edges) for scheme, classes in found.schemes.items()),
    )


def _table(scheme: str, classes: dict[str, list[Interval | Undefined]], edges: NDArray[np.float64]) -> Table:
    rows = tuple(
        (f"{low:.4g} to {high:.4g}", *(values[place] for values in classes.values()))
        for place, (low, high) in enumerate(pairwise(edges))
    )
    return Table(("Bin", *classes), rows, scheme)
