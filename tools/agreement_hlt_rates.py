"""Rates, regions and efficiencies of the HLT anomaly detection, as its own code gives them and as they are right.

Layout: `rates_regions.npz` has the events of each data set, `rates_regions.json` the answers. Where the original is
wrong, its number is compared with that of its definition, and the right one with `right_values`.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from quantities import Quantity, largest

from ntupleml.metrics.bayesian_efficiency import bayesian_efficiencies, bayesian_efficiency_in_bins
from ntupleml.metrics.measurement import Interval
from ntupleml.metrics.roc import roc_curve
from ntupleml.metrics.trigger_efficiencies import efficiencies_of_original, trigger_efficiencies
from ntupleml.metrics.trigger_rates import pure_rate_threshold, threshold_of_original
from ntupleml.metrics.trigger_regions import (
    SCHEMES,
    TriggerBits,
    region_sums,
    regions_of_original,
    trigger_regions,
)
from ntupleml.metrics.variable_bins import bins_of_edges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.metrics.trigger_efficiencies import TriggerEfficiencies
    from ntupleml.metrics.trigger_rates import RateThreshold
    from ntupleml.metrics.trigger_regions import Regions, Scheme
    from ntupleml.metrics.variable_bins import VariableBins

    Columns = dict[str, NDArray[Any]]

#: Of values, of the ends of intervals, and of sums that the original adds in single precision, event after event.
LIMIT, ERRORS, SINGLE = 1e-9, 1e-6, 1e-5
#: The data set that rates are of.
BACKGROUND = "EB_test"
#: Answers by what the product calls them.
EFFICIENCIES = {
    "raw_efficiency": "raw",
    "E_over_FplusG": "gain",
    "E_over_B_original": "e_over_b",
    "E_conditional_over_B_original": "e_and_b_over_b",
}
#: Slots of the objects that multiplicities are of.
SLOTS = {"jet": slice(0, 6), "el": slice(6, 9), "mu": slice(9, 12), "ph": slice(12, 15)}


class Stored(NamedTuple):
    """Events by data set, and the answers."""

    events: dict[str, Columns]
    answers: dict[str, Any]

    @property
    def background(self) -> Columns:
        """Events that rates are of."""
        return self.events[BACKGROUND]

    def bits(self, tag: str, scheme: Scheme) -> TriggerBits:
        """Decisions of the triggers with the original's thresholds."""
        thresholds, events = self.answers["thresholds"], self.events[tag]
        l1_anomalous = events["topo2A_AD_scores"] >= thresholds["L1AD"]["threshold"]
        hlt_anomalous = events["HLT_AD_scores"] >= thresholds[f"HLT_{scheme}"]["threshold"]
        return TriggerBits(events["passL1"], events["passHLT"], l1_anomalous, hlt_anomalous)


def rates(folder: Path) -> Iterator[Quantity]:
    """All quantities of a folder; none where it lacks the files."""
    paths = [folder / f"rates_regions.{ending}" for ending in ("json", "npz")]
    if not all(path.is_file() for path in paths):
        return
    events: dict[str, Columns] = {}
    with np.load(paths[1]) as arrays:
        for key in arrays.files:
            tag, _, column = key.partition("/")
            events.setdefault(tag, {})[column] = arrays[key]
    stored = Stored(events, json.loads(paths[0].read_text()))
    yield from _thresholds(stored)
    for scheme in SCHEMES:
        yield from _regions(stored, scheme)
        yield from _efficiencies(stored, scheme)
        yield from _curves(stored, scheme)
    for number, case in enumerate(stored.answers["bayes"]):
        yield Quantity(f"rates: Bayesian interval {number}", partial(_bayes_difference, case), ERRORS)


