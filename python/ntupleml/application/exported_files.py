"""Whether a model file that an application config lists may score the events of its place in the list."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ntupleml.artifacts.origins import doubt_about
from ntupleml.errors import NtuplemlError
from ntupleml.folds import what_decides

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.artifacts.origins import Origin

log = logging.getLogger(__name__)


def require_safe(
    path: Path, origin: Origin | None, fold: int, num_files: int, event_branch: str | None, where: str
) -> None:
    """Refuse a file that would score events which its model was trained on.

    Parameters
    ----------
    path : Path
    origin : Origin or None
        None where nothing is known, which is worth a warning.
    fold : int
        Fold whose events it is to score: its place in the list.
    num_files : int
        1 where it scores all events.
    event_branch : str or None
        What decides the folds here.
    where : str
        Config and key, or option, that lists the files.

    Raises
    ------
    NtuplemlError
        For files in the wrong order, of other folds, or of folds that were divided otherwise.
    """
    doubt = doubt_about(origin, fold, num_files)
    if origin is None:
        which = "all events" if num_files == 1 else f"the events of fold {fold}, by its place in the list"
        log.warning(
            "%s: no record of a training goes with it, so it cannot be checked which events it was trained on; it "
            "scores %s",
            path,
            which,
        )
        return
    if doubt == "all folds among others":
        raise NtuplemlError(f"{where}: {path} has the models of all folds; list it alone")
    if doubt == "one for all":
        log.warning(
            "%s: was trained on folds %s of %d (%s), and now scores all events; list one file per fold where events of "
            "the training may be among them",
            path,
            ", ".join(map(str, origin.trained_on)),
            origin.num_folds,
            origin.where,
        )
        return
    if doubt == "other number of folds":
        raise NtuplemlError(
            f"{where}: {num_files} files, but {path} is of a training with {origin.num_folds} folds "
            f"({origin.where}); list one file per fold"
        )
    if doubt == "wrong order":
        raise NtuplemlError(
            f"{where}: wrong order: element {fold} scores the events of fold {fold}, which "
            f"{path} was trained on ({origin.where}); it is to score those of fold {origin.held_out_fold}"
        )
    if not origin.folds_recorded:
        log.warning("%s: its training had no record of how events were divided; the dataset config is trusted", path)
    elif origin.event_branch != event_branch:
        raise NtuplemlError(
            f"{where}: {what_decides(event_branch)}, but {path} was trained on folds where "
            f"{what_decides(origin.event_branch)} ({origin.where}); give the dataset config of that training"
        )
