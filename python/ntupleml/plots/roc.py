"""ROC curves of several methods as one picture: background rejection against signal efficiency, and their ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, plot_style, save_figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import RocPoints

#: Size of the text in points; the experiments' own sizes are made for larger pictures.
_FONT_SIZE = 14
_PARAMETERS = {"font.size": _FONT_SIZE, "legend.fontsize": 0.8 * _FONT_SIZE} | dict.fromkeys(
    ("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), _FONT_SIZE
)
#: Size of the panels of one class in inches, and of what is between them.
_WIDTH, _HEIGHT, _RATIO_HEIGHT, _BETWEEN, _ASIDE = 6.0, 4.6, 1.6, 0.15, 1.1
#: Classes that stand side by side.
_LONGEST_ROW = 3
#: Line styles, taken in turn with the colours, so that curves can be told apart in grey.
_LINES = ("-", "--", "-.", ":")
#: Where the background efficiency is below this, there are too few events for a ratio.
_LARGEST_RELATIVE_UNCERTAINTY = 0.5
#: The scale of the ratios follows the curves from this signal efficiency on, up to this ratio.
_SMALLEST_EFFICIENCY, _LARGEST_RATIO = 0.1, 3.0


def save_roc_curves(
    curves: Mapping[str, Mapping[str, RocPoints | Undefined]],
    areas: Mapping[str, Mapping[str, Measurement | Undefined]],
    stem: str | Path,
    config: PlotConfig,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Draw ROC curves and write them as PNG and PDF.

    Parameters
    ----------
    curves : mapping
        By class and, within it, by method.
    areas : mapping
        Areas below the curves, for the legend.
    stem : path
        Path without its ending.
    config : PlotConfig
    overwrite : bool, default: False

    Returns
    -------
    list of Path
        The files written.
    """
    with plot_style(config, _PARAMETERS):
        return save_figure(draw_roc_curves(curves, areas, config), stem, overwrite=overwrite)


def draw_roc_curves(
    curves: Mapping[str, Mapping[str, RocPoints | Undefined]],
    areas: Mapping[str, Mapping[str, Measurement | Undefined]],
    config: PlotConfig,
) -> Figure:
    """Draw ROC curves; call it inside `plot_style`.

    Above: background rejection 1 − ε_B against signal efficiency ε_S, with bands of one standard deviation. Below:
    rejection factors 1 / ε_B as ratio to those of the first method. Classes stand side by side, more than three of
    them in several rows.

    Parameters
    ----------
    curves, areas, config
        As for `save_roc_curves`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    compared = max(len(methods) for methods in curves.values()) > 1
    block = _HEIGHT + (_BETWEEN + _RATIO_HEIGHT if compared else 0.0)
    columns = len(curves) if len(curves) <= _LONGEST_ROW else math.ceil(math.sqrt(len(curves)))
    rows = math.ceil(len(curves) / columns)
    width = columns * _WIDTH + (columns - 1) * _ASIDE
    height = rows * block + (rows - 1) * _ASIDE
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    labels = class_labels(curves, config)
    for index, (class_name, label) in enumerate(zip(curves, labels, strict=True)):
        left = index % columns * (_WIDTH + _ASIDE)
        bottom = height - block - index // columns * (block + _ASIDE)
        above = _axes(figure, left, bottom + block - _HEIGHT, _HEIGHT)
        title = f"{label} against the rest" if len(curves) > 1 else ""
        _draw_curves(above, curves[class_name], areas[class_name], title)
        if compared:
            above.tick_params(labelbottom=False)
            below = _axes(figure, left, bottom, _RATIO_HEIGHT)
            _draw_ratios(below, curves[class_name])
        lowest = below if compared else above
        lowest.set_xlabel("Signal efficiency", loc="right")
        if index == 0:
            add_experiment_label(above, config)
    return figure


def _axes(figure: Figure, left: float, bottom: float, panel_height: float) -> Axes:
    """Axes at a place in inches."""
    width, height = figure.get_size_inches()
    axes: Axes = figure.add_axes((left / width, bottom / height, _WIDTH / width, panel_height / height))
    return axes


def _draw_curves(
    axes: Axes,
    curves: Mapping[str, RocPoints | Undefined],
    areas: Mapping[str, Measurement | Undefined],
    title: str,
) -> None:
    for index, (name, points) in enumerate(curves.items()):
        area = areas[name]
        if isinstance(points, Undefined) or isinstance(area, Undefined):
            axes.plot([], [], color="none", label=f"{_literal(name)}: undefined")
            continue
        rejection = 1 - points.background_efficiency
        axes.plot(
            points.signal_efficiency,
            rejection,
            **_look(index),
            label=f"{_literal(name)}: {area.value:.4f} ± {area.uncertainty:.4f}",
        )
        axes.fill_between(
            points.signal_efficiency,
            rejection - points.uncertainty,
            rejection + points.uncertainty,
            color=_look(index)["color"],
            alpha=0.3,
            linewidth=0,
        )
    axes.plot([0, 1], [1, 0], color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Background rejection", loc="top")
    title = f"{title}\nAUC" if title else "AUC"
    legend = axes.legend(loc="lower left", title=title, frameon=False, alignment="left", borderaxespad=1.2)
    legend.get_title().set_fontsize(0.8 * _FONT_SIZE)


def _draw_ratios(axes: Axes, curves: Mapping[str, RocPoints | Undefined]) -> None:
    """Rejection factors relative to the first method that has a curve."""
    from matplotlib.ticker import MaxNLocator

    known = [(index, points) for index, points in enumerate(curves.values()) if not isinstance(points, Undefined)]
    limits = [0.98, 1.02]
    for index, points in known:
        reference = known[0][1]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = reference.background_efficiency / points.background_efficiency
            band = ratio * points.uncertainty / points.background_efficiency
        shown = _well_measured(points) & _well_measured(reference)
        range_of_interest = points.signal_efficiency >= _SMALLEST_EFFICIENCY
        ratio, band = np.where(shown, ratio, np.nan), np.where(shown, band, np.nan)
        axes.plot(points.signal_efficiency, ratio, **_look(index))
        axes.fill_between(
            points.signal_efficiency,
            ratio - band,
            ratio + band,
            color=_look(index)["color"],
            alpha=0.3,
            linewidth=0,
        )
        limits += [*(ratio - band)[shown & range_of_interest], *(ratio + band)[shown & range_of_interest]]
    axes.set_xlim(0, 1)
    low, high = min(limits), min(max(limits), _LARGEST_RATIO)
    margin = 0.1 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    # The ticks at the edges would run into those of the panel above.
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="both"))
    axes.set_ylabel("$1/\\varepsilon_B$ ratio")


def _well_measured(points: RocPoints) -> Any:
    """Where the background efficiency is known well enough for a ratio."""
    return (points.background_efficiency > 0) & (
        points.uncertainty <= _LARGEST_RELATIVE_UNCERTAINTY * points.background_efficiency
    )


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": _LINES[index % len(_LINES)], "linewidth": 1.8}


def _literal(name: str) -> str:
    """A name whose dollar signs do not begin a formula."""
    return name.replace("$", r"\$")
