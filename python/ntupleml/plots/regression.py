"""Pictures of predicted values: residuals, truth against prediction, and bias and resolution against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.panels import draw_points, say_undefined, stacked_panels
from ntupleml.plots.style import COLOURS, add_experiment_label, literal, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.regression import Regression, Residuals

#: Size of one panel in inches.
_WIDTH, _HEIGHT = 6.0, 4.5
_HEIGHTS = (2.4, 2.4)
#: What `draw_resolution` shows below the bias: attribute, text and marker.
_WIDTHS = (("resolution", "standard deviation", "o"), ("central_width", "central 68 %", "s"))


def draw_residuals(result: Regression | Undefined, name: str, config: PlotConfig) -> Figure:
    """Distribution of the residuals, with bias and the range of the resolution; call it inside `plot_style`."""
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_xlabel(f"Prediction − truth, {literal(name)}", loc="right")
    axes.set_ylabel("Sum of weights", loc="top")
    if isinstance(result, Undefined):
        say_undefined(axes, result)
    else:
        shown = result.distribution
        axes.stairs(shown.sums, shown.edges, color=COLOURS[0], linewidth=1.6, label="events")
        bias, width = result.residuals.bias, result.residuals.central_width
        axes.axvline(bias.value, color=COLOURS[2], linestyle="--", label=f"bias {_text(bias)}")
        if isinstance(width, Measurement):
            low, high = bias.value - width.value, bias.value + width.value
            axes.axvspan(low, high, color=COLOURS[1], alpha=0.25, label=f"± central width {_text(width)}")
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.6 * max(float(shown.sums.max()), 1e-300))
        axes.legend(loc="upper left", framealpha=0.8, edgecolor="none")  # the line of the bias may pass behind it
    add_experiment_label(axes, config)
    return figure


def draw_truth_and_prediction(
    result: Regression | Undefined,
    name: str,
    config: PlotConfig,
    axes_of: tuple[str, str] = ("Truth", "Prediction"),
) -> Figure:
    """Sums of weights by truth and prediction; on the dashed line both are the same."""
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_xlabel(f"{axes_of[0]}, {literal(name)}", loc="right")
    axes.set_ylabel(axes_of[1], loc="top")
    if isinstance(result, Undefined):
        say_undefined(axes, result)
    else:
        cells = np.where(result.map.sums == 0, np.nan, result.map.sums).T
        mesh = axes.pcolormesh(result.map.truth, result.map.prediction, cells, cmap="viridis", rasterized=True)
        figure.colorbar(mesh, ax=axes, label="Sum of weights")
        low = max(result.map.truth[0], result.map.prediction[0])
        high = min(result.map.truth[-1], result.map.prediction[-1])
        if low < high:
            axes.plot([low, high], [low, high], color=COLOURS[2], linestyle="--", linewidth=1.2)
    add_experiment_label(axes, config)
    return figure


def draw_resolution(result: Regression | Undefined, name: str, config: PlotConfig) -> Figure:
    """Bias and resolution in bins of the truth."""
    figure, (above, below) = stacked_panels(_WIDTH, _HEIGHTS)
    above.set_ylabel("Bias", loc="top")
    below.set_ylabel("Resolution", loc="top")
    below.set_xlabel(f"Truth, {literal(name)}", loc="right")
    if isinstance(result, Undefined):
        for axes in (above, below):
            say_undefined(axes, result)
    else:
        above.axhline(0, color="grey", linewidth=1)
        draw_points(above, result.edges, [_part(one, "bias") for one in result.in_bins], color=COLOURS[0], marker="o")
        for colour, (part, text, marker) in zip(COLOURS, _WIDTHS, strict=False):
            values = [_part(one, part) for one in result.in_bins]
            draw_points(below, result.edges, values, color=colour, marker=marker, markersize=5, label=text)
        below.set_ylim(0, 1.3 * below.get_ylim()[1])
        below.legend(loc="upper left", ncols=2, frameon=False)
    add_experiment_label(above, config)
    return figure


def _part(one: Residuals | Undefined, name: str) -> Measurement | Undefined:
    if isinstance(one, Undefined):
        return one
    value: Measurement | Undefined = getattr(one, name)
    return value


def _text(value: Measurement) -> str:
    return measurement_text(value)
