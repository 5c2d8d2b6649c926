"""Importance of variables as bars: one panel per class and measure, the variables in the same order in all."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, literal, variable_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.permutation import PermutationImportance

#: Variables that are shown; more cannot be read.
MOST_BARS = 40
#: Panels that stand side by side.
_LONGEST_ROW = 4
#: Inches: size of panels, of the space between them, and the height of a bar.
_WIDTH, _BETWEEN, _BELOW, _BAR_HEIGHT, _SMALLEST_HEIGHT = 2.7, 0.4, 1.0, 0.27, 1.2
#: Points.
_TEXT_SIZE, _NAME_SIZE = 11, 10
_LINE_LENGTH = 30


class ImportancePanel(NamedTuple):
    """Bars of one measure."""

    #: Below the axis.
    label: str
    #: By variable.
    values: Mapping[str, Measurement | Undefined]


def draw_permutation_importance(result: PermutationImportance, config: PlotConfig) -> Figure:
    """Decrease of the average area, of the area of each class, and increase of the log loss; inside `plot_style`.

    Where the areas of all classes are the same, as for two classes, only their average is drawn.
    """
    labels = dict(zip(result.classes, class_labels(result.classes, config), strict=True))
    panels = [
        ImportancePanel(
            f"decrease of the average AUC{_number(result.reference.average_auc)}",
            {name: one.average_auc for name, one in result.importances.items()},
        )
    ]
    if not _all_alike(result):
        panels += [
            ImportancePanel(
                f"decrease of the AUC of\n{labels[name]}{_number(result.reference.auc[name])}",
                {variable: one.auc[name] for variable, one in result.importances.items()},
            )
            for name in result.classes
        ]
    if isinstance(result.reference.log_loss, Measurement):
        panels.append(
            ImportancePanel(
                f"increase of the log loss{_number(result.reference.log_loss)}",
                {name: one.log_loss for name, one in result.importances.items()},
            )
        )
    return draw_importance_panels(panels, result.ranking(), config)


def _number(value: Measurement | Undefined) -> str:
    return "" if isinstance(value, Undefined) else f" ({value.value:.4f})"


def _all_alike(result: PermutationImportance) -> bool:
    """Whether the areas of all classes are those of the average, to what can be seen."""
    for one in result.importances.values():
        if isinstance(one.average_auc, Undefined):
            return False
        for value in one.auc.values():
            if isinstance(value, Undefined) or not math.isclose(value.value, one.average_auc.value, abs_tol=1e-5):
                return False
    return True


def draw_importance_panels(panels: Sequence[ImportancePanel], order: Sequence[str], config: PlotConfig) -> Figure:
    """Draw the panels side by side, at most four in a row; call it inside `plot_style`.

    Parameters
    ----------
    order : sequence of str
        Variables from top to bottom.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(order[:MOST_BARS])
    rows = math.ceil(len(panels) / _LONGEST_ROW)
    columns = math.ceil(len(panels) / rows)
    panel_height = max(_BAR_HEIGHT * len(shown), _SMALLEST_HEIGHT)
    width = columns * _WIDTH + (columns - 1) * _BETWEEN
    height = rows * panel_height + (rows - 1) * _BELOW
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for index, panel in enumerate(panels):
        left = index % columns * (_WIDTH + _BETWEEN)
        bottom = height - panel_height - index // columns * (panel_height + _BELOW)
        axes = figure.add_axes((left / width, bottom / height, _WIDTH / width, panel_height / height))
        _draw_panel(axes, panel, shown, names=index % columns == 0)
    if len(shown) < len(order):
        left_out = f"the first {len(shown)} of {len(order)} are shown"
        figure.axes[0].set_ylabel(left_out, fontsize=_NAME_SIZE)
    above = figure.add_axes((0, 1 - panel_height / height, 1, panel_height / height))
    above.set_axis_off()
    add_experiment_label(above, config)
    return figure


def _draw_panel(axes: Axes, panel: ImportancePanel, shown: Sequence[str], *, names: bool) -> None:
    import matplotlib as mpl
    from matplotlib.ticker import MaxNLocator

    axes.set_yticks(range(len(shown)), [variable_label(name) for name in shown], fontsize=_NAME_SIZE)
    axes.tick_params(axis="y", which="both", length=0, labelleft=names)
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first on top
    axes.set_xlabel(panel.label, fontsize=_TEXT_SIZE, loc="center")
    known = [(row, panel.values[name]) for row, name in enumerate(shown)]
    bars = [(row, value) for row, value in known if isinstance(value, Measurement)]
    if not bars:
        reason = next((value.reason for _, value in known if isinstance(value, Undefined)), "no variables")
        text = "\n".join(textwrap.wrap(literal(f"undefined: {reason}"), _LINE_LENGTH))
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=_NAME_SIZE, transform=axes.transAxes)
        axes.set_xticks([])
        axes.minorticks_off()
        return
    positions, results = zip(*bars, strict=True)
    axes.barh(
        positions,
        [value.value for value in results],
        xerr=[value.uncertainty for value in results],
        color=COLOURS[0],
        ecolor=mpl.rcParams["axes.edgecolor"],
        error_kw={"elinewidth": 1.0, "capsize": 2.0},
    )
    for row, value in known:
        if isinstance(value, Undefined):
            axes.text(0, row, " undefined", va="center", fontsize=_NAME_SIZE)
    axes.axvline(0, color=mpl.rcParams["axes.edgecolor"], linewidth=0.8)
    axes.minorticks_off()
    axes.tick_params(axis="x", labelsize=_NAME_SIZE, length=4)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.get_offset_text().set_fontsize(_NAME_SIZE)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4))
