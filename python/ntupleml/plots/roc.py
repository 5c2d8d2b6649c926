"""ROC curves as pictures: background rejection against signal efficiency, rejection factors, and their ratio."""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.roc_points import rejection_ratio
from ntupleml.plots.panels import indent_of
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, drawable, literal, plot_style, save_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import RocPoints
    from ntupleml.metrics.class_rocs import RocSummary

#: Size of the panels of one block in inches, and of what is between them.
_WIDTH, _HEIGHT, _FACTOR_HEIGHT, _RATIO_HEIGHT, _BETWEEN, _ASIDE = 6.0, 4.6, 2.8, 1.6, 0.2, 1.1
#: Blocks that stand side by side.
_LONGEST_ROW = 3
#: Curves, and characters of a line, whose legend fits below them; a larger one stands beside the panel.
_LONGEST_LEGEND, _LONGEST_LINE = 8, 40
#: Line styles, taken in turn with the colours, so that curves can be told apart in grey.
_LINES = ("-", "--", "-.", ":")
#: Where the background efficiency is below this, there are too few events for a ratio.
_LARGEST_RELATIVE_UNCERTAINTY = 0.5
#: The scale of the ratios follows the curves from this signal efficiency on, up to this ratio; it is logarithmic where
#: most of a curve is above.
_SMALLEST_EFFICIENCY, _LARGEST_RATIO = 0.1, 3.0


class _Block(NamedTuple):
    """Curves that are drawn into the same panels, and their areas, by their labels.

    The n-th curve has the n-th colour and the n-th style of lines; with `colours`, numbers of colours, as many curves
    as there are per colour follow each other with the same one and different styles.
    """

    title: str
    curves: Mapping[str, RocPoints | Undefined]
    areas: Mapping[str, Measurement | Undefined]
    colours: Sequence[int] = ()


def draw_class_roc(
    signal: str, results: Mapping[str, RocSummary | Undefined], classes: Sequence[str], config: PlotConfig
) -> Figure:
    """Draw the ROC curves of one class against the rest; call it inside `plot_style`.

    Above: background rejection 1 − ε_B against signal efficiency ε_S, with bands of one standard deviation. Below
    that, rejection factors 1 / ε_B, where they are known to better than 50 %, and, of several methods, their ratio to
    those of the first.

    Parameters
    ----------
    signal : str
        The class.
    results : mapping of str to RocSummary or Undefined
        By method.
    classes : sequence of str
        All classes.
    """
    labels = dict(zip(classes, class_labels(classes, config), strict=True))
    rest = [label for name, label in labels.items() if name != signal]
    other = rest[0] if len(rest) == 1 else "the rest"
    block = _Block(f"{labels[signal]} against {other}", *_points_and_areas(_literal_keys(results)))
    return _draw_blocks([block], config, factors=True)


def draw_all_class_rocs(
    results: Mapping[str, Mapping[str, RocSummary | Undefined]], config: PlotConfig, *, overview: bool = False
) -> Figure:
    """Draw the ROC curves of all classes against the rest; call it inside `plot_style`.

    Those of one method are in the same panels. Of several methods, each class has panels as of `draw_class_roc`.

    Parameters
    ----------
    results : mapping
        By class and, within it, by method.
    overview : bool, default: False
        Whether only the rejection is drawn, without factors and ratios, so that the classes stand side by side.
    """
    labels = class_labels(results, config)
    if max(map(len, results.values())) == 1:
        curves = {
            label: one for label, methods in zip(labels, results.values(), strict=True) for one in methods.values()
        }
        block = _Block("Each class against the rest", *_points_and_areas(curves), range(len(labels)))
        return _draw_blocks([block], config, factors=not overview, compared=False)
    blocks = [
        _Block(f"{label} against the rest", *_points_and_areas(_literal_keys(methods)))
        for label, methods in zip(labels, results.values(), strict=True)
    ]
    if overview:
        return _draw_blocks(blocks, config, compared=False)
    return _draw_blocks(blocks, config, factors=True, columns=2)


