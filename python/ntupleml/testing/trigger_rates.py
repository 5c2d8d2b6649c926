"""Rates of an anomaly trigger, regions of events, and what the trigger adds to those that are there."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.trigger_efficiencies import (
    EfficiencyAtRate,
    OtherEfficiencies,
    TriggerEfficiencies,
    efficiencies_at_rates,
    efficiencies_of_original,
    other_efficiencies,
    trigger_efficiencies,
)
from ntupleml.metrics.trigger_regions import region_sums, regions_of_original, trigger_regions
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.trigger import draw_efficiencies_at_rates, draw_rate_curves, draw_trigger_numbers
from ntupleml.testing.steps import Answer
from ntupleml.testing.trigger import Level, decisions, named_trigger, thresholds_of_models, trigger_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.trigger_rates import RateCurve, RateThreshold
    from ntupleml.metrics.trigger_regions import Scheme
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.trigger import Decisions, OfModel, Trigger

#: Pictures.
_NAMES = ("trigger_rates", "trigger_efficiencies", "trigger_gains", "trigger_fixed_rates")
#: Pure rates that efficiencies are given at, by the target; those of the table among them.
_FACTORS = np.geomspace(0.1, 100, 31)
_SHOWN = (0.1, 1.0, 10.0, 100.0)
#: Relative uncertainty of a pure rate from which on more background events are needed.
_UNCERTAIN = 0.3
#: Share of the target by which the rates of single models may differ from it, and by how many standard deviations.
_MATTERS, _SIGNIFICANT = 0.2, 3.0
#: What the fields of `TriggerEfficiencies` are called.
EFFICIENCIES = {
    "raw": "accepted of what L1 accepts",
    "hlt": "HLT without the anomaly trigger",
    "combined": "HLT with it",
}
GAINS = {"gain": "E / (F or G)", "e_over_b": "E / B", "e_and_b_over_b": "(E and B) / B"}
_OTHERS = {"ase": "ASE", "tse": "TSE", "mise": "MiSE"}


class OfScheme(NamedTuple):
    """What a scheme gives, by class."""

    sums: dict[str, dict[str, Measurement]]
    efficiencies: dict[str, TriggerEfficiencies]
    other_efficiencies: dict[str, OtherEfficiencies]
    #: With the definitions of the HLT anomaly detection's own code.
    of_original: dict[str, TriggerEfficiencies]
    #: Sum of weights of what the HLT accepts, but is in none of E, F and G of the original.
    lost_by_original: dict[str, float]
    #: At pure rates in equal factors, of what L1 accepts.
    at_pure_rates: dict[str, list[EfficiencyAtRate]]


class TriggerNumbers(NamedTuple):
    """What the scores of one model give."""

    decisions: Decisions
    schemes: dict[str, OfScheme]
    of_models: dict[str, dict[int, OfModel]]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        rates = {
            name: level if isinstance(level, Undefined) else level.threshold
            for name, level in self.decisions.levels.items()
        }
        return {"thresholds": self.decisions.thresholds, "rates": rates, "of_models": self.of_models}


def trigger_rates(material: Material) -> Answer:
    """Rates, regions and efficiencies of every method."""
    named_trigger(material)
    material.announce(_NAMES)
    trigger = trigger_of(material)
    found = {method: trigger_numbers(trigger, material.events.scores[method]) for method in material.methods}
    verdicts = {method: _verdict(one) for method, one in found.items()}
    return Answer.by_method(
        {method: list(_pictures(trigger, method, one)) for method, one in found.items()},
        f"An anomaly trigger of two levels; rates are those of '{trigger.config.background}'. For l1Seeded the HLT "
        "runs it on what that of L1 accepts, for l1All on all that L1 accepts. The pure rate is of events that no "
        "other trigger of the level accepts. Regions: A all; B, C, D accepted by L1: by the anomaly trigger alone, by "
        "both, by others alone; E, F, G the same of the HLT.",
        numbers=found,
        question="Rates known?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {verdict.text}" for method, verdict in verdicts.items()],
    )


def trigger_numbers(trigger: Trigger, scores: NDArray[Any]) -> TriggerNumbers:
    """All numbers of the scores of a model, or of a member of an ensemble.

    Parameters
    ----------
    scores : array, shape (n_events, n_outputs)
    """
    found = decisions(trigger, scores)
    schemes: dict[str, OfScheme] = {scheme: _of_scheme(trigger, found, scheme) for scheme in found.bits}
    return TriggerNumbers(found, schemes, thresholds_of_models(trigger, found))


def _of_scheme(trigger: Trigger, found: Decisions, scheme: Scheme) -> OfScheme:
    result, level = OfScheme({}, {}, {}, {}, {}, {}), found.levels[scheme]
    assert isinstance(level, Level)
    for name in trigger.classes:
        rows = np.flatnonzero(trigger.of_class(name))
        bits, weights = found.bits[scheme].chosen(rows), trigger.events.weights[rows]
        regions, original = trigger_regions(bits, scheme), regions_of_original(bits, scheme)
        result.sums[name] = region_sums(regions._asdict(), weights)
        result.efficiencies[name] = trigger_efficiencies(regions, scheme, weights)
        result.other_efficiencies[name] = other_efficiencies(bits, scheme, weights)
        result.of_original[name] = efficiencies_of_original(original, scheme, weights)
        result.lost_by_original[name] = float(weights[regions.G & ~original.G].sum())
        seeds, rates = bits.seeds(scheme), _FACTORS * trigger.config.hlt.target_rate
        rates = rates[rates <= level.threshold.input_rate]
        result.at_pure_rates[name] = efficiencies_at_rates(
            level.scan, rates, found.hlt_scores[rows][seeds], weights[seeds]
        )
    return result


def _pictures(trigger: Trigger, method: str, found: TriggerNumbers) -> Iterator[Picture]:
    background = trigger.config.background
    curves = {
        name: level if isinstance(level, Undefined) else (level.scan.curve(), level.threshold)
        for name, level in found.decisions.levels.items()
    }
    yield Picture(
        _NAMES[0],
        f"{method}: rates of '{background}' above a threshold on the score of the anomaly trigger of L1, and on that "
        "of the HLT. Bands: one standard deviation; dashes: threshold in use and the rate that the pure one is below.",
        partial(draw_rate_curves, curves),
        {"method": method, "background": background, **as_plain(found), "curves": as_plain(_only_curves(curves))},
        tuple(_rate_tables(found)),
    )
    yield Picture(
        _NAMES[1],
        f"{method}: efficiencies of each class, with 68.3 % Bayesian intervals. Of all events but where it says so.",
        partial(draw_trigger_numbers, _by_class(trigger.classes, found, EFFICIENCIES), "Efficiency"),
        {"method": method, "schemes": as_plain(_without_rates(found))},
        tuple(_tables(trigger, found, EFFICIENCIES)),
    )
    yield Picture(
        _NAMES[2],
        f"{method}: what the anomaly trigger of the HLT adds to signals: to its other triggers, E / (F or G), and to "
        "what that of L1 adds, E / B. Intervals: 68.3 %; E and B overlap, which that of E / B takes into account.",
        partial(draw_trigger_numbers, _by_class(trigger.signals or trigger.classes, found, GAINS), "Ratio", spans=True),
        {"method": method, "schemes": as_plain(_without_rates(found))},
        tuple(_tables(trigger, found, GAINS)),
    )
    rates = {scheme: one.at_pure_rates for scheme, one in found.schemes.items()}
    yield Picture(
        _NAMES[3],
        f"{method}: share of what L1 accepts that the anomaly trigger of the HLT accepts, against its pure rate. The "
        f"dashed line is the rate in use, {trigger.config.hlt.target_rate:g} Hz. Intervals: 68.3 %.",
        partial(draw_efficiencies_at_rates, rates, trigger.config.hlt.target_rate),
        {"method": method, "schemes": as_plain(rates)},
        (_fixed_rates(trigger, found),),
    )


def _only_curves(curves: Mapping[str, tuple[RateCurve, RateThreshold] | Undefined]) -> dict[str, Any]:
    return {name: one if isinstance(one, Undefined) else one[0] for name, one in curves.items()}


def _without_rates(found: TriggerNumbers) -> dict[str, dict[str, Any]]:
    """What is made of regions, by scheme."""
    return {
        scheme: {key: value for key, value in one._asdict().items() if key != "at_pure_rates"}
        for scheme, one in found.schemes.items()
    }


def _by_class(
    classes: Sequence[str], found: TriggerNumbers, names: Mapping[str, str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """By scheme, by what is shown, and by class."""
    return {
        scheme: {text: {name: getattr(one.efficiencies[name], key) for name in classes} for key, text in names.items()}
        for scheme, one in found.schemes.items()
    }


def _rate_tables(found: TriggerNumbers) -> Iterator[Table]:
    rows: list[tuple[Cell, ...]] = []
    for name, level in found.decisions.levels.items():
        if isinstance(level, Undefined):
            rows.append((name, *(level,) * 7))
            continue
        one = level.threshold
        rates_of_level = one.input_rate, one.target_rate, _threshold(one), one.pure_rate, one.pure_entries
        rows.append((name, one.entries, *rates_of_level, one.total_rate))
    rates = ("Pure rate (Hz)", "of events", "Total rate (Hz)")
    yield Table(("Trigger", "Events", "Input rate (Hz)", "Target (Hz)", "Threshold", *rates), tuple(rows), "Thresholds")
    rows = []
    for scheme, models in found.of_models.items():
        for model, (own, pooled) in models.items():
            threshold = own if isinstance(own, Undefined) else _threshold(own)
            rows.append((scheme, model, threshold, pooled if isinstance(pooled, Undefined) else pooled.pure_rate))
    if rows:
        header = ("Scheme", "Model", "Its own threshold", "Pure rate above the common one (Hz)")
        yield Table(header, tuple(rows), "Models")


def _threshold(rate: RateThreshold) -> Cell:
    return "none: nothing is accepted" if rate.threshold is None else rate.threshold


def _tables(trigger: Trigger, found: TriggerNumbers, names: Mapping[str, str]) -> Iterator[Table]:
    """Regions and shares with efficiencies; with gains the original's numbers beside the right ones."""
    for scheme, one in found.schemes.items():
        if names is EFFICIENCIES:
            regions: list[tuple[Cell, ...]] = [(name, *one.sums[name].values()) for name in trigger.classes]
            yield Table(("Class", *"ABCDEFG"), tuple(regions), f"{scheme}: sums of weights of the regions")
        shares = tuple(
            (name, *(getattr(one.efficiencies[name], key) for key in names), *_more(one, name, names))
            for name in trigger.classes
        )
        yield Table(("Class", *names.values(), *_more_header(names)), shares, scheme)
        if names is EFFICIENCIES:
            others = [(name, *_other_cells(one.other_efficiencies[name])) for name in trigger.classes]
            header = (f"{text} of {what}" for text in _OTHERS.values() for what in ("HLT", "HLT or anomaly"))
            title = f"{scheme}: shares of the seeds (ASE), of all events (TSE), of what L1 accepts (MiSE)"
            yield Table(("Class", *header), tuple(others), title)


