"""The files that say how much each input contributes to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from ntupleml.atomic import replace_file
from ntupleml.plots.style import FORMATS, figure_paths

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.config import PlotConfig

_TEXT_ENDINGS = ("txt", "yaml")


def importance_path(model: Path) -> Path:
    """Where the importance of the variables is, without ending.

    Examples
    --------
    >>> from pathlib import Path
    >>> importance_path(Path("fold0_bdt_model.json")).name
    'fold0_bdt_importance'
    """
    return model.with_name(f"{model.stem.removesuffix('_model')}_importance")


def importance_files(files: ModelFiles) -> list[Path]:
    """All files of a model that say it."""
    return figure_paths(importance_path(files.model), [*_TEXT_ENDINGS, *FORMATS])


def write_importance(files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
    """Write what the record has as text (rank, variable, share), as YAML (share by variable) and as a figure."""
    from ntupleml.plots.importance import draw_importance, importance_label
    from ntupleml.plots.style import plot_style, save_figure

    stem, shares, spread = importance_path(files.model), record.importance, record.importance_spread
    width = max(map(len, shares))
    lines = [
        f"{rank:4} : {name:{width}} : {share:.6g}{f' ± {spread[name]:.2g}' if spread else ''}\n"
        for rank, (name, share) in enumerate(shares.items())
    ]
    text, data = figure_paths(stem, _TEXT_ENDINGS)
    with replace_file(text) as path:
        path.write_text("".join(lines), encoding="utf-8")
    with replace_file(data) as path:
        path.write_text(yaml.safe_dump(dict(shares), sort_keys=False), encoding="utf-8")
    label = importance_label(record.network.get("importance"))
    with plot_style(plot):
        save_figure(draw_importance(shares, plot, label=label, spread=spread), stem)
