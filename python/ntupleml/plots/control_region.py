"""Pictures of a control region: distances of the scores of simulation and data, and their distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.two_samples import TwoSampleTest, no_total
from ntupleml.plots.panels import grid_of_panels, say_undefined
from ntupleml.plots.score_distributions import set_scale
from ntupleml.plots.style import COLOURS, add_experiment_label, add_legend, class_labels, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.control_region import ControlRegion
    from ntupleml.metrics.histograms import Histogram

#: Size of the panels in inches.
_WIDTH, _HEIGHTS = 5.0, (3.4, 1.3)
#: Inches for a line of the distances, and for the rest of them.
_LINE, _REST = 0.34, 0.9
_MARKERS = "os^DvP*X"
#: Range of the ratios, at most to both sides of 1.
_LARGEST_DEVIATION = 1.0


class ComparedScore(NamedTuple):
    """Distribution of a score in one slice."""

    simulation: Histogram
    data: Histogram
    test: TwoSampleTest | Undefined


def draw_distances(region: ControlRegion, config: PlotConfig) -> Figure:
    """Draw the distance of each score in each slice, and how large it may be; call it inside `plot_style`."""
    scores = list(region.sums)
    slices = list(dict.fromkeys(one.slice for one in region.tests))
    lines = len(scores) * len(slices)
    figure, axes = new_figure(6.0, _LINE * lines + _REST)
    axes.set_position((0, 0, 1, 1))
    labels = dict(zip(scores, class_labels(scores, config), strict=True))
    texts = []
    for line, one in enumerate(sorted(region.tests, key=lambda one: slices.index(one.slice))):
        texts.append(f"{labels[one.score]}, {literal(one.slice)}" if one.slice else labels[one.score])
        if isinstance(one.test, Undefined):
            axes.text(0.0, line, f"  {one.test}", va="center", fontsize="x-small", color="grey")
            continue
        colour = COLOURS[scores.index(one.score) % len(COLOURS)]
        axes.barh(line, one.critical, height=0.7, color="0.9", linewidth=0, zorder=0)
        axes.plot([one.corrected] * 2, [line - 0.35, line + 0.35], color="grey", linewidth=1.5)
        marker = _MARKERS[scores.index(one.score) % len(_MARKERS)]
        filled = colour if one.rejects_corrected else "none"
        axes.plot([one.test.statistic], [line], marker, color=colour, markerfacecolor=filled, markersize=8)
    axes.set_yticks(range(lines), texts)
    axes.tick_params(axis="y", which="both", length=0)
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"K-S distance (filled: rejected at {100 * region.level:g}%)", loc="right")
    add_experiment_label(axes, config)
    return figure


def draw_compared_scores(
    name: str, classes: Sequence[str], slices: Mapping[str, ComparedScore], config: PlotConfig
) -> Figure:
    """Draw a score of simulation and data, a panel for each slice; call it inside `plot_style`.

    Parameters
    ----------
    name : str
        Class of the score.
    classes : sequence of str
        Names of simulation and data.
    """
    figure, blocks = grid_of_panels(len(slices), _WIDTH, _HEIGHTS, columns=3)
    add_experiment_label(blocks[0][0], config)
    simulation, data = class_labels(classes, config)
    for (where, one), (above, below) in zip(slices.items(), blocks, strict=True):
        below.set_xlabel(f"Score of {class_labels([name], config)[0]}", loc="right")
        above.set_ylabel("Sum of weights", loc="top")
        below.set_ylabel("Data / sim.")
        above.set_xlim(one.data.edges[0], one.data.edges[-1])
        if undefined := no_total(one.simulation) or no_total(one.data):
            for axes in (above, below):
                say_undefined(axes, undefined)
            continue
        _draw_slice(above, below, one, (simulation, data), literal(where))
    return figure


def _draw_slice(above: Axes, below: Axes, one: ComparedScore, labels: tuple[str, str], title: str) -> None:
    edges = one.data.edges
    scale = float(one.data.sums.sum() / one.simulation.sums.sum())
    sums, uncertainties = scale * one.simulation.sums, abs(scale) * one.simulation.uncertainties
    colour = COLOURS[0]
    above.stairs(sums, edges, color=colour, linewidth=1.6, label=labels[0], baseline=None)
    band: dict[str, Any] = {"fill": True, "color": colour, "alpha": 0.3, "linewidth": 0}
    above.stairs(sums + uncertainties, edges, baseline=sums - uncertainties, **band)
    centres, filled = 0.5 * (edges[1:] + edges[:-1]), one.data.squares > 0
    points: dict[str, Any] = {"fmt": "o", "markersize": 3.5, "elinewidth": 1, "color": "black"}
    above.errorbar(centres[filled], one.data.sums[filled], one.data.uncertainties[filled], label=labels[1], **points)
    distance = "" if isinstance(one.test, Undefined) else f"D = {one.test.statistic:.3f}, p = {one.test.p_value:.2g}"
    lines = [text for text in (title, distance) if text]
    set_scale(above, [sums, one.data.sums], 2 + len(lines))
    add_legend(above, *above.get_legend_handles_labels(), "\n".join(lines), loc="upper right", labelspacing=0.3)
    known = (sums > 0) & filled
    safe = np.where(known, sums, 1.0)
    ratio, spread = one.data.sums / safe, one.data.uncertainties / safe
    below.stairs(1 + uncertainties / safe * known, edges, baseline=1 - uncertainties / safe * known, **band)
    below.axhline(1, color="grey", linewidth=0.8)
    below.errorbar(centres[known], ratio[known], spread[known], **points)
    deviations = np.abs(ratio[known] - 1) + spread[known]
    half = float(np.clip(1.1 * deviations.max(initial=0.0), 0.1, _LARGEST_DEVIATION))
    below.set_ylim(1 - half, 1 + half)