def _more_header(names: Mapping[str, str]) -> tuple[str, ...]:
    if names is EFFICIENCIES:
        return ("HLT without it, of the original", "Weight that the original loses")
    return ("Relative gain (%)", *(f"{text} of the original" for text in names.values()))


def _more(one: OfScheme, name: str, names: Mapping[str, str]) -> tuple[Cell, ...]:
    if names is EFFICIENCIES:
        return (one.of_original[name].hlt, one.lost_by_original[name])
    return (one.efficiencies[name].relative_gain, *(getattr(one.of_original[name], key) for key in names))


def _other_cells(one: OtherEfficiencies) -> Iterator[Cell]:
    for key in _OTHERS:
        shares: tuple[Cell, Cell] | None = getattr(one, key)
        yield from ("–", "–") if shares is None else shares


def _fixed_rates(trigger: Trigger, found: TriggerNumbers) -> Table:
    target = trigger.config.hlt.target_rate
    rows: list[tuple[Cell, ...]] = []
    for scheme, one in found.schemes.items():
        for name, points in one.at_pure_rates.items():
            by_factor = {round(point.rate.target_rate / target, 6): point.efficiency for point in points}
            rows.append((scheme, name, *(by_factor.get(factor, "–") for factor in _SHOWN)))
    return Table(("Scheme", "Class", *(f"below {factor * target:g} Hz" for factor in _SHOWN)), tuple(rows))


