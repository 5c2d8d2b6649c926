"""The step that scans significances: for each class as signal, all cuts on its score and the bins of its score."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.metrics.number_texts import count_text, measurement_text
from ntupleml.metrics.significance_bins import SMALLEST_BACKGROUND, BinnedSignificance, binned_significance
from ntupleml.metrics.significance_scan import SignificanceScan, scan_significance
from ntupleml.plots.pictures import Picture, Table, together
from ntupleml.plots.significance import draw_significance, draw_significances
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ntupleml.config import TestingConfig
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)


class Significance(NamedTuple):
    """Expected significance of one class: by a cut on its score, and in bins of its score."""

    scan: SignificanceScan | Undefined
    binned: BinnedSignificance | Undefined


#: Formulas in tables.
FORMULA_NAMES = {
    "asimov": "Asimov Z",
    "ams": "AMS",
    "s_over_sqrt_b": "S/√B",
    "s_over_sqrt_s_plus_b": "S/√(S+B)",
}
#: Distinguishes the random numbers of the bootstrap from those of other purposes.
_BOOTSTRAP_STREAM = 11


_INTRODUCTION = (
    "What is expected of a cut on the score of {signals}, with all other classes as background. Yields are the sums of "
    "weights of the tested events, not scaled to any luminosity; the best cut is chosen on the same events that it is "
    "measured with."
)
_NO_SIGNAL = "No class is known to be a signal: name those that are with signals: [...] in the testing config."
#: The definition that a page begins with.
_FIRST = "asimov"


def significances(material: Material) -> Answer:
    """Expected significances of every method: all cuts on the score of each signal, and its bins.

    Where nothing says which classes are signals each one is taken as such. A page begins with the Asimov significance
    of the signals and folds up all else; files are of every class where the testing config has no `signals`.
    """
    signals = material.signals
    names = (signals if material.for_page or material.testing.signals else []) or material.classes
    material.announce(f"significance_{name}" for name in names)
    found = {
        method: significance_results(material.events, material.testing, method, names) for method in material.methods
    }
    introduction = _INTRODUCTION.format(signals=", ".join(signals) or "each class")
    if not material.for_page:
        pictures = {
            method: significance_pictures(material.events, method, results) for method, results in found.items()
        }
        return Answer.by_method(pictures, introduction, numbers=found)
    groups = [
        group
        for number, (method, results) in enumerate(found.items())
        for group in _groups(material, method, results, is_open=number == 0 and bool(signals))
    ]
    return Answer(introduction if signals else f"{introduction} {_NO_SIGNAL}", tuple(groups), numbers=found)


def _groups(material: Material, method: str, results: Mapping[str, Significance], *, is_open: bool) -> Iterator[Group]:
    """One definition of the significance, and below, folded up, the others beside it."""
    pictures = {name: _picture(material.events, method, name, *one) for name, one in results.items()}
    caption = _caption(", ".join(results), method, material.events, Undefined("of several classes"))
    for name, title, formulas in (
        ("significances", method, (_FIRST,)),
        ("significances_all", f"{method}: other definitions", tuple(FORMULA_NAMES)),
    ):
        shown = {one: picture._replace(tables=_tables(*results[one], formulas)) for one, picture in pictures.items()}
        draw = partial(draw_significances, results, formulas=formulas)
        picture = together(name, caption, shown, draw, "Signal")
        if formulas != (_FIRST,):
            picture = picture._replace(numbers={"same_as": "significances"})
        yield Group(title, (), (), (picture,), method, is_open=is_open and formulas == (_FIRST,))


def significance_results(
    events: TestedEvents, testing: TestingConfig, method: str, signals: Sequence[str] | None = None
) -> dict[str, Significance]:
    """By class as signal, by default of every class."""
    return {
        name: _result(events, testing, method, index)
        for index, name in enumerate(events.classes)
        if signals is None or name in signals
    }


def significance_pictures(events: TestedEvents, method: str, results: Mapping[str, Significance]) -> list[Picture]:
    """One picture for each class as signal, with all other classes as background."""
    return [_picture(events, method, name, *found) for name, found in results.items()]


def _result(events: TestedEvents, testing: TestingConfig, method: str, index: int) -> Significance:
    name = events.classes[index]
    scores, is_signal, config = events.scores[method][:, index], events.truth == index, testing.significance
    scan = scan_significance(
        scores,
        is_signal,
        events.weights,
        b_reg=config.b_reg,
        background_uncertainty=config.background_uncertainty,
        seed=[testing.seed, index, _BOOTSTRAP_STREAM],
    )
    binned = binned_significance(
        scores, is_signal, events.weights, config.bins, background_uncertainty=config.background_uncertainty
    )
    _report(name, method, scan)
    return Significance(scan, binned)


def _picture(
    events: TestedEvents,
    method: str,
    name: str,
    scan: SignificanceScan | Undefined,
    binned: BinnedSignificance | Undefined,
) -> Picture:
    numbers: dict[str, Any] = {"class": name, "method": method, "events": len(events)}
    numbers["smallest_number_of_effective_background_events"] = SMALLEST_BACKGROUND
    numbers["scan"] = as_plain(scan)
    numbers["binned"] = as_plain(binned)
    return Picture(
        f"significance_{name}",
        _caption(name, method, events, binned),
        partial(draw_significance, scan, binned, name),
        numbers,
        _tables(scan, binned),
    )


def _report(name: str, method: str, scan: SignificanceScan | Undefined) -> None:
    best = scan if isinstance(scan, Undefined) else scan.best["asimov"]
    if isinstance(best, Undefined):
        log.warning("%s, class '%s': significance %s", method, name, best)
        return
    log.info(
        "%s, class '%s': largest Asimov significance %s (bias %.3g) for scores above %s",
        method,
        name,
        measurement_text(best.significance),
        best.bias.value,
        measurement_text(best.cut),
    )


def _caption(name: str, method: str, events: TestedEvents, binned: BinnedSignificance | Undefined) -> str:
    merged = ""
    if not isinstance(binned, Undefined) and len(binned.edges) - 1 < binned.wanted:
        merged = f" ({len(binned.edges) - 1} of {binned.wanted} bins are left after merging those with less)"
    return (
        f"Efficiencies and expected significances of {name} against all other classes, for cuts on its score by "
        f"{method}; points are the best cuts among those with at least {SMALLEST_BACKGROUND:g} effective background "
        f"events{merged}. Yields are sums of weights of the {count_text(len(events))} tested events, not "
        "scaled to any luminosity."
    )


def _tables(
    scan: SignificanceScan | Undefined,
    binned: BinnedSignificance | Undefined,
    formulas: Sequence[str] = tuple(FORMULA_NAMES),
) -> tuple[Table, ...]:
    if isinstance(scan, Undefined):
        return (Table(("Significance",), ((scan,),)),)
    significances: list[tuple[Cell, ...]] = []
    yields: list[tuple[Cell, ...]] = []
    for key in formulas:
        label = FORMULA_NAMES[key]
        best = scan.best[key]
        without = scan.curves[key].at(0)
        if isinstance(best, Undefined):
            significances.append((label, without, best, best, best, _in_bins(binned, key)))
            yields.append((label, best, best, best, best))
            continue
        significances.append((label, without, best.cut, best.significance, best.bias, _in_bins(binned, key)))
        yields.append((label, best.signal, best.background, best.signal_efficiency, best.background_efficiency))
    bins = "in bins" if isinstance(binned, Undefined) else f"in {len(binned.edges) - 1} bins"
    header = ("Formula", "without a cut", "best cut", "at the best cut", "bias of the choice", bins)
    at_best = ("Formula", "S", "B", "signal efficiency", "background efficiency")
    return (
        Table(header, tuple(significances), "Significances"),
        Table(at_best, tuple(yields), "Events above the best cut"),
    )


def _in_bins(binned: BinnedSignificance | Undefined, key: str) -> Cell:
    if isinstance(binned, Undefined):
        return binned
    return binned.totals[key].significance if key in binned.totals else "–"
