"""The loss of a training, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.plots.style import add_experiment_label, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig


def draw_loss(history: Mapping[str, Sequence[float]], best_epoch: int | None, plot: PlotConfig) -> Figure:
    """Training and validation loss against the epoch, the best epoch marked.

    Parameters
    ----------
    history : mapping
        Has `loss` and `val_loss`, one value per epoch.
    best_epoch : int or None
        Counted from 1; None marks nothing.
    plot : PlotConfig
        To be used inside `plot_style`.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(6.0, 4.5)
    epochs = range(1, len(history["loss"]) + 1)
    marker = "." if len(epochs) < 3 else None  # a line of one point cannot be seen
    axes.plot(epochs, history["loss"], marker=marker, label="training")
    axes.plot(epochs, history["val_loss"], marker=marker, label="validation")
    if best_epoch:
        axes.axvline(best_epoch, color="grey", linestyle=":", label=f"best epoch, {best_epoch}")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    add_experiment_label(axes, plot)
    return figure
