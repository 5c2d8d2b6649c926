"""What the files of all engines share: their comparison with the trained model, and the figure of the loss."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.artifacts import OnnxCheck
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.config import PlotConfig

log = logging.getLogger(__name__)

#: Events on which files are compared with what was trained.
CHECKED_EVENTS = 10_000
#: Largest difference of a score of trees before their files count as wrong.
TOLERANCE = 1e-5


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


def draw_loss_figure(files: ModelFiles, record: TrainingRecord, plot: PlotConfig, step: str = "epoch") -> None:
    """Write the figure of the loss, epoch by epoch or round by round."""
    from ntupleml.plots.style import plot_style, save_figure
    from ntupleml.plots.training import draw_loss

    with plot_style(plot):
        save_figure(draw_loss(record.history, record.best_epoch, plot, step=step), files.loss_png.with_suffix(""))
