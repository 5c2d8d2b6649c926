"""Training boosted trees on fold files, by the libraries that `ntupleml.training.trainers` lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.artifacts import Method
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.training.driver import train
from ntupleml.training.jobs import Job, TrainingOptions
from ntupleml.training.trainers import TRAINERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.training import BoostedTreesConfig


def train_boosted_trees(
    config: TrainingConfig,
    folds: Sequence[int],
    options: TrainingOptions | None = None,
    where: str = "training config",
) -> list[TrainingRecord]:
    """Train the boosted trees of each fold and write their files to the config's `output_path`.

    Parameters
    ----------
    folds : sequence of int
        Models to train; model f is trained on all folds but (f + 1) mod k.

    Returns
    -------
    list of TrainingRecord
        Fold by fold, in each the methods in the order of the config.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config or fold files, before anything is trained; and if outputs exist and are not
        to be overwritten.
    """
    options = options or TrainingOptions()
    chosen = _chosen(config, options.method, where)
    jobs = [
        Job(
            TRAINERS[entry.type],
            config,
            fold,
            (Method("boosted_trees", entry.name, entry.type),),
            f"{where}: boosted_trees[{index}]",
            options,
            entry,
        )
        for fold in folds
        for index, entry in chosen
    ]
    return train(jobs).records


def _chosen(config: TrainingConfig, name: str | None, where: str) -> list[tuple[int, BoostedTreesConfig]]:
    """Methods to train, with their positions in the config."""
    entries = list(enumerate(config.boosted_trees))
    if not entries:
        raise NtuplemlError(
            f"{where}: no boosted_trees; list at least one, e.g. boosted_trees: [{{name: bdt, type: xgboost}}]"
        )
    chosen = [(index, entry) for index, entry in entries if name in (None, entry.name)]
    if not chosen:
        names = [entry.name for _, entry in entries]
        raise NtuplemlError(f"--method: {where} has no boosted trees '{name}'{did_you_mean(str(name), names)}")
    return chosen