def draw_all_pair_rocs(
    results: Mapping[str, Mapping[str, Mapping[str, RocSummary | Undefined]]], config: PlotConfig
) -> Figure:
    """Draw the ROC curves of all pairs of classes, the panels of each class as those of `draw_pair_rocs`.

    Parameters
    ----------
    results : mapping
        By class, by the other class and by method.
    """
    blocks = [_pairs_block(signal, others, list(results), config) for signal, others in results.items()]
    return _draw_blocks(blocks, config, factors=True, compared=False, columns=2)


def draw_pair_rocs(
    signal: str,
    results: Mapping[str, Mapping[str, RocSummary | Undefined]],
    classes: Sequence[str],
    config: PlotConfig,
) -> Figure:
    """Draw the ROC curves of one class against each other class, as `draw_class_roc`; there is no ratio.

    Other classes have the colours that they have in all pictures, methods different styles of lines.

    Parameters
    ----------
    results : mapping
        By the other class and, within it, by method.
    classes : sequence of str
        All classes.
    """
    return _draw_blocks([_pairs_block(signal, results, classes, config)], config, factors=True, compared=False)


def draw_named_rocs(signal: str, results: Mapping[str, RocSummary | Undefined], config: PlotConfig) -> Figure:
    """Draw some curves into the same panels, as `draw_class_roc` without ratios; call it inside `plot_style`.

    Parameters
    ----------
    signal : str
        The class, the title of the legend.
    results : mapping of str to RocSummary or Undefined
        By what the legend calls them: a class, as the `plot` block does.
    """
    named = dict(zip(class_labels(results, config), results.values(), strict=True))
    block = _Block(class_labels([signal], config)[0], *_points_and_areas(named))
    return _draw_blocks([block], config, factors=True, compared=False)


def draw_rocs_of_methods(
    signal: str, results: Mapping[str, RocSummary | Undefined], other: str, config: PlotConfig
) -> Figure:
    """Draw the rejection by some methods in one panel; call it inside `plot_style`.

    Parameters
    ----------
    signal : str
        The class.
    results : mapping of str to RocSummary or Undefined
        By method.
    other : str
        The other class, where there is but one.
    """
    label = class_labels([signal], config)[0]
    rest = class_labels([other], config)[0] if other else "the rest"
    block = _Block(f"{label} against {rest}", *_points_and_areas(_literal_keys(results)))
    return _draw_blocks([block], config, compared=False)


def _pairs_block(
    signal: str,
    results: Mapping[str, Mapping[str, RocSummary | Undefined]],
    classes: Sequence[str],
    config: PlotConfig,
) -> _Block:
    label = class_labels([signal], config)[0]
    num_methods = max(map(len, results.values()))
    found = {
        f"against {other}" + (f", {method}" if num_methods > 1 else ""): one
        for other, methods in zip(class_labels(results, config), results.values(), strict=True)
        for method, one in _literal_keys(methods).items()
    }
    return _Block(label, *_points_and_areas(found), [classes.index(other) for other in results])


