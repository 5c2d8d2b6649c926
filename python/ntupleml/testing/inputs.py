"""The inputs of a classifier as pictures and tables, and what an analyst must know about them."""

from __future__ import annotations

import logging
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.atomic import all_or_none
from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.config.define import OF_TESTING, completed_by, formulas_of
from ntupleml.errors import NtuplemlError
from ntupleml.folds import chosen_models, scoring_model
from ntupleml.metrics import Undefined, as_plain
from ntupleml.plots.correlations import draw_all_correlations, draw_correlations, draw_differences
from ntupleml.plots.inputs import draw_distributions, draw_separation_ranking, draw_several_distributions
from ntupleml.plots.pictures import Picture, Table, picture_paths, together, write_picture
from ntupleml.testing.events import held_out_sample, weights_of
from ntupleml.testing.input_findings import input_findings, inputs_verdict
from ntupleml.testing.input_summary import InputReading, input_summary_of_events, read_input_summary
from ntupleml.testing.preparation import tested_classes
from ntupleml.testing.steps import Answer, Group, refuse_existing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.metrics.correlations import Correlations
    from ntupleml.metrics.inputs import Distribution, InputSummary
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

log = logging.getLogger(__name__)

#: Pairs of variables in the tables of correlations.
_LONGEST_TABLE = 15
#: Variables in a picture with a panel for each.
IN_ONE_PICTURE = 9
_LONGEST_NAME = 80
#: Pictures that belong to no method.
_NO_METHOD = ""
#: Correlations of more variables are folded up.
_FEW_VARIABLES = 8
_INTRODUCTION = (
    "The variables and spectators of the tested events, each class normalised to 1. Before any training, "
    "dataset/validate_inputs.py shows the same of all events."
)


def has_numbers(material: Material) -> bool:
    """Whether there are variables or spectators; models may take objects, slots or images alone."""
    return bool(material.variables)


def inputs_of_events(material: Material) -> Answer:
    """Overview, a panel per variable, and the correlations."""
    summary = input_summary_of_events(material.events, material.variables)
    ranking, *others = inputs_pictures(summary, in_panels=True)
    alone = len(summary.classes) == 1  # nothing to be compared with
    others = [picture for picture in others if not (alone and picture.name.startswith("correlations_difference"))]
    variables = tuple(picture for picture in others if not picture.name.startswith("correlations"))
    correlations = tuple(picture for picture in others if picture.name.startswith("correlations"))
    findings = tuple((text,) for text in input_findings(summary))
    tables = [weights_table(summary), overview_table(summary)]
    if findings:
        tables.insert(0, Table(("Finding",), findings, "What to look at"))
    groups = (
        Group("Overview", (), tuple(tables), () if alone else (ranking._replace(tables=()),), _NO_METHOD),
        Group("Variables", (), (), variables, _NO_METHOD),
        Group("Correlations", (), (), correlations, _NO_METHOD, is_open=len(summary.variables) <= _FEW_VARIABLES),
    )
    return Answer(_INTRODUCTION, groups, (("Inputs", inputs_verdict(summary)),), summary)


def validate_inputs(
    training_path: str | Path,
    testing_path: str | Path | None = None,
    fold: str = "all",
    *,
    variables: Sequence[str] = (),
    condition: str | None = None,
    class_weights: bool = False,
    max_events: int | None = None,
    entries_per_chunk: int | None = None,
    overwrite: bool = False,
) -> tuple[InputSummary, list[Path]]:
    """Look at the inputs in the fold files of a training config, and write their pictures and numbers.

    Nothing needs to be trained yet.

    Parameters
    ----------
    testing_path : path, optional
        For its weight branch, spectators, and look of the pictures.
    fold : str, default: "all"
        Index of the fold file, or `all` of them.
    variables : sequence of str, optional
        Branches or formulas beside the inputs of the training and the spectators.
    condition : str, optional
        Condition (era), for trainings with conditions.
    class_weights : bool, default: False
        Multiply the event weights with the class weights of the training also where the testing config does not.
    max_events : int, optional
        Look at a random sample of this size; by default at all events.
    entries_per_chunk : int, optional
        Events read at a time.

    Returns
    -------
    InputSummary, list of Path
        The numbers, and the files written.

    Raises
    ------
    NtuplemlError
        For everything wrong with configs, fold, condition, files and variables, and for files that exist and must
        not be replaced.
    """
    training = load_config(training_path, TrainingConfig)
    testing = TestingConfig() if testing_path is None else load_config(testing_path, TestingConfig)
    own_plot = "plot" in testing.model_fields_set
    testing = completed_by(testing, training, OF_TESTING)
    chosen_models(fold, training.num_folds, training.where)
    folds = range(training.num_folds) if fold == "all" else [int(fold)]
    samples = [
        held_out_sample(training, scoring_model(index, training.num_folds), condition, training.where)
        for index in folds
    ]
    weight_branch, weight_key = weights_of(training, testing, training.where, testing.where)
    factors = training.class_weights_of(condition) if class_weights or testing.class_weights else {}
    classes = tested_classes(training, testing)
    names = formulas_of(training.define)
    wanted = list(dict.fromkeys([*training.numbers, *testing.spectators, *(names.get(one, one) for one in variables)]))
    if not wanted:
        raise NtuplemlError(
            f"{training.where}: inputs: no group of numbers, which is what can be shown; give --variable, such as "
            '"Sum$(Jet_pt)"'
        )
    if any(not name.strip() for name in wanted):
        raise NtuplemlError("--variable: an empty name; give a branch, or a formula of branches")
    reading = InputReading(
        classes, wanted, weight_branch, weight_key, factors, max_events, testing.seed, entries_per_chunk
    )
    suffix = "" if condition is None else f"_{condition}"
    folder = Path(training.output_path)
    stems = [folder / f"fold{fold}_{name}{suffix}" for name in inputs_names(wanted, classes)]
    refuse_existing([path for stem in stems for path in picture_paths(stem)], overwrite=overwrite)
    summary = read_input_summary(samples, reading)
    plot = testing.plot if own_plot else training.plot
    for text in input_findings(summary):
        log.warning("%s", text)
    paths: list[Path] = []
    with all_or_none():
        for stem, picture in zip(stems, inputs_pictures(summary), strict=True):
            paths += write_picture(picture, stem, plot, overwrite=overwrite)
    return summary, paths


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


