"""Panels above each other that share their x axis, and points of bins: what pictures of binned results share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.plots.style import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: Inches between panels.
_BETWEEN = 0.15


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
        top -= height + _BETWEEN
    return figure, panels


def draw_points(
    axes: Axes, edges: NDArray[np.float64], values: Sequence[Measurement | Undefined], **options: Any
) -> None:
    """Draw what is defined of the results of bins as points with uncertainties.

    Parameters
    ----------
    axes : Axes
    edges : array of float64, shape (n_bins + 1,)
    values : sequence of Measurement or Undefined
        One for each bin.
    **options
        Of `Axes.errorbar`.
    """
    known = [index for index, value in enumerate(values) if isinstance(value, Measurement)]
    points = np.array([values[index] for index in known], dtype=np.float64).reshape(-1, 2)
    low, high = edges[:-1][known], edges[1:][known]
    axes.errorbar(0.5 * (low + high), points[:, 0], points[:, 1], xerr=0.5 * (high - low), linestyle="none", **options)


def known_values(values: Sequence[Measurement | Undefined]) -> NDArray[np.float64]:
    """Values of bins, NaN (which leaves a gap in a line) where they are undefined."""
    return np.array([value.value if isinstance(value, Measurement) else np.nan for value in values])


def say_undefined(axes: Axes, reason: Undefined) -> None:
    """Write into empty axes why there is nothing in them."""
    axes.text(0.5, 0.5, str(reason), transform=axes.transAxes, ha="center", va="center", wrap=True)


def literal(name: str) -> str:
    """A name whose dollar signs do not begin a formula."""
    return name.replace("$", r"\$")
