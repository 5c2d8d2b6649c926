"""Distributions of formulas before and after reweighting, and those that are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ntupleml.plots.panels import add_label_above, grid_of_panels
from ntupleml.plots.style import class_labels, literal, shrink_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig

#: Panels of a formula each: size in inches, how many stand side by side, what is between them, and text in points.
_WIDTH, _HEIGHT, _IN_A_ROW, _ASIDE, _UNDER, _SIZE = 3.9, 2.4, 3, 0.7, 0.6, 11
#: Inches above the panels for the legend.
_ABOVE = 0.42


class Panel(NamedTuple):
    """Shares of the weights in bins of a formula."""

    classes: Sequence[str]
    formula: str
    edges: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    wanted: NDArray[np.float64]
    #: Kolmogorov-Smirnov distance to what is wanted, before and after.
    distances: tuple[float, float]


def draw_reweighting(panels: Sequence[Panel], plot: PlotConfig) -> Figure:
    """Draw each formula before and after, with what is wanted; call it inside `plot_style`."""
    figure, blocks = grid_of_panels(len(panels), _WIDTH, (_HEIGHT,), columns=_IN_A_ROW, aside=_ASIDE, under=_UNDER)
    for (axes,) in blocks[::_IN_A_ROW]:
        axes.set_ylabel("Share per bin", loc="top", fontsize=_SIZE)
    for panel, (axes,) in zip(panels, blocks, strict=True):
        edges = panel.edges
        axes.stairs(panel.before, edges, label="before", fill=True, alpha=0.35, baseline=0)
        axes.stairs(panel.after, edges, label="after", linewidth=1.6, baseline=None)
        axes.plot((edges[1:] + edges[:-1]) / 2, panel.wanted, "o", color="black", markersize=3, label="wanted")
        axes.set_xlim(edges[0], edges[-1])
        highest = max(1e-9, *(float(one.max()) for one in (panel.before, panel.after, panel.wanted)))
        lowest = min(0.0, *(float(one.min()) for one in (panel.before, panel.after, panel.wanted)))
        axes.set_ylim(1.1 * lowest, 1.5 * highest)
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize=_SIZE)
        names = ", ".join(class_labels(panel.classes, plot))
        distances = f"K-S distance {panel.distances[0]:.3f} → {panel.distances[1]:.3f}"
        text = axes.text(0.96, 0.95, f"{names}\n{distances}", transform=axes.transAxes, ha="right", va="top")
        text.set_fontsize(_SIZE - 1)
        shrink_to(text, 0.92 * axes.get_window_extent().width)
        label = axes.set_xlabel(literal(panel.formula), loc="right", fontsize=_SIZE, labelpad=2)
        shrink_to(label, axes.get_window_extent().width)
    first = blocks[0][0]
    place = (0.0, 1 + 0.2 * _ABOVE / (figure.get_figheight() * first.get_position().height))
    first.legend(loc="lower left", bbox_to_anchor=place, ncols=3, frameon=False, borderaxespad=0.0)
    add_label_above(figure, plot, _ABOVE)
    return figure
