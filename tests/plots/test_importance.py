"""The bars show the shares, the largest on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ntupleml.config import PlotConfig
from ntupleml.plots.importance import MOST_BARS, draw_importance
from ntupleml.plots.style import plot_style, save_figure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("style", ["plain", "CMS"])
def test_bars_are_ranked(tmp_path: Path, style: str) -> None:
    plot = PlotConfig.model_validate({"style": style, "label": "Simulation"})
    with plot_style(plot):
        figure = draw_importance({"y": 0.25, "x_$1": 0.75, "z": 0.0}, plot)
        paths = save_figure(figure, tmp_path / "importance")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25, 0.0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"x_\$1", "y", "z"]
    bottom, top = axes.get_ylim()
    assert bottom > top  # the first is at the top
    assert all(path.stat().st_size > 0 for path in paths)


def test_only_so_many_can_be_read() -> None:
    number = MOST_BARS + 5
    with plot_style(PlotConfig()):
        figure = draw_importance({f"v{index}": index / number for index in range(number)}, PlotConfig())
    (axes,) = figure.axes
    assert len(axes.patches) == MOST_BARS
    assert axes.patches[0].get_width() == (number - 1) / number
    assert axes.get_xlabel().endswith(f"the first {MOST_BARS} of {number}")
