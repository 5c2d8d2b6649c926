"""Features before and after augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.plots.panels import add_label_above, grid_of_panels
from ntupleml.plots.style import literal, shrink_to

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig

#: Panels of a feature each: size in inches, how many stand side by side, what is between them, and text in points.
_WIDTH, _HEIGHT, _IN_A_ROW, _ASIDE, _UNDER, _SIZE = 3.9, 2.2, 3, 0.7, 0.6, 11
#: Inches above the panels for the legend.
_ABOVE = 0.42


def draw_augmentation(
    histograms: Mapping[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]], plot: PlotConfig
) -> Figure:
    """Draw each feature as it is, and augmented; call it inside `plot_style`.

    Parameters
    ----------
    histograms : mapping
        Edges of the bins, and the shares of both in them, by the name of the feature.
    """
    figure, blocks = grid_of_panels(len(histograms), _WIDTH, (_HEIGHT,), columns=_IN_A_ROW, aside=_ASIDE, under=_UNDER)
    for (axes,) in blocks[::_IN_A_ROW]:
        axes.set_ylabel("Share per bin", loc="top", fontsize=_SIZE)
    for (name, (edges, original, augmented)), (axes,) in zip(histograms.items(), blocks, strict=True):
        axes.stairs(original, edges, label="original", fill=True, alpha=0.35)
        axes.stairs(augmented, edges, label="augmented", linewidth=1.6)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 1.15 * max(original.max(), augmented.max(), 1e-9))
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize=_SIZE)
        label = axes.set_xlabel(literal(name), loc="right", fontsize=_SIZE, labelpad=2)
        shrink_to(label, axes.get_window_extent().width)
    first = blocks[0][0]
    place = (0.0, 1 + 0.2 * _ABOVE / (figure.get_figheight() * first.get_position().height))
    first.legend(loc="lower left", bbox_to_anchor=place, ncols=2, frameon=False, borderaxespad=0.0)
    add_label_above(figure, plot, _ABOVE)
    return figure
