"""Taylor coefficients as pictures: their ranking, and those of first order as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.number_texts import in_two_lines
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, literal, new_figure, variable_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.taylor import RankedTerm, TaylorMatrix, TaylorRanking

#: Size of the axes in inches.
_WIDTH, _HEIGHT = 7.0, 4.0
#: Text that is smaller than the axes' labels, in points.
_SMALL = 11
#: Ranks that are drawn, terms that are named below the axis, and those that are named beside it where there are more.
_MOST_RANKS, _MOST_TICKS, _NAMED = 500, 36, 8
#: Ratio of largest and smallest coefficient from which on the scale is logarithmic.
_WIDE_RANGE = 100
_SERIES = (("first order", "o", 5.0), ("second order", "s", 3.5), ("third order", "^", 3.0))
#: Cell of the matrix in inches, and what text in it is: a grey, which stays when a page turns black text into white.
_CELL_WIDTH, _CELL_HEIGHT, _CELL_TEXT = 0.75, 0.6, "#1a1a1a"
#: Light everywhere, so that dark text can be read on it; htt-ml's.
_COLOUR_MAP = "Wistia"


def draw_taylor_ranking(ranking: TaylorRanking, title: str, config: PlotConfig) -> Figure:
    """Mean Taylor coefficients against their rank, with error bars; each order has a colour and a marker.

    The terms are named on the axis where there are few. Else the first ones are listed beside it, and the scale is
    logarithmic if the coefficients, all positive, differ much.

    Parameters
    ----------
    title : str
        Whose events they are, e.g. a class.
    config : PlotConfig
        To be used inside `plot_style`.
    """
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_position((0, 0, 1, 1))
    shown = [term for term in ranking.terms if isinstance(term.coefficient, Measurement)][:_MOST_RANKS]
    if not shown:
        reason = str(ranking.terms[0].coefficient)
        axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center")
        axes.set_xticks([])
        axes.set_yticks([])
    else:
        _draw_coefficients(axes, shown)
        _name_terms(axes, shown, len(ranking.terms))
        axes.legend(title=literal(title), loc="upper right", alignment="left", fontsize=_SMALL, title_fontsize=_SMALL)
        axes.set_ylabel(r"$\langle t_i \rangle$")
    add_experiment_label(axes, config)
    return figure


def _draw_coefficients(axes: Axes, shown: Sequence[RankedTerm]) -> None:
    values, sigmas = (np.array(column) for column in zip(*(term.coefficient for term in shown), strict=True))
    orders = np.array([term.order for term in shown])
    few = len(shown) <= _MOST_TICKS
    for order, (label, marker, size) in enumerate(_SERIES, start=1):
        ranks = np.flatnonzero(orders == order)
        if not len(ranks):
            continue
        # The few terms of low order would disappear behind the many of high order.
        axes.errorbar(
            ranks,
            values[ranks],
            sigmas[ranks],
            fmt=marker,
            color=COLOURS[order - 1],
            markersize=6 if few else size,
            linewidth=1.2,
            zorder=5 - order,
            label=label,
        )
    margin = 0.02 * len(shown) + 0.5
    axes.set_xlim(-margin, len(shown) - 1 + margin)
    if values.min() < 0:
        axes.axhline(0, color="0.6", linewidth=0.8)
    elif not few and 0 < _WIDE_RANGE * values.min() < values.max():
        axes.set_yscale("log")
        axes.set_ylim(0.7 * values.min(), 1.5 * values.max())
    else:
        axes.set_ylim(bottom=0)


def _name_terms(axes: Axes, shown: Sequence[RankedTerm], number: int) -> None:
    if len(shown) <= _MOST_TICKS:
        axes.set_xticks(range(len(shown)), [literal(term.label) for term in shown], rotation=90, fontsize=_SMALL)
        axes.tick_params(axis="x", which="minor", length=0)
        return
    axes.set_xlabel("Rank" if len(shown) == number else f"Rank, the first {len(shown)} of {number}")
    first = "\n".join(f"{rank}: {literal(term.label)}" for rank, term in enumerate(shown[:_NAMED]))
    axes.text(1.02, 1.0, first, transform=axes.transAxes, va="top", fontsize=_SMALL)


def draw_taylor_matrix(matrix: TaylorMatrix, config: PlotConfig) -> Figure:
    """Coefficients of first order, a row per class and a column per input, with two decimals in each cell.

    Parameters
    ----------
    config : PlotConfig
        To be used inside `plot_style`.
    """
    rows, columns = len(matrix.rows), len(matrix.inputs)
    width, height = columns * _CELL_WIDTH, rows * _CELL_HEIGHT
    # The experiment's label needs some width, however few inputs there are.
    width = max(width, _WIDTH)
    figure, axes = new_figure(width, height)
    axes.set_position((0, 0, 1, 1))
    values = np.array(
        [[entry.value if isinstance(entry, Measurement) else np.nan for entry in row] for row in matrix.rows.values()]
    )
    finite = values[np.isfinite(values)]
    lowest = min(0.0, float(finite.min(initial=0.0)))
    highest = max(float(finite.max(initial=lowest)), lowest + 1e-30)  # not an empty range
    axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=_COLOUR_MAP, vmin=lowest, vmax=highest, edgecolors="white", linewidth=1
    )
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    for place, row in enumerate(matrix.rows.values()):
        for column, entry in enumerate(row):
            _draw_entry(axes, column, place, entry)
    axes.set_xticks(np.arange(columns) + 0.5, [variable_label(name) for name in matrix.inputs])
    if max(label.get_window_extent().width for label in axes.get_xticklabels()) > 0.9 * width / columns * figure.dpi:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_yticks(np.arange(rows) + 0.5, class_labels(matrix.rows, config))
    axes.minorticks_off()
    axes.tick_params(which="both", length=0)
    add_experiment_label(axes, config)
    return figure


def _draw_entry(axes: Axes, column: int, row: int, entry: Measurement | Undefined) -> None:
    from matplotlib.patches import Rectangle

    centre = (column + 0.5, row + 0.5)
    options: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center", "color": _CELL_TEXT}
    if isinstance(entry, Undefined):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor="0.93", edgecolor="0.8", hatch="//", linewidth=0))
        axes.annotate("undefined", centre, (0, 0), fontsize=0.75 * _SMALL, **options)
        return
    value, uncertainty = in_two_lines(entry)
    axes.annotate(value, centre, (0, 0.55 * _SMALL if uncertainty else 0), fontsize=1.2 * _SMALL, **options)
    axes.annotate(uncertainty, centre, (0, -0.7 * _SMALL), fontsize=0.75 * _SMALL, **options)
