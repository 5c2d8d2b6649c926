"""Pictures of score distributions: what is on the axes, in all styles, and what is said where nothing can be drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics import Histogram, Undefined
from ntupleml.metrics.score_distributions import Density, ScoreStack, score_stack
from ntupleml.plots import plot_style
from ntupleml.plots.score_distributions import (
    ScoreSamples,
    draw_all_score_distributions,
    draw_all_score_stacks,
    draw_score_distributions,
    draw_score_stack,
)

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

EDGES = np.linspace(0, 1, 5)
FALLING, RISING = (
    Density(EDGES, np.array(values), np.full(4, 0.1)) for values in ([2.0, 1.0, 0.6, 0.4], [0.0, 0.8, 1.2, 2.0])
)
NAMES = ["signal", "back$ground"]
BOTH = {"signal": RISING, "back$ground": FALLING}
P_VALUES: dict[str, tuple[float | Undefined, float | Undefined]] = {
    "signal": (0.25, Undefined("no events")),
    "back$ground": (1.2345e-7, 1.0),
}


def stack(data: list[float] | None, scale: float = 1.0, last: float = 1.0) -> ScoreStack:
    classes = {
        "signal": Histogram(EDGES, np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4)),
        "back$ground": Histogram(EDGES, np.array([4.0 * scale, 3.0, 2.0, last]), np.ones(4)),
    }
    if data is None:
        return score_stack(classes, Undefined("no tree"))
    return score_stack(classes, Histogram(EDGES, np.array(data), np.array(data)))


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def points(figure: Figure, axes: int) -> list[tuple[Any, Any]]:
    """Centres and values of the points with error bars."""
    containers: list[Any] = [one for one in figure.axes[axes].containers if hasattr(one, "has_yerr")]
    found = [one.lines[0].get_data() for one in containers]
    return [(centres, values) for centres, values in found if len(centres)]


def test_lines_are_unseen_events_and_points_the_training_part() -> None:
    config = PlotConfig(class_labels={"signal": r"$H\to\tau\tau$"})
    with plot_style(config):
        figure = draw_score_distributions("signal", BOTH, BOTH, P_VALUES, config)
        axes = figure.axes[0]
        patches: list[Any] = list(axes.patches)
        lines = [patch.get_data().values for patch in patches if patch.get_label() in legend(figure)]
        np.testing.assert_array_equal(lines, [RISING.values, FALLING.values])
        assert legend(figure) == [
            r"$H\to\tau\tau$ (0.25, undefined)",
            r"back\$ground (1.2 × 10⁻⁷, 1)",
            "points: training part",
        ]
        # An empty bin has its point, too, where it has an uncertainty.
        np.testing.assert_array_equal(points(figure, 0)[0][1], RISING.values)
        assert axes.get_xlabel() == r"Score of $H\to\tau\tau$"
        assert axes.get_xlim() == (0, 1)


def test_without_a_training_part_and_without_events() -> None:
    with plot_style(PlotConfig()):
        test: dict[str, Density | Undefined] = {"signal": Undefined("no events with a weight"), "back$ground": FALLING}
        figure = draw_score_distributions("signal", test, {}, {}, PlotConfig())
        assert legend(figure) == ["signal: undefined: no events with a weight", r"back\$ground"]
        assert not points(figure, 0)
        none: dict[str, Density | Undefined] = dict.fromkeys(NAMES, Undefined("no events"))
        nothing = draw_score_distributions("signal", none, {}, {}, PlotConfig())
        assert [text.get_text() for text in nothing.axes[0].texts] == ["no events"]


def test_data_are_points_and_their_ratio_is_below() -> None:
    with plot_style(PlotConfig()):
        figure = draw_score_stack("signal", stack([10.0, 4.0, 5.0, 0.0]), PlotConfig())
        above, below = figure.axes
        # The class itself is on top of the others; in the legend as in the picture.
        assert legend(figure) == ["data", "stat. uncertainty", "signal", r"back\$ground"]
        np.testing.assert_array_equal(points(figure, 0)[0][1], [10, 4, 5])
        np.testing.assert_array_equal(points(figure, 1)[0][0], [0.125, 0.375, 0.625])
        np.testing.assert_array_equal(points(figure, 1)[0][1], [2, 0.8, 1])
        tops = {patch.get_label(): patch for patch in above.patches}
        assert "stat. uncertainty" in tops
        low, high = below.get_ylim()
        assert (low + high) / 2 == pytest.approx(1)
        assert (above.get_xlabel(), below.get_xlabel()) == ("", "Score of signal")


def test_a_simulation_of_other_normalisation_is_scaled_to_the_data() -> None:
    """Data of 500 events on a simulation of 20, both flat."""
    with plot_style(PlotConfig()):
        figure = draw_score_stack("signal", stack([125.0] * 4), PlotConfig())
        found = figure.axes[0].get_legend()
        assert found is not None
        assert found.get_title().get_text() == "simulation scaled by 25"
        np.testing.assert_allclose(points(figure, 1)[0][1], 1)
        band: list[Any] = [patch for patch in figure.axes[0].patches if patch.get_label() == "stat. uncertainty"]
        np.testing.assert_allclose(band[0].get_data().values, 25 * (5 + np.sqrt(2)))


def test_without_data_there_is_no_ratio() -> None:
    with plot_style(PlotConfig()):
        figure = draw_score_stack("signal", stack(None), PlotConfig())
        assert len(figure.axes) == 1
        assert legend(figure) == ["stat. uncertainty", "signal", r"back\$ground"]


def test_the_scale_is_logarithmic_where_it_has_to_be() -> None:
    with plot_style(PlotConfig()):
        assert draw_score_stack("signal", stack(None), PlotConfig()).axes[0].get_yscale() == "linear"
        figure = draw_score_stack("signal", stack(None, 1000.0), PlotConfig())
        assert figure.axes[0].get_yscale() == "log"
        assert figure.axes[0].get_ylim()[0] < 5 < 4001 < figure.axes[0].get_ylim()[1]
        # A bin that fluctuates a little below zero does not change that.
        assert draw_score_stack("signal", stack(None, 1000.0, -9.0), PlotConfig()).axes[0].get_yscale() == "log"
        # Not where a large sum is negative, which would be lost.
        negative = draw_score_stack("signal", stack(None, -1000.0), PlotConfig())
        assert negative.axes[0].get_yscale() == "linear"
        assert negative.axes[0].get_ylim()[0] < -3999


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS", "LHCb"])
def test_all_styles_draw_without_a_warning(style: Any, tmp_path: Path) -> None:
    config = PlotConfig(style=style, label="Preliminary", lumi=59.7, com=13)
    with plot_style(config):
        for number, figure in enumerate(
            [
                draw_score_distributions("signal", BOTH, BOTH, P_VALUES, config),
                draw_score_stack("signal", stack([1e4, 4.0, 5.0, 0.0], 1e4), config),
            ]
        ):
            figure.savefig(tmp_path / f"{number}.png")
            assert any("Preliminary" in text.get_text() for text in figure.axes[0].texts)


def test_a_small_signal_is_shown_scaled() -> None:
    """Its highest bin is 4, that of the sum 4001: 500 × 4 is the largest of 1, 2, 5, 10 … below half of it."""
    with plot_style(PlotConfig()):
        figure = draw_score_stack("signal", stack(None, 1000.0), PlotConfig(), ["signal"])
        scaled: list[Any] = [one for one in figure.axes[0].patches if one.get_label() == "signal × 500"]
        np.testing.assert_array_equal(scaled[0].get_data().values, [500, 1000, 1500, 2000])
        assert "signal × 500" in legend(figure)
        assert "signal, not stacked" in legend(draw_score_stack("signal", stack(None), PlotConfig(), ["signal"]))


def test_panels_of_a_figure_have_the_same_scale() -> None:
    with plot_style(PlotConfig()):
        both = {"signal": stack(None), "back$ground": stack(None, 1000.0)}
        assert [axes.get_yscale() for axes in draw_all_score_stacks(both, PlotConfig()).axes] == ["log", "log"]
        spike = FALLING._replace(values=np.array([400.0, 1.0, 1.0, 1.0]))
        samples = {"signal": ScoreSamples(BOTH, {}, {}), "back$ground": ScoreSamples({"signal": spike}, {}, {})}
        assert {axes.get_yscale() for axes in draw_all_score_distributions(samples, PlotConfig()).axes} == {"log"}


def test_yields_at_a_luminosity_are_events() -> None:
    with plot_style(PlotConfig()):
        figures = [draw_score_stack("signal", stack(None), PlotConfig(lumi=lumi)) for lumi in (None, 59.7)]
        labels = [figure.axes[0].get_ylabel() for figure in figures]
    assert labels == ["Sum of weights", "Events"]
