"""Epochs of several trainings: metrics side by side, and efficiencies by point of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.metrics import Undefined
from ntupleml.plots.style import add_experiment_label, class_labels, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.point_efficiency import SelectedShare

    Shares = Mapping[tuple[float, ...], SelectedShare]

#: Line styles and markers, taken in turn with the colours, so that curves can be told apart in grey.
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "*")
#: Inches of a point on the axis, and of the narrowest and widest axes.
_POINT, _NARROWEST, _WIDEST = 0.55, 6.0, 20.0
#: More points have their names upright.
_FEW_POINTS = 8
#: Share of the room of a point in which its values stand side by side.
_SPREAD = 0.6
_NAME_SIZE = 11
#: Lines of a legend that stand inside of the axes.
_LONGEST_LEGEND = 5


def draw_epochs(
    curves: Mapping[str, Sequence[float]], marks: Mapping[str, Collection[int]], label: str, config: PlotConfig
) -> Figure:
    """Draw a metric of several trainings against the epoch; call it inside `plot_style`.

    Parameters
    ----------
    curves : mapping of str to sequence of float
        By training, epoch by epoch.
    marks : mapping of str to collection of int
        By training, epochs (from 1) that get a marker.
    label : str
        Of the metric.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(6.0, 4.5)
    for number, (name, values) in enumerate(curves.items()):
        places = [epoch - 1 for epoch in sorted(marks.get(name, ())) if epoch <= len(values)]
        axes.plot(
            range(1, len(values) + 1),
            values,
            linestyle=_LINES[number % len(_LINES)],
            marker=_MARKERS[number % len(_MARKERS)],
            markevery=places,
            label=literal(name),
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(literal(label))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _add_legend(axes)
    add_experiment_label(axes, config)
    return figure


def _add_legend(axes: Axes) -> None:
    """Beside the axes where it is long."""
    handles, labels = axes.get_legend_handles_labels()
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    axes.legend(handles, labels, frameon=False, **(beside if len(labels) > _LONGEST_LEGEND else {"loc": "best"}))


def draw_shares_of_points(
    found: Mapping[str, Shares], points: Sequence[str], signal: str, config: PlotConfig
) -> Figure:
    """Draw shares by point with their intervals, several side by side; call it inside `plot_style`.

    Parameters
    ----------
    found : mapping of str to mapping
        By what they are of, and then by point.
    points : sequence of str
        What the numbers of a point are.
    signal : str
        The class that the shares are of.
    """
    places = {point: place for place, point in enumerate(sorted({one for shares in found.values() for one in shares}))}
    figure, axes = new_figure(min(max(_POINT * len(places), _NARROWEST), _WIDEST), 4.5)
    for number, (name, shares) in enumerate(found.items()):
        offset = _SPREAD * ((number + 0.5) / len(found) - 0.5)
        known = [
            (places[point] + offset, one.share.value, *one.interval)
            for point, one in shares.items()
            if not isinstance(one.share, Undefined) and not isinstance(one.interval, Undefined)
        ]
        errors = [[value - low for _, value, low, _ in known], [high - value for _, value, _, high in known]]
        axes.errorbar(
            [place for place, *_ in known],
            [value for _, value, *_ in known],
            errors,
            linestyle="none",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            label=literal(name),
        )
    names = [", ".join(f"{one:g}" for one in point) for point in places]
    many = len(places) > _FEW_POINTS
    axes.set_xticks(range(len(names)), names, fontsize=_NAME_SIZE, rotation=90 if many else 0)
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlim(-0.5, max(len(places), 1) - 0.5)
    axes.set_xlabel(literal(", ".join(points)))
    axes.set_ylabel(f"efficiency of {class_labels([signal], config)[0]}")
    _add_legend(axes)
    add_experiment_label(axes, config)
    return figure
