"""Mean attention between objects as pictures: a panel for each class and head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.plots.panels import add_label_above, grid_of_panels
from ntupleml.plots.style import class_labels, literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.attention import AttentionMap

#: Least height of a panel, as a share of its width.
_FLATTEST = 0.25
#: Side of a panel and what is between panels in inches; points of titles and of the largest names.
_SIDE, _BETWEEN, _ABOVE, _TITLE, _LARGEST = 2.6, 0.25, 0.45, 11, 10


def draw_attention(
    maps: Mapping[str, AttentionMap], queries: Sequence[str], keys: Sequence[str], config: PlotConfig
) -> Figure:
    """Draw a row of panels for each class: the mean of the heads, and each head; call it inside `plot_style`.

    Parameters
    ----------
    maps : mapping of str to AttentionMap
        By class.
    queries, keys : sequence of str
        Names of the objects that see, from above, and of those that are seen.
    """
    heads = len(next(iter(maps.values())).means)
    shown = [*([-1] if heads > 1 else []), *range(heads)]
    height = _SIDE * min(max(len(queries) / max(len(keys), 1), _FLATTEST), 1.0)
    figure, blocks = grid_of_panels(len(maps) * len(shown), _SIDE, (height,), len(shown), _BETWEEN, _ABOVE)
    largest = max(float(np.nanmax(one.means, initial=0.0)) for one in maps.values()) or 1.0
    size = [min(72 * side / max(len(names), 1) * 0.7, _LARGEST) for side, names in ((height, queries), (_SIDE, keys))]
    for index, (axes,) in enumerate(blocks):
        row, column = divmod(index, len(shown))
        means = list(maps.values())[row].means
        values = means.mean(axis=0) if shown[column] < 0 else means[shown[column]]
        axes.set_facecolor("0.85")
        image = axes.imshow(
            np.ma.masked_invalid(values), cmap="viridis", vmin=0, vmax=largest, interpolation="nearest", aspect="auto"
        )
        axes.minorticks_off()
        is_left, is_lowest = column == 0, row == len(maps) - 1
        axes.set_yticks(range(len(queries)), list(map(literal, queries)) if is_left else [], fontsize=size[0])
        axes.set_xticks(range(len(keys)), list(map(literal, keys)) if is_lowest else [], fontsize=size[1], rotation=90)
        axes.tick_params(length=0)
        head = "mean of the heads" if shown[column] < 0 else f"head {shown[column] + 1}"
        label = class_labels([list(maps)[row]], config)[0]
        axes.set_title(f"{label}, {head}" if heads > 1 else label, fontsize=_TITLE, loc="left", pad=3)
    right, width = blocks[len(shown) - 1][0].get_position(), figure.get_figwidth()
    low = blocks[-1][0].get_position().y0
    bar = figure.colorbar(image, cax=figure.add_axes((right.x1 + 0.15 / width, low, 0.2 / width, right.y1 - low)))
    bar.set_label("Mean attention")
    add_label_above(figure, config, 0.25)
    return figure
