"""Box plots of members: what is drawn is what the numbers say."""

from __future__ import annotations

import yaml

from ntupleml.config import PlotConfig
from ntupleml.metrics import Undefined
from ntupleml.metrics.members import over_members
from ntupleml.plots.members import draw_members, members_picture
from ntupleml.plots.pictures import write_picture
from ntupleml.plots.style import plot_style

_FOUND = {
    "signal": over_members([0.80, 0.82, 0.85, 0.81, 0.83]),
    "other $x$": over_members([0.7, Undefined("no events")]),
    "none": over_members([Undefined("no events")] * 2),
}


def test_points_are_members_boxes_hold_quartiles_and_a_dash_is_the_ensemble() -> None:
    with plot_style(PlotConfig(class_labels={"signal": "Signal"})):
        figure = draw_members(_FOUND, "AUC", {"signal": 0.86}, PlotConfig(class_labels={"signal": "Signal"}))
    (axes,) = figure.axes
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert sorted(points[0].get_ydata()) == [0.80, 0.81, 0.82, 0.83, 0.85]
    assert list(points[1].get_ydata()) == [0.7]
    box = next(line for line in axes.lines if len(line.get_xdata()) == 5 and line.get_marker() != "o")
    assert (min(box.get_ydata()), max(box.get_ydata())) == (0.81, 0.83)
    assert axes.collections[0].get_segments()[0][:, 1].tolist() == [0.86, 0.86]
    assert [text.get_text() for text in axes.texts if text.get_text()] == ["undefined: no events"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Signal", r"other \$x\$", "none"]


def test_boxes_far_apart_have_axes_of_their_own() -> None:
    """On a common axis from 0.6 to 0.9 a range of 0.001 would be a line."""
    far = {"a": over_members([0.6, 0.601, 0.6005]), "b": over_members([0.9, 0.9005, 0.901])}
    with plot_style(PlotConfig()):
        first, second = draw_members(far, "AUC", {}, PlotConfig()).axes
    assert first.get_ylim()[1] < 0.61 < 0.89 < second.get_ylim()[0]
    assert [axes.get_xticklabels()[0].get_text() for axes in (first, second)] == ["a", "b"]


def test_picture_has_numbers_of_all_members_and_a_table(tmp_path) -> None:
    picture = members_picture("auc", "Areas.", _FOUND, "AUC", ensemble={"signal": 0.86, "other $x$": 0.7, "none": 0.0})
    write_picture(picture, tmp_path / "auc", PlotConfig())
    numbers = yaml.safe_load((tmp_path / "auc.yaml").read_text())
    assert numbers["members"]["signal"]["values"] == [0.80, 0.82, 0.85, 0.81, 0.83]
    assert numbers["ensemble"]["signal"] == 0.86
    (table,) = picture.tables
    assert table.rows[0][0] == "signal"
    assert table.rows[0][3:] == (0.80, 0.85, 0.86)
    assert all(len(row) == len(table.header) for row in table.rows)
