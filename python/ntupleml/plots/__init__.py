"""Pictures of the results that `ntupleml.metrics` computes; nothing is computed here."""

from ntupleml.plots.confusion import draw_confusion_matrix
from ntupleml.plots.style import (
    FORMATS,
    add_experiment_label,
    class_labels,
    figure_paths,
    new_figure,
    plot_style,
    save_figure,
)

__all__ = [
    "FORMATS",
    "add_experiment_label",
    "class_labels",
    "draw_confusion_matrix",
    "figure_paths",
    "new_figure",
    "plot_style",
    "save_figure",
]
