"""What the files of all engines share: their comparison with the trained model, figures of losses and weights."""

from __future__ import annotations

import csv
import logging
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.artifacts import OnnxCheck
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.config import PlotConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.events.values import InputValues

log = logging.getLogger(__name__)

#: Events on which files are compared with what was trained, and numbers of their inputs at most.
CHECKED_EVENTS, _CHECKED_NUMBERS = 10_000, 2_000_000
#: Largest difference of a score of trees before their files count as wrong.
TOLERANCE = 1e-5


def number_checked(inputs: InputValues) -> int:
    """On how many of some events files are compared with what was trained: fewer where an event is large."""
    size = sum(array.size for array in inputs.batch(slice(0, 1)).values())
    return min(CHECKED_EVENTS, max(1, _CHECKED_NUMBERS // max(1, size)))


def check_difference(what: str, source: str, found: NDArray[Any], expected: NDArray[Any], where: str) -> OnnxCheck:
    """Compare the answers of a file that was written with those of what it was made from.

    Parameters
    ----------
    what, source : str
        File and source, for messages.
    found, expected : array, shape (n_events, n_outputs)
    """
    difference = float(np.abs(found - expected).max(initial=0.0))
    if not difference <= TOLERANCE:
        raise NtuplemlError(
            f"{where}: the {what} differs from the {source} by up to {difference:.2g} on {len(found)} events, "
            f"more than {TOLERANCE:g}, so it cannot be converted; please report it"
        )
    log.info("%s and %s agree within %.2g on %d events", what, source, difference, len(found))
    return OnnxCheck(events=len(found), largest_difference=difference)


def history_path(record: Path) -> Path:
    """Where the table of the epochs is, or of the boosting rounds.

    Examples
    --------
    >>> from pathlib import Path
    >>> history_path(Path("fold0_keras_training.json")).name
    'fold0_keras_training.csv'
    """
    return record.with_suffix(".csv")


def write_history(path: Path, history: Mapping[str, Sequence[float]], step: str) -> None:
    """Write a table of metrics, a row for each epoch or round, counted from 1."""
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([step, *history])
        table.writerows((number, *row) for number, row in enumerate(zip_longest(*history.values()), start=1))


def draw_loss_figure(files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
    """Write the figures of the losses, epoch by epoch or round by round; of an ensemble also those of its members."""
    draw_history(
        files,
        record.history,
        record.best_epoch,
        plot,
        step=record.step,
        members=record.histories_of_members,
        overwrite=False,
    )


def draw_history(
    files: ModelFiles,
    history: Mapping[str, Sequence[float]],
    best: int | None,
    plot: PlotConfig,
    *,
    step: str = "epoch",
    members: Sequence[Mapping[str, Sequence[float]]] = (),
    overwrite: bool = True,
) -> None:
    """Write the figures of the losses so far: of the network, and of an adversary."""
    from ntupleml.plots.style import plot_style, save_figure
    from ntupleml.plots.training import draw_adversary, draw_loss

    with plot_style(plot):
        stem = files.loss_png.with_suffix("")
        save_figure(draw_loss(history, best, plot, step=step, members=members), stem, overwrite=overwrite)
        if "adversary_loss" in history:
            save_figure(draw_adversary(history, best, plot), adversary_stem(files), overwrite=overwrite)


def draw_reweighting_figure(files: ModelFiles, trees: Sequence[ClassTree], plot: PlotConfig) -> None:
    """Write the figure of formulas whose distribution the weights change, if any does."""
    done = [one for one in dict.fromkeys(tree.reweighted for tree in trees) if one is not None]
    if not done:
        return
    from ntupleml.plots.reweighting import Panel, draw_reweighting
    from ntupleml.plots.style import plot_style, save_figure

    panels = [
        Panel(one.classes, formula, *shapes, one.distances[formula])
        for one in done
        for formula, shapes in one.shapes.items()
    ]
    stem = files.loss_png.with_suffix("")
    with plot_style(plot):
        save_figure(draw_reweighting(panels, plot), stem.with_name(f"{stem.name.removesuffix('loss')}reweight"))


def adversary_stem(files: ModelFiles) -> Path:
    """Where the figure of the adversary is, without its ending: beside that of the loss."""
    stem = files.loss_png.with_suffix("")
    return stem.with_name(f"{stem.name.removesuffix('loss')}adversary")
