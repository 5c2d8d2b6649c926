"""Pictures of the ABCD test: the closure of a grid of cuts, and that along its diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.number_texts import in_two_lines
from ntupleml.plots.panels import add_label_above, grid_of_panels, say_undefined
from ntupleml.plots.style import COLOURS, literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.abcd import AbcdTest

_WIDTH, _HEIGHT, _ASIDE, _ABOVE = 5.0, 4.4, 2.0, 0.1
#: Difference in standard deviations at which colours are darkest, and from which numbers in cells are white.
_DARKEST, _DARK = 5.0, 3.2


def draw_abcd(found: AbcdTest | Undefined, names: tuple[str, str], config: PlotConfig) -> Figure:
    """Draw ratios of truth and prediction; call it inside `plot_style`.

    Parameters
    ----------
    names : (str, str)
        Of the scores.
    """
    figure, blocks = grid_of_panels(2, _WIDTH, (_HEIGHT,), 2, _ASIDE)
    grid, diagonal = (axes for (axes,) in blocks)
    if isinstance(found, Undefined):
        say_undefined(grid, found)
        say_undefined(diagonal, found)
    else:
        _draw_grid(figure, grid, found, names)
        _draw_diagonal(diagonal, found)
    add_label_above(figure, config, _ABOVE)
    return figure


def _draw_grid(figure: Figure, axes: Axes, found: AbcdTest, names: tuple[str, str]) -> None:
    shares = list(dict.fromkeys(one for one, _ in found.grid))
    values = np.full((len(shares), len(shares)), np.nan)
    for (one, other), cell in found.grid.items():
        column, row = shares.index(one), shares.index(other)
        text = "–"
        if not isinstance(cell, Undefined):
            values[row, column] = cell.significance
            text = "\n".join(in_two_lines(cell.ratio))
        is_dark = abs(values[row, column]) > _DARK
        colour = "white" if is_dark else "black"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize="x-small")
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap="RdBu_r", vmin=-_DARKEST, vmax=_DARKEST, edgecolors="white", linewidth=1
    )
    for axis, name in ((axes.xaxis, names[0]), (axes.yaxis, names[1])):
        axis.set_ticks(np.arange(len(shares)) + 0.5, [f"{share:.0%}" for share in shares])
        axis.set_label_text(literal(f"Background above the cut on {name}"))
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    place = axes.get_position()
    width = figure.get_figwidth()
    bar = figure.colorbar(mesh, cax=figure.add_axes((place.x1 + 0.1 / width, place.y0, 0.2 / width, place.height)))
    bar.set_label("(A − BC/D) / uncertainty")


def _draw_diagonal(axes: Axes, found: AbcdTest) -> None:
    points = [(one, cell) for (one, other), cell in found.grid.items() if one == other]
    known = [(share, cell) for share, cell in points if not isinstance(cell, Undefined)]
    if not known:
        say_undefined(axes, Undefined("no prediction with equal shares"))
        return
    shares = [share for share, _ in known]
    axes.errorbar(
        shares,
        [cell.ratio.value for _, cell in known],
        [cell.ratio.uncertainty for _, cell in known],
        linestyle="none",
        marker="o",
        color=COLOURS[0],
    )
    axes.axhline(1, color="grey", linestyle="--", linewidth=1.2)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:g}" for share in shares])
    axes.minorticks_off()
    axes.set_xlabel("Share of the background above each cut")
    axes.set_ylabel("A / (BC/D)")
