"""The loss around the trained weights as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.plots.panels import say_undefined
from ntupleml.plots.style import COLOURS, add_experiment_label, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.loss_landscape import LossLandscape

_WIDTH, _HEIGHT, _LINES = 6.0, 5.0, 20


def draw_loss_landscape(result: LossLandscape | Undefined, name: str, config: PlotConfig) -> Figure:
    """Draw the mean loss over two directions, in equal factors; call it inside `plot_style`.

    Parameters
    ----------
    name : str
        Of the loss.
    """
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_xlabel("Step along the first direction", loc="right")
    axes.set_ylabel("Step along the second direction", loc="top")
    if isinstance(result, Undefined):
        say_undefined(axes, result)
        return figure
    low, high = float(result.losses.min()), float(result.losses.max())
    levels = np.geomspace(low, high, _LINES) if 0 < low < high else np.linspace(low, max(high, low + 1e-9), _LINES)
    mesh = axes.contourf(result.steps, result.steps, result.losses.T, levels=levels, cmap="viridis_r")
    axes.contour(result.steps, result.steps, result.losses.T, levels=levels, colors="white", linewidths=0.4)
    bar = figure.colorbar(mesh, ax=axes, label=f"Mean {name}", format="%.3g")
    bar.ax.minorticks_off()
    look: dict[str, Any] = {"linestyle": "none", "markersize": 9, "markeredgecolor": "black"}
    axes.plot([0], [0], marker="*", color=COLOURS[1], label="trained weights", **look)
    if result.place != (0.0, 0.0):
        axes.plot(*([one] for one in result.place), marker="v", color=COLOURS[2], label="smallest", **look)
    axes.legend(loc="upper right", framealpha=0.8)
    add_experiment_label(axes, config)
    return figure
