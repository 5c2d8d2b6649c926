"""Distributions of scores with the band of their systematic variations, and the ratio of each to the nominal one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.plots.panels import grid_of_panels
from ntupleml.plots.score_distributions import set_scale
from ntupleml.plots.style import COLOURS, add_experiment_label, add_legend, class_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.systematics import Band, Shape, ShapeChange

_WIDTH, _HEIGHT, _RATIO_HEIGHT = 6.0, 4.0, 2.0
_LINES = {"up": "-", "down": "--"}
_MOST_RANGE = 1.0


class VariedShape(NamedTuple):
    """What is drawn of one class."""

    nominal: Shape
    #: By source and direction.
    changes: Mapping[str, Mapping[str, ShapeChange]]
    band: Band


def draw_varied_shapes(shapes: Mapping[str, VariedShape], config: PlotConfig) -> Figure:
    """Draw for each class the score of its own events with the band, and the ratios; call it inside `plot_style`."""
    figure, blocks = grid_of_panels(len(shapes), _WIDTH, (_HEIGHT, _RATIO_HEIGHT))
    add_experiment_label(blocks[0][0], config)
    for (shape, label), (above, below) in zip(
        zip(shapes.values(), class_labels(shapes, config), strict=True), blocks, strict=True
    ):
        _draw_shape(above, shape, label)
        _draw_ratios(below, shape)
        above.set_xlim(shape.nominal.edges[0], shape.nominal.edges[-1])
        above.set_ylabel("Share of the events", loc="top")
        below.set_xlabel(f"Score of {label}", loc="right")
    return figure


def _draw_shape(axes: Axes, shape: VariedShape, label: str) -> None:
    edges, shares, uncertainties = shape.nominal
    axes.stairs(
        shares * (1 + shape.band.up),
        edges,
        baseline=shares * (1 - shape.band.down),
        fill=True,
        color="grey",
        alpha=0.4,
        linewidth=0,
        label="all variations",
    )
    axes.stairs(shares, edges, color="black", linewidth=1.6, baseline=None, label=label)
    centres = (edges[1:] + edges[:-1]) / 2
    axes.errorbar(centres, shares, uncertainties, fmt="none", ecolor="black", elinewidth=1, label="stat. uncertainty")
    lines = min(3 + len(shape.changes), 9)
    for index, (source, changes) in enumerate(shape.changes.items()):
        for direction, change in changes.items():
            colour = COLOURS[index % len(COLOURS)]
            text = source if direction == "up" else None
            axes.stairs(
                shares * change.ratio, edges, color=colour, linestyle=_LINES[direction], baseline=None, label=text
            )
    set_scale(axes, [shares * (1 + shape.band.up)], lines)
    add_legend(axes, *axes.get_legend_handles_labels(), "Lines: up, dashed: down", loc="upper left", labelspacing=0.3)


def _draw_ratios(axes: Axes, shape: VariedShape) -> None:
    edges = shape.nominal.edges
    band = shape.band
    axes.stairs(1 + band.up, edges, baseline=1 - band.down, fill=True, color="grey", alpha=0.4, linewidth=0)
    axes.axhline(1, color="black", linewidth=0.8)
    centres = (edges[1:] + edges[:-1]) / 2
    reach = max(float(band.up.max(initial=0)), float(band.down.max(initial=0)))
    for index, changes in enumerate(shape.changes.values()):
        for direction, change in changes.items():
            colour = COLOURS[index % len(COLOURS)]
            axes.stairs(change.ratio, edges, color=colour, linestyle=_LINES[direction], baseline=None)
            axes.errorbar(centres, change.ratio, change.uncertainties, fmt="none", ecolor=colour, elinewidth=0.8)
    half = float(np.clip(1.3 * reach, 0.02, _MOST_RANGE))
    axes.set_ylim(1 - half, 1 + half)
    axes.set_ylabel("Shifted / nom.")
