"""ROC pictures: what is on the axes, and that undefined curves do not stop the others."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics import Measurement, RocPoints, Undefined
from ntupleml.metrics.class_rocs import RocSummary
from ntupleml.plots import plot_style
from ntupleml.plots.roc import draw_class_roc, draw_pair_rocs, draw_roc_curves, save_roc_curves
from ntupleml.plots.style import COLOURS

if TYPE_CHECKING:
    from pathlib import Path

GRID = np.linspace(0, 1, 51)
#: Background efficiencies ε_S² and ε_S³.
SQUARE, CUBE = (RocPoints(GRID, GRID**power, np.full(51, 0.001)) for power in (2, 3))
AREAS = {"a": Measurement(2 / 3, 0.01), "b": Measurement(0.75, 0.02)}


def test_rejection_above_and_ratio_of_rejection_factors_below() -> None:
    config = PlotConfig(class_labels={"signal": r"$\tau\tau$"})
    with plot_style(config):
        figure = draw_roc_curves({"signal": {"a": SQUARE, "b": CUBE}}, {"signal": AREAS}, config)
        above, below = figure.axes
        np.testing.assert_allclose(above.lines[0].get_ydata(), 1 - GRID**2)
        np.testing.assert_allclose(above.lines[1].get_ydata(), 1 - GRID**3)
        texts = [text.get_text() for text in above.get_legend().get_texts()]
        assert texts == ["a: 0.667 ± 0.010", "b: 0.750 ± 0.020"]
        ratio = below.lines[1].get_ydata()
        np.testing.assert_allclose(ratio[20:], GRID[20:] ** -1)  # 1/ε³ over 1/ε²
        assert np.isnan(ratio[:3]).all()  # the background efficiency is known too badly there
        assert below.get_xlabel() == "Signal efficiency"
        assert above.get_ylabel() == "Background rejection"


def test_one_method_has_no_ratio() -> None:
    with plot_style(PlotConfig()):
        figure = draw_roc_curves({"signal": {"a": SQUARE}}, {"signal": AREAS}, PlotConfig())
        assert len(figure.axes) == 1
        assert figure.axes[0].get_xlabel() == "Signal efficiency"


def test_classes_stand_side_by_side_and_undefined_curves_are_named() -> None:
    curves = {name: {"a": Undefined("no signal events"), "b": CUBE} for name in ("x", "y_1", "z")}
    with plot_style(PlotConfig()):
        figure = draw_roc_curves(curves, dict.fromkeys(curves, AREAS), PlotConfig())
        assert len(figure.axes) == 6
        titles = [axes.get_legend().get_title().get_text() for axes in figure.axes if axes.get_legend()]
        assert titles == [f"{name} against the rest\nAUC" for name in curves]
        assert figure.axes[0].get_legend().get_texts()[0].get_text() == "a: undefined: no signal events"
        left = [axes.get_position().x0 for axes in figure.axes if axes.get_legend()]
        assert left == sorted(left)


def test_more_than_three_classes_stand_in_rows() -> None:
    curves = {name: {"a": SQUARE, "b": CUBE} for name in "vwxyz"}
    with plot_style(PlotConfig()):
        figure = draw_roc_curves(curves, dict.fromkeys(curves, AREAS), PlotConfig())
        places = [axes.get_position() for axes in figure.axes if axes.get_legend()]
        rows = [[place.x0 for place in places[:3]], [place.x0 for place in places[3:]]]
        assert len({round(place.y0, 3) for place in places}) == 2
        assert rows[1] == pytest.approx([(rows[0][0] + rows[0][1]) / 2, (rows[0][1] + rows[0][2]) / 2])  # in the middle
        for one, other in combinations([axes.get_position() for axes in figure.axes], 2):
            assert one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0


@pytest.mark.parametrize(
    ("name", "methods", "beside"),
    [
        ("signal", [f"m{number}" for number in range(9)], True),
        ("a_process_with_a_name_that_says_everything", ["a", "b"], True),
        ("signal", ["a_method_with_a_name_that_says_everything", "b"], True),
        (r"$\rightarrow\tau\tau\rightarrow\mu\tau_h$", ["a", "b"], False),
    ],
)
def test_large_legends_hide_no_curves_of_any_panel(name: str, methods: list[str], beside: bool) -> None:
    curves = {one: dict.fromkeys(methods, SQUARE) for one in (name, "y", "z", "u")}
    areas = dict.fromkeys(curves, dict.fromkeys(methods, AREAS["a"]))
    config = PlotConfig(class_labels={one: one for one in curves})
    with plot_style(config):
        figure = draw_roc_curves(curves, areas, config)
        figure.draw_without_rendering()
        legends = [axes.get_legend().get_window_extent() for axes in figure.axes if axes.get_legend()]
        hidden = [legend.overlaps(axes.get_window_extent()) for legend in legends for axes in figure.axes]
        assert any(hidden) is not beside


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS"])
def test_files_in_the_style_of_an_experiment(tmp_path: Path, style: str) -> None:
    config = PlotConfig(style=style, label="Simulation", com=13.0)
    paths = save_roc_curves({"s": {"a": SQUARE, "b": CUBE}}, {"s": AREAS}, tmp_path / "roc", config)
    assert [path.name for path in paths] == ["roc.png", "roc.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")


def test_everything_undefined_still_is_a_picture(tmp_path: Path) -> None:
    nothing = {"a": Undefined("no signal events"), "b": Undefined("no signal events")}
    paths = save_roc_curves({"s": nothing}, {"s": nothing}, tmp_path / "roc", PlotConfig())
    assert all(path.stat().st_size for path in paths)


def summary(points: RocPoints, area: str = "a") -> RocSummary:
    return RocSummary(10, 20, AREAS[area], {}, {}, points, 30, 0.0)


class TestOneClass:
    def test_rejection_factors_stand_between_rejection_and_ratio(self) -> None:
        config = PlotConfig(class_labels={"s": "Signal"})
        with plot_style(config):
            figure = draw_class_roc("s", {"a": summary(SQUARE), "b": summary(CUBE, "b")}, ["s", "x", "y"], config)
            above, factors, ratio = figure.axes
            assert above.get_legend().get_title().get_text() == "Signal against the rest\nAUC"
            assert factors.get_yscale() == "log"
            x, y = factors.lines[1].get_data()
            np.testing.assert_allclose(y, x**-3.0)
            assert (y * 0.001 <= 0.5).all()  # further up, the background efficiency is known too badly
            assert (factors.get_ylabel(), ratio.get_ylabel()) == ("$1/\\varepsilon_B$", "$1/\\varepsilon_B$ ratio")
            assert ratio.get_xlabel() == "Signal efficiency"
            places = [axes.get_position() for axes in figure.axes]
            assert places[0].y0 > places[1].y1 > places[1].y0 > places[2].y1

    def test_of_two_classes_both_are_named_and_of_one_method_there_is_no_ratio(self) -> None:
        with plot_style(PlotConfig()):
            figure = draw_class_roc("s", {"a": summary(SQUARE)}, ["s", "b"], PlotConfig())
            assert figure.axes[0].get_legend().get_title().get_text() == "s against b\nAUC"
            assert len(figure.axes) == 2

    def test_ratios_of_very_different_methods_are_on_a_logarithmic_scale(self) -> None:
        worse, better = (RocPoints(GRID, factor * GRID**2, np.full(51, 1e-6)) for factor in (1.0, 0.01))
        with plot_style(PlotConfig()):
            figure = draw_class_roc("s", {"a": summary(worse), "b": summary(better)}, ["s", "b"], PlotConfig())
            assert figure.axes[2].get_yscale() == "log"
            assert figure.axes[2].get_ylim()[1] > 100

    def test_everything_undefined_is_said_with_the_reason(self) -> None:
        with plot_style(PlotConfig()):
            figure = draw_class_roc("s", {"$a": Undefined("no signal events")}, ["s", "b"], PlotConfig())
            texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
            assert texts == [r"\$a: undefined: no signal events"]
            figure.canvas.draw()


class TestPairs:
    def test_each_other_class_has_a_colour_and_each_method_a_line(self) -> None:
        pairs = {other: {"a": summary(SQUARE), "b": summary(CUBE, "b")} for other in ("x", "y")}
        with plot_style(PlotConfig()):
            figure = draw_pair_rocs("s", pairs, "xsy", PlotConfig(class_labels={"x": "X"}))
            above, factors = figure.axes
            texts = [text.get_text().split(":")[0] for text in above.get_legend().get_texts()]
            assert texts == ["against X, a", "against X, b", "against y, a", "against y, b"]
            colours, styles = zip(*((line.get_color(), line.get_linestyle()) for line in above.lines[:4]), strict=True)
            assert colours[0] == colours[1] != colours[2] == colours[3]
            assert (colours[0], colours[2]) == (COLOURS[0], COLOURS[2])  # those of the classes in all pictures
            assert styles[0] == styles[2] != styles[1] == styles[3]
            assert factors.get_xlabel() == "Signal efficiency"

    def test_of_one_method_its_name_is_not_repeated(self) -> None:
        with plot_style(PlotConfig()):
            figure = draw_pair_rocs(
                "s", {"x": {"a": summary(SQUARE)}, "y": {"a": Undefined("no y")}}, "sxy", PlotConfig()
            )
            texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
            assert texts == ["against x: 0.667 ± 0.010", "against y: undefined: no y"]

    def test_a_long_legend_stands_beside_the_curves(self) -> None:
        with plot_style(PlotConfig()):
            figure = draw_pair_rocs(
                "s", {name: {"a": summary(SQUARE)} for name in "bcdefghijk"}, "sbcdefghijk", PlotConfig()
            )
            figure.canvas.draw()
            axes = figure.axes[0]
            assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1
