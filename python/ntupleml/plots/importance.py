"""How much each variable contributes to a model, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.plots.style import add_experiment_label, new_figure, variable_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig

#: Variables that are shown; more cannot be read.
MOST_BARS = 40
_BAR_HEIGHT, _WIDTH, _AXIS_HEIGHT = 0.25, 6.0, 1.0
#: Points; the experiments' own text is too large for a line per variable.
_NAME_SIZE = 10


def importance_label(measure: str | None) -> str:
    """Title of the axis, and what captions call the shares; by default of boosted trees."""
    return f"share of the {measure or 'gain'}"


def draw_importance(
    importance: Mapping[str, float],
    plot: PlotConfig,
    *,
    label: str = "share of the gain",
    spread: Mapping[str, float] | None = None,
) -> Figure:
    """Share of each variable (in the gain of all cuts), the largest on top.

    Parameters
    ----------
    importance : mapping of str to float
        Share by variable, from 0 to 1; any order.
    plot : PlotConfig
        To be used inside `plot_style`.
    spread : mapping of str to float, optional
        Standard deviation of each share over the trees, as an error bar.
    """
    ranked = sorted(importance.items(), key=lambda item: -item[1])
    shown = ranked[:MOST_BARS]
    figure, axes = new_figure(_WIDTH, _AXIS_HEIGHT + _BAR_HEIGHT * len(shown))
    positions = range(len(shown))
    axes.barh(positions, [share for _, share in shown], xerr=[spread[name] for name, _ in shown] if spread else None)
    axes.set_yticks(positions, [variable_label(name) for name, _ in shown], fontsize=_NAME_SIZE)
    axes.tick_params(axis="y", which="both", length=0)
    axes.minorticks_off()
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first on top
    axes.set_xlim(0, None)
    left_out = f", the first {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else ""
    axes.set_xlabel(f"{label}{left_out}")
    add_experiment_label(axes, plot)
    return figure
