"""Matrices of correlation coefficients, and of differences of such, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.plots.style import add_experiment_label, class_labels, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.correlations import Correlations

#: From blue over white to red, which people with colour vision deficiencies can tell apart.
_COLOUR_MAP = "RdBu_r"
#: Matrices of no more variables than this have numbers in their cells.
MOST_WITH_NUMBERS = 20
#: Side of the picture in inches, of a cell at least and at most.
_SIDE, _SMALLEST_CELL, _LARGEST_CELL = 6.0, 0.15, 0.6
#: Text on cells, whose colours are the same on a light and on a dark page.
_DARK, _LIGHT = "#202020", "#f8f8f8"
#: Numbers in cells of a larger share of the scale are light.
_STRONG = 0.6
#: Smallest scale of differences.
_SMALLEST_SCALE = 0.2


def draw_correlations(correlations: Correlations, class_name: str, config: PlotConfig) -> Figure:
    """Draw the correlation coefficients of a class in per cent; call it inside `plot_style`.

    The first variable is on top and at the left. Up to 20 variables the cells have their numbers; what is undefined
    is grey.

    Parameters
    ----------
    correlations : Correlations
    class_name : str
    config : PlotConfig
    """
    label = class_labels([class_name], config)[0]
    return _draw(correlations, f"Correlation in {label} (%)", config, 1.0)


def draw_differences(differences: Correlations, class_name: str, config: PlotConfig) -> Figure:
    """Draw the differences of the coefficients of a class from those of the others, in the manner of the above.

    The colours end at the largest difference, but not below 20 %, so that noise is not blown up.

    Parameters
    ----------
    differences : Correlations
    class_name : str
    config : PlotConfig
    """
    label = class_labels([class_name], config)[0]
    known = np.abs(differences.coefficients[~np.isnan(differences.coefficients)])
    scale = max(float(known.max(initial=0.0)), _SMALLEST_SCALE)
    return _draw(differences, f"Correlation in {label} − the rest (%)", config, scale)


def _draw(correlations: Correlations, label: str, config: PlotConfig, scale: float) -> Figure:
    from matplotlib.colors import Normalize

    size = len(correlations.variables)
    cell = min(max(_SIDE / size, _SMALLEST_CELL), _LARGEST_CELL)
    side = max(cell * size, 2.2)
    figure, axes = new_figure(side, side)
    axes.set_position((0, 0, 1, 1))
    axes.set_facecolor("0.85")  # undefined cells
    image = axes.imshow(
        np.ma.masked_invalid(100 * correlations.coefficients),
        cmap=_COLOUR_MAP,
        norm=Normalize(-100 * scale, 100 * scale),
        interpolation="nearest",
        aspect="auto",
        extent=(-0.5, size - 0.5, size - 0.5, -0.5),
    )
    across, along = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    text_size = min(72 * side / size * 0.62, 12.0)
    names = [name.replace("$", r"\$") for name in correlations.variables]
    axes.set_xticks([])
    axes.set_yticks([])
    for place, name in enumerate(names):  # ticks would take several times as long as texts
        options: dict[str, Any] = {"fontsize": text_size, "clip_on": False}
        axes.text(place, -0.012, name, rotation=90, ha="center", va="top", transform=across, **options)
        axes.text(-0.012, place, name, ha="right", va="center_baseline", transform=along, **options)
    if size <= MOST_WITH_NUMBERS:
        _draw_numbers(axes, correlations.coefficients, scale, 72 * side / size)
    bar = figure.colorbar(image, cax=figure.add_axes((1 + 0.2 / side, 0, 0.25 / side, 1)))
    bar.set_label(label, loc="center")
    bar.ax.minorticks_off()
    add_experiment_label(axes, config)
    return figure


def _draw_numbers(axes: Axes, coefficients: NDArray[np.float64], scale: float, cell: float) -> None:
    """Coefficients in per cent, in cells of a size in points."""
    for row, column in np.ndindex(*coefficients.shape):
        value = float(coefficients[row, column])
        text = "–" if np.isnan(value) else f"{round(100 * value)}".replace("-", "−")
        is_strong = abs(value) > _STRONG * scale
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=min(0.36 * cell, 11.0),
            color=_LIGHT if is_strong else _DARK,
        )
