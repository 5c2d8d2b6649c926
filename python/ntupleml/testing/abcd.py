"""Whether a background is predicted by the ABCD method, with the score of the model and another one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.abcd import AbcdTest, Closure, Cuts, Sample, abcd_test
from ntupleml.metrics.measurement import Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.abcd import draw_abcd
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.config import AbcdConfig
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Differences from which a prediction is wrong, at the cuts in use, and anywhere among many of a grid.
_WRONG, _WRONG_ANYWHERE = 3.0, 4.0


def has_abcd(material: Material) -> bool:
    """Whether the testing config has another score."""
    return material.testing.abcd is not None


def abcd_of_methods(material: Material) -> Answer:
    """The ABCD test of every method."""
    config = _config(material)
    material.announce(["abcd"])
    events = material.events
    names = events.outputs or events.classes
    usual = next((one for one in names if one != config.background), names[0])
    score = config.score or usual
    other = events.values_of(config.other)
    if bad := int(np.count_nonzero(~np.isfinite(other))):
        raise NtuplemlError(
            f"{material.preparation.testing_path}: abcd: other: '{config.other}' is NaN or infinite in {bad} of "
            f"{len(events)} events; give a formula that has a number for each"
        )
    found = {
        method: _test(config, events, events.scores[method][:, names.index(score)], other, material.seed)
        for method in material.methods
    }
    verdicts = {method: _verdict(one) for method, one in found.items()}
    return Answer.by_method(
        {method: [_picture(config, method, score, one)] for method, one in found.items()},
        f"Region A: events above both cuts, B: above that on '{score}' alone, C: above that on '{config.other}' alone, "
        f"D: below both. If the scores are independent for '{config.background}', A is B·C/D.",
        numbers=found,
        question="Closure?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {verdict.text}" for method, verdict in verdicts.items()],
    )


def _config(material: Material) -> AbcdConfig:
    """Block of the testing config, before events are read."""
    preparation = material.preparation
    config, where = preparation.testing.abcd, f"{preparation.testing_path}: abcd"
    if config is None:
        raise NtuplemlError(f"{where}: no other score is described; name it, and the background, there")
    if config.background not in material.classes:
        hint = did_you_mean(config.background, material.classes)
        raise NtuplemlError(f"{where}: background: no class '{config.background}'{hint}")
    outputs = preparation.reading.outputs or list(material.classes)
    if config.score is not None and config.score not in outputs:
        raise NtuplemlError(f"{where}: score: no score '{config.score}'{did_you_mean(config.score, outputs)}")
    return config


def _test(
    config: AbcdConfig, events: TestedEvents, scores: NDArray[Any], other: NDArray[Any], seed: int
) -> AbcdTest | Undefined:
    samples = {}
    for index, name in enumerate(events.classes):
        rows = np.flatnonzero(events.truth == index)
        samples[name] = Sample(scores[rows], other[rows], events.weights[rows])
    background = samples.pop(config.background)
    cuts = config.share if config.cuts is None else Cuts(config.cuts.score, config.cuts.other)
    return abcd_test(background, samples, cuts, seed)


def _picture(config: AbcdConfig, method: str, score: str, found: AbcdTest | Undefined) -> Picture:
    numbers: dict[str, Any] = {"method": method, "background": config.background, "scores": [score, config.other]}
    return Picture(
        "abcd",
        f"{method}: '{config.background}' above both cuts, divided by its prediction B·C/D, for cuts that shares of it "
        "pass. Left: for all pairs of cuts, colours by the difference in standard deviations; right: for equal shares.",
        partial(draw_abcd, found, (score, config.other)),
        numbers | as_plain({"result": found}),
        () if isinstance(found, Undefined) else _tables(found),
    )


def _tables(found: AbcdTest) -> tuple[Table, ...]:
    one = found.closure
    cells: tuple[Cell, ...]
    if isinstance(one, Undefined):
        cells = (one,) * 9
    else:
        cells = (*one.cuts, *one.regions, one.predicted, one.ratio, one.significance)
    header = ("Cut on the score", "Cut on the other", *"ABCD", "B·C/D", "A / (B·C/D)", "Standard deviations")
    dependence = found.correlation
    correlation: tuple[Cell, ...]
    if isinstance(dependence, Undefined):
        correlation = (dependence,) * 3
    else:
        correlation = (dependence.squared, dependence.p_value, dependence.events)
    tables = [
        Table(header, (cells,), "Background"),
        Table(("Squared distance correlation", "p-value", "Events"), (correlation,)),
    ]
    if found.signals:
        rows = tuple((name, signal.efficiency, signal.shift) for name, signal in found.signals.items())
        header = ("Class", "Share in A", "Contamination: relative change of B·C/D")
        tables.append(Table(header, rows, "Signals of their weights"))
    return tuple(tables)


def _verdict(found: AbcdTest | Undefined) -> Verdict:
    if isinstance(found, Undefined):
        return Verdict("unknown", found.reason)
    if isinstance(found.closure, Undefined):
        return Verdict("unknown", f"no prediction: {found.closure.reason}")
    one = found.closure
    text = f"A is {measurement_text(one.ratio)} times B·C/D, {one.significance:+.1f} standard deviations"
    known = {shares: cell for shares, cell in found.grid.items() if isinstance(cell, Closure)}
    largest = 0.0
    if known:
        shares, worst = max(known.items(), key=lambda cell: abs(cell[1].significance))
        largest = worst.significance
        text += f"; of {len(known)} pairs of cuts at most {largest:+.1f}, at {shares[0]:.0%} and {shares[1]:.0%}"
    if not isinstance(found.correlation, Undefined):
        text += f"; squared distance correlation {measurement_text(found.correlation.squared)}"
    if abs(one.significance) >= _WRONG or abs(largest) >= _WRONG_ANYWHERE:
        return Verdict("attention", f"does not close: {text}", "The prediction is off.")
    return Verdict("good", f"closes: {text}", "The prediction holds.")
