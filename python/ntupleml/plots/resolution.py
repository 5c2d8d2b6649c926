"""Pictures of estimators side by side: response and resolution in bins, shapes with their tails, lines, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.panels import draw_points, known_values, stacked_panels
from ntupleml.plots.style import COLOURS, add_experiment_label, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.linearity import Linearity
    from ntupleml.metrics.score_distributions import Density

#: Size of the panels in inches.
_WIDTH, _HEIGHT, _HEIGHTS, _LOW = 6.0, 4.5, (2.4, 1.5), 1.6
_MARKERS = "osD^vP*X"
#: Room above the points for each two names of a legend, as a share of the height.
_LEGEND_LINE = 0.12


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": _MARKERS[index % len(_MARKERS)], "markersize": 4}


def draw_in_bins(
    edges: NDArray[np.float64],
    panels: Sequence[tuple[str, Mapping[str, Sequence[Measurement | Undefined]], float | None]],
    label: str,
    config: PlotConfig,
) -> Figure:
    """Draw numbers of several estimators in bins of a variable; call it inside `plot_style`.

    Parameters
    ----------
    edges : array of float64, shape (n_bins + 1,)
    panels : sequence of (label, numbers, ideal)
        From above: of the y axis, by estimator (one for each bin), and where a line is drawn.
    label : str
        Of the x axis.
    """
    heights = (_HEIGHTS[0], *[_HEIGHTS[1]] * (len(panels) - 1))
    figure, all_axes = stacked_panels(_WIDTH, heights)
    names = list(dict.fromkeys(name for _, numbers, _ in panels for name in numbers))
    for axes, (text, numbers, ideal) in zip(all_axes, panels, strict=True):
        axes.set_ylabel(text, loc="top")
        if ideal is not None:
            axes.axhline(ideal, color="grey", linewidth=1)
        if not any(isinstance(one, Measurement) for values in numbers.values() for one in values):
            reasons = [str(one) for values in numbers.values() for one in values]
            axes.text(0.5, 0.5, (reasons or ["nothing to compare with"])[0], transform=axes.transAxes, ha="center")
        for name, values in numbers.items():
            draw_points(axes, edges, values, label=literal(name), **_look(names.index(name)))
        _limit(axes, numbers, ideal)
    lines = (len(names) + 1) // 2
    low, high = all_axes[0].get_ylim()
    all_axes[0].set_ylim(low, low + (high - low) / (1 - min(_LEGEND_LINE * lines, 0.6)))
    all_axes[0].legend(loc="upper left", ncols=2, frameon=False)
    all_axes[0].set_xlim(float(edges[0]), float(edges[-1]))
    all_axes[-1].set_xlabel(label, loc="right")
    add_experiment_label(all_axes[0], config)
    return figure


def _limit(axes: Axes, numbers: Mapping[str, Sequence[Measurement | Undefined]], ideal: float | None) -> None:
    """Not farther than the points, so that the error bar of a bin with few events does not hide the others."""
    values = np.concatenate([known_values(one) for one in numbers.values()] or [np.zeros(0)])
    values = np.append(values[np.isfinite(values)], 0.0 if ideal is None else ideal)
    low, high = float(values.min()), float(values.max())
    margin = 0.12 * (high - low) or 0.1 * max(abs(high), 1e-6)
    axes.set_ylim(low - margin if low < 0 or ideal is not None else 0.0, high + margin)


def draw_shapes(
    shapes: Mapping[str, Density | Undefined], widths: Mapping[str, Measurement | Undefined], config: PlotConfig
) -> Figure:
    """Draw residuals in units of their core, normalised, on a logarithmic axis with a normal distribution.

    Call it inside `plot_style`.

    Parameters
    ----------
    shapes : mapping of str to Density or Undefined
        By estimator.
    widths : mapping of str to Measurement or Undefined
        Of the cores, for the legend.
    """
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_xlabel("(Residual − mean of the core) / width of the core", loc="right")
    axes.set_ylabel("Density", loc="top")
    lowest = 1e-2
    for index, (name, shape) in enumerate(shapes.items()):
        if isinstance(shape, Undefined):
            axes.plot([], [], color="none", label=f"{literal(name)}: {shape}")
            continue
        shown = np.where(shape.values > 0, shape.values, np.nan)
        if (shape.values > 0).any():
            lowest = min(lowest, float(np.nanmin(shown)))
        axes.stairs(shown, shape.edges, color=COLOURS[index % len(COLOURS)], linewidth=1.6, label=_named(name, widths))
        axes.set_xlim(float(shape.edges[0]), float(shape.edges[-1]))
    places = np.linspace(-4, 4, 200)
    normal = np.exp(-np.square(places) / 2) / np.sqrt(2 * np.pi)
    axes.plot(places, normal, color="grey", linestyle="--", linewidth=1.2, label="normal distribution")
    axes.set_yscale("log")
    axes.set_ylim(lowest / 2, 10 ** (0.35 * (len(shapes) + 3)))
    axes.legend(loc="upper left", frameon=False)
    add_experiment_label(axes, config)
    return figure


def _named(name: str, widths: Mapping[str, Measurement | Undefined]) -> str:
    width = widths[name]
    text = measurement_text(width) if isinstance(width, Measurement) else "–"
    return f"{literal(name)}, core {text}"


def draw_linearity(lines: Mapping[str, Linearity | Undefined], label: str, config: PlotConfig) -> Figure:
    """Draw mean predictions against the truth with the lines through them, and below what is off the line.

    Call it inside `plot_style`.
    """
    figure, (above, below) = stacked_panels(_WIDTH, (_HEIGHT - 1, _LOW))
    above.set_ylabel("Mean prediction", loc="top")
    below.set_ylabel("− line", loc="top")
    below.set_xlabel(f"Truth, {label}", loc="right")
    below.axhline(0, color="grey", linewidth=1)
    ends: list[float] = []
    for index, (name, line) in enumerate(lines.items()):
        if isinstance(line, Undefined):
            above.plot([], [], color="none", label=f"{literal(name)}: {line}")
            continue
        truth = np.array(line.truth)
        means, errors = np.array([tuple(one) for one in line.prediction]).T
        expected = line.intercept.value + line.slope.value * truth
        text = f"{literal(name)}: slope {measurement_text(line.slope)}"
        above.errorbar(truth, means, errors, linestyle="none", label=text, **_look(index))
        above.plot(truth, expected, color=COLOURS[index % len(COLOURS)], linewidth=1)
        below.errorbar(truth, means - expected, errors, linestyle="none", **_look(index))
        ends += [float(truth.min()), float(truth.max())]
    if ends:
        above.plot([min(ends), max(ends)], [min(ends), max(ends)], color="grey", linestyle="--", label="truth")
        low, high = above.get_ylim()
        above.set_ylim(low, low + (high - low) / (1 - min(0.05 * (len(lines) + 1), 0.35)))
    above.legend(loc="upper left", frameon=False)
    add_experiment_label(above, config)
    return figure