def _thresholds(stored: Stored) -> Iterator[Quantity]:
    for name, expected in stored.answers["thresholds"].items():
        for what, function in (("original", threshold_of_original), ("right", pure_rate_threshold)):
            yield Quantity(
                f"rates: threshold {name}: {what}",
                lambda name=name, expected=expected, function=function: _rate_difference(
                    function(*_scanned(stored, name), expected["target_rate"], expected["incoming_rate"]), expected
                ),
                LIMIT,
            )
    for name, case in stored.answers["find_threshold_cases"].items():
        scores, weights = (np.array(case[key], dtype=np.float64) for key in ("scores", "weights"))
        arguments = scores, np.array(case["already"]), weights, case["target"], case["incoming"]
        yield Quantity(
            f"rates: {name}: original",
            lambda arguments=arguments, case=case: _rate_difference(threshold_of_original(*arguments), case),
            LIMIT,
        )
        yield Quantity(
            f"rates: {name}: right",
            lambda arguments=arguments, case=case: _right_difference(pure_rate_threshold(*arguments), case),
            LIMIT,
        )


def _scanned(stored: Stored, name: str) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[np.float64]]:
    """Scores, what has triggered already, and weights of the events that a trigger decides on."""
    events = stored.background
    if name == "L1AD":
        return events["topo2A_AD_scores"], events["passL1"], events["weights"]
    scheme: Any = name.removeprefix("HLT_")
    seeds = stored.bits(BACKGROUND, scheme).seeds(scheme)
    return events["HLT_AD_scores"][seeds], events["passHLT"][seeds], events["weights"][seeds]


def _rate_difference(found: Any, expected: Mapping[str, Any]) -> float:
    threshold: RateThreshold = found
    numbers = threshold.threshold, threshold.pure_rate.value, threshold.total_rate.value
    if "n" in expected and threshold.entries != expected["n"]:
        return np.inf
    return largest(
        np.array(numbers, dtype=np.float64),
        np.array([expected[key] for key in ("threshold", "pure_rate", "total_rate")]),
    )


def _right_difference(found: Any, case: Mapping[str, Any]) -> float:
    """The original's answer where its pure rate is below the target; else the rate of the next tighter threshold."""
    if case["pure_rate"] < case["target"]:
        return _rate_difference(found, case)
    scores, weights = np.array(case["scores"]), np.array(case["weights"], dtype=np.float64)
    new = weights * ~np.array(case["already"]) * case["incoming"] / weights.sum()
    rates_by_cut = {cut: float(new[scores >= cut].sum()) for cut in np.unique(scores)}
    allowed = [cut for cut, rate in rates_by_cut.items() if rate < case["target"]]
    if not allowed:
        return float(found.threshold is not None or found.pure_rate.value != 0)
    return max(abs(found.threshold - min(allowed)), abs(found.pure_rate.value - rates_by_cut[min(allowed)]))


def _regions(stored: Stored, scheme: Scheme) -> Iterator[Quantity]:
    answers = stored.answers[scheme]
    for tag in stored.events:
        where = f"rates: {scheme}: {tag}"
        yield Quantity(f"{where}: regions of each event", partial(_letters_differ, stored, scheme, tag), 0)
        yield Quantity(f"{where}: sums of regions", partial(_sums_difference, stored, scheme, tag), LIMIT)
        right = answers["right_values"][tag]
        yield Quantity(f"{where}: right values", partial(_right_values, stored, scheme, tag, right), LIMIT)
        if tag != BACKGROUND and tag in answers["roc"]:
            yield Quantity(f"{where}: area of the ROC curve", partial(_area_difference, stored, scheme, tag), LIMIT)
            yield Quantity(f"{where}: corners of the ROC curve", partial(_corners_differ, stored, scheme, tag), 0)


def _letters_differ(stored: Stored, scheme: Scheme, tag: str) -> float:
    letters = stored.events[tag][f"regions_{scheme}"]
    found: Regions = regions_of_original(stored.bits(tag, scheme), scheme)
    return float(
        sum(np.count_nonzero((np.char.find(letters, name) >= 0) != one) for name, one in found._asdict().items())
    )


