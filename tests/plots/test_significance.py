"""Pictures of scans: what is on them in every style, bounded in size, and undefined where nothing can be drawn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics import Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.significance_bins import binned_significance
from ntupleml.metrics.significance_scan import BestCut, SignificanceScan, scan_significance
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.significance import draw_significance
from ntupleml.plots.style import plot_style, save_figure

if TYPE_CHECKING:
    from pathlib import Path


def sample(signal_weight: float = 0.1) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(1)
    scores = np.concatenate([random.beta(2, 1, 2000), random.beta(1, 2, 5000)])
    is_signal = np.arange(7000) < 2000
    return scores, is_signal, np.where(is_signal, signal_weight, 1.0)


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS", "LHCb"])
def test_what_is_on_it_in_each_style(style: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scan = scan_significance(*sample(), b_reg=5, background_uncertainty=0.1)
    binned = binned_significance(*sample(), 20, background_uncertainty=0.1)
    assert isinstance(scan, SignificanceScan)
    config = PlotConfig(style=style, label="Simulation", class_labels={"signal": "$H\\to\\tau\\tau$"})  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING), plot_style(config, PARAMETERS):
        figure = draw_significance(scan, binned, "signal", config)
        save_figure(figure, tmp_path / "picture")
    assert not caplog.records
    above, below = figure.axes
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["$H\\to\\tau\\tau$", "all others"]
    texts = [text.get_text() for text in below.get_legend().get_texts()]
    best = scan.best["asimov"]
    assert isinstance(best, BestCut)
    expected = f"{measurement_text(best.significance)} at {measurement_text(best.cut)}"
    assert texts[0] == f"Asimov Z (10% on B): {expected}"
    assert texts[1].startswith("AMS (b_reg = 5): ")
    assert len(texts) == 5
    assert below.get_xlabel() == "Cut on the score of $H\\to\\tau\\tau$"
    # Every line is inside the scale, below the legend.
    assert below.get_ylim()[1] > 1.5 * best.significance.value
    assert all(len(line.get_xdata()) <= 500 for axes in figure.axes for line in axes.lines)


def test_formulas_that_differ_much_get_a_logarithmic_scale() -> None:
    for weight, scale in ((0.1, "linear"), (500.0, "log")):
        scan = scan_significance(*sample(weight))
        with plot_style(PlotConfig(), PARAMETERS):
            figure = draw_significance(scan, Undefined("not asked for"), "signal", PlotConfig())
        assert figure.axes[1].get_yscale() == scale


def test_undefined_is_said(tmp_path: Path) -> None:
    reason = Undefined("no signal events")
    with plot_style(PlotConfig(), PARAMETERS):
        figure = draw_significance(reason, reason, "signal", PlotConfig())
        save_figure(figure, tmp_path / "picture")
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["undefined: no signal events"] * 2


def test_a_scan_without_a_best_cut_is_drawn(tmp_path: Path) -> None:
    """Eight background events are too few for any cut."""
    scan = scan_significance(np.linspace(0, 1, 30), np.arange(30) % 4 > 0, np.ones(30))
    with plot_style(PlotConfig(), PARAMETERS):
        figure = draw_significance(scan, Undefined("too few events"), "signal", PlotConfig())
        save_figure(figure, tmp_path / "picture")
    assert figure.axes[1].get_legend().get_texts()[0].get_text() == "Asimov Z: undefined"