def inputs_pictures(summary: InputSummary, *, in_panels: bool = False, unit: str = "events") -> list[Picture]:
    """Pictures of the inputs, with their numbers and tables; the first has the overview and the weights.

    Parameters
    ----------
    unit : str, default: "events"
        What is counted.
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
        *_panels(variables, summary, unit, "class"),
        together(
            "correlations",
            f"Weighted correlation coefficients of each class, over the {unit} that have both values.",
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


def variables_pictures(summary: InputSummary, prefix: str, of: str, unit: str = "events") -> list[Picture]:
    """Pictures ``{prefix}_1`` and so on, each of several variables, and of nothing else.

    Parameters
    ----------
    of : str
        What the distributions are of, e.g. ``file``.
    """
    variables = {variable: _variable_picture(variable, variable, summary) for variable in summary.variables}
    return [one._replace(name=one.name.replace("inputs", prefix, 1)) for one in _panels(variables, summary, unit, of)]


def _panels(variables: dict[str, Picture], summary: InputSummary, unit: str, of: str) -> list[Picture]:
    return [_panels_picture(number, part, summary, unit, of) for number, part in enumerate(_parts(variables), start=1)]


def _parts(variables: dict[str, Picture]) -> list[dict[str, Picture]]:
    """As many variables as stand in one picture."""
    names = list(variables)
    chunks = [names[start : start + IN_ONE_PICTURE] for start in range(0, len(names), IN_ONE_PICTURE)]
    return [{name: variables[name] for name in chunk} for chunk in chunks]


def _panels_picture(number: int, pictures: dict[str, Picture], summary: InputSummary, unit: str, of: str) -> Picture:
    shown = {name: (summary.binnings[name], summary.distributions[name]) for name in pictures}
    caption = f"Shares of the {unit} of each {of} per bin, with statistical uncertainties."
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
                variable: {label: as_plain(one)["separation"] for label, one in by_class.items()}
                for variable, by_class in summary.distributions.items()
            },
            "weights": {label: as_plain(one) for label, one in summary.weights.items()},
            "findings": findings,
        },
        tuple(tables),
    )


def _sampling(summary: InputSummary) -> str:
    if not summary.sampled:
        return ""
    shares = ", ".join(f"{name}: {share:.3g}" for name, share in summary.sampled.items())
    return f" A random sample of the events was looked at ({shares})."


def overview_table(summary: InputSummary, of: str = "class") -> Table:
    """One row per variable: range, missing values, and the class, or what else is compared, that it separates best."""
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
    header = ("variable", "minimum", "maximum", "share missing", "default values", "largest separation", f"of {of}")
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
        "classes": {label: as_plain(one) for label, one in by_class.items()},
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
        as_plain(found),
        (_pairs_table(found, "correlation"),),
    )


def _difference_picture(name: str, class_name: str, summary: InputSummary) -> Picture:
    found = summary.differences[class_name]
    return Picture(
        name,
        f"Differences of the correlation coefficients in class {class_name} from those in the other classes together.",
        partial(draw_differences, found, class_name),
        as_plain(found),
        (_pairs_table(found, "difference"),),
    )


def _pairs_table(found: Correlations, what: str) -> Table:
    rows = tuple(found.pairs()[:_LONGEST_TABLE])
    return Table(("variable", "variable", what), rows, f"The largest in size of {len(found.variables)} variables")
