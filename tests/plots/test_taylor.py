"""Pictures of Taylor coefficients: they show every number, in all styles, and say what is undefined."""

from __future__ import annotations

import io

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics.taylor import derivative_sums, taylor_matrix, taylor_ranking, taylor_terms
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.plots.taylor import draw_taylor_matrix, draw_taylor_ranking

STYLES = ["plain", "CMS", "ATLAS", "LHCb"]


def _sums(num_terms: int, *, events: int = 20):
    return derivative_sums(np.random.default_rng(1).normal(size=(events, num_terms)), np.ones(events))


def _texts(figure) -> list[str]:
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("style", STYLES)
def test_few_terms_are_named(style: str) -> None:
    ranking = taylor_ranking(_sums(9), ["x", "y$", "z"], 2)
    config = PlotConfig(style=style)
    with plot_style(config, PARAMETERS):
        figure = draw_taylor_ranking(ranking, "signal", config)
        figure.savefig(io.BytesIO(), format="png")
        assert {r"x, y\$", "z", "signal", "first order", "second order"} <= set(_texts(figure))
        drawn = np.concatenate([series.lines[0].get_ydata() for series in figure.axes[0].containers])
    values = [term.coefficient.value for term in ranking.terms]
    np.testing.assert_allclose(np.sort(drawn), np.sort(values))


def test_many_terms_are_cut_at_500_and_the_first_listed() -> None:
    inputs = [f"v{index}" for index in range(40)]
    ranking = taylor_ranking(_sums(len(taylor_terms(40, 2))), inputs, 2)
    with plot_style(PlotConfig()):
        figure = draw_taylor_ranking(ranking, "all classes", PlotConfig())
        (axes,) = figure.axes
        assert sum(len(series.lines[0].get_xdata()) for series in axes.containers) == 500
        assert axes.get_xlabel() == "Rank, the first 500 of 860"
        assert any(text.startswith(f"0: {ranking.terms[0].label}\n1: ") for text in _texts(figure))


def test_undefined_ranking_says_why() -> None:
    ranking = taylor_ranking(_sums(5, events=0), ["x", "y"], 2)
    with plot_style(PlotConfig()):
        assert "undefined: no events" in _texts(draw_taylor_ranking(ranking, "signal", PlotConfig()))


@pytest.mark.parametrize("style", STYLES)
def test_matrix_has_four_digits_and_says_what_is_undefined(style: str) -> None:
    matrix = taylor_matrix(
        {"signal": derivative_sums(np.tile([0.128, 2.0], (5, 1)), np.ones(5)), "ztt": _sums(2, events=1)}, ["x", "y"]
    )
    config = PlotConfig(style=style, class_labels={"ztt": "$Z$"})
    with plot_style(config, PARAMETERS):
        figure = draw_taylor_matrix(matrix, config)
        figure.savefig(io.BytesIO(), format="png")
        texts = _texts(figure)
    assert {"0.128", "2", "signal", "$Z$", "x", "y"} <= set(texts)
    assert texts.count("undefined") == 2


def test_matrix_of_many_inputs_grows() -> None:
    matrix = taylor_matrix({"signal": _sums(50)}, [f"variable_{index}" for index in range(50)])
    with plot_style(PlotConfig()):
        assert draw_taylor_matrix(matrix, PlotConfig()).get_size_inches()[0] >= 50 * 0.7
