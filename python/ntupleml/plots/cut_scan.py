"""Picture of S/√B against the cut on a score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.style import COLOURS, add_experiment_label, add_legend, class_labels, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.cut_scan import CutScan

#: Size of the axes in inches.
_WIDTH, _HEIGHT = 7.0, 4.6
_LINES = ("-", "--", "-.", ":")
#: Room above the curves for each line of the legend, as a share of the height.
_LEGEND_LINE = 0.055


def draw_cut_scans(signal: str, scans: Mapping[str, CutScan | Undefined], config: PlotConfig) -> Figure:
    """Draw some scans of the score of a class; call it inside `plot_style`.

    For probabilities the axis is that of 1 − cut, logarithmic and from right to left, so that tight cuts are seen.

    Parameters
    ----------
    signal : str
        The class.
    scans : mapping of str to CutScan or Undefined
        By what the legend calls them: a class, as the `plot` block does.
    """
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_position((0, 0, 1, 1))
    known = [one for one in scans.values() if not isinstance(one, Undefined)]
    is_probability = all(one.cuts[0] > 0 and one.cuts[-1] <= 1 for one in known)
    for index, (name, scan) in enumerate(zip(class_labels(scans, config), scans.values(), strict=True)):
        if isinstance(scan, Undefined):
            axes.plot([], [], color="none", label=f"{name}: {scan}")
            continue
        colour = COLOURS[index % len(COLOURS)]
        at = 1 - scan.cuts if is_probability else scan.cuts
        text = f"{name}: {measurement_text(scan.maximum)} at {scan.cut:.4g}"
        line = _LINES[index // len(COLOURS) % len(_LINES)]
        axes.plot(at, scan.values, color=colour, linestyle=line, linewidth=1.8, label=text)
        band = (scan.values - scan.uncertainties, scan.values + scan.uncertainties)
        axes.fill_between(at, *band, color=colour, alpha=0.3, linewidth=0)
        best = 1 - scan.cut if is_probability else scan.cut
        axes.plot([best], [scan.maximum.value], "o", color=colour, markersize=6)
    label = class_labels([signal], config)[0]
    if is_probability and known:
        axes.set_xscale("log")
        smallest = min(float(1 - one.cuts[-1]) for one in known)
        axes.set_xlim(1.0, max(smallest, 1e-6) / 1.3)
        axes.set_xlabel(f"1 - cut on the score of {label}", loc="right")
    else:
        axes.set_xlabel(f"Cut on the score of {label}", loc="right")
    axes.set_ylabel("S/√B", loc="top")
    if known:
        top = max(float(np.max(one.values + one.uncertainties)) for one in known)
        head = min(_LEGEND_LINE * (len(scans) + 1.5), 0.6)
        axes.set_ylim(min(0.0, *(float(one.values.min()) for one in known)), max(top, 1e-3) / (1 - head))
    add_legend(axes, *axes.get_legend_handles_labels(), "Largest value", loc="upper left")
    add_experiment_label(axes, config)
    return figure
