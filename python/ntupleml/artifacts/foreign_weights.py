"""TMVA weights that no record of a training goes with: what can be said of them without one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ntupleml.artifacts.files import ModelFiles
from ntupleml.artifacts.record import TrainingRecord
from ntupleml.errors import NtuplemlError
from ntupleml.folds import held_out_fold, trained_on

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ntupleml.config import TrainingConfig
    from ntupleml.tmva.method import TmvaMethod, Variable

log = logging.getLogger(__name__)


def read_foreign_weights(path: Path, scores_fold: int | None = None) -> TmvaMethod:
    """Read TMVA weights without a record, and warn that nobody knows which events they were trained on.

    Parameters
    ----------
    scores_fold : int, optional
        Fold whose events they are to score; None for all events.
    """
    from ntupleml.tmva.reading import read_weights

    weights = read_weights(path)
    which = "all events" if scores_fold is None else f"the events of fold {scores_fold}, by its place in the list"
    log.warning(
        "%s: no record of a training goes with it, so it cannot be checked which events it was trained on; it scores "
        "%s",
        path,
        which,
    )
    return weights


def foreign_record(weights: TmvaMethod, fold: int, training: TrainingConfig, where: str) -> TrainingRecord:
    """What the place in a list and the weights file say, in the form of a record.

    Parameters
    ----------
    fold : int
        Index of the model.
    training : TrainingConfig
        A variable of the file that the config has by its expression, its label or both is called as there; the two
        classes of a binary method, which TMVA calls Signal and Background whatever they are, are called as in the
        config, the signal first.
    """
    if weights.analysis == "Regression":
        raise NtuplemlError(
            f"{where}: {weights.path} is a regression, but the config has classes; apply it with --weights "
            "--variables-from-xml"
        )
    return TrainingRecord(
        engine="tmva",
        method=weights.name,
        fold=fold,
        num_folds=training.num_folds,
        trained_on=sorted(trained_on(fold, training.num_folds)),
        held_out_fold=held_out_fold(fold, training.num_folds),
        folds_recorded=False,
        classes=_classes(weights, training.classes),
        variables=[_name_in_config(variable, training.numbers) for variable in weights.variables],
        preprocessing="none",
        seed=0,
        config={},
    )


def _classes(weights: TmvaMethod, classes: Sequence[str]) -> list[str]:
    own = list(weights.classes) or ["Signal", "Background"]
    if weights.analysis == "Classification":
        # TMVA numbers classes as they were added, but the signal is what is called Signal, and else the first.
        own.sort(key="Signal".__ne__)
    if weights.analysis == "Classification" and len(classes) == 2 and set(classes) != set(own):
        return list(classes)
    return own


def _name_in_config(variable: Variable, names: Sequence[str]) -> str:
    plain = {"".join(name.split()): name for name in names}
    for text in (variable.expression, variable.label, variable.full_name):
        found = plain.get("".join(text.split()))
        if found is not None:
            return found
    return variable.expression


def foreign_files(path: Path) -> ModelFiles:
    """Paths for a weights file that stands alone: those beside it that our training would have written."""
    stem = path.name.removesuffix(".xml").removesuffix(".weights")
    return ModelFiles(
        model=path,
        preprocessing=None,
        onnx=path.with_name(f"{stem}.onnx"),
        record=path,
        loss_png=path.with_name(f"{stem}_loss.png"),
        loss_pdf=path.with_name(f"{stem}_loss.pdf"),
        log=path.with_name(f"{stem}.log"),
    )