def _points_and_areas(
    results: Mapping[str, RocSummary | Undefined],
) -> tuple[dict[str, RocPoints | Undefined], dict[str, Measurement | Undefined]]:
    points = {name: one if isinstance(one, Undefined) else one.points for name, one in results.items()}
    areas = {name: one if isinstance(one, Undefined) else one.auc for name, one in results.items()}
    return points, areas


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

    Returns
    -------
    list of Path
        The files written.
    """
    with plot_style(config, PARAMETERS):
        return save_figure(draw_roc_curves(curves, areas, config), stem, overwrite=overwrite)


def draw_roc_curves(
    curves: Mapping[str, Mapping[str, RocPoints | Undefined]],
    areas: Mapping[str, Mapping[str, Measurement | Undefined]],
    config: PlotConfig,
) -> Figure:
    """Draw the ROC curves of several classes and methods as one picture; call it inside `plot_style`.

    Above: background rejection 1 − ε_B against signal efficiency ε_S, with bands of one standard deviation. Below:
    rejection factors 1 / ε_B as ratio to those of the first method. Classes stand side by side, more than three of
    them in several rows.

    Parameters
    ----------
    curves, areas, config
        As for `save_roc_curves`.
    """
    blocks = [
        _Block(
            f"{label} against the rest" if len(curves) > 1 else "",
            _literal_keys(curves[name]),
            _literal_keys(areas[name]),
        )
        for name, label in zip(curves, class_labels(curves, config), strict=True)
    ]
    return _draw_blocks(blocks, config)


def _draw_blocks(
    blocks: Sequence[_Block],
    config: PlotConfig,
    *,
    factors: bool = False,
    compared: bool | None = None,
    columns: int = 0,
) -> Figure:
    """Draw blocks of panels one above the other, with a common signal efficiency; blocks stand side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if compared is None:
        compared = max(len(block.curves) for block in blocks) > 1
    legends_beside = any(map(_is_large, blocks))
    panels: list[tuple[float, Callable[[Axes, _Block], None]]] = [
        (_HEIGHT, partial(_draw_curves, legend_beside=legends_beside))
    ]
    panels += [(_FACTOR_HEIGHT, _draw_factors)] if factors else []
    panels += [(_RATIO_HEIGHT, _draw_ratios)] if compared else []
    block_height = sum(height for height, _ in panels) + _BETWEEN * (len(panels) - 1)
    if legends_beside:
        columns = 1
    elif not columns or columns > len(blocks):
        columns = len(blocks) if len(blocks) <= _LONGEST_ROW else math.ceil(math.sqrt(len(blocks)))
    rows = math.ceil(len(blocks) / columns)
    height = rows * block_height + (rows - 1) * _ASIDE
    figure = Figure(figsize=(columns * _WIDTH + (columns - 1) * _ASIDE, height))
    FigureCanvasAgg(figure)
    for index, block in enumerate(blocks):
        left = (index % columns + indent_of(index, len(blocks), columns)) * (_WIDTH + _ASIDE)
        top = height - index // columns * (block_height + _ASIDE)
        for number, (panel_height, draw) in enumerate(panels):
            axes = _axes(figure, left, top - panel_height, panel_height)
            top -= panel_height + _BETWEEN
            draw(axes, block)
            axes.set_xlim(0, 1)
            axes.minorticks_off()  # they would take half of the time of drawing
            if number < len(panels) - 1:
                axes.tick_params(labelbottom=False)
            else:
                axes.set_xlabel("Signal efficiency", loc="right")
            if index == number == 0:
                add_experiment_label(axes, config)
    return figure


def _axes(figure: Figure, left: float, bottom: float, panel_height: float) -> Axes:
    """Axes at a place in inches."""
    width, height = figure.get_size_inches()
    axes: Axes = figure.add_axes((left / width, bottom / height, _WIDTH / width, panel_height / height))
    return axes


def _known(block: _Block) -> list[tuple[int, RocPoints]]:
    """Curves that exist, each with the index that fixes its colour and line."""
    return [(index, points) for index, points in enumerate(block.curves.values()) if not isinstance(points, Undefined)]


def _draw_band(axes: Axes, look: dict[str, Any], x: Any, values: Sequence[Any], label: str | None = None) -> None:
    """Draw a line and its band: value, lower and upper end."""
    axes.plot(x, values[0], **look, label=label)
    axes.fill_between(x, *values[1:], color=look["color"], alpha=0.3, linewidth=0)


def _legend_lines(block: _Block) -> list[str]:
    """A line for each curve: its name and area, or why it does not exist."""
    lines = []
    for name, points in block.curves.items():
        area = block.areas[name]
        if isinstance(points, Undefined) or isinstance(area, Undefined):
            lines.append(f"{name}: {points if isinstance(points, Undefined) else area}")
        else:
            lines.append(drawable(f"{name}: {measurement_text(area)}"))
    return lines


def _is_large(block: _Block) -> bool:
    """Whether the legend would hide curves."""
    lines = [*_legend_lines(block), block.title]
    longest = max(len(re.sub(r"\\[A-Za-z]+", "x", line)) for line in lines)  # a command of TeX is about one letter
    return len(block.curves) > _LONGEST_LEGEND or longest > _LONGEST_LINE