def _sums_difference(stored: Stored, scheme: Scheme, tag: str) -> float:
    regions = regions_of_original(stored.bits(tag, scheme), scheme)
    sums = region_sums(regions._asdict(), stored.events[tag]["weights"])
    expected = stored.answers[scheme]["region_sums"][tag]
    return largest(np.array([sums[name].value for name in expected]), np.array(list(expected.values())))


def _right_values(stored: Stored, scheme: Scheme, tag: str, expected: Mapping[str, float]) -> float:
    bits, weights = stored.bits(tag, scheme), stored.events[tag]["weights"]
    right, original = trigger_regions(bits, scheme), regions_of_original(bits, scheme)
    found: Any = trigger_efficiencies(right, scheme, weights)
    missing = weights[right.G & ~original.G].sum()
    return largest(
        np.array([found.e_over_b.value, found.e_and_b_over_b.value, missing]), np.array(list(expected.values()))
    )


def _curve(stored: Stored, scheme: Scheme, tag: str) -> Any:
    """Of the events that the trigger runs on."""
    chosen = {name: stored.bits(name, scheme).seeds(scheme) for name in (tag, BACKGROUND)}
    scores, weights = (
        np.concatenate([stored.events[name][column][rows] for name, rows in chosen.items()])
        for column in ("HLT_AD_scores", "weights")
    )
    return roc_curve(scores, np.arange(len(scores)) < np.count_nonzero(chosen[tag]), weights)


def _area_difference(stored: Stored, scheme: Scheme, tag: str) -> float:
    return abs(float(_curve(stored, scheme, tag).auc.value - stored.answers[scheme]["roc"][tag]["auc"]))


def _corners_differ(stored: Stored, scheme: Scheme, tag: str) -> float:
    """The original keeps the points at which the curve bends, and its ends."""
    curve = _curve(stored, scheme, tag)
    bends = np.any([np.diff(sample.sums[1:], 2) != 0 for sample in (curve.signal, curve.background)], axis=0)
    return float(abs(np.count_nonzero(bends) + 3 - stored.answers[scheme]["roc"][tag]["points"]))


def _efficiencies(stored: Stored, scheme: Scheme) -> Iterator[Quantity]:
    for name, field in EFFICIENCIES.items():
        for tag, expected in stored.answers[scheme][name].items():
            for part, limit in (("value", LIMIT), ("errors", ERRORS)):
                yield Quantity(
                    f"rates: {scheme}: {tag}: {name}: {part}",
                    partial(_efficiency_difference, stored, scheme, tag, field, expected, part),
                    limit,
                )


def _efficiency_difference(
    stored: Stored, scheme: Scheme, tag: str, field: str, expected: Mapping[str, float], part: str
) -> float:
    """The ends of an interval are compared by the size of the value, which the original has in single precision."""
    regions = regions_of_original(stored.bits(tag, scheme), scheme)
    found: TriggerEfficiencies = efficiencies_of_original(regions, scheme, stored.events[tag]["weights"])
    return _interval_difference([getattr(found, field)], [expected], part)


def _interval_difference(found: Sequence[Any], expected: Sequence[Mapping[str, float]], part: str) -> float:
    if not all(isinstance(one, Interval) for one in found):
        return np.inf
    values = np.array([one["value"] for one in expected])
    if part == "value":
        return largest(np.array([one.value for one in found]), values)
    ends = np.array([[one.down, one.up] for one in found])
    wanted = np.array([[one["down"], one["up"]] for one in expected])
    return largest(ends, wanted, np.maximum(np.abs(values), 1)[:, np.newaxis])


