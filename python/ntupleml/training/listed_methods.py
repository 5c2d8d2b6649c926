"""Training the methods that a config lists by their names: boosted trees, and estimators of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import listed_methods
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.training.ensembles import train_models
from ntupleml.training.jobs import Job, TrainingOptions
from ntupleml.training.trainers import TRAINERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig

#: What messages call an entry, and an example of one.
_WORDS: dict[str, tuple[str, str]] = {
    "boosted_trees": ("boosted trees", "{name: bdt, type: xgboost}"),
    "scikit_learn": ("estimator of scikit-learn", "{name: forest, type: RandomForestClassifier}"),
}


def train_listed(
    config: TrainingConfig,
    kind: str,
    folds: Sequence[int],
    options: TrainingOptions | None = None,
    where: str = "training config",
) -> list[TrainingRecord]:
    """Train the listed methods of a kind for each fold, and write their files to the config's `output_path`.

    Parameters
    ----------
    kind : str
        The key that lists them: `boosted_trees` or `scikit_learn`.
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
    if options is not None and options.continue_training and config.num_members == 1:
        raise NtuplemlError("--continue: goes on with networks and with ensembles; give --overwrite to train anew")
    return train_models(listed_jobs(config, kind, folds, options or TrainingOptions(), where)).records


def listed_jobs(
    config: TrainingConfig, kind: str, folds: Sequence[int], options: TrainingOptions, where: str
) -> list[Job]:
    """What is trained, fold by fold."""
    chosen = _chosen(config, kind, options.method, where)
    methods = {one.name: one for one in listed_methods(config)}
    return [
        Job(
            TRAINERS.get(entry.type) or TRAINERS[kind],
            config,
            fold,
            (methods[entry.name],),
            f"{where}: {kind}[{index}]",
            options,
            entry,
        )
        for fold in folds
        for index, entry in chosen
    ]


def _chosen(config: TrainingConfig, kind: str, name: str | None, where: str) -> list[tuple[int, Any]]:
    """Methods to train, with their positions in the config."""
    entries = list(enumerate(config.listed_methods[kind]))
    words, example = _WORDS[kind]
    if not entries:
        raise NtuplemlError(f"{where}: no {kind}; list at least one, e.g. {kind}: [{example}]")
    chosen = [(index, entry) for index, entry in entries if name in (None, entry.name)]
    if not chosen:
        names = [entry.name for _, entry in entries]
        raise NtuplemlError(f"--method: {where} has no {words} '{name}'{did_you_mean(str(name), names)}")
    return chosen
