"""Results at the points of hypotheses, such as masses, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.plots.panels import draw_points
from ntupleml.plots.style import COLOURS, add_experiment_label, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import Measurement, Undefined

#: Inches: of the axes, and of each point.
_WIDTH, _HEIGHT, _PER_POINT = 4.5, 3.6, 0.25


def draw_areas(
    points: Sequence[tuple[float, ...]],
    areas: Sequence[Mapping[str, Measurement | Undefined]],
    names: Sequence[str],
    config: PlotConfig,
) -> Figure:
    """Areas under ROC curves, point after point, for all methods; call it inside `plot_style`."""
    figure, axes = new_figure(max(_WIDTH, _PER_POINT * len(points)), _HEIGHT)
    for index, method in enumerate(areas[0] if areas else ()):
        edges = np.arange(len(points) + 1, dtype=np.float64) - 0.5
        draw_points(
            axes, edges, [one[method] for one in areas], color=COLOURS[index % len(COLOURS)], label=literal(method)
        )
    axes.set_xticks(range(len(points)), [", ".join(f"{value:g}" for value in point) for point in points], rotation=90)
    axes.set_xlabel(literal(", ".join(names)), loc="right")
    axes.set_ylabel("Area under the ROC curve", loc="top")
    axes.legend(frameon=False)
    add_experiment_label(axes, config)
    return figure
