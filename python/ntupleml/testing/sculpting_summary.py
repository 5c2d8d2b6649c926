"""What the score of each class does to the background in each variable, as rows of a table with a verdict each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.distance_correlation import LARGEST_SAMPLE
from ntupleml.metrics.measurement import Undefined, Verdict
from ntupleml.metrics.sculpting import Sculpting, sculpting, sliced_score
from ntupleml.metrics.sculpting_verdict import sculpting_verdict, worst_first
from ntupleml.metrics.two_samples import TwoSampleTest
from ntupleml.metrics.variable_bins import quantile_bins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.sculpting import SlicedScore
    from ntupleml.testing.tested_events import TestedEvents

#: Name of the overview of all variables.
OVERVIEW = "sculpting"
#: Combinations of class and variable whose distance correlations take a large sample each; more take a small one.
_FEW_COMBINATIONS, _SMALL_SAMPLE = 20, 500
#: Longest part of a file's name that a variable gets.
_LONGEST_NAME = 60


class SculptingRow(NamedTuple):
    """What the score of one class does to the background in one variable.

    Attributes
    ----------
    class_name, variable : str
    result : Sculpting or Undefined
    verdict : Verdict
        With its significance corrected for the number of rows that were made together.
    """

    class_name: str
    variable: str
    result: Sculpting | Undefined
    verdict: Verdict

    @property
    def distance(self) -> TwoSampleTest | Undefined:
        """Largest Kolmogorov-Smirnov distance of a slice."""
        if isinstance(self.result, Undefined):
            return self.result
        tests = [shape.kolmogorov_smirnov for shape in self.result.slices]
        known = [test for test in tests if isinstance(test, TwoSampleTest)]
        return max(known, key=lambda test: test.statistic) if known else Undefined("no slice could be compared")


def file_names(variables: Sequence[str]) -> dict[str, str]:
    """Variables as parts of the names of files: what is no letter, digit, dot or minus becomes a low line.

    Examples
    --------
    >>> file_names(["pt_1", "pt_1/pt_2", "pt_1*pt_2"])
    {'pt_1': 'pt_1', 'pt_1/pt_2': 'pt_1_pt_2', 'pt_1*pt_2': 'pt_1_pt_2_2'}
    """
    names: dict[str, str] = {}
    for variable in variables:
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", variable)[:_LONGEST_NAME].strip("_.") or "variable"
        name, number = plain, 1
        # Some file systems take names that differ only in capitals for the same.
        while name.lower() in {taken.lower() for taken in names.values()}:
            number += 1
            name = f"{plain}_{number}"
        names[variable] = name
    return names


def sculpting_summary(
    events: TestedEvents, method: str | None = None, variables: Sequence[str] | None = None, *, seed: int = 0
) -> list[SculptingRow]:
    """What the score of each class does to the background, all other classes, in each variable.

    Parameters
    ----------
    events : TestedEvents
    method : str, optional
        By default the first method of the events.
    variables : sequence of str, optional
        By default all that the events have.
    seed : int, default: 0
        Of the samples for the distance correlations.

    Returns
    -------
    list of SculptingRow
        By variable and, within it, by class. All events count, but for the distance correlations, which take a random
        sample of at most 2,000 background events, or 500 for more than 20 rows.

    Raises
    ------
    NtuplemlError
        For a variable or method that the events do not have.
    """
    scores = scores_of(events, method)
    variables = events.variables if variables is None else list(variables)
    few = len(variables) * len(events.classes) <= _FEW_COMBINATIONS
    largest_sample = LARGEST_SAMPLE if few else _SMALL_SAMPLE
    sliced = [
        sliced_score(scores[:, index], events.truth != index, events.weights, seed + index, largest_sample)
        for index in range(len(events.classes))
    ]
    squares = np.square(events.weights)
    results = [
        result for variable in variables for result in _results_of(events, variable, sliced, events.weights, squares)
    ]
    pairs = [(class_name, variable) for variable in variables for class_name in events.classes]
    return [
        SculptingRow(*pair, result, sculpting_verdict(result, *pair, num_results=len(results)))
        for pair, result in zip(pairs, results, strict=True)
    ]


def scores_of(events: TestedEvents, method: str | None) -> NDArray[np.float32]:
    """Scores of a method, by default of the first one.

    Raises
    ------
    NtuplemlError
        If the events have no scores of it, naming the nearest.
    """
    method = method or next(iter(events.scores))
    if method not in events.scores:
        raise NtuplemlError(f"method '{method}' is not among those tested{did_you_mean(method, events.scores)}")
    return events.scores[method]


def column_of(events: TestedEvents, variable: str) -> NDArray[np.float32]:
    """Values of a variable.

    Raises
    ------
    NtuplemlError
        If the events do not have it, naming the nearest.
    """
    if variable not in events.variables:
        raise NtuplemlError(f"variable '{variable}' was not read{did_you_mean(variable, events.variables)}")
    return np.ascontiguousarray(events.values_of(variable))


def _results_of(
    events: TestedEvents,
    variable: str,
    sliced: Sequence[SlicedScore | Undefined],
    weights: NDArray[np.float64],
    squares: NDArray[np.float64],
) -> list[Sculpting | Undefined]:
    """One variable, for all classes."""
    values = column_of(events, variable)
    bins = quantile_bins(values)
    if isinstance(bins, Undefined):
        return [bins] * len(sliced)
    return [
        score if isinstance(score, Undefined) else sculpting(score, values, bins, weights, squares) for score in sliced
    ]


def worst_rows(rows: Sequence[SculptingRow], number: int | None = None) -> list[SculptingRow]:
    """The rows with the largest significant effects, worst first."""
    return [rows[position] for position in worst_first([row.result for row in rows])[:number]]


def sculpts(rows: Sequence[SculptingRow], spectators: Sequence[str]) -> Verdict:
    """Whether a classifier sculpts the background: one answer for all classes and variables.

    Parameters
    ----------
    rows : sequence of SculptingRow
        Of a `sculpting_summary`.
    spectators : sequence of str
        Variables whose shape should stay as it is. Without any there is no answer: inputs that help to tell the classes
        apart depend on the score, and may.
    """
    worst = worst_rows([row for row in rows if row.variable in spectators])
    if not worst:
        largest = worst_rows(rows, 1)
        inputs = f" (of the inputs: {largest[0].verdict.text})" if largest else ""
        return Verdict(
            "unknown", f"no spectators are named in the testing config whose shape should not be sculpted{inputs}"
        )
    bad = [row for row in worst if row.verdict.level == "attention"]
    if bad:
        more = f"; so in {len(bad)} of {len(worst)} cases" if len(bad) > 1 else ""
        return Verdict("attention", bad[0].verdict.text + more)
    unclear = [row for row in worst if row.verdict.level == "unknown"]
    return (unclear or worst)[0].verdict