def _verdict(found: TriggerNumbers) -> Verdict:
    said, level_of_all = [], "good"
    for name, level in found.decisions.levels.items():
        if isinstance(level, Undefined):
            return Verdict("unknown", f"{name} has no threshold: {level.reason}")
        one = level.threshold
        if one.threshold is None:
            text = f"{name} accepts nothing: the first events alone have a pure rate above {one.target_rate:g} Hz"
            return Verdict("attention", f"{text}; more background events are needed")
        text = f"{name} has a pure rate of {measurement_text(one.pure_rate)} Hz above {one.threshold:.5g}"
        if one.pure_rate.uncertainty > _UNCERTAIN * one.pure_rate.value:
            number = f"{one.pure_entries} background event{'s' * (one.pure_entries != 1)}"
            level_of_all, text = "attention", f"{text}, of {number} alone; more are needed"
        said.append(text + _differing(found.of_models.get(name, {}), one))
    if any("models differ" in text for text in said):
        level_of_all = "attention"
    if level_of_all == "attention":
        return Verdict("attention", "; ".join(said), "Its rate is not known well.")
    return Verdict("good", "; ".join(said), "It has the rates that were asked for.")


def _differing(models: Mapping[int, OfModel], common: RateThreshold) -> str:
    """Message where the rates of single models differ from the common one by more than fluctuations."""
    rates = {model: one.pooled.pure_rate for model, one in models.items() if not isinstance(one.pooled, Undefined)}
    # a model whose few events all are below the threshold has a rate of 0, with an uncertainty of nearly 0
    expected = common.pure_rate.uncertainty * math.sqrt(max(len(rates), 1))
    far = {
        model: rate
        for model, rate in rates.items()
        if abs(rate.value - common.pure_rate.value)
        > max(_MATTERS * common.target_rate, _SIGNIFICANT * max(rate.uncertainty, expected))
    }
    if not far:
        return ""
    texts = ", ".join(f"{measurement_text(rate)} Hz of model {model}" for model, rate in far.items())
    return f" (models differ: {texts}; thresholds of their own are in the table)"
