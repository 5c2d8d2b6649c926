"""Box plots of quantities that each member of an ensemble has, and the same as a picture with its numbers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, as_plain
from ntupleml.plots.panels import draw_points, grid_of_panels
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, literal, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.members import OverMembers, SpreadProfile
    from ntupleml.plots.pictures import Cell

#: Inches: of the axes, and of each box.
_WIDTH, _HEIGHT, _PER_BOX = 4.5, 3.8, 0.7
#: Inches: width of axes of one box, and of a letter; boxes in a row.
_PANEL, _LETTER, _COLUMNS = 1.8, 0.13, 6
#: Share of a common axis that the members of one box have to fill.
_VISIBLE = 0.1
#: Width of a box, of the points of its members, and of the mark of the ensemble, in units of the distance of boxes.
_BOX, _POINTS, _MARK = 0.55, 0.3, 0.38


def members_picture(
    name: str,
    caption: str,
    found: Mapping[str, OverMembers],
    quantity: str,
    *,
    column: str = "Class",
    ensemble: Mapping[str, float | Measurement | Undefined] | None = None,
) -> Picture:
    """A box for each of some results, with a table and the plain numbers of all members.

    Parameters
    ----------
    name, caption
        Of the picture. What boxes, points and dashes are is added to the caption.
    found : mapping of str to OverMembers
        By what stands below the box, e.g. the class.
    quantity : str
        Label of the y axis.
    column : str, default: "Class"
        What the keys are, for the table.
    ensemble : mapping of str to float, Measurement or Undefined, optional
        The same quantity of the mean of the members, by the same keys.
    """
    whole = dict(ensemble or {})
    header: tuple[str, ...] = (column, "Mean", "Standard deviation", "Smallest", "Largest")
    rows = tuple((key, *_cells(one), *([whole[key]] if key in whole else [])) for key, one in found.items())
    numbers = {"quantity": quantity, "members": as_plain(found)}
    if whole:
        header = (*header, "Ensemble")
        numbers["ensemble"] = as_plain(whole)
        dash = ", a dash the ensemble of them"
    else:
        dash = ""
    caption += f" A point is a member{dash}; a box holds the middle half of the members, its line is their median."
    return Picture(name, caption, partial(draw_members, dict(found), quantity, whole), numbers, (Table(header, rows),))


def _cells(one: OverMembers) -> tuple[Cell, ...]:
    known = one.defined
    ends: tuple[Cell, ...] = (min(known), max(known)) if known else ("–", "–")
    return (one.mean, one.standard_deviation, *ends)


def draw_members(
    found: Mapping[str, OverMembers],
    quantity: str,
    ensemble: Mapping[str, float | Measurement | Undefined],
    config: PlotConfig,
) -> Figure:
    """Box plots side by side; call it inside `plot_style`. Parameters as for `members_picture`.

    Each has an axis of its own where on a common one nobody could see how far the members differ.
    """
    labels = class_labels(found, config)
    if not _differ_visibly(found):
        figure, panels = grid_of_panels(len(found), _PANEL, [_HEIGHT], columns=_COLUMNS)
        places = [(axes, 0.0) for (axes,) in panels]
    else:
        width = max(_WIDTH, _PER_BOX * len(found))
        figure, axes = new_figure(width, _HEIGHT)
        axes.set_position((0, 0, 1, 1))
        places = [(axes, float(place)) for place in range(len(found))]
    for index, ((key, one), (axes, place)) in enumerate(zip(found.items(), places, strict=True)):
        _draw_box(axes, place, one, COLOURS[index % len(COLOURS)])
        _draw_ensemble(axes, place, ensemble.get(key))
    for axes in figure.axes:
        own = [(place, label) for (other, place), label in zip(places, labels, strict=True) if other is axes]
        room = axes.get_position().width * figure.get_figwidth() / len(own)
        is_long = max(len(label) for _, label in own) * _LETTER > room
        axes.set_xticks([place for place, _ in own], [label for _, label in own], rotation=90 if is_long else 0)
        axes.set_xlim(own[0][0] - 0.7, own[-1][0] + 0.7)
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.ticklabel_format(axis="y", useOffset=False)
    figure.axes[0].set_ylabel(literal(quantity), loc="top")
    add_experiment_label(figure.axes[0], config)
    return figure


def _differ_visibly(found: Mapping[str, OverMembers]) -> bool:
    """Whether the members of one box fill a part of an axis that has all boxes."""
    ranges = [max(one.defined) - min(one.defined) for one in found.values() if one.defined]
    known = [value for one in found.values() for value in one.defined]
    return len(ranges) < 2 or max(ranges) > _VISIBLE * (max(known) - min(known))


def _draw_box(axes: Axes, place: float, one: OverMembers, colour: str) -> None:
    known = one.defined
    if not known:
        across = axes.get_xaxis_transform()
        axes.text(place, 0.5, str(one.mean), transform=across, rotation=90, ha="center", va="center", size=10)
        return
    of_box = {"color": colour}
    axes.boxplot(
        [known],
        positions=[place],
        widths=_BOX,
        showfliers=False,
        manage_ticks=False,
        boxprops=of_box,
        whiskerprops=of_box,
        capprops=of_box,
        medianprops={"color": colour, "linewidth": 2},
    )
    aside = np.linspace(-0.5, 0.5, len(known)) * _POINTS if len(known) > 1 else np.zeros(1)
    axes.plot(place + aside, known, "o", color=colour, markersize=4, alpha=0.8)


def _draw_ensemble(axes: Axes, place: float, value: float | Measurement | Undefined | None) -> None:
    if value is None or isinstance(value, Undefined):
        return
    level = value.value if isinstance(value, Measurement) else float(value)
    axes.hlines(level, place - _MARK, place + _MARK, color="black", linestyle="--", linewidth=1.2)


def draw_spread(found: Mapping[str, SpreadProfile | Undefined], output: str, config: PlotConfig) -> Figure:
    """Mean spread of the members in bins of the score, for each class; call it inside `plot_style`."""
    figure, axes = new_figure(_WIDTH * 1.3, _HEIGHT)
    axes.set_position((0, 0, 1, 1))
    for index, (label, profile) in enumerate(zip(class_labels(found, config), found.values(), strict=True)):
        if isinstance(profile, Undefined):
            axes.plot([], [], color="none", label=f"{label}: {profile}")
            continue
        colour = COLOURS[index % len(COLOURS)]
        draw_points(axes, profile.edges, profile.in_bins, color=colour, marker="o", markersize=4, label=label)
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.set_xlabel(f"Score, {literal(output)}", loc="right")
    axes.set_ylabel("Mean standard deviation of the members", loc="top")
    axes.legend(frameon=False, loc="upper right", ncols=2)
    add_experiment_label(axes, config)
    return figure
