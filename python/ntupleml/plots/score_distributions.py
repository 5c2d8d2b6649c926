"""Distributions of the score of a class: unseen events against the training part, and stacked with recorded data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.number_texts import count_text, number_text
from ntupleml.metrics.score_distributions import visible_factor
from ntupleml.plots.panels import grid_of_panels
from ntupleml.plots.style import COLOURS, add_experiment_label, add_legend, class_labels, drawable, yield_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.score_distributions import Density, ScoreStack

#: Size of the axes in inches.
_WIDTH, _HEIGHT, _RATIO_HEIGHT = 6.0, 4.2, 1.3
#: Where the largest bin is this many times the median one, the scale is logarithmic.
_LOG_SCALE_FROM = 20.0
#: Characters of a class in a legend that fits into its panel.
_LONGEST_LABEL = 24
#: Decades that a logarithmic scale shows at most.
_MOST_DECADES = 5.0
#: Share of the height that one line of the legend takes.
_LEGEND_LINE = 0.055
#: Classes in one column of the legend of a stack.
_LONGEST_COLUMN = 3
#: Line styles, taken in turn where there are more classes than colours.
_LINES = ("-", "--", ":", "-.")
_UNDEFINED_PLACE: dict[str, Any] = {"x": 0.5, "y": 0.5, "ha": "center", "va": "center"}


def draw_score_distributions(
    name: str,
    test: Mapping[str, Density | Undefined],
    training: Mapping[str, Density | Undefined],
    p_values: Mapping[str, tuple[float | Undefined, float | Undefined]],
    config: PlotConfig,
) -> Figure:
    """Draw the score of a class for the events of each true class; call it inside `plot_style`.

    Lines with bands are unseen events, that of the class itself filled; points are the training part.

    Parameters
    ----------
    name : str
        Class of the score.
    test, training : mapping of str to Density or Undefined
        By true class; `training` is empty where there is no training part.
    p_values : mapping of str to (float or Undefined, float or Undefined)
        K-S and χ² p-value of training part against unseen events by true class; the legend shows them.
    """
    return draw_all_score_distributions({name: ScoreSamples(test, training, p_values)}, config)


class ScoreSamples(NamedTuple):
    """What is drawn of one score: see `draw_score_distributions`."""

    test: Mapping[str, Density | Undefined]
    training: Mapping[str, Density | Undefined]
    p_values: Mapping[str, tuple[float | Undefined, float | Undefined]]


def draw_all_score_distributions(scores: Mapping[str, ScoreSamples], config: PlotConfig) -> Figure:
    """Draw a panel as `draw_score_distributions` for each score; call it inside `plot_style`.

    Parameters
    ----------
    scores : mapping of str to ScoreSamples
        By the class of the score.
    """
    figure, blocks = grid_of_panels(len(scores), _WIDTH, (_HEIGHT,), columns=_columns(scores, config))
    add_experiment_label(blocks[0][0], config)  # draws all that is there, so that now it costs least
    for (name, samples), (axes,) in zip(scores.items(), blocks, strict=True):
        _draw_distributions(axes, name, samples, config)
    drawn = [_contents(samples) for samples in scores.values()]
    for (axes,), samples, contents in zip(blocks, scores.values(), drawn, strict=True):
        lines = len(samples.test) + bool(samples.training) + 1
        set_scale(axes, contents, lines, logarithmic=is_logarithmic(drawn))
    return figure


def _contents(samples: ScoreSamples) -> list[NDArray[np.float64]]:
    return [
        one.values for one in [*samples.test.values(), *samples.training.values()] if not isinstance(one, Undefined)
    ]


def _columns(classes: Iterable[str], config: PlotConfig) -> int:
    """Panels side by side: one where a legend with long names may need the room beside its panel."""
    return 1 if any(len(label) > _LONGEST_LABEL for label in class_labels(classes, config)) else 2


def _draw_distributions(axes: Axes, name: str, samples: ScoreSamples, config: PlotConfig) -> None:
    test, training, p_values = samples
    labels = dict(zip(test, class_labels(test, config), strict=True))
    for index, (true_class, found) in enumerate(test.items()):
        text = _with_p_values(labels[true_class], p_values.get(true_class))
        if isinstance(found, Undefined):
            axes.plot([], [], color="none", label=f"{labels[true_class]}: {found}")
            continue
        draw_density(axes, found, index, text, filled=true_class == name)
        fitted = training.get(true_class)
        if fitted is not None and not isinstance(fitted, Undefined):
            _draw_points(axes, fitted, index)
    shown = [one for one in [*test.values(), *training.values()] if not isinstance(one, Undefined)]
    if shown:
        axes.set_xlim(shown[0].edges[0], shown[0].edges[-1])
    else:
        axes.text(s="no events", transform=axes.transAxes, **_UNDEFINED_PLACE)
    if training:
        axes.errorbar([], [], [], fmt=".", color="grey", label="points: training part")
    title = "Unseen events" + (" (p-values against training part: K-S, χ²)" if p_values else "")
    add_legend(axes, *axes.get_legend_handles_labels(), title, loc="upper left", labelspacing=0.3, borderaxespad=1.0)
    axes.set_xlabel(f"Score of {class_labels([name], config)[0]}", loc="right")
    axes.set_ylabel("Probability density", loc="top")


def _with_p_values(label: str, p_values: tuple[float | Undefined, float | Undefined] | None) -> str:
    if p_values is None:
        return label
    texts = ["undefined" if isinstance(value, Undefined) else number_text(value, 2) for value in p_values]
    return drawable(f"{label} ({texts[0]}, {texts[1]})")


def draw_density(axes: Axes, found: Density, index: int, label: str, *, filled: bool) -> None:
    """Draw a distribution as a line with a band, in the look of the class of this index."""
    colour = COLOURS[index % len(COLOURS)]
    if filled:
        axes.stairs(found.values, found.edges, fill=True, color=colour, alpha=0.25, linewidth=0)
    axes.stairs(
        found.values + found.uncertainties,
        found.edges,
        baseline=found.values - found.uncertainties,
        fill=True,
        color=colour,
        alpha=0.35,
        linewidth=0,
    )
    axes.stairs(
        found.values, found.edges, color=colour, linestyle=_line(index), linewidth=1.6, label=label, baseline=None
    )


def _line(index: int) -> str:
    return _LINES[index // len(COLOURS) % len(_LINES)]


def _draw_points(axes: Axes, fitted: Density, index: int) -> None:
    filled = (fitted.values != 0) | (fitted.uncertainties != 0)
    centres = (fitted.edges[1:] + fitted.edges[:-1]) / 2
    axes.errorbar(
        centres[filled],
        fitted.values[filled],
        fitted.uncertainties[filled],
        fmt=".",
        markersize=5,
        elinewidth=1,
        color=COLOURS[index % len(COLOURS)],
    )


def draw_score_stack(name: str, stack: ScoreStack, config: PlotConfig, signals: Sequence[str] = ()) -> Figure:
    """Draw the stacked true classes in bins of the score of one; call it inside `plot_style`.

    The class itself is on top. Points are recorded data; below is their ratio to the sum of the classes, with the
    statistical uncertainty of the latter as band. The legend says so where the classes are scaled to the data.

    Parameters
    ----------
    name : str
        Class of the score.
    signals : sequence of str, optional
        Classes that are drawn once more, as lines, scaled until they are seen beside the others.
    """
    return draw_all_score_stacks({name: stack}, config, signals)


def draw_all_score_stacks(stacks: Mapping[str, ScoreStack], config: PlotConfig, signals: Sequence[str] = ()) -> Figure:
    """Draw a panel as `draw_score_stack` for each score; call it inside `plot_style`.

    Parameters
    ----------
    stacks : mapping of str to ScoreStack
        By the class of the score.
    signals : sequence of str, optional
        As for `draw_score_stack`; the factor is the same in all panels.
    """
    factors = {
        signal: min(visible_factor(stack.classes[signal], stack.total) for stack in stacks.values())
        for signal in signals
    }
    return _draw_stacks(stacks, [f"Score of {label}" for label in class_labels(stacks, config)], config, factors)


def draw_variable_stacks(stacks: Mapping[str, ScoreStack], config: PlotConfig) -> Figure:
    """Draw a panel for each variable, with recorded data as points and their ratio; call it inside `plot_style`.

    Parameters
    ----------
    stacks : mapping of str to ScoreStack
        By the variable.
    """
    return _draw_stacks(stacks, list(stacks), config, {})


def _draw_stacks(
    stacks: Mapping[str, ScoreStack], labels: Sequence[str], config: PlotConfig, factors: Mapping[str, int]
) -> Figure:
    drawn = []
    with_data = any(not isinstance(stack.data, Undefined) for stack in stacks.values())
    heights = (_HEIGHT, _RATIO_HEIGHT) if with_data else (_HEIGHT,)
    figure, blocks = grid_of_panels(len(stacks), _WIDTH, heights, columns=_columns(stacks, config))
    add_experiment_label(blocks[0][0], config)  # draws all that is there, so that now it costs least
    for (name, stack), label, panels in zip(stacks.items(), labels, blocks, strict=True):
        axes = panels[0]
        drawn.append(_draw_stack(axes, name, stack, config, factors))
        draw_blinded(panels[1:], stack)
        if not isinstance(stack.data, Undefined):
            _draw_ratio(panels[-1], stack)
        axes.set_xlim(stack.total.edges[0], stack.total.edges[-1])
        axes.set_ylabel(yield_label(config), loc="top")
        axes.yaxis.get_offset_text().set(x=-0.02, horizontalalignment="right")  # a power of ten, beside the label
        panels[-1].set_xlabel(label, loc="right")
    logarithmic = is_logarithmic([contents for contents, _ in drawn])
    for (axes, *_), (contents, lines) in zip(blocks, drawn, strict=True):
        set_scale(axes, contents, lines, logarithmic=logarithmic)
    return figure


def _draw_stack(
    axes: Axes, name: str, stack: ScoreStack, config: PlotConfig, factors: Mapping[str, int]
) -> tuple[list[NDArray[np.float64]], int]:
    """Draw all but the ratio; what has to fit onto the scale, and the lines of the legend above it."""
    names = [other for other in stack.classes if other != name] + [name] * (name in stack.classes)
    colours = dict(zip(stack.classes, _many_colours(len(stack.classes)), strict=True))
    edges = stack.total.edges
    sums, uncertainties = stack.scale * stack.total.sums, stack.scale * stack.total.uncertainties
    below = np.zeros(len(edges) - 1)
    for other, label in zip(names, class_labels(names, config), strict=True):
        above = below + stack.scale * stack.classes[other].sums
        axes.stairs(above, edges, baseline=below, fill=True, color=colours[other], label=label)
        below = above
    axes.stairs(
        sums + uncertainties,
        edges,
        baseline=sums - uncertainties,
        fill=True,
        facecolor="none",
        edgecolor=_text_colour(),
        hatch="//////",
        linewidth=0,
        label="stat. uncertainty",
    )
    _draw_scaled(axes, stack, factors, config)
    drawn = [sums]
    if not isinstance(stack.data, Undefined):
        filled = (stack.data.sums != 0) | (stack.data.squares != 0)
        centres = (edges[1:] + edges[:-1]) / 2
        axes.errorbar(
            centres[filled],
            stack.data.sums[filled],
            stack.data.uncertainties[filled],
            fmt="o",
            markersize=4,
            elinewidth=1,
            color=_text_colour(),
            label="data",
        )
        drawn.append(stack.data.sums)
    draw_blinded([axes], stack, "data blinded")
    title = "" if stack.scale == 1 else f"simulation scaled by {stack.scale:.3g}"
    _draw_legend_of_stack(axes, class_labels(names[::-1], config), title)
    return drawn, min(len(names) + 2 + len(factors), _LONGEST_COLUMN) + bool(title)


def _draw_scaled(axes: Axes, stack: ScoreStack, factors: Mapping[str, int], config: PlotConfig) -> None:
    """Draw signals as lines that begin at zero, each multiplied with its factor."""
    for index, (signal, label) in enumerate(zip(factors, class_labels(factors, config), strict=True)):
        factor = factors[signal]
        axes.stairs(
            stack.scale * factor * stack.classes[signal].sums,
            stack.total.edges,
            baseline=None,
            color=_text_colour(),
            linewidth=1.8,
            linestyle=_LINES[index % len(_LINES)],
            label=drawable(f"{label} × {count_text(factor)}") if factor > 1 else f"{label}, not stacked",
        )


def draw_blinded(panels: Sequence[Axes], stack: ScoreStack, label: str | None = None) -> None:
    """Hatch the bins in which data are not looked at, with an entry of the legend if asked."""
    if stack.blinded is None or isinstance(stack.data, Undefined) or not stack.blinded.any():
        return
    for axes in panels:
        axes.fill_between(
            stack.total.edges,
            0,
            1,
            where=np.append(stack.blinded, stack.blinded[-1]),
            step="post",
            transform=axes.get_xaxis_transform(),
            facecolor="grey",
            edgecolor=_text_colour(),
            alpha=0.25,
            hatch="..",
            linewidth=0,
            label=label,
        )


def _draw_legend_of_stack(axes: Axes, labels: Sequence[str], title: str) -> None:
    """Data, uncertainty, then the classes from top to bottom."""
    handles, texts = axes.get_legend_handles_labels()
    by_text = dict(zip(texts, handles, strict=True))
    others = [text for text in texts if text not in labels]
    order = [*others[::-1], *dict.fromkeys(labels)]
    columns = min(1 + (len(order) - 1) // _LONGEST_COLUMN, 3)
    options = {"loc": "upper right", "ncols": columns, "labelspacing": 0.3, "borderaxespad": 1.0}
    add_legend(axes, [by_text[text] for text in order], order, title, **options)


def _many_colours(number: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(number)]


def _text_colour() -> str:
    import matplotlib as mpl

    return str(mpl.rcParams["text.color"])


def _draw_ratio(axes: Axes, stack: ScoreStack) -> None:
    edges, known = stack.total.edges, stack.ratio_known
    band = np.where(known, stack.band, 0.0)
    axes.stairs(
        1 + band,
        edges,
        baseline=1 - band,
        fill=True,
        facecolor="none",
        edgecolor=_text_colour(),
        hatch="//////",
        linewidth=0,
    )
    axes.axhline(1, color="grey", linewidth=0.8)
    ratio, uncertainties = stack.ratio / stack.scale, stack.ratio_uncertainties / stack.scale
    shown = known & ((stack.ratio != 0) | (stack.ratio_uncertainties != 0))
    centres = (edges[1:] + edges[:-1]) / 2
    axes.errorbar(
        centres[shown],
        ratio[shown],
        uncertainties[shown],
        fmt="o",
        markersize=4,
        elinewidth=1,
        color=_text_colour(),
    )
    half = _half_range(ratio[shown], uncertainties[shown])
    axes.set_ylim(1 - half, 1 + half)
    axes.set_ylabel("Data / sim.")


def _half_range(ratio: NDArray[np.float64], uncertainties: NDArray[np.float64]) -> float:
    """So that the well measured points are seen, between 0.1 and 1."""
    measured = uncertainties < 0.5
    deviations = np.abs(ratio[measured] - 1) + uncertainties[measured]
    return float(np.clip(1.1 * deviations.max(initial=0.0), 0.1, 1.0))


def is_logarithmic(panels: Sequence[Sequence[NDArray[np.float64]]]) -> bool:
    """Whether the panels of a figure have a logarithmic scale: all or none.

    They have one where any of them needs it, and none has many negative entries.
    """
    is_needed = False
    for drawn in panels:
        contents = np.concatenate([*drawn, np.zeros(0)])
        positive = contents[contents > 0]
        if not len(positive):
            continue
        # A few bins that fluctuate below zero would else press everything but the largest bin onto the axis.
        if -float(contents.min()) * _LOG_SCALE_FROM > float(positive.max()):
            return False
        is_needed |= float(positive.max()) >= _LOG_SCALE_FROM * float(np.median(positive))
    return is_needed


def set_scale(axes: Axes, drawn: Sequence[NDArray[np.float64]], lines: int, *, logarithmic: bool | None = None) -> None:
    """Set a linear or a logarithmic scale, and leave room for so many lines of a legend above."""
    contents = np.concatenate([*drawn, np.zeros(0)])
    positive = contents[contents > 0]
    head = min(_LEGEND_LINE * (lines + 0.5), 0.6)
    if not len(positive):
        return
    highest = float(positive.max())
    if not (is_logarithmic([drawn]) if logarithmic is None else logarithmic):
        low = min(float(contents.min()), 0.0)
        axes.set_ylim(1.1 * low, low + (1.05 * highest - low) / (1 - head))
        return
    axes.set_yscale("log")
    decades = min(float(np.log10(highest / positive.min())) + 0.3, _MOST_DECADES)
    axes.set_ylim(highest / 10**decades, highest * 10 ** (decades * head / (1 - head) + 0.05))