def _draw_curves(axes: Axes, block: _Block, *, legend_beside: bool) -> None:
    import matplotlib as mpl

    for index, (name, label) in enumerate(zip(block.curves, _legend_lines(block), strict=True)):
        points = block.curves[name]
        if isinstance(points, Undefined) or isinstance(block.areas[name], Undefined):
            axes.plot([], [], color="none", label=label)
            continue
        rejection = 1 - points.background_efficiency
        band = (rejection, rejection - points.uncertainty, rejection + points.uncertainty)
        _draw_band(axes, _look(block, index), points.signal_efficiency, band, label)
    axes.plot([0, 1], [1, 0], color="grey", linewidth=0.8, linestyle=":")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("Background rejection", loc="top")
    title = f"{block.title}\nAUC" if block.title else "AUC"
    place: dict[str, Any] = {"loc": "lower left", "borderaxespad": 1.2}
    if legend_beside:
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    legend = axes.legend(title=title, frameon=False, alignment="left", **place)
    legend.get_title().set_fontsize(mpl.rcParams["legend.fontsize"])


def _draw_factors(axes: Axes, block: _Block) -> None:
    """Rejection factors 1 / ε_B on a logarithmic scale, where they are known well enough."""
    axes.set_yscale("log")
    highest = 1.0
    for index, points in _known(block):
        shown = _well_measured(points)
        if not shown.any():
            continue
        background, uncertainty = points.background_efficiency[shown], points.uncertainty[shown]
        highest = max(highest, float(1 / background.min()))
        band = (1 / background, 1 / (background + uncertainty), 1 / (background - uncertainty))
        _draw_band(axes, _look(block, index), points.signal_efficiency[shown], band)
    grid = np.geomspace(1e-3, 1, 50)
    axes.plot(grid, 1 / grid, color="grey", linewidth=0.8, linestyle=":")
    axes.set_ylim(0.8, 3 * max(highest, 3.0))
    axes.set_ylabel("$1/\\varepsilon_B$")


def _draw_ratios(axes: Axes, block: _Block) -> None:
    """Rejection factors relative to the first method that has a curve."""
    from matplotlib.ticker import MaxNLocator

    known = _known(block)
    limits = [0.98, 1.02]
    far_apart = False
    for index, points in known:
        reference = known[0][1]
        ratio, uncertainty = rejection_ratio(points, reference)
        measured = _well_measured(reference).astype(np.float64)
        both = np.interp(points.signal_efficiency, reference.signal_efficiency, measured) == 1
        shown = _well_measured(points) & both
        band = [np.where(shown, ratio + sign * uncertainty, np.nan) for sign in (0, -1, 1)]
        _draw_band(axes, _look(block, index), points.signal_efficiency, band)
        of_interest = shown & (points.signal_efficiency >= _SMALLEST_EFFICIENCY)
        limits += [*band[1][of_interest], *band[2][of_interest]]
        far_apart |= bool(np.count_nonzero(band[0][of_interest] > _LARGEST_RATIO) > of_interest.sum() / 2)
    axes.set_ylabel("$1/\\varepsilon_B$ ratio")
    low, high = min(limits), max(limits)
    if far_apart:
        axes.set_yscale("log")
        axes.set_ylim(max(low, 1e-2) / 1.2, min(high, 1e3) * 1.2)
        return
    high = min(high, _LARGEST_RATIO)
    margin = 0.1 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    # The ticks at the edges would run into those of the panel above.
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="both"))


def _well_measured(points: RocPoints) -> NDArray[np.bool_]:
    """Where the background efficiency is known well enough for a ratio."""
    measured: NDArray[np.bool_] = (points.background_efficiency > 0) & (
        points.uncertainty <= _LARGEST_RELATIVE_UNCERTAINTY * points.background_efficiency
    )
    return measured


def _look(block: _Block, index: int) -> dict[str, Any]:
    colour = line = index
    if block.colours:
        lines_per_colour = len(block.curves) // len(block.colours)
        colour = block.colours[index // lines_per_colour]
        line = index % lines_per_colour if lines_per_colour > 1 else colour + colour // len(COLOURS)
    return {"color": COLOURS[colour % len(COLOURS)], "linestyle": _LINES[line % len(_LINES)], "linewidth": 1.8}


def _literal_keys(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """By names whose dollar signs do not begin a formula."""
    return {literal(name): value for name, value in by_name.items()}
