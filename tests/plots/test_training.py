"""The picture of the loss shows the numbers of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.plots.style import plot_style, save_figure
from ntupleml.plots.training import draw_adversary, draw_loss

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


@pytest.mark.parametrize(
    ("rates", "scale"), [([1.0, 0.5, 0.25], "linear"), ([1e-2, 1e-3, 1e-5], "log"), ([2.0, 0.0, 1.0], "linear")]
)
def test_a_learning_rate_that_changes_is_drawn_below(rates: list[float], scale: str) -> None:
    history = {"loss": [1.0, 2.0, 3.0], "val_loss": [1.0, 2.0, 3.0], "learning_rate": rates}
    with plot_style(PlotConfig()):
        above, below = draw_loss(history, 1, PlotConfig()).axes
        assert len(draw_loss(history | {"learning_rate": [0.1] * 3}, 1, PlotConfig()).axes) == 1
    assert list(below.lines[0].get_ydata()) == rates
    assert list(below.lines[0].get_xdata()) == [1, 2, 3]
    assert (below.get_yscale(), below.get_ylabel(), below.get_xlabel()) == (scale, "learning rate", "epoch")
    assert above.get_ylabel() == "loss"


def test_adversary_and_distances_are_panels() -> None:
    losses = {"adversary_loss": [0.7, 0.69], "val_adversary_loss": [0.71, 0.7]}
    distances = {"ks_a": [0.3, 0.2], "ks_b": [0.1, 0.1], "ks": [0.4, 0.3]}
    with plot_style(PlotConfig()):
        (alone,) = draw_adversary(losses, None, PlotConfig()).axes
        above, below = draw_adversary({**losses, **distances}, 2, PlotConfig(), ks_limit=0.25).axes
    assert [line.get_label() for line in alone.lines] == ["training", "validation"]
    assert list(above.lines[1].get_ydata()) == losses["val_adversary_loss"]
    assert [line.get_label() for line in below.lines] == ["a", "b", "sum", "best epoch, 2", "limit, 0.25"]
    assert list(below.lines[2].get_ydata()) == distances["ks"]
    assert (above.get_ylabel(), below.get_ylabel()) == ("adversary's loss", "K-S distance")
