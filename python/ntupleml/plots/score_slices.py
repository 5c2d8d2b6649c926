"""Picture of a score in slices: the true classes, with a linear and with a logarithmic axis of the score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.plots.panels import grid_of_panels
from ntupleml.plots.score_distributions import draw_density, set_scale
from ntupleml.plots.style import add_experiment_label, add_legend, class_labels, literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.score_distributions import Density

#: By true class.
SlicedDensities = dict[str, "Density | Undefined"]

#: Size of the panels in inches.
_WIDTH, _HEIGHT = 4.6, 3.2


def draw_score_slices(name: str, slices: Mapping[str, Sequence[SlicedDensities]], config: PlotConfig) -> Figure:
    """Draw the score of a class, a column for each slice; call it inside `plot_style`.

    Parameters
    ----------
    name : str
        Class of the score.
    slices : mapping of str to sequence of SlicedDensities
        Distributions in bins of equal width and, for probabilities, of equal factors.
    """
    rows = max(map(len, slices.values()))
    figure, blocks = grid_of_panels(rows * len(slices), _WIDTH, (_HEIGHT,), columns=len(slices), aside=0.9, under=0.9)
    add_experiment_label(blocks[0][0], config)
    label = class_labels([name], config)[0]
    for row in range(rows):
        for column, (where, of_slice) in enumerate(slices.items()):
            (axes,) = blocks[row * len(slices) + column]
            densities = of_slice[row]
            labels = dict(zip(densities, class_labels(densities, config), strict=True))
            shown = []
            for index, (true_class, found) in enumerate(densities.items()):
                if isinstance(found, Undefined):
                    axes.plot([], [], color="none", label=f"{labels[true_class]}: {found}")
                    continue
                widths = np.diff(found.edges)
                shares = found._replace(values=found.values * widths, uncertainties=found.uncertainties * widths)
                shown.append(shares.values)
                draw_density(axes, shares, index, labels[true_class], filled=true_class == name)
                axes.set_xlim(found.edges[0], found.edges[-1])
            set_scale(axes, shown, len(densities) + (2 if row == 0 else 0))
            if row == 0:
                add_legend(axes, *axes.get_legend_handles_labels(), literal(where), loc="upper left", labelspacing=0.3)
            else:
                axes.set_xscale("log")
            if column == 0:
                axes.set_ylabel("Share of the class", loc="top")
            axes.set_xlabel(f"Score of {label}", loc="right")
    return figure