def _curves(stored: Stored, scheme: Scheme) -> Iterator[Quantity]:
    for curve in stored.answers[scheme]["variables"]:
        where = f"rates: {scheme}: {curve['name']}"
        yield Quantity(f"{where}: sums", partial(_sums_of_curve, stored, scheme, curve), LIMIT)
        yield Quantity(f"{where}: values of its sums", partial(_of_sums_difference, curve, "value"), LIMIT)
        yield Quantity(f"{where}: errors of its sums", partial(_of_sums_difference, curve, "errors"), ERRORS)
        yield Quantity(f"{where}: values", partial(_curve_difference, stored, scheme, curve, "value"), SINGLE)
        yield Quantity(f"{where}: errors", partial(_curve_difference, stored, scheme, curve, "errors"), SINGLE)


def _variable(stored: Stored, name: str) -> NDArray[Any]:
    """Values that the original fills: MET of scaled objects, all others of raw ones."""
    events, kind = stored.background, name.removeprefix("h_pass_")
    if kind in ("pileup", "MET_pt"):
        return events["pileups" if kind == "pileup" else "scaled_MET"]
    pts = events["HLT_data"].reshape(len(events["weights"]), -1, 3)[:, :, 0]
    if kind == "jet_pt":
        return pts[:, 0]
    return np.count_nonzero(pts[:, SLOTS[kind.removesuffix("_multiplicity")]] > 0, axis=1)


def _counted(
    stored: Stored, scheme: Scheme, curve: Mapping[str, Any]
) -> tuple[NDArray[np.bool_], VariableBins, NDArray[np.float64]]:
    """Which of the events that count pass, their bins, and their weights."""
    regions = trigger_regions(stored.bits(BACKGROUND, scheme), scheme)
    rows = np.flatnonzero(regions.counted(scheme))
    bins = bins_of_edges(_variable(stored, curve["name"])[rows], curve["edges"])
    return regions.accepted[rows], bins, stored.background["weights"][rows]


def _sums_of_curve(stored: Stored, scheme: Scheme, curve: Mapping[str, Any]) -> float:
    """Σw in single precision, event after event, and Σw²."""
    passed, bins, weights = _counted(stored, scheme, curve)
    sums = np.zeros((2, bins.number + 1), np.float32)
    np.add.at(sums[0], bins.of_event[passed], weights[passed].astype(np.float32))
    np.add.at(sums[1], bins.of_event, weights.astype(np.float32))
    squares = np.bincount(bins.of_event, np.square(weights), bins.number + 1)
    expected = np.array([curve[key] for key in ("passed", "total", "total_w2")])
    return largest(np.stack([*sums.astype(np.float64), squares])[:, :-1], expected)


def _points(curve: Mapping[str, Any]) -> list[dict[str, float]]:
    return [
        {"value": value, "down": down, "up": up}
        for value, down, up in zip(curve["eff"], curve["down"], curve["up"], strict=True)
    ]


def _of_sums_difference(curve: Mapping[str, Any], part: str) -> float:
    sums = (np.array(curve[key]) for key in ("passed", "total", "total_w2"))
    found = [one for one in bayesian_efficiencies(*sums) if isinstance(one, Interval)]
    return _interval_difference(found, _points(curve), part) if len(found) == len(curve["x"]) else np.inf


def _curve_difference(stored: Stored, scheme: Scheme, curve: Mapping[str, Any], part: str) -> float:
    found = bayesian_efficiency_in_bins(*_counted(stored, scheme, curve))
    known = [one for one in found if isinstance(one, Interval)]
    return _interval_difference(known, _points(curve), part) if len(known) == len(curve["x"]) else np.inf


def _bayes_difference(case: Mapping[str, Any]) -> float:
    """Of sums that are added in single precision, as the original's histograms do."""
    total = np.array(case["total"])
    passed, whole = (
        np.cumsum([0, *some], dtype=np.float32)[-1:].astype(np.float64) for some in (case["passed"], total)
    )
    found = bayesian_efficiencies(passed, whole, np.array([total @ total]))
    expected = [{"value": case["eff"], "down": case["down"], "up": case["up"]}]
    return max(_interval_difference(found, expected, part) for part in ("value", "errors"))
