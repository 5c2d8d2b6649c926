"""What the three configs together say: which models score, by which event numbers, into which branches."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.artifacts import models_by_fold
from ntupleml.config import ApplicationConfig, DatasetConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.scoring import append_condition, load_scorer, score_branch_names

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.scoring import Scorer


log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """Everything about an application but its ntuples.

    Attributes
    ----------
    scorer : Scorer
        The models of all folds.
    branch_names : list of str
        New branches: one per class, the largest score, the index of its class.
    event_branch : str or None
        Branch whose value decides the fold; None where the entry number does.
    friend_paths : list of str
        Folders with friends of the ntuples.
    condition : str or None
        Condition (era) of the ntuples.
    output_directory : str or None
        Folder of the friend files.
    where : str
        Path of the application config, for messages.
    """

    scorer: Scorer
    branch_names: list[str]
    event_branch: str | None
    friend_paths: list[str]
    condition: str | None
    output_directory: str | None
    where: str


def make_plan(dataset_path: str | Path, training_path: str | Path, application_path: str | Path) -> Plan:
    """Read the three configs, check them against each other and the models' records, and load the models.

    Parameters
    ----------
    dataset_path, training_path, application_path : path
        The configs (YAML).

    Raises
    ------
    NtuplemlError
        For anything wrong in a config or a model, for names that no branch can have, and where the dataset config
        divides the events into other folds than the models were trained on.
    """
    dataset = load_config(dataset_path, DatasetConfig)
    training = load_config(training_path, TrainingConfig)
    application = load_config(application_path, ApplicationConfig)
    names = score_branch_names(training.classes, application.branch_prefix)
    require_branch_names(names, f"{application_path}: branch_prefix '{application.branch_prefix}'")
    models = models_by_fold(
        training.output_path,
        training.num_folds,
        where=str(application_path),
        variables=training.variables,
        classes=training.classes,
        models=application.classifiers,
        preprocessing=application.preprocessing,
        order="crossed",
        training_config=str(training_path),
    )
    record = models[0].record
    _require_same_folds(dataset, record, str(dataset_path), str(models[0].files.record))
    nothing = np.empty((0, len(record.variables)), np.float32)
    append_condition(nothing, record.conditions, application.condition, f"{application_path}: condition")
    return Plan(
        load_scorer(models),
        names,
        dataset.event_branch,
        list(dataset.friend_paths),
        application.condition,
        application.output_directory,
        str(application_path),
    )


def _require_same_folds(dataset: DatasetConfig, record: TrainingRecord, where: str, record_path: str) -> None:
    """Refuse folds that differ from those of the training: models would score events that they were trained on."""
    if not record.folds_recorded:
        log.warning(
            "%s: the fold files of the training had no record of how events were divided; trusted is the dataset "
            "config, by which %s",
            record_path,
            _decides(dataset.event_branch),
        )
    elif dataset.event_branch != record.event_branch:
        raise NtuplemlError(
            f"{where}: event_branch: {_decides(dataset.event_branch)}, but the models were trained on folds where "
            f"{_decides(record.event_branch)} ({record_path}); use the dataset config of that training"
        )
    if dataset.num_folds != record.num_folds:
        raise NtuplemlError(
            f"{where}: num_folds is {dataset.num_folds}, but the models were trained on {record.num_folds} folds "
            f"({record_path}); use the dataset config of that training"
        )


def _decides(event_branch: str | None) -> str:
    return "the entry number decides the fold" if event_branch is None else f"branch '{event_branch}' decides the fold"
