"""Precision against recall as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.panels import add_label_above, grid_of_panels
from ntupleml.plots.style import COLOURS, class_labels, literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.precision_recall import PrecisionRecall

#: Size of a panel in inches.
_WIDTH, _HEIGHT = 5.5, 4.2


def draw_precision_recall(
    results: Mapping[str, Mapping[str, PrecisionRecall | Undefined]], config: PlotConfig
) -> Figure:
    """Draw a panel for each class with the curves of all methods; call it inside `plot_style`.

    Parameters
    ----------
    results : mapping
        By class and, within it, by method.
    """
    figure, blocks = grid_of_panels(len(results), _WIDTH, [_HEIGHT])
    for (axes,), label, methods in zip(blocks, class_labels(results, config), results.values(), strict=True):
        for index, (method, one) in enumerate(methods.items()):
            if isinstance(one, Undefined):
                axes.plot([], [], color="none", label=f"{literal(method)}: {one}")
                continue
            colour, average = COLOURS[index % len(COLOURS)], one.average_precision
            text = f"{literal(method)}: {measurement_text(average)}"
            axes.step(one.recall, one.precision, where="pre", color=colour, label=text)
            low, high = one.precision - one.uncertainty, one.precision + one.uncertainty
            axes.fill_between(one.recall, low, high, step="pre", color=colour, alpha=0.25, linewidth=0)
            axes.axhline(one.signal_share.value, color="grey", linestyle=":", linewidth=1)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("Recall (signal efficiency)", loc="right")
        axes.set_ylabel("Precision (purity)", loc="top")
        axes.legend(title=f"{label}\nAverage precision", frameon=False, alignment="left", loc="lower left")
    add_label_above(figure, config, 0.0)
    return figure
