"""The inputs of a classifier as pictures and tables, and what an analyst must know about them."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from ntupleml.metrics import Undefined
from ntupleml.plots.correlations import draw_all_correlations, draw_correlations, draw_differences
from ntupleml.plots.inputs import draw_distributions, draw_separation_ranking, draw_several_distributions
from ntupleml.plots.pictures import Picture, Table, together
from ntupleml.testing.input_findings import input_findings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.metrics.correlations import Correlations
    from ntupleml.metrics.inputs import Distribution, InputSummary
    from ntupleml.plots.pictures import Cell

#: Pairs of variables in the tables of correlations.
_LONGEST_TABLE = 15
#: Variables in a picture with a panel for each.
_IN_ONE_PICTURE = 9
_LONGEST_NAME = 80


def inputs_names(variables: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Names of the pictures, in their order: the ranking, the variables, and for each class two matrices.

    Formulas are written with letters that may stand in the names of files; equal names are numbered.

    Examples
    --------
    >>> inputs_names(["x", "pt[0]/y"], ["signal"])
    ['inputs_separation', 'inputs_x', 'inputs_pt_0_y', 'correlations_signal', 'correlations_difference_signal']
    """
    wanted = ["inputs_separation", *(f"inputs_{_file_name(name)}" for name in variables)]
    for name in classes:
        wanted += [f"correlations_{_file_name(name)}", f"correlations_difference_{_file_name(name)}"]
    names: list[str] = []
    for name in wanted:
        unique, number = name, 2
        while unique in names:
            unique, number = f"{name}_{number}", number + 1
        names.append(unique)
    return names


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.\-]+", "_", name)[:_LONGEST_NAME].strip("_.") or "variable"


def inputs_pictures(summary: InputSummary, *, in_panels: bool = False) -> list[Picture]:
    """Pictures of the inputs, with their numbers and tables; the first has the overview and the weights.

    Parameters
    ----------
    summary : InputSummary
    in_panels : bool, default: False
        Make pictures of several variables, ``inputs_1``, ``inputs_2`` and so on, and one of the correlations and one of
        their differences of all classes, in place of one for each.
    """
    names = iter(inputs_names(summary.variables, summary.classes))
    ranking = _ranking_picture(next(names), summary)
    variables = {variable: _variable_picture(next(names), variable, summary) for variable in summary.variables}
    correlations, differences = {}, {}
    for name in summary.classes:
        correlations[name] = _correlation_picture(next(names), name, summary)
        differences[name] = _difference_picture(next(names), name, summary)
    if not in_panels:
        pairs = zip(correlations.values(), differences.values(), strict=True)
        return [ranking, *variables.values(), *(picture for pair in pairs for picture in pair)]
    return [
        ranking,
        *(_panels_picture(number, part, summary) for number, part in enumerate(_parts(variables), start=1)),
        together(
            "correlations",
            "Weighted correlation coefficients of each class, over the events that have both values.",
            correlations,
            partial(draw_all_correlations, summary.correlations),
            "class",
        ),
        together(
            "correlations_difference",
            "Differences of the correlation coefficients in each class from those in the other classes together.",
            differences,
            partial(draw_all_correlations, summary.differences, differences=True),
            "class",
        ),
    ]


def _parts(variables: dict[str, Picture]) -> list[dict[str, Picture]]:
    """As many variables as stand in one picture."""
    names = list(variables)
    chunks = [names[start : start + _IN_ONE_PICTURE] for start in range(0, len(names), _IN_ONE_PICTURE)]
    return [{name: variables[name] for name in chunk} for chunk in chunks]


def _panels_picture(number: int, pictures: dict[str, Picture], summary: InputSummary) -> Picture:
    shown = {name: (summary.binnings[name], summary.distributions[name]) for name in pictures}
    caption = "Shares of the events of each class per bin, with statistical uncertainties."
    if any(binning.defaults for binning, _ in shown.values()):
        caption += " Default values stand for missing and count in neither mean, standard deviation nor correlations."
    return together(
        f"inputs_{number}",
        caption + _sampling(summary),
        pictures,
        partial(draw_several_distributions, shown),
        "variable",
    )


def _ranking_picture(name: str, summary: InputSummary) -> Picture:
    findings = input_findings(summary)
    tables = [overview_table(summary), weights_table(summary)]
    if findings:
        tables.append(Table(("finding",), tuple((text,) for text in findings), "What to look at"))
    return Picture(
        name,
        "Separation ⟨S²⟩ of each class from the others together: 0 where the distributions are the same, 1 where they "
        "do not overlap. Grey: what the number of events gives by chance alone." + _sampling(summary),
        partial(draw_separation_ranking, summary),
        {
            "classes": summary.classes,
            "variables": {
                variable: {label: one.to_dict()["separation"] for label, one in by_class.items()}
                for variable, by_class in summary.distributions.items()
            },
            "weights": {label: one.to_dict() for label, one in summary.weights.items()},
            "findings": findings,
        },
        tuple(tables),
    )


