"""Pictures of images in (η, φ): several panels, each with a bar of its colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.residual_maps import pulls
from ntupleml.plots.panels import add_label_above, grid_of_panels, say_undefined
from ntupleml.plots.style import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.residual_maps import ResidualMap

#: Inches of a panel, beside and below; points of titles.
_SIDE, _ASIDE, _UNDER, _TITLE = 2.6, 0.95, 0.6, 11


def draw_images(
    images: Mapping[str, NDArray[np.floating]],
    config: PlotConfig,
    *,
    columns: int = 4,
    signed: bool = False,
    together: bool = False,
) -> Figure:
    """Draw images by their names; call it inside `plot_style`.

    Parameters
    ----------
    images : mapping of str to array, shape (η, φ)
    columns : int, default: 4
        Panels side by side.
    signed : bool, default: False
        Whether colours are those of negative and positive numbers, white at zero.
    together : bool, default: False
        Whether all have the same range of colours.
    """
    figure, blocks = grid_of_panels(max(len(images), 1), _SIDE, (_SIDE,), columns, _ASIDE, _UNDER)
    if not images:
        say_undefined(blocks[0][0], Undefined("no images"))
    whole = max((float(np.abs(one).max(initial=0.0)) for one in images.values()), default=1.0)
    for (axes,), (name, image) in zip(blocks, images.items(), strict=False):
        largest = (whole if together else float(np.abs(image).max(initial=0.0))) or 1.0
        low = -largest if signed else min(0.0, float(image.min()))
        shown = axes.imshow(
            image, cmap="RdBu_r" if signed else "viridis", vmin=low, vmax=largest, origin="lower",
            aspect="auto", interpolation="nearest",
        )  # fmt: skip
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_title(literal(name), fontsize=_TITLE, loc="left", pad=3)
        axes.tick_params(labelsize=8, length=2)
        place = axes.get_position()
        width = figure.get_figwidth()
        bar = figure.colorbar(
            shown, cax=figure.add_axes((place.x1 + 0.06 / width, place.y0, 0.1 / width, place.height))
        )
        bar.ax.tick_params(labelsize=8)
    for axes in [block[0] for block in blocks][:1]:
        axes.set_xlabel("Bin in φ", fontsize=9)
        axes.set_ylabel("Bin in η", fontsize=9)
    add_label_above(figure, config, 0.3)
    return figure


def draw_residual_map(found: ResidualMap | Undefined, config: PlotConfig) -> Figure:
    """Draw mean residuals of each pixel, these in units of their uncertainty, and the root of the mean square.

    Call it inside `plot_style`.
    """
    if isinstance(found, Undefined):
        return draw_images({}, config)
    shown = {"mean": found.mean, "mean / uncertainty": pulls(found), "root mean square": found.spread}
    return draw_images(shown, config, columns=3, signed=True)
