"""Picture of efficiency and purity in bins of a variable, for some cuts on the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.plots.panels import draw_points, known_values, say_undefined, stacked_panels
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, variable_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.binned_efficiency import BinnedEfficiency

#: Size of the panels in inches.
_WIDTH, _HEIGHTS = 7.0, (2.6, 2.2, 2.2)
#: The three panels: attribute of a cut, and text.
_PANELS = (("signal", "Signal eff."), ("background", "Backgr. eff."), ("purity", "Purity"))
_MARKERS = "os^Dv"
#: Where the axes end: above 1 there are only fluctuations.
_LARGEST = 1.15


def draw_binned_efficiency(
    result: BinnedEfficiency | Undefined, class_name: str, variable: str, config: PlotConfig
) -> Figure:
    """Draw efficiencies of signal and background, and purity; call it inside `plot_style`.

    Dashed lines are those of all events.

    Parameters
    ----------
    class_name, variable : str
        The signal, and what the bins are of.
    """
    figure, panels = stacked_panels(_WIDTH, _HEIGHTS)
    label = class_labels([class_name], config)[0]
    for axes, (_, text) in zip(panels, _PANELS, strict=True):
        axes.set_ylabel(text, loc="top")
    panels[-1].set_xlabel(variable_label(variable), loc="right")
    if isinstance(result, Undefined):
        for axes in panels:
            say_undefined(axes, result)
    else:
        for axes, (name, _) in zip(panels, _PANELS, strict=True):
            _draw_cuts(axes, result, name)
        panels[0].set_xlim(float(result.edges[0]), float(result.edges[-1]))
        panels[0].set_ylim(0, 1.35)
        panels[0].legend(title=f"Cuts on the score of {label} that keep", ncols=3, loc="upper center", frameon=False)
    add_experiment_label(panels[0], config)
    return figure


def _draw_cuts(axes: Axes, result: BinnedEfficiency, name: str) -> None:
    """One quantity, for all cuts; what is undefined is left out."""
    for index, cut in enumerate(result.cuts):
        colour = COLOURS[index % len(COLOURS)]
        draw_points(
            axes,
            result.edges,
            getattr(cut, f"{name}_in_bins"),
            color=colour,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            label=f"{100 * cut.wanted:g}%",
        )
        of_all = getattr(cut, name)
        if isinstance(of_all, Measurement):
            axes.axhline(of_all.value, color=colour, linestyle="--", linewidth=1)
        else:
            axes.text(0.02, 0.9 - 0.12 * index, str(of_all), transform=axes.transAxes, color=colour, va="top")
    shown = [known_values(getattr(cut, f"{name}_in_bins")) for cut in result.cuts]
    if not any((values < 0).any() for values in shown):
        axes.set_ylim(0, min(axes.get_ylim()[1], _LARGEST))
