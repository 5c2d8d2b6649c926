"""Pictures of reliability curves: what is on them in each style, and what is undefined."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics import Undefined
from ntupleml.metrics.calibration import Calibration, calibration
from ntupleml.plots.calibration import draw_calibration
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style, save_figure

if TYPE_CHECKING:
    from pathlib import Path


def result(negative: float = 0.0) -> Calibration:
    random = np.random.default_rng(1)
    scores = random.random(2000)
    weights = np.where(random.random(2000) < negative, -1.0, 1.0)
    found = calibration(scores, random.random(2000) < scores, weights)
    assert isinstance(found, Calibration)
    return found


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS", "LHCb"])
def test_what_is_on_it_in_each_style(style: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes = {name: {"event weights": result(), "with class weights": result(0.3)} for name in "abcd"}
    config = PlotConfig(style=style, label="Simulation", class_labels={"b": "$b\\bar{b}$"})  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING), plot_style(config, PARAMETERS):
        figure = draw_calibration(classes, config)
        save_figure(figure, tmp_path / "picture", ["png"])
    assert not caplog.records
    assert len(figure.axes) == 8
    labels = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]
    assert labels == ["Score of a", "Score of $b\\bar{b}$", "Score of c", "Score of d"]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text().split(":")[0] for text in legend.get_texts()] == ["event weights", "with class weights"]


def test_what_is_undefined_is_said(tmp_path: Path) -> None:
    reason = Undefined("the scores, from -1 to 1, are no probabilities")
    config = PlotConfig()
    with plot_style(config, PARAMETERS):
        figure = draw_calibration({"a": {"event weights": reason}, "b": {"event weights": result()}}, config)
        save_figure(figure, tmp_path / "picture", ["png"])
    assert str(reason) in [text.get_text() for text in figure.axes[0].texts]
