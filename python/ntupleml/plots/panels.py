"""Panels above each other that share their x axis, and points of bins: what pictures of binned results share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Interval, Measurement, Undefined
from ntupleml.plots.style import add_experiment_label, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig

#: Inches between panels, so that the lowest number of one and the highest of the next have room.
_BETWEEN = 0.2
#: Inches between blocks of panels that stand side by side, and one above the other.
_ASIDE, _UNDER = 1.1, 1.1


def stacked_panels(width: float, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """An empty figure with panels above each other; only the lowest has numbers at its x axis.

    Parameters
    ----------
    width : float
        In inches, without what is around the axes.
    heights : sequence of float
        In inches, from above.
    """
    total = sum(heights) + _BETWEEN * (len(heights) - 1)
    figure, first = new_figure(width, total)
    panels = [first, *(figure.add_subplot(sharex=first) for _ in heights[1:])]
    top = total
    for axes, height in zip(panels, heights, strict=True):
        axes.set_position((0, (top - height) / total, 1, height / total))
        axes.tick_params(labelbottom=axes is panels[-1])
        _spare_highest_tick(axes, panels)
        top -= height + _BETWEEN
    return figure, panels


def grid_of_panels(
    number: int,
    width: float,
    heights: Sequence[float],
    columns: int = 2,
    aside: float = _ASIDE,
    under: float = _UNDER,
    *,
    aligned: bool = False,
) -> tuple[Figure, list[list[Axes]]]:
    """An empty figure with blocks of panels in rows; those of a block stand above each other as in `stacked_panels`.

    A last row of fewer blocks stands in the middle, but for `aligned` ones.

    Parameters
    ----------
    number : int
        Of blocks.
    width : float
        Of a panel, in inches.
    heights : sequence of float
        Of the panels of each block in inches, from above.
    columns : int, default: 2
        Blocks side by side, at most.
    aside, under : float
        Inches between blocks, for their labels.
    aligned : bool, default: False
        Whether the last row begins at the left, too, as names at the left and below are common to all.

    Returns
    -------
    Figure, list of lists of Axes
        The panels by block.
    """
    columns = min(columns, number)
    rows = -(-number // columns)
    block = sum(heights) + _BETWEEN * (len(heights) - 1)
    whole = (columns * (width + aside) - aside, rows * (block + under) - under)
    figure, first = new_figure(*whole)
    blocks: list[list[Axes]] = []
    for index in range(number):
        indent = 0.0 if aligned else indent_of(index, number, columns) * (width + aside)
        left, top = indent + index % columns * (width + aside), whole[1] - index // columns * (block + under)
        panels: list[Axes] = []
        for height in heights:
            shared = panels[0] if panels else None
            axes = first if index == 0 and not panels else figure.add_subplot(sharex=shared)
            axes.set_position((left / whole[0], (top - height) / whole[1], width / whole[0], height / whole[1]))
            top -= height + _BETWEEN
            panels.append(axes)
            _spare_highest_tick(axes, panels)
        for axes in panels[:-1]:
            axes.tick_params(labelbottom=False)
        blocks.append(panels)
    return figure, blocks


def _spare_highest_tick(axes: Axes, panels: Sequence[Axes]) -> None:
    """No number at the upper end of a lower panel, which would run into that of the panel above."""
    from matplotlib.ticker import MaxNLocator

    if axes is not panels[0]:
        axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], prune="upper"))


def indent_of(index: int, number: int, columns: int) -> float:
    """By how many blocks one stands further to the right, so that the last row is in the middle.

    Examples
    --------
    >>> [indent_of(index, 5, 3) for index in range(5)]
    [0.0, 0.0, 0.0, 0.5, 0.5]
    """
    last = number % columns
    return 0.5 * (columns - last) if last and index >= number - last else 0.0


def add_label_above(figure: Figure, config: PlotConfig, inches: float) -> None:
    """Write the experiment's label across the whole figure, so much above it."""
    axes = figure.add_axes((0, 0, 1, 1 + inches / figure.get_figheight()))
    axes.set_axis_off()
    add_experiment_label(axes, config)


def draw_points(
    axes: Axes, edges: NDArray[np.float64], values: Sequence[Measurement | Interval | Undefined], **options: Any
) -> None:
    """Draw what is defined of the results of bins as points with uncertainties.

    Parameters
    ----------
    edges : array of float64, shape (n_bins + 1,)
    values : sequence of Measurement, Interval or Undefined
        One for each bin.
    **options
        Of `Axes.errorbar`.
    """
    known = [index for index, value in enumerate(values) if not isinstance(value, Undefined)]
    points, errors = points_with_errors([values[index] for index in known])
    low, high = edges[:-1][known], edges[1:][known]
    axes.errorbar(0.5 * (low + high), points, errors, xerr=0.5 * (high - low), linestyle="none", **options)


def points_with_errors(
    values: Sequence[Measurement | Interval | Undefined],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, shape (n,), and errors below and above, shape (2, n); NaN where undefined."""
    ends = np.array([_ends(value) for value in values], dtype=np.float64).reshape(-1, 3)
    return ends[:, 0], ends[:, 1:].T


def _ends(value: Measurement | Interval | Undefined) -> tuple[float, float, float]:
    if isinstance(value, Undefined):
        return np.nan, np.nan, np.nan
    down, up = value[1:] if isinstance(value, Interval) else (value.uncertainty, value.uncertainty)
    return value.value, down, up


def known_values(values: Sequence[Measurement | Undefined]) -> NDArray[np.float64]:
    """Values of bins, NaN (which leaves a gap in a line) where they are undefined."""
    return np.array([value.value if isinstance(value, Measurement) else np.nan for value in values])


def say_undefined(axes: Axes, reason: Undefined) -> None:
    """Write into empty axes why there is nothing in them."""
    axes.text(0.5, 0.5, str(reason), transform=axes.transAxes, ha="center", va="center", wrap=True)
