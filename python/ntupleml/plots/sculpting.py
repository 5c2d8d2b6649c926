"""Pictures of what a score does to the background: its shape in slices of the score, and all variables at a glance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.sculpting import LARGE_DISTANCE
from ntupleml.metrics.two_samples import TwoSampleTest
from ntupleml.plots.panels import draw_points, known_values, say_undefined, stacked_panels
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, literal, new_figure, variable_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.measurement import Verdict
    from ntupleml.metrics.sculpting import Sculpting
    from ntupleml.metrics.slice_shapes import ShapeInSlices

#: Size of the panels in inches.
_WIDTH, _HEIGHTS = 7.0, (4.4, 2.0)
#: Room above the histograms for the legend, as a factor.
_HEADROOM = 1.55
#: Range of the ratios, at most.
_LARGEST_RATIO = 3.0
#: Inches for a line of the overview, and for the rest of it.
_LINE, _REST = 0.32, 1.0
_MARKERS = "os^DvP*X"


def draw_background_shape(
    shape: ShapeInSlices | Undefined,
    result: Sculpting | Undefined,
    class_name: str,
    variable: str,
    config: PlotConfig,
) -> Figure:
    """Draw the normalised background in slices of the score, and its ratio to that of all slices.

    Call it inside `plot_style`.

    Parameters
    ----------
    shape : ShapeInSlices or Undefined
    result : Sculpting or Undefined
        Distances of the slices for the legend.
    """
    figure, (above, below) = stacked_panels(_WIDTH, _HEIGHTS)
    above.set_ylabel("Share of the background", loc="top")
    below.set_ylabel("Ratio to all")
    below.set_xlabel(variable_label(variable), loc="right")
    if isinstance(shape, Undefined):
        for axes in (above, below):
            say_undefined(axes, shape)
    else:
        label = class_labels([class_name], config)[0]
        _draw_shapes(above, shape, _slice_labels(shape, result), f"Slices of the score of {label}")
        _draw_ratios(below, shape)
        above.set_xlim(float(shape.edges[0]), float(shape.edges[-1]))
    add_experiment_label(above, config)
    return figure


def _slice_labels(shape: ShapeInSlices, result: Sculpting | Undefined) -> list[str]:
    if isinstance(result, Undefined):
        return [f"slice {number + 1}" for number in range(len(shape.slices))]
    labels = []
    for one in result.slices:
        low, high = (100 * share for share in one.shares)
        test = one.kolmogorov_smirnov
        distance = f"D = {test.statistic:.3f}" if isinstance(test, TwoSampleTest) else "D undefined"
        labels.append(f"{low:.0f} to {high:.0f}%: {distance}")
    return labels


def _draw_shapes(axes: Axes, shape: ShapeInSlices, labels: Sequence[str], title: str) -> None:
    import matplotlib as mpl

    axes.stairs(
        known_values(shape.inclusive),
        shape.edges,
        fill=True,
        color=mpl.rcParams["axes.edgecolor"],
        linewidth=0,
        alpha=0.2,
        label="all",
    )
    for index, (values, label) in enumerate(zip(shape.slices, labels, strict=True)):
        axes.stairs(known_values(values), shape.edges, color=COLOURS[index % len(COLOURS)], linewidth=1.6, label=label)
    shown = np.concatenate([known_values(values) for values in (shape.inclusive, *shape.slices)])
    shown = shown[np.isfinite(shown)]
    if len(shown):
        axes.set_ylim(min(0.0, float(shown.min())), _HEADROOM * max(float(shown.max()), 1e-3))
    axes.legend(title=title, ncols=2, loc="upper center", frameon=False)


def _draw_ratios(axes: Axes, shape: ShapeInSlices) -> None:
    import matplotlib as mpl

    axes.axhline(1, color=mpl.rcParams["axes.edgecolor"], linewidth=1, alpha=0.5)
    farthest = 0.2
    for index, values in enumerate(shape.ratios):
        colour, marker = COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)]
        draw_points(axes, shape.edges, values, color=colour, marker=marker, markersize=3)
        known = known_values(values)
        farthest = max([farthest, *np.abs(known[np.isfinite(known)] - 1).tolist()])
    reach = min(1.1 * farthest, _LARGEST_RATIO - 1)
    axes.set_ylim(max(1 - reach, -0.05), 1 + reach)


def draw_sculpting_overview(
    distances: Mapping[str, Mapping[str, tuple[float, Verdict]]], classes: Sequence[str], config: PlotConfig
) -> Figure:
    """Draw the largest distances of all variables and classes; call it inside `plot_style`.

    Parameters
    ----------
    distances : mapping
        By variable and class: the largest Kolmogorov-Smirnov distance of a slice, and the verdict, "attention" of which
        is drawn as a filled marker. What is undefined is not in it.
    """
    variables = list(distances)
    figure, axes = new_figure(_WIDTH, _REST + _LINE * max(len(variables), 3))
    axes.set_position((0, 0, 1, 1))
    for index, (name, label) in enumerate(zip(classes, class_labels(classes, config), strict=True)):
        shown = [(row, *distances[one][name]) for row, one in enumerate(variables) if name in distances[one]]
        shift = 0.5 * ((index + 0.5) / len(classes) - 0.5)
        colour = COLOURS[index % len(COLOURS)]
        for marked in (False, True):
            points = [(value, row + shift) for row, value, verdict in shown if (verdict.level == "attention") is marked]
            axes.plot(
                [value for value, _ in points],
                [height for _, height in points],
                color=colour,
                marker=_MARKERS[index % len(_MARKERS)],
                linestyle="none",
                fillstyle="full" if marked else "none",
                label=label if marked else None,
            )
    largest = max((value for by_class in distances.values() for value, _ in by_class.values()), default=0.0)
    axes.axvline(LARGE_DISTANCE, linestyle="--", linewidth=1, color=COLOURS[-1])
    axes.set_xlim(0, max(1.1 * largest, 1.5 * LARGE_DISTANCE))
    axes.set_yticks(range(len(variables)), [_short(name) for name in variables])
    axes.set_ylim(max(len(variables), 3) - 0.5, -0.5)
    axes.minorticks_off()
    axes.set_xlabel("Largest Kolmogorov-Smirnov distance of a slice of the background", loc="right")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title="Score of")
    add_experiment_label(axes, config)
    return figure


def _short(name: str, longest: int = 32) -> str:
    text = variable_label(name)
    if len(name) <= longest or text != literal(name):  # a text of the `plot` block
        return text
    return f"{text[: math.ceil(longest / 2)]}…{text[-(longest // 2) :]}"
