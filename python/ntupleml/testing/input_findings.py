"""What an analyst must know about the inputs of a classifier before a training, each in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics import Undefined, Verdict
from ntupleml.metrics.number_texts import measurement_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.metrics.inputs import Distribution, InputSummary

#: Coefficient from which two variables say the same.
_DUPLICATE = 0.99
#: Ratio of effective events of two classes that is worth a word.
_LARGEST_RATIO = 100.0
#: Share of one event in the variance of a class of at least so many events that is worth a word.
_DOMINANT_SHARE, _FEWEST_EVENTS = 0.1, 20
#: A value of so large a share of the events of some class is said.
_SPIKE_SHARE = 0.02
#: Names in one sentence.
_MOST_NAMES = 12


def input_findings(summary: InputSummary) -> list[str]:
    """Sentences about constants, missing, infinite and default values, duplicates and weights; the gravest first.

    Examples
    --------
    E.g. "default value -999, which stands for missing: jet2_pt (31 to 45 %)".
    """
    return [
        *_bad_weights(summary),
        *_empty_variables(summary),
        *_infinite_values(summary),
        *_duplicates(summary),
        *_default_values(summary),
        *_missing_values(summary),
        *_spikes(summary),
        *_sizes(summary),
    ]


def inputs_verdict(summary: InputSummary) -> Verdict:
    """Whether the inputs can be used as they are, with the first of the findings."""
    if not any(one.events for one in summary.weights.values()):
        return Verdict("unknown", "There are no events, so nothing can be said about the inputs.")
    findings = input_findings(summary)
    if not findings:
        return Verdict("good", f"Nothing strange in the {len(summary.variables)} inputs.")
    more = f" ({len(findings) - 1} more findings)" if len(findings) > 1 else ""
    plain = (
        "One thing is strange about the inputs." if len(findings) == 1 else "Some things are strange about the inputs."
    )
    return Verdict("attention", f"{findings[0][0].upper()}{findings[0][1:]}{more}.", plain)


def _bad_weights(summary: InputSummary) -> Iterator[str]:
    for name, one in summary.weights.items():
        if not one.events:
            yield f"class '{name}' has no events"
            continue
        if one.bad:
            yield (
                f"{one.bad} of the {one.events} weights of class '{name}' are NaN or infinite; "
                "these events are left out"
            )
        if one.bad < one.events and one.total.value <= 0:
            total = measurement_text(one.total)
            yield f"the sum of weights of class '{name}' is not positive: {total}"
        if one.largest_share > _DOMINANT_SHARE and one.events - one.bad >= _FEWEST_EVENTS:
            yield (
                f"one event of class '{name}' has {100 * one.largest_share:.0f} % of the variance Σw²: its weight is "
                f"{one.largest_to_mean:.0f} times the mean"
            )


def _empty_variables(summary: InputSummary) -> Iterator[str]:
    has_events = [name for name in summary.classes if summary.weights[name].events > summary.weights[name].bad]
    if not has_events:
        return
    empty = [name for name, binning in summary.binnings.items() if binning.edges is None]
    if empty:
        yield f"no finite value in any class: {_names(empty)}"
    for label in has_events:
        of_class = [
            name
            for name in summary.variables
            if name not in empty and isinstance(summary.distributions[name][label].minimum, Undefined)
        ]
        if of_class:
            yield f"all values are missing in class '{label}': {_names(of_class)}"
    constant = [name for name in summary.variables if name not in empty and _is_constant(summary.distributions[name])]
    if constant:
        yield f"constant, so of no use: {_names(constant)}"
    for label in has_events if len(has_events) > 1 else []:
        of_class = [
            name
            for name in summary.variables
            if name not in constant and _is_constant({label: summary.distributions[name][label]})
        ]
        if of_class and summary.weights[label].events > 1:
            yield f"constant in class '{label}' alone: {_names(of_class)}"


def _is_constant(by_class: dict[str, Distribution]) -> bool:
    """Whether there is one value in all classes, and nothing missing."""
    limits = {
        limit for one in by_class.values() for limit in (one.minimum, one.maximum) if not isinstance(limit, Undefined)
    }
    return len(limits) == 1 and not any(one.missing for one in by_class.values())


def _infinite_values(summary: InputSummary) -> Iterator[str]:
    found = {
        name: sum(one.plus_infinity + one.minus_infinity for one in by_class.values())
        for name, by_class in summary.distributions.items()
    }
    names = [f"{name} ({number} events)" for name, number in found.items() if number]
    if names:
        yield f"infinite values: {_names(names)}"


def _missing_values(summary: InputSummary) -> Iterator[str]:
    names = [
        f"{name} ({_shares([one.nan / one.events for one in by_class.values() if one.events])})"
        for name, by_class in summary.distributions.items()
        if any(one.nan for one in by_class.values())
    ]
    if names:
        yield f"NaN: {_names(names)}"


def _default_values(summary: InputSummary) -> Iterator[str]:
    by_value: dict[float, list[str]] = {}
    for name, binning in summary.binnings.items():
        for value in binning.defaults:
            some = [one for one in summary.distributions[name].values() if one.events]
            text = f"{name} ({_shares([one.defaults[value] / one.events for one in some])})"
            by_value.setdefault(value, []).append(text)
    for value, names in by_value.items():
        yield f"default value {value:g}, which stands for missing: {_names(names)}"


def _spikes(summary: InputSummary) -> Iterator[str]:
    names = []
    for name, by_class in summary.distributions.items():
        spikes = [(one.spike[0], one.spike[1] / one.events) for one in by_class.values() if one.spike and one.events]
        if spikes and max(share for _, share in spikes) > _SPIKE_SHARE:
            names.append(f"{name} = {spikes[0][0]:g} ({_shares([share for _, share in spikes])})")
    if names:
        yield f"a single value of a continuous variable in many events: {_names(names)}"


def _duplicates(summary: InputSummary) -> Iterator[str]:
    """Pairs that are all but the same in every class where their coefficient is defined."""
    coefficients = np.array([one.coefficients for one in summary.correlations.values()])
    size = np.where(np.isnan(coefficients), np.inf, np.abs(coefficients)).min(axis=0, initial=np.inf)
    known = np.isfinite(size)
    names = [
        f"{summary.variables[row]} and {summary.variables[column]} (at least {size[row, column]:.4f})"
        for row, column in np.argwhere(np.triu(known & (size > _DUPLICATE), 1))
    ]
    if names:
        yield f"correlations beyond ±{_DUPLICATE:g} in every class, so one of two is enough: {_names(names)}"


def _sizes(summary: InputSummary) -> Iterator[str]:
    sizes = {name: one.effective_events for name, one in summary.weights.items() if one.effective_events > 0}
    if not sizes:
        return
    least, most = min(sizes, key=lambda name: sizes[name]), max(sizes, key=lambda name: sizes[name])
    if sizes[most] > _LARGEST_RATIO * sizes[least]:
        yield (
            f"classes of very different size: '{most}' is worth {sizes[most]:.0f} events of equal weight, "
            f"'{least}' {sizes[least]:.0f}"
        )


def _shares(shares: Sequence[float]) -> str:
    low, high = (f"{float(f'{100 * share:.2g}'):g}" for share in (min(shares), max(shares)))
    return f"{high} %" if low == high else f"{low} to {high} %"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
