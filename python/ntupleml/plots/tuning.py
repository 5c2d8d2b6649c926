"""Pictures of a search for settings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.plots.style import add_experiment_label, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig

#: Different whole numbers of a setting that are all named.
_FEW = 6
#: Letters of a choice that are shown.
_LONGEST = 16
_COLOURS = "viridis"
#: Points; names of settings are long.
_NAME_SIZE = 9


def draw_history(values: Mapping[int, float], objective: str, plot: PlotConfig, *, maximise: bool) -> Figure:
    """Value of each trial by its number, and the best so far.

    Parameters
    ----------
    values : mapping of int to float
        By the number of the trial, in their order.
    plot : PlotConfig
        To be used inside `plot_style`.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(6.0, 4.5)
    numbers, found = list(values), np.array(list(values.values()))
    best = np.maximum.accumulate(found) if maximise else np.minimum.accumulate(found)
    axes.plot(numbers, found, "o", markersize=4, label="trial")
    axes.step(numbers, best, where="post", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(literal(objective))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    add_experiment_label(axes, plot)
    return figure


def draw_parallel_coordinates(
    settings: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    objective: str,
    plot: PlotConfig,
    *,
    maximise: bool,
    logarithmic: Collection[str] = (),
) -> Figure:
    """An axis for each setting and one for the objective, a line for each trial.

    Parameters
    ----------
    settings : sequence of mapping
        Numbers or texts by the key, trial by trial.
    logarithmic : collection of str
        Keys whose logarithm is shown.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    keys = list(settings[0])
    figure, axes = new_figure(max(6.0, 1.6 * (len(keys) + 1)), 5.0)
    heights = np.empty((len(settings), len(keys) + 1))
    for column, key in enumerate(keys):
        ticks, heights[:, column] = _axis([one[key] for one in settings], key in logarithmic)
        _draw_axis(axes, column, ticks)
    ticks, heights[:, -1] = _axis(values, False)
    _draw_axis(axes, len(keys), ticks)
    norm = Normalize(min(values), max(values))
    colours = colormaps[_COLOURS if maximise else f"{_COLOURS}_r"]
    for index in np.argsort(values) if maximise else np.argsort(values)[::-1]:
        axes.plot(range(len(keys) + 1), heights[index], color=colours(norm(values[index])), linewidth=1.2)
    axes.set_xticks(range(len(keys) + 1), [literal(_broken(name)) for name in (*keys, objective)], fontsize=_NAME_SIZE)
    axes.set_yticks([])
    axes.minorticks_off()
    axes.tick_params(axis="x", which="both", length=0)
    axes.set_xlim(-0.3, len(keys) + 0.6)
    axes.set_ylim(-0.05, 1.05)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=literal(objective))
    add_experiment_label(axes, plot)
    return figure


def _axis(values: Sequence[Any], logarithmic: bool) -> tuple[dict[str, float], np.ndarray[Any, Any]]:
    """Texts by their heights from 0 to 1, and the heights of values."""
    if any(isinstance(value, str) for value in values):
        names = sorted({str(value) for value in values})
        places = np.linspace(0, 1, len(names)) if len(names) > 1 else np.array([0.5])
        ticks = dict(zip(names, places.tolist(), strict=True))
        return ticks, np.array([ticks[str(value)] for value in values])
    numbers = np.array(values, dtype=np.float64)
    scaled = np.log10(numbers) if logarithmic else numbers
    low, high = float(scaled.min()), float(scaled.max())
    if low == high:
        return {f"{values[0]:.4g}": 0.5}, np.full(len(numbers), 0.5)
    few = len(set(values)) <= _FEW and all(isinstance(value, int) for value in values)
    shown = np.unique(scaled) if few else np.linspace(low, high, 5)
    texts = [f"{math.pow(10, one) if logarithmic else one:.3g}" for one in shown]
    return dict(zip(texts, ((shown - low) / (high - low)).tolist(), strict=True)), (scaled - low) / (high - low)


def _draw_axis(axes: Any, place: int, ticks: Mapping[str, float]) -> None:
    axes.axvline(place, color="grey", linewidth=0.8, zorder=0)
    for text, height in ticks.items():
        axes.annotate(
            literal(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"),
            (place, height),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=_NAME_SIZE,
        )


def _broken(name: str) -> str:
    """A long dotted key on several lines."""
    return name.replace(".", ".\n")
