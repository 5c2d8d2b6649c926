"""Pictures of the efficiency of a signal at its points: against the first parameter, and as a map of two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.number_texts import in_two_lines
from ntupleml.plots.style import COLOURS, add_experiment_label, add_legend, class_labels, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.point_efficiency import SelectedShare

    Points = Mapping[tuple[float, ...], SelectedShare]

#: Size of the axes, and of a cell of the map, in inches.
_WIDTH, _HEIGHT = 7.0, 4.4
_CELL_WIDTH, _CELL_HEIGHT = 1.15, 0.75
_MARKERS = "os^DvP*X"


def draw_points_of_signal(
    signal: str, parameters: Sequence[str], points: Points, shares: Mapping[str, SelectedShare], config: PlotConfig
) -> Figure:
    """Draw the efficiency at each point against the first parameter; call it inside `plot_style`.

    Points of the same further parameters have the same colour. Without parameters, draw the shares of the classes.

    Parameters
    ----------
    signal : str
    parameters : sequence of str
        Names of the coordinates of the points.
    shares : mapping of str to SelectedShare
        Of all events of each class, that of the signal first, that of all others last.
    """
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_position((0, 0, 1, 1))
    label = class_labels([signal], config)[0]
    if points:
        _draw_series(axes, parameters, points)
        whole, *_, rest = shares.values()
        for one, name, line in ((whole, f"all {label}", "--"), (rest, "false positives", ":")):
            if isinstance(one.share, Measurement):
                axes.axhline(one.share.value, color="grey", linestyle=line, linewidth=1.2, label=name)
    else:
        for index, one in enumerate(shares.values()):
            _draw_share(axes, float(index), one, index)
        axes.set_xticks(range(len(shares)), [*class_labels(list(shares)[:-1], config), list(shares)[-1]])
        axes.minorticks_off()
    axes.set_ylabel(f"Share predicted to be {label}", loc="top")
    low, high = axes.get_ylim()
    axes.set_ylim(min(0.0, low), 1.35 * max(high, 0.05))
    if points:
        columns = 2 if len(axes.get_legend_handles_labels()[1]) > 3 else 1
        title = ", ".join(map(literal, parameters[1:]))
        add_legend(axes, *axes.get_legend_handles_labels(), title, loc="upper left", ncols=columns)
    add_experiment_label(axes, config)
    return figure


def _draw_series(axes: Axes, parameters: Sequence[str], points: Points) -> None:
    """Equal steps for each value of the first parameter, those of the others beside each other."""
    first = sorted({point[0] for point in points})
    others = sorted({point[1:] for point in points})
    for index, other in enumerate(others):
        text = ", ".join(f"{value:g}" for value in other)
        shift = 0.5 * ((index + 0.5) / len(others) - 0.5)
        for point, one in points.items():
            if point[1:] == other:
                _draw_share(axes, first.index(point[0]) + shift, one, index)
        axes.plot(
            [], [], _MARKERS[index % len(_MARKERS)], color=COLOURS[index % len(COLOURS)], label=text or "efficiency"
        )
    axes.set_xticks(range(len(first)), [f"{value:g}" for value in first])
    axes.minorticks_off()
    axes.set_xlabel(literal(parameters[0]), loc="right")


def _draw_share(axes: Axes, position: float, one: SelectedShare, index: int) -> None:
    if isinstance(one.share, Undefined) or isinstance(one.interval, Undefined):
        return
    below, above = one.share.value - one.interval[0], one.interval[1] - one.share.value
    bars = [[max(below, 0.0)], [max(above, 0.0)]]
    look: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}
    axes.errorbar([position], [one.share.value], yerr=bars, markersize=6, capsize=2, linestyle="none", **look)


def draw_map_of_points(signal: str, parameters: Sequence[str], points: Points, config: PlotConfig) -> Figure:
    """Draw the efficiency of two parameters as the colour of cells, its value in each; call it inside `plot_style`."""
    across, upwards = (sorted({point[axis] for point in points}) for axis in (0, 1))
    values = np.full((max(len(upwards), 1), max(len(across), 1)), np.nan)
    figure, axes = new_figure(max(len(across) * _CELL_WIDTH, 3.0), max(len(upwards) * _CELL_HEIGHT, 2.0))
    axes.set_position((0, 0, 1, 1))
    for point, one in points.items():
        if isinstance(one.share, Measurement):
            values[upwards.index(point[1]), across.index(point[0])] = one.share.value
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            share = points[across[column], upwards[row]].share
            assert isinstance(share, Measurement)
            text = "\n".join(in_two_lines(share))
            colour = "white" if value > 0.6 else "black"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour, fontsize="x-small")
    for axis, shown in ((axes.xaxis, across), (axes.yaxis, upwards)):
        axis.set_ticks(np.arange(len(shown)) + 0.5, [f"{value:g}" for value in shown])
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    axes.set_xlabel(literal(parameters[0]), loc="right")
    axes.set_ylabel(literal(parameters[1]), loc="top", labelpad=8)
    width = figure.get_figwidth()
    bar = figure.colorbar(mesh, cax=figure.add_axes((1 + 0.2 / width, 0, 0.25 / width, 1)))
    bar.set_label(f"Efficiency of {class_labels([signal], config)[0]}")
    add_experiment_label(axes, config)
    return figure
