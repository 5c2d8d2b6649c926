"""Matrices of correlation coefficients, and of differences of such, as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.plots.panels import add_label_above, grid_of_panels
from ntupleml.plots.style import add_experiment_label, class_labels, shrink_to, variable_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.correlations import Correlations

#: From blue over white to red, which people with colour vision deficiencies can tell apart.
_COLOUR_MAP = "RdBu_r"
#: Matrices of no more variables than this have numbers in their cells.
MOST_WITH_NUMBERS = 20
#: Side of the picture in inches, of a cell at least and at most.
_SIDE, _SMALLEST_CELL, _LARGEST_CELL = 6.0, 0.15, 0.6
#: Of several matrices: side, inches between them, how many stand in a row, and what is the largest that has numbers.
_SIDE_OF_SEVERAL, _BETWEEN, _IN_A_ROW, _MOST_WITH_NUMBERS_OF_SEVERAL = 4.0, 0.45, 3, 12
_TITLE_SIZE, _TITLE_HEIGHT = 12, 0.25
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
    """
    label = class_labels([class_name], config)[0]
    return _draw({"": correlations}, f"Correlation in {label} (%)", config, 1.0)


def draw_differences(differences: Correlations, class_name: str, config: PlotConfig) -> Figure:
    """Draw the differences of the coefficients of a class from those of the others, in the manner of the above.

    The colours end at the largest difference, but not below 20 %, so that noise is not blown up.
    """
    label = class_labels([class_name], config)[0]
    return _draw({"": differences}, f"Correlation in {label} − the rest (%)", config, _scale([differences]))


def draw_all_correlations(
    matrices: Mapping[str, Correlations], config: PlotConfig, *, differences: bool = False
) -> Figure:
    """Draw the matrices of all classes side by side, with one scale of colours; call it inside `plot_style`.

    Parameters
    ----------
    matrices : mapping of str to Correlations
        By class, all of the same variables.
    differences : bool, default: False
        Whether they are differences of a class from the rest.
    """
    by_label = dict(zip(class_labels(matrices, config), matrices.values(), strict=True))
    if differences:
        by_label = {f"{label} − the rest": one for label, one in by_label.items()}
        return _draw(by_label, "Difference of correlations (%)", config, _scale(list(matrices.values())))
    return _draw(by_label, "Correlation (%)", config, 1.0)


def _scale(differences: Sequence[Correlations]) -> float:
    known = np.concatenate([np.abs(one.coefficients[~np.isnan(one.coefficients)]) for one in differences])
    return max(float(known.max(initial=0.0)), _SMALLEST_SCALE)


def _draw(matrices: Mapping[str, Correlations], label: str, config: PlotConfig, scale: float) -> Figure:
    variables = next(iter(matrices.values())).variables
    size = len(variables)
    cell = min(max((_SIDE if len(matrices) == 1 else _SIDE_OF_SEVERAL) / size, _SMALLEST_CELL), _LARGEST_CELL)
    side = max(cell * size, 2.2)
    columns = _IN_A_ROW
    figure, blocks = grid_of_panels(len(matrices), side, (side,), columns, _BETWEEN, _BETWEEN, aligned=True)
    names = [variable_label(name) for name in variables]
    text_size = min(72 * side / size * 0.62, 12.0)
    lines = 1
    for index, ((title, matrix), (axes,)) in enumerate(zip(matrices.items(), blocks, strict=True)):
        image = _draw_matrix(axes, matrix, scale)
        across, along = axes.get_xaxis_transform(), axes.get_yaxis_transform()
        options: dict[str, Any] = {"fontsize": text_size, "clip_on": False}
        for place, name in enumerate(names):  # ticks would take several times as long as texts
            if index + columns >= len(matrices):  # nothing is below
                axes.text(place, -0.072 / side, name, rotation=90, ha="center", va="top", transform=across, **options)
            if index % columns == 0:
                axes.text(-0.072 / side, place, name, ha="right", va="center_baseline", transform=along, **options)
        if title:
            lines = max(lines, _write_title(axes, title))
        if size <= (MOST_WITH_NUMBERS if len(matrices) == 1 else _MOST_WITH_NUMBERS_OF_SEVERAL):
            _draw_numbers(axes, matrix.coefficients, scale, 72 * side / size)
    _draw_colour_bar(figure, image, blocks, columns, label)
    if len(matrices) == 1:
        add_experiment_label(blocks[0][0], config)
    else:
        add_label_above(figure, config, lines * _TITLE_HEIGHT)
    return figure


def _draw_colour_bar(
    figure: Figure, image: AxesImage, blocks: Sequence[Sequence[Axes]], columns: int, label: str
) -> None:
    """Draw the scale of colours: where the last row has room, else at the right of the first one."""
    width, height = figure.get_size_inches()
    free = len(blocks) % columns if len(blocks) > columns else 0
    if free:  # below the names of the matrix above
        across = blocks[len(blocks) - columns][0].get_position()
        last = blocks[-1][0].get_position()
        place = (across.x0, last.y0 + 0.3 * last.height, across.width, 0.25 / height)
    else:
        right = blocks[min(columns, len(blocks)) - 1][0].get_position()
        place = (right.x1 + 0.2 / width, right.y0, 0.25 / width, right.height)
    bar = figure.colorbar(image, cax=figure.add_axes(place), orientation="horizontal" if free else "vertical")
    bar.set_label(label, loc="center")
    bar.ax.minorticks_off()


def _write_title(axes: Axes, title: str) -> int:
    """Write a title no wider than the axes, a long one on two lines; their number."""
    width = axes.get_window_extent().width
    text = axes.set_title(title, loc="right", fontsize=_TITLE_SIZE, pad=4)
    lines = 1
    if text.get_window_extent().width > width:
        middle = len(title) / 2
        places = [place + 1 for place, letter in enumerate(title[:-1]) if letter in "_ "] or [round(middle)]
        place = min(places, key=lambda one: abs(one - middle))
        text.set_text(f"{title[:place]}\n{title[place:]}")
        lines = 2
    shrink_to(text, width)
    return lines


def _draw_matrix(axes: Axes, correlations: Correlations, scale: float) -> AxesImage:
    from matplotlib.colors import Normalize

    size = len(correlations.variables)
    axes.set_facecolor("0.85")  # undefined cells
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(
        np.ma.masked_invalid(100 * correlations.coefficients),
        cmap=_COLOUR_MAP,
        norm=Normalize(-100 * scale, 100 * scale),
        interpolation="nearest",
        aspect="auto",
        extent=(-0.5, size - 0.5, size - 0.5, -0.5),
    )


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
