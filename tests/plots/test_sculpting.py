"""Pictures of efficiencies, shapes and the overview of sculpting: what is on them, bounded in size, in each style."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics import Undefined, Verdict
from ntupleml.metrics.binned_efficiency import binned_efficiency
from ntupleml.metrics.sculpting import ScoreSlices, SlicedScore, sculpting, sliced_score
from ntupleml.metrics.slice_shapes import shape_in_slices
from ntupleml.metrics.variable_bins import VariableBins, even_bins, quantile_bins, sums_in_bins
from ntupleml.plots.binned_efficiency import draw_binned_efficiency
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.sculpting import draw_background_shape, draw_sculpting_overview
from ntupleml.plots.style import plot_style, save_figure

if TYPE_CHECKING:
    from pathlib import Path

STYLES = ["plain", "CMS", "ATLAS", "LHCb"]


def made(values: Any = None) -> tuple[Any, Any, Any]:
    """Efficiency, shape and numbers of a toy."""
    random = np.random.default_rng(1)
    scores, is_signal = random.random(3000), np.arange(3000) < 1000
    values = random.normal(size=3000) + scores if values is None else values
    weights = random.normal(1, 0.5, 3000)
    bins, fine = even_bins(values), quantile_bins(values)
    score = sliced_score(scores, ~is_signal, weights)
    assert isinstance(bins, VariableBins)
    assert isinstance(fine, VariableBins)
    assert isinstance(score, SlicedScore)
    assert isinstance(score.slices, ScoreSlices)
    return (
        binned_efficiency(scores, is_signal, weights, bins),
        shape_in_slices(score.slices, bins, weights),
        sculpting(score, values, fine, sums_in_bins(score.slices.of_event, score.slices.number, fine, weights)),
    )


@pytest.mark.parametrize("style", STYLES)
def test_what_is_on_them_in_each_style(style: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    efficiency, shape, result = made()
    config = PlotConfig(style=style, label="Simulation", class_labels={"ztt": "$Z\\to\\tau\\tau$"})  # type: ignore[arg-type]
    good, bad = Verdict("good", ""), Verdict("attention", "")
    overview = {"pt": {"ztt": (0.2, bad), "w": (0.01, good)}, "eta": {"ztt": (0.05, good)}}
    with caplog.at_level(logging.WARNING), plot_style(config, PARAMETERS):
        figures = [
            draw_binned_efficiency(efficiency, "ztt", "m_$vis", config),
            draw_background_shape(shape, result, "ztt", "m_$vis", config),
            draw_sculpting_overview(overview, ["ztt", "w"], config),
        ]
        for number, figure in enumerate(figures):
            save_figure(figure, tmp_path / f"picture{number}", ["png"])
    assert not caplog.records
    assert [axes.get_xlabel() for axes in figures[0].axes] == ["", "", r"m_\$vis"]
    legend = figures[1].axes[0].get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[0] == "all"
    assert [text.split(":")[0] for text in texts[1:]] == [f"{low} to {low + 20}%" for low in range(0, 100, 20)]
    assert [text.get_text() for text in figures[2].axes[0].get_yticklabels()] == ["pt", "eta"]


def test_what_is_undefined_is_said() -> None:
    config = PlotConfig()
    reason = Undefined("no signal events")
    with plot_style(config, PARAMETERS):
        figures = [
            draw_binned_efficiency(reason, "a", "x", config),
            draw_background_shape(reason, reason, "a", "x", config),
        ]
        draw_sculpting_overview({"x": {}}, ["a"], config)
    for figure in figures:
        for axes in figure.axes:
            assert [text.get_text() for text in axes.texts] == ["undefined: no signal events"]


@pytest.mark.parametrize("constant", [0.0, 1e30, -999.0])
def test_a_constant_variable_is_drawn(constant: float, tmp_path: Path) -> None:
    efficiency, shape, result = made(np.full(3000, constant))
    config = PlotConfig()
    with plot_style(config, PARAMETERS):
        save_figure(draw_binned_efficiency(efficiency, "a", "x", config), tmp_path / "one", ["png"])
        save_figure(draw_background_shape(shape, result, "a", "x", config), tmp_path / "two", ["png"])
    assert (tmp_path / "two.png").stat().st_size > 1000
