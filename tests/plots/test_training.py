"""The picture of the loss shows the numbers of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.plots.style import plot_style, save_figure
from ntupleml.plots.training import draw_loss

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("epochs", [1, 5])
def test_curves_and_best_epoch(tmp_path: Path, epochs: int) -> None:
    history = {"loss": list(np.linspace(1, 0.5, epochs)), "val_loss": list(np.linspace(1.1, 0.7, epochs))}
    with plot_style(PlotConfig()):
        figure = draw_loss(history, epochs, PlotConfig())
        paths = save_figure(figure, tmp_path / "fold0_loss")
    (axes,) = figure.axes
    training, validation, best = axes.lines
    np.testing.assert_array_equal(training.get_ydata(), history["loss"])
    np.testing.assert_array_equal(validation.get_ydata(), history["val_loss"])
    assert list(training.get_xdata()) == list(range(1, epochs + 1))
    assert best.get_xdata()[0] == epochs
    assert [path.suffix for path in paths] == [".png", ".pdf"]


def test_rounds_are_called_rounds() -> None:
    with plot_style(PlotConfig()):
        figure = draw_loss({"loss": [1, 2, 3], "val_loss": [1, 2, 3]}, 2, PlotConfig(), step="round")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "round"
    assert axes.lines[-1].get_label() == "best round, 2"


def test_no_best_epoch_is_marked_without_one() -> None:
    with plot_style(PlotConfig()):
        figure = draw_loss({"loss": [1, 2, 3], "val_loss": [1, 2, 3]}, None, PlotConfig())
    assert len(figure.axes[0].lines) == 2