def _sampling(summary: InputSummary) -> str:
    if not summary.sampled:
        return ""
    shares = ", ".join(f"{name}: {share:.3g}" for name, share in summary.sampled.items())
    return f" A random sample of the events was looked at ({shares})."


def overview_table(summary: InputSummary) -> Table:
    """One row per variable: range, missing values, and the class that it separates best."""
    best = {variable: (label, separation) for variable, label, separation in summary.ranking()}
    rows: list[tuple[Cell, ...]] = []
    for variable, by_class in summary.distributions.items():
        events = sum(one.events for one in by_class.values())
        lowest = [one.minimum for one in by_class.values() if not isinstance(one.minimum, Undefined)]
        highest = [one.maximum for one in by_class.values() if not isinstance(one.maximum, Undefined)]
        nothing = Undefined("all values are missing" if events else "no events")
        label, separation = best.get(variable, ("", next(iter(by_class.values())).separation))
        missing = sum(one.missing for one in by_class.values())
        rows.append(
            (
                variable,
                min(lowest) if lowest else nothing,
                max(highest) if highest else nothing,
                missing / events if events else nothing,
                ", ".join(f"{value:g}" for value in summary.binnings[variable].defaults),
                separation,
                label,
            )
        )
    header = ("variable", "minimum", "maximum", "share missing", "default values", "largest separation", "of class")
    return Table(header, tuple(rows), "Inputs")


def weights_table(summary: InputSummary) -> Table:
    """One row per class: what its event weights amount to."""
    header = (
        "class",
        "events",
        "sum of weights",
        "effective events",
        "negative share of events",
        "negative share of |w|",
        "largest |w| / mean |w|",
        "largest share of Σw²",
        "NaN or infinite",
    )
    rows = tuple(
        (
            name,
            one.events,
            one.total,
            one.effective_events,
            one.negative_events,
            one.negative_weight,
            one.largest_to_mean,
            one.largest_share,
            one.bad,
        )
        for name, one in summary.weights.items()
    )
    return Table(header, rows, "Event weights")


def _variable_picture(name: str, variable: str, summary: InputSummary) -> Picture:
    by_class, binning = summary.distributions[variable], summary.binnings[variable]
    default = ", ".join(f"{value:g}" for value in binning.defaults)
    caption = f"Distribution of {variable}, each class normalised to 1, with its statistical uncertainty."
    if default:
        caption += f" {default} stands for missing and counts in neither mean, standard deviation nor correlations."
    header = (
        "class",
        "events",
        "mean",
        "standard deviation",
        "minimum",
        "maximum",
        "underflow",
        "overflow",
        "NaN",
        "±∞",
        "default",
        "separation",
    )
    numbers = {
        "variable": variable,
        "integer": binning.is_integer,
        "default_values": list(binning.defaults),
        "edges": "undefined: all values are missing" if binning.edges is None else binning.edges.tolist(),
        "classes": {label: one.to_dict() for label, one in by_class.items()},
    }
    return Picture(
        name,
        caption + _sampling(summary),
        partial(draw_distributions, variable, binning, by_class),
        numbers,
        (Table(header, tuple(_row(label, one) for label, one in by_class.items())),),
    )


def _row(label: str, one: Distribution) -> tuple[Cell, ...]:
    flow: tuple[Cell, Cell] = (
        (one.fractions, one.fractions)
        if isinstance(one.fractions, Undefined)
        else (one.fractions.underflow, one.fractions.overflow)
    )
    infinite = one.plus_infinity + one.minus_infinity
    default = sum(one.defaults.values())
    numbers = (one.mean, one.standard_deviation, one.minimum, one.maximum)
    return (label, one.events, *numbers, *flow, one.nan, infinite, default, one.separation)


def _correlation_picture(name: str, class_name: str, summary: InputSummary) -> Picture:
    found = summary.correlations[class_name]
    return Picture(
        name,
        f"Weighted correlation coefficients in class {class_name}, over the events that have both values.",
        partial(draw_correlations, found, class_name),
        found.to_dict(),
        (_pairs_table(found, "correlation"),),
    )


def _difference_picture(name: str, class_name: str, summary: InputSummary) -> Picture:
    found = summary.differences[class_name]
    return Picture(
        name,
        f"Differences of the correlation coefficients in class {class_name} from those in the other classes together.",
        partial(draw_differences, found, class_name),
        found.to_dict(),
        (_pairs_table(found, "difference"),),
    )


def _pairs_table(found: Correlations, what: str) -> Table:
    rows = tuple(found.pairs()[:_LONGEST_TABLE])
    return Table(("variable", "variable", what), rows, f"The largest in size of {len(found.variables)} variables")
