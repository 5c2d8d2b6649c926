"""The loss of a training, epoch by epoch or round by round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.plots.style import add_experiment_label, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig


def draw_loss(
    history: Mapping[str, Sequence[float]], best: int | None, plot: PlotConfig, step: str = "epoch"
) -> Figure:
    """Training and validation loss against the epoch, the best one marked.

    Parameters
    ----------
    history : mapping
        Has `loss` and `val_loss`, one value per epoch.
    best : int or None
        Best epoch, counted from 1; None marks nothing.
    plot : PlotConfig
        To be used inside `plot_style`.
    step : str
        What is counted: epochs of a network, or rounds of boosted trees.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(6.0, 4.5)
    steps = range(1, len(history["loss"]) + 1)
    marker = "." if len(steps) < 3 else None  # a line of one point cannot be seen
    axes.plot(steps, history["loss"], marker=marker, label="training")
    axes.plot(steps, history["val_loss"], marker=marker, label="validation")
    if best:
        axes.axvline(best, color="grey", linestyle=":", label=f"best {step}, {best}")
    axes.set_xlabel(step)
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    add_experiment_label(axes, plot)
    return figure
