"""Mean absolute Shapley values as bars, one panel per class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.plots.permutation import ImportancePanel, draw_importance_panels
from ntupleml.plots.style import class_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.shapley import ShapleyImportance


def draw_shapley_importance(result: ShapleyImportance, config: PlotConfig) -> Figure:
    """Draw the importance of each input for the score of each class; call it inside `plot_style`."""
    panels = [
        ImportancePanel(f"mean |SHAP value| of the score\n{label}", result.importances[name])
        for name, label in zip(result.classes, class_labels(result.classes, config), strict=True)
    ]
    return draw_importance_panels(panels, result.ranking(), config)
