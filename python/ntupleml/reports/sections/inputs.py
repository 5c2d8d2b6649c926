"""The inputs: their distributions, correlations and weights, of the same events that the models are tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.plots.pictures import Table
from ntupleml.reports.page import Group, Section
from ntupleml.testing.input_findings import input_findings, inputs_verdict
from ntupleml.testing.input_summary import input_summary_of_events
from ntupleml.testing.inputs import inputs_pictures, overview_table, weights_table

if TYPE_CHECKING:
    from ntupleml.reports.material import Material

#: Pictures that belong to no method.
_NO_METHOD = ""


def section(material: Material) -> Section:
    """Overview, a panel per variable, and the correlations."""
    summary = input_summary_of_events(material.events)
    ranking, *others = inputs_pictures(summary, in_panels=True)
    variables = tuple(picture for picture in others if not picture.name.startswith("correlations"))
    correlations = tuple(picture for picture in others if picture.name.startswith("correlations"))
    findings = tuple((text,) for text in input_findings(summary))
    tables = [weights_table(summary), overview_table(summary)]
    if findings:
        tables.insert(0, Table(("Finding",), findings, "What to look at"))
    groups = (
        Group("Overview", (), tuple(tables), (ranking._replace(tables=()),), _NO_METHOD),
        Group("Variables", (), (), variables, _NO_METHOD),
        Group("Correlations", (), (), correlations, _NO_METHOD, is_open=len(summary.variables) <= _FEW_VARIABLES),
    )
    return Section("inputs", "Inputs", _INTRODUCTION, groups, (("Inputs", inputs_verdict(summary)),))


#: Correlations of more variables are folded up.
_FEW_VARIABLES = 8
_INTRODUCTION = (
    "The variables and spectators of the tested events, each class normalised to 1. Before any training, "
    "dataset/validate_inputs.py shows the same of all events."
)
