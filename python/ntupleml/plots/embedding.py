"""Events in the plane of what a network makes of them, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.plots.panels import add_label_above, grid_of_panels, say_undefined
from ntupleml.plots.style import COLOURS, class_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig

_SIDE, _ASIDE = 4.8, 1.2
#: Points that are drawn; more would hide one another.
MOST_DRAWN = 1_500


def draw_embedding(
    planes: Mapping[tuple[str, str], NDArray[np.float64] | Undefined],
    truth: NDArray[np.int64],
    classes: Sequence[str],
    config: PlotConfig,
) -> Figure:
    """Draw events as points in the colour of their class, a panel for each plane; call it inside `plot_style`.

    Of more than 1,500 some are drawn.

    Parameters
    ----------
    planes : mapping
        Points, shape (n_events, 2), by what the axes are called.
    truth : array of int, shape (n_events,)
    """
    figure, blocks = grid_of_panels(len(planes), _SIDE, (_SIDE,), aside=_ASIDE)
    order = np.random.default_rng(0).permutation(len(truth))[:MOST_DRAWN]  # so that no class covers another
    colours = np.array(COLOURS)[truth[order] % len(COLOURS)]
    for (axes,), (names, points) in zip(blocks, planes.items(), strict=True):
        axes.set_xlabel(names[0], loc="right")
        axes.set_ylabel(names[1], loc="top")
        if isinstance(points, Undefined):
            say_undefined(axes, points)
            continue
        x, y = points[order].T
        axes.scatter(x, y, s=6, c=colours, alpha=0.6, linewidths=0)
    look: dict[str, Any] = {"linestyle": "none", "marker": "o"}
    first = blocks[0][0]
    for index, label in enumerate(class_labels(classes, config)):
        first.plot([], [], color=COLOURS[index % len(COLOURS)], label=label, **look)
    first.legend(loc="best", framealpha=0.8)
    add_label_above(figure, config, 0.0)
    return figure
