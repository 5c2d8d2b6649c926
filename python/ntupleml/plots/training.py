"""The loss of a training, epoch by epoch or round by round, and of its adversary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.plots.panels import stacked_panels
from ntupleml.plots.style import add_experiment_label, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig

#: Ratio of the largest to the smallest learning rate above which their axis is logarithmic.
_LOG_RATIO = 20.0


def draw_loss(
    history: Mapping[str, Sequence[float]],
    best: int | None,
    plot: PlotConfig,
    step: str = "epoch",
    members: Sequence[Mapping[str, Sequence[float]]] = (),
) -> Figure:
    """Training and validation loss against the epoch, the best one marked; below, a learning rate that changes.

    Parameters
    ----------
    history : mapping
        Has `loss` and `val_loss`, one value per epoch, and may have `learning_rate`.
    best : int or None
        Best epoch, counted from 1; None marks nothing.
    plot : PlotConfig
        To be used inside `plot_style`.
    step : str
        What is counted: epochs of a network, or rounds of boosted trees.
    members : sequence of mapping
        Histories of an ensemble's members, which are thin lines below their mean.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(6.0, 4.5)
    steps = range(1, len(history["loss"]) + 1)
    marker = "." if len(steps) < 3 else None  # a line of one point cannot be seen
    for key, label in (("loss", "training"), ("val_loss", "validation")):
        (line,) = axes.plot(steps, history[key], marker=marker, label=label)
        for member in members:
            own = member.get(key, ())
            axes.plot(range(1, len(own) + 1), own, color=line.get_color(), linewidth=0.6, alpha=0.6, zorder=1.5)
    if best:
        axes.axvline(best, color="grey", linestyle=":", label=f"best {step}, {best}")
    axes.set_xlabel(step)
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    rates = history.get("learning_rate", ())
    if len(set(rates)) > 1:
        _draw_rates(rates, figure, axes, step)
    add_experiment_label(axes, plot)
    return figure


def draw_adversary(
    history: Mapping[str, Sequence[float]], best: int | None, plot: PlotConfig, ks_limit: float | None = None
) -> Figure:
    """Losses and accuracies of an adversary and, of a control sample, the distances of the scores, by epoch.

    Parameters
    ----------
    history : mapping
        Has `adversary_loss` and may have `val_adversary_loss`, `adversary_accuracy`, `val_adversary_accuracy`, and
        `ks_{class}` with their sum `ks`.
    best : int or None
        Best epoch, counted from 1; None marks nothing.
    plot : PlotConfig
        To be used inside `plot_style`.
    ks_limit : float, optional
        Largest distance that the best epoch may have.
    """
    from matplotlib.ticker import MaxNLocator

    distances = [key for key in history if key.startswith("ks_")]
    wanted = {
        "loss": ("adversary_loss", "val_adversary_loss"),
        "accuracy": ("adversary_accuracy", "val_adversary_accuracy"),
        "K-S distance": (*distances, "ks"),
    }
    shown = {text: [key for key in keys if history.get(key)] for text, keys in wanted.items()}
    shown = {text: keys for text, keys in shown.items() if keys}
    figure, panels = stacked_panels(6.0, (2.2,) * len(shown))
    labels = {"val": "validation", "adversary": "training", "ks": "sum"}
    for axes, (text, keys) in zip(panels, shown.items(), strict=True):
        for key in keys:
            label = labels["ks"] if key == "ks" else literal(key.removeprefix("ks_"))
            label = label if text == "K-S distance" else labels[key.split("_")[0]]
            steps = range(1, len(history[key]) + 1)
            axes.plot(steps, history[key], marker="." if len(steps) < 3 else None, label=label)
        if best:
            axes.axvline(best, color="grey", linestyle=":", label=f"best epoch, {best}")
        if text == "K-S distance":
            axes.set_ylim(bottom=0)
            if ks_limit is not None:
                axes.axhline(ks_limit, color="grey", linestyle="--", label=f"limit, {ks_limit:g}")
        axes.set_ylabel(text if text == "K-S distance" else f"adversary's {text}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, frameon=False)
    panels[-1].set_xlabel("epoch")
    add_experiment_label(panels[0], plot)
    return figure


def _draw_rates(rates: Sequence[float], figure: Figure, above: Axes, step: str) -> None:
    """Learning rates in axes below those of the loss, logarithmic where they differ much."""
    figure.set_size_inches(6.0, 5.5)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1), hspace=0.08)
    above.set_subplotspec(grid[0])
    axes = figure.add_subplot(grid[1], sharex=above)
    above.tick_params(labelbottom=False)
    above.set_xlabel("")
    axes.plot(range(1, len(rates) + 1), rates, marker="." if len(rates) < 3 else None)
    axes.set_xlabel(step)
    axes.set_ylabel("learning rate")
    if min(rates) > 0 and max(rates) > _LOG_RATIO * min(rates):
        axes.set_yscale("log")
