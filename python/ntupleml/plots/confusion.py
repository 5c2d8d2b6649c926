"""Confusion matrices as pictures: a row for each true class, the first on top, a column for each predicted class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.number_texts import in_two_lines
from ntupleml.plots.style import add_experiment_label, class_labels, new_figure, yield_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import Matrix

#: Size of the text in points; the experiments' own sizes are made for pictures with far less text.
_FONT_SIZE = 16
#: Of matplotlib, for the files of a matrix.
FILE_PARAMETERS = {"font.size": _FONT_SIZE} | dict.fromkeys(
    ("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), _FONT_SIZE
)
#: Size of the uncertainties, relative to that of the values.
_UNCERTAINTY_SIZE = 0.7
#: Smallest cell, and smallest side of the whole matrix, in inches.
_CELL_WIDTH, _CELL_HEIGHT, _SMALLEST_SIDE = 1.15, 0.85, 6.0
#: Light everywhere, so that dark text can be read on it.
_COLOUR_MAP = "Wistia"
#: Of the text on the cells, which are light on a dark page, too. It is not black, which would follow the page.
_TEXT_COLOUR = "#101010"


def draw_confusion_matrix(matrix: Matrix, classes: Sequence[str], label: str, config: PlotConfig) -> Figure:
    """Draw a confusion matrix; call it inside `plot_style`.

    Each cell has the value and below it the uncertainty, of which two digits are shown. Cells that are undefined say so
    and are hatched.

    Parameters
    ----------
    matrix : tuple of tuples of Measurement or Undefined
        Row = true class, column = predicted class.
    label : str
        What the colour bar shows, e.g. "Efficiency"; empty for sums of weights.
    """
    size = len(classes)
    figure, axes = new_figure(size * _CELL_WIDTH, size * _CELL_HEIGHT)
    # The axes fill the figure; what is around them is taken in when the figure is saved.
    axes.set_position((0, 0, 1, 1))
    mesh = _draw_cells(axes, matrix)
    widest = max(text.get_window_extent().width for text in axes.texts) / figure.dpi
    width = max(size * _CELL_WIDTH, size * (widest + 0.15), _SMALLEST_SIDE)
    figure.set_size_inches(width, max(size * _CELL_HEIGHT, 0.7 * _SMALLEST_SIDE))
    _draw_class_names(axes, class_labels(classes, config))
    bar = figure.colorbar(mesh, cax=figure.add_axes((1 + 0.3 / width, 0, 0.35 / width, 1)))
    bar.set_label(label or yield_label(config), loc="center", rotation=270, va="bottom", labelpad=8)
    add_experiment_label(axes, config)
    return figure


def _draw_cells(axes: Axes, matrix: Matrix) -> QuadMesh:
    values = np.array([[_value(entry) for entry in row] for row in matrix])
    lowest, highest = _colour_range(values)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=_COLOUR_MAP, vmin=lowest, vmax=highest, edgecolors="white", linewidth=1
    )
    axes.set_xlim(0, len(matrix))
    axes.set_ylim(len(matrix), 0)
    for true, row in enumerate(matrix):
        for predicted, entry in enumerate(row):
            _draw_entry(axes, predicted, true, entry)
    return mesh


def _value(entry: Measurement | Undefined) -> float:
    return entry.value if isinstance(entry, Measurement) else math.nan


def _colour_range(values: Any) -> tuple[float, float]:
    """From zero, or the smallest negative value, to the largest value; never an empty range."""
    finite = values[np.isfinite(values)]
    lowest = min(0.0, float(finite.min(initial=0.0)))
    highest = float(finite.max(initial=lowest))
    return lowest, highest if highest > lowest else lowest + 1.0


def _draw_entry(axes: Axes, column: int, row: int, entry: Measurement | Undefined) -> None:
    import matplotlib as mpl
    from matplotlib.patches import Rectangle

    centre = (column + 0.5, row + 0.5)
    options: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "color": _TEXT_COLOUR}
    size = float(mpl.rcParams["font.size"])
    if isinstance(entry, Undefined):
        cell = Rectangle((column, row), 1, 1, facecolor="0.93", edgecolor="0.8", hatch="//", linewidth=0)
        axes.add_patch(cell)
        axes.annotate("undefined", centre, (0, 0), fontsize=_UNCERTAINTY_SIZE * size, **options)
        return
    value, uncertainty = in_two_lines(entry)
    shift = 0.5 * size if uncertainty else 0.0
    axes.annotate(value, centre, (0, shift), **options)
    axes.annotate(uncertainty, centre, (0, -shift), fontsize=_UNCERTAINTY_SIZE * size, **options)


def _draw_class_names(axes: Axes, labels: Sequence[str]) -> None:
    size = len(labels)
    centres = np.arange(size) + 0.5
    axes.set_xticks(centres, labels)
    axes.set_yticks(centres, labels)
    axes.minorticks_off()
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    widest = max(text.get_window_extent().width for text in axes.get_xticklabels())
    if widest > 0.9 * axes.get_window_extent().width / size:
        axes.tick_params(axis="x", labelrotation=90)
