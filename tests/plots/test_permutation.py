"""Bars of importances: their lengths are the numbers, and what is undefined is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.permutation import PermutationImportance, Quality
from ntupleml.metrics.shapley import ShapleyImportance
from ntupleml.plots.permutation import draw_permutation_importance
from ntupleml.plots.shapley import draw_shapley_importance
from ntupleml.plots.style import plot_style

VARIABLES = ["pt", "eta", "m_vis"]


def lengths(axes: Any) -> list[float]:
    return [bar.get_width() for bar in axes.patches]


def importance(classes: list[str], values: list[float], log_loss: Measurement | Undefined) -> PermutationImportance:
    """Areas of class number i fall by (i + 1) times the value."""
    reference = Quality(dict.fromkeys(classes, Measurement(0.9, 0.01)), Measurement(0.9, 0.01), log_loss)
    found = {
        name: Quality(
            {one: Measurement((index + 1) * value, 0.01) for index, one in enumerate(classes)},
            Measurement(value, 0.01),
            log_loss,
        )
        for name, value in zip(VARIABLES, values, strict=True)
    }
    return PermutationImportance(classes, 100, 5, reference, found)


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS", "LHCb"])
def test_bars_are_the_numbers(style: str) -> None:
    """Panels: the average, five classes, the log loss; variables by the average, largest on top."""
    config = PlotConfig.model_validate({"style": style, "label": "Simulation", "class_labels": {"b": "beauty"}})
    result = importance(list("abcde"), [0.1, 0.3, -0.02], Measurement(0.4, 0.1))
    with plot_style(config):
        figure = draw_permutation_importance(result, config)
        figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.patches]
    assert len(panels) == 7
    for factor, axes in zip([1, 1, 2, 3, 4, 5], panels, strict=False):
        np.testing.assert_allclose(lengths(axes), [0.3 * factor, 0.1 * factor, -0.02 * factor])
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["eta", "pt", "m_vis"]
    assert "beauty" in panels[2].get_xlabel()
    assert "0.9000" in panels[0].get_xlabel()


def test_two_classes_of_the_same_areas_are_drawn_once() -> None:
    result = importance(["a"], [0.1, 0.3, 0.2], Undefined("no probabilities"))
    with plot_style(PlotConfig()):
        figure = draw_permutation_importance(result, PlotConfig())
    assert len([axes for axes in figure.axes if axes.patches]) == 1


def test_undefined_is_said() -> None:
    result = importance(["a", "b"], [0.1, 0.3, 0.2], Measurement(0.4, 0.1))
    undefined = Undefined("no signal events")
    lost = Quality({"a": undefined, "b": Measurement(0.1, 0.01)}, undefined, Measurement(0.2, 0.1))
    changed = PermutationImportance(["a", "b"], 100, 5, lost, {"pt": lost, "eta": result.importances["eta"]})
    with plot_style(PlotConfig()):
        figure = draw_permutation_importance(changed, PlotConfig())
        alone = draw_permutation_importance(PermutationImportance(["a", "b"], 9, 5, lost, {"pt": lost}), PlotConfig())
    assert " undefined" in [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "undefined: no signal events" in [text.get_text() for axes in alone.axes for text in axes.texts]


def test_no_more_bars_than_can_be_read() -> None:
    one = importance(["a"], [0.1, 0.3, 0.2], Measurement(0.4, 0.1)).importances["pt"]
    many = PermutationImportance(["a"], 100, 5, one, {f"x{index}": one for index in range(60)})
    with plot_style(PlotConfig()):
        figure = draw_permutation_importance(many, PlotConfig())
    assert len(figure.axes[0].patches) == 40
    assert "40 of 60" in figure.axes[0].get_ylabel()


def test_shapley_values_have_a_panel_per_class() -> None:
    values: dict[str, dict[str, Measurement | Undefined]] = {
        "a": {"x": Measurement(0.1, 0.02), "y": Measurement(0.3, 0.02)},
        "b": {"x": Measurement(0.2, 0.02), "y": Measurement(0.05, 0.02)},
    }
    with plot_style(PlotConfig()):
        figure = draw_shapley_importance(ShapleyImportance(["a", "b"], 10, 5, values, 0.0), PlotConfig())
    panels = [axes for axes in figure.axes if axes.patches]
    assert [length for axes in panels for length in lengths(axes)] == [0.3, 0.1, 0.05, 0.2]
