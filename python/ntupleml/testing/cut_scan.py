"""S/√B of a search against the cut on the score of its signal."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.metrics.cut_scan import CutScan
from ntupleml.metrics.cut_scan import cut_scan as scan_cuts
from ntupleml.metrics.measurement import Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.cut_scan import draw_cut_scans
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.search import curves_of_subsets, scaled, scales_text, search_of
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.search import Search
    from ntupleml.testing.tested_events import TestedEvents


class CutScans(NamedTuple):
    """Scans of a search."""

    #: Against all backgrounds, and against each alone.
    backgrounds: dict[str, CutScan | Undefined]
    #: Of each value of the first parameter of the points, against all backgrounds.
    points: dict[str, CutScan | Undefined]


def cut_scans(material: Material) -> Answer:
    """Scans of every method."""
    search = search_of(material)
    material.announce(["cut_scan", *(["cut_scan_points"] if search.config.points else [])])
    found = {method: scans(search, material.events, method) for method in material.methods}
    verdicts = {method: _verdict(one) for method, one in found.items()}
    return Answer.by_method(
        {method: [] if isinstance(one, Undefined) else _pictures(search, method, one) for method, one in found.items()},
        f"S/√B of the events whose score of '{search.signal}' is above a cut, up to the first cut with a background of "
        f"no more than {search.config.cut_scan.fewest_background:g}. Yields are sums of weights of the tested events.",
        numbers=found,
        question="Cut to use?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {verdict.text}" for method, verdict in verdicts.items()],
    )


def scans(search: Search, events: TestedEvents, method: str) -> CutScans | Undefined:
    """Scans of one method; undefined where the weights cannot be scaled."""
    config, own = search.config.cut_scan, events.classes.index(search.signal)
    weights = scaled(events, config.scale)
    if isinstance(weights, Undefined):
        return weights
    column, is_signal = events.scores[method][:, own], events.truth == own
    curves = curves_of_subsets(
        search,
        events,
        weights,
        lambda rows, some: scan_cuts(column[rows], is_signal[rows], some, fewest_background=config.fewest_background),
    )
    return CutScans(*curves)


def _pictures(search: Search, method: str, found: CutScans) -> list[Picture]:
    what = (
        f"{method}: S/√B against the cut on the score of '{search.signal}'{scales_text(search.config.cut_scan.scale)}"
    )
    parts = [_picture("cut_scan", what, "Background", search, found.backgrounds)]
    if search.config.points:
        what += f", for each value of {search.config.points[0]}"
        parts.append(_picture("cut_scan_points", what, "Signal", search, found.points))
    return parts


def _picture(
    name: str, what: str, column: str, search: Search, scans_by_name: Mapping[str, CutScan | Undefined]
) -> Picture:
    rows = tuple((label, *_cells(one)) for label, one in scans_by_name.items())
    return Picture(
        name,
        f"{what}. Bands: one standard deviation of the samples, the cut taken as given; points: the largest values.",
        partial(draw_cut_scans, search.signal, scans_by_name),
        {"signal": search.signal, "scale": search.config.cut_scan.scale, "scans": as_plain(scans_by_name)},
        (Table((column, "Largest S/√B", "at the cut", "Area", "Cuts"), rows),),
    )


def _cells(scan: CutScan | Undefined) -> tuple[Cell, ...]:
    if isinstance(scan, Undefined):
        return (scan,) * 4
    return (scan.maximum, scan.cut, scan.area, len(scan.cuts))


def _verdict(found: CutScans | Undefined) -> Verdict:
    scan = found if isinstance(found, Undefined) else next(iter(found.backgrounds.values()))
    if isinstance(scan, Undefined):
        return Verdict("unknown", f"no scan: {scan.reason}")
    text = f"S/√B is largest, {measurement_text(scan.maximum)}, at a score of {scan.cut:.5g}"
    if scan.cut == scan.cuts[-1]:
        text = f"{text}, where the scan ends: with more background events it may be larger beyond"
        return Verdict("attention", text, "The best cut lies where the background ends.")
    return Verdict("good", text, "There is a best cut, with enough background above it.")
