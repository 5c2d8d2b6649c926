"""Pictures of the inputs of a classifier: the distributions of a variable in all classes, and which separates best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.number_texts import grouped, measurement_text
from ntupleml.plots.panels import add_label_above, grid_of_panels
from ntupleml.plots.style import (
    COLOURS,
    add_experiment_label,
    add_legend,
    class_labels,
    new_figure,
    shrink_to,
    variable_label,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.input_binning import Binning
    from ntupleml.metrics.inputs import Distribution, Fractions, InputSummary

_WIDTH, _HEIGHT = 6.4, 4.4
#: Width of an extra column (underflow, default values, …) and of the gap before it, as shares of the range.
_COLUMN, _GAP = 0.06, 0.02
#: Points; there is little room in an extra column. Share of its height that a note may take.
_COLUMN_SIZE, _NOTE = 10, 0.94
#: Panels of a variable each: size in inches, what is between them and above them, and text in points.
_PANEL: tuple[float, tuple[float]] = (3.9, (2.5,))
_IN_A_ROW, _ASIDE, _UNDER, _ABOVE, _PANEL_SIZE = 3, 0.6, 0.6, 0.42, 11
#: Line styles, taken in turn with the colours, so that classes can be told apart in grey.
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
#: Height of a line of the legend, as a share of that of the axes.
_LEGEND_LINE = 0.062
#: Lines of the legend; more classes stand in two columns.
_LONGEST_LEGEND = 6
#: Variables in the ranking; more cannot be read.
MOST_BARS = 60
_BAR_HEIGHT, _AXIS_HEIGHT, _NAME_SIZE = 0.27, 1.3, 10


class _Column(NamedTuple):
    """An extra column beside the bins: its place along x, what is written in it, and the content by class."""

    start: float
    stop: float
    label: str
    contents: list[Measurement | None]


def draw_distributions(
    variable: str, binning: Binning, distributions: Mapping[str, Distribution], config: PlotConfig
) -> Figure:
    """Draw the distributions of a variable in all classes, each normalised to 1; call it inside `plot_style`.

    Bands are one standard deviation. Underflow, overflow, default values and NaN stand in columns of their own where
    there are any, with the smallest and the largest share of the classes; columns may be higher than the picture.

    Parameters
    ----------
    distributions : mapping of str to Distribution
        By class.
    """
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    axes.set_position((0.13, 0.17, 0.84, 0.75))
    axes.set_xlabel(variable_label(variable), loc="right")
    axes.set_ylabel("Fraction of events per bin", loc="top")
    if binning.edges is None:
        _say(axes, "undefined: no event has a finite value")
        add_experiment_label(axes, config)
        return figure
    labels = [
        f"{label}: {_separation_text(one)}"
        for label, one in zip(class_labels(distributions, config), distributions.values(), strict=True)
    ]
    _draw_variable(axes, binning, distributions, labels, 1 + min(len(labels), _LONGEST_LEGEND))
    low, high = axes.get_xlim()
    end = (float(binning.edges[-1]) - low) / (high - low)  # the legend leaves the extra columns free
    add_legend(
        axes,
        *axes.get_legend_handles_labels(),
        "Separation from the rest",
        loc="upper right",
        bbox_to_anchor=(end, 1.0),
        ncols=1 if len(labels) <= _LONGEST_LEGEND else 2,
        labelspacing=0.25,
    )
    add_experiment_label(axes, config)
    return figure


def draw_several_distributions(
    variables: Mapping[str, tuple[Binning, Mapping[str, Distribution]]], config: PlotConfig
) -> Figure:
    """Draw a small panel as `draw_distributions` for each variable, with one legend; call it inside `plot_style`.

    Each panel has the largest separation of the classes.

    Parameters
    ----------
    variables : mapping
        Binning and distributions by class, by the name of the variable.
    """
    figure, blocks = grid_of_panels(len(variables), *_PANEL, columns=_IN_A_ROW, aside=_ASIDE, under=_UNDER)
    for (variable, (binning, distributions)), (axes,) in zip(variables.items(), blocks, strict=True):
        name = axes.set_xlabel(variable_label(variable), loc="right", fontsize=_PANEL_SIZE, labelpad=2)
        shrink_to(name, axes.get_window_extent().width)
        if binning.edges is None:
            _say(axes, "undefined: no event has a finite value")
            continue
        _draw_variable(axes, binning, distributions, class_labels(distributions, config), 2, most_ticks=4)
        axes.locator_params(axis="y", nbins=3)
        axes.tick_params(labelsize=_PANEL_SIZE)
        largest = _largest_separation_text(distributions, config)
        text = f"separation ≤ {largest}" if largest else ""
        low, high = axes.get_xlim()
        start = (float(binning.edges[0]) - low) / (high - low)  # beside the column of the underflow
        axes.text(start + 0.03, 0.97, text, transform=axes.transAxes, ha="left", va="top", fontsize=_PANEL_SIZE)
    first = blocks[0][0]
    drawn = [one for (one,) in blocks if one.get_legend_handles_labels()[0]]
    if drawn:
        handles, labels = drawn[0].get_legend_handles_labels()
        columns = min(len(labels), 5 if len(variables) >= _IN_A_ROW else 2)
        place = (0.0, 1 + _ABOVE / 5 / (figure.get_figheight() * first.get_position().height))
        first.legend(handles, labels, loc="lower left", bbox_to_anchor=place, ncols=columns, frameon=False,
                     borderaxespad=0.0)  # fmt: skip
    add_label_above(figure, config, _ABOVE * -(-len(labels) // columns) if drawn else 0.0)
    return figure


def _largest_separation_text(distributions: Mapping[str, Distribution], config: PlotConfig) -> str:
    known = [
        (one.separation.value, index)
        for index, one in enumerate(distributions.values())
        if isinstance(one.separation, Measurement)
    ]
    if not known:
        return "" if len(distributions) == 1 else "undefined"
    largest, index = max(known)
    return f"{largest:.3f}" + (f" ({class_labels(distributions, config)[index]})" if len(distributions) > 2 else "")


def _draw_variable(
    axes: Axes,
    binning: Binning,
    distributions: Mapping[str, Distribution],
    labels: Sequence[str],
    lines: int,
    most_ticks: int = 6,
) -> None:
    """Draw everything but the legend, for some lines of which there is room."""
    assert binning.edges is not None
    shares = [one.fractions for one in distributions.values()]
    columns = _columns(binning, binning.edges, shares)
    for index, share in enumerate(shares):
        _draw_class(axes, index, binning.edges, share, columns, labels[index])
    _set_limits(axes, binning.edges, shares, columns, lines)
    _draw_columns(axes, columns)
    _draw_ticks(axes, binning, most_ticks)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", wrap=True)
    axes.set_xticks([])
    axes.set_yticks([])


def _separation_text(distribution: Distribution) -> str:
    if isinstance(distribution.fractions, Undefined):
        return str(distribution.fractions)
    if isinstance(distribution.separation, Undefined):
        return "undefined"
    return measurement_text(distribution.separation)


def _columns(binning: Binning, edges: NDArray[np.float64], shares: Sequence[Fractions | Undefined]) -> list[_Column]:
    """Extra columns that have any content: below the bins the underflow, above them all others."""
    width = float(edges[-1] - edges[0])
    default = ", ".join(number_text(value) for value in binning.defaults)
    columns, left, right = [], float(edges[0]), float(edges[-1])
    for name, label in (("underflow", "underflow"), ("overflow", "overflow"), ("default", default), ("missing", "NaN")):
        contents = [None if isinstance(share, Undefined) else getattr(share, name) for share in shares]
        values = [content.value for content in contents if content is not None]
        if not any(content is not None and (content.value or content.uncertainty) for content in contents):
            continue
        label = f"{label}: {_percentages(min(values), max(values))}"
        if name == "underflow":
            left -= (_GAP + _COLUMN) * width
            columns.append(_Column(left, left + _COLUMN * width, label, contents))
        else:
            right += (_GAP + _COLUMN) * width
            columns.append(_Column(right - _COLUMN * width, right, label, contents))
    return columns


def _percentages(low: float, high: float) -> str:
    first, last = number_text(float(f"{100 * low:.2g}")), number_text(float(f"{100 * high:.2g}"))
    return f"{last} %" if first == last else f"{first} to {last} %"


def _draw_class(
    axes: Axes,
    index: int,
    edges: NDArray[np.float64],
    share: Fractions | Undefined,
    columns: Sequence[_Column],
    label: str,
) -> None:
    from matplotlib.patches import StepPatch

    look: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)]}
    line: dict[str, Any] = {"linestyle": _LINES[index % len(_LINES)], "linewidth": 1.6}
    if isinstance(share, Undefined):
        axes.plot([], [], label=label, **look, **line)
        return
    own = [(column, column.contents[index]) for column in columns]
    before = [(column, content) for column, content in own if content is not None and column.stop <= edges[0]]
    after = [(column, content) for column, content in own if content is not None and column.start >= edges[-1]]
    all_edges, values, errors = [], [], []
    for column, content in before:
        all_edges += [column.start, column.stop]
        values += [content.value, np.nan]  # NaN interrupts the line
        errors += [content.uncertainty, np.nan]
    all_edges += edges.tolist()
    values += share.bins.tolist()
    errors += share.uncertainties.tolist()
    for column, content in after:
        all_edges += [column.start, column.stop]
        values += [np.nan, content.value]
        errors += [np.nan, content.uncertainty]
    height, error = np.array(values), np.array(errors)
    # Axes.stairs would follow each step for the limits of the axes, which are known: half of the time of a picture.
    outline: dict[str, Any] = {"baseline": None, "fill": False, "label": label}
    axes.add_artist(StepPatch(height, all_edges, **outline, **look, **line))
    band = StepPatch(height + error, all_edges, baseline=height - error, alpha=0.25, linewidth=0, **look)
    axes.add_artist(band)


def _set_limits(
    axes: Axes, edges: NDArray[np.float64], shares: Sequence[Fractions | Undefined],
    columns: Sequence[_Column], lines: int,
) -> None:  # fmt: skip
    known = [share.bins for share in shares if not isinstance(share, Undefined)]
    highest = max((float(bins.max()) for bins in known), default=0.0)
    lowest = min((float(bins.min()) for bins in known), default=0.0)
    if highest <= 0:  # all events may be in the extra columns
        highest = max((one.value for column in columns for one in column.contents if one is not None), default=1.0)
    axes.set_ylim(1.1 * lowest if lowest < 0 else 0.0, highest / (1 - _LEGEND_LINE * lines - 0.02))
    places = [float(edges[0]), float(edges[-1]), *(x for column in columns for x in (column.start, column.stop))]
    axes.set_xlim(min(places), max(places))


def _draw_columns(axes: Axes, columns: Sequence[_Column]) -> None:
    from matplotlib.patches import Rectangle

    transform = axes.get_xaxis_transform()
    for column in columns:
        width = column.stop - column.start
        axes.add_artist(
            Rectangle((column.start, 0), width, 1, transform=transform, color="0.5", alpha=0.12, linewidth=0)
        )
        centre = 0.5 * (column.start + column.stop)
        note = axes.text(
            centre, 0.97, column.label, transform=transform, ha="center", va="top", rotation=90, fontsize=_COLUMN_SIZE
        )
        shrink_to(note, _NOTE * axes.get_window_extent().height)


def _draw_ticks(axes: Axes, binning: Binning, most: int) -> None:
    """Ticks below the bins alone; a few fixed ones are drawn much faster than those of the styles."""
    from matplotlib.ticker import MaxNLocator

    assert binning.edges is not None
    low, high = float(binning.edges[0]), float(binning.edges[-1])
    ticks = np.array(MaxNLocator(most, integer=binning.is_integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
    margin = 1e-9 * (high - low)
    ticks = ticks[(ticks >= low - margin) & (ticks <= high + margin)]
    axes.set_xticks(ticks, [number_text(tick) for tick in ticks])
    axes.minorticks_off()


def number_text(number: float) -> str:
    r"""A number as people write it.

    Examples
    --------
    >>> number_text(-999.0), number_text(200000.0), number_text(2.5e8), number_text(1e-7)
    ('−999', '200\u202f000', '2.5e8', '1e−7')
    """
    text = f"{number:.6g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return grouped(text)


def draw_separation_ranking(summary: InputSummary, config: PlotConfig) -> Figure:
    """Draw the separation ⟨S²⟩ of all variables, the largest on top; call it inside `plot_style`.

    Bars are the largest of the classes, each class against the others together; with more than two classes, markers
    show those of the classes. A grey bar is what the number of events gives by chance alone.
    """
    ranked = summary.ranking()
    shown = ranked[:MOST_BARS]
    figure, axes = new_figure(_WIDTH, _AXIS_HEIGHT + _BAR_HEIGHT * max(len(shown), 3))
    if not shown:
        _say(axes, "undefined: no variable has a separation")
        add_experiment_label(axes, config)
        return figure
    positions = np.arange(len(shown))
    several = len(summary.classes) > 2
    axes.barh(
        positions,
        [separation.value for _, _, separation in shown],
        xerr=None if several else [separation.uncertainty for _, _, separation in shown],
        color=COLOURS[0],
        alpha=0.35 if several else 0.8,
        ecolor="0.4",
    )
    chance = [_by_chance(summary, name, label) for name, label, _ in shown]
    axes.barh(positions, chance, color="0.5", alpha=0.6, label="by chance alone")
    if several:
        _draw_markers(axes, summary, [name for name, _, _ in shown], config)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.set_yticks(positions, [variable_label(name) for name, _, _ in shown], fontsize=_NAME_SIZE)
    axes.tick_params(axis="y", which="both", length=0)
    axes.minorticks_off()
    axes.set_ylim(len(shown) - 0.5, -0.5)  # the first on top
    axes.set_xlim(0, 1.05 * max(separation.value + separation.uncertainty for _, _, separation in shown) or 1.0)
    left_out = f", the first {len(shown)} of {len(ranked)}" if len(shown) < len(ranked) else ""
    axes.set_xlabel(f"Separation from the rest{left_out}", loc="right")
    add_experiment_label(axes, config)
    return figure


def _by_chance(summary: InputSummary, variable: str, class_name: str) -> float:
    found = summary.distributions[variable][class_name].by_chance
    return 0.0 if isinstance(found, Undefined) else found


def _draw_markers(axes: Axes, summary: InputSummary, variables: Sequence[str], config: PlotConfig) -> None:
    number = len(summary.classes)
    for index, (name, label) in enumerate(zip(summary.classes, class_labels(summary.classes, config), strict=True)):
        found: list[Any] = [summary.distributions[variable][name].separation for variable in variables]
        known = [(place, one) for place, one in enumerate(found) if isinstance(one, Measurement)]
        shift = 0.6 * ((index + 0.5) / number - 0.5)
        axes.errorbar(
            [one.value for _, one in known],
            [place + shift for place, _ in known],
            xerr=[one.uncertainty for _, one in known],
            fmt=_MARKERS[index % len(_MARKERS)],
            markersize=4,
            elinewidth=1,
            color=COLOURS[index % len(COLOURS)],
            label=label,
        )
