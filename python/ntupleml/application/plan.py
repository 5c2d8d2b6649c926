"""What the three configs together say: which models score, by which event numbers, into which branches."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from ntupleml.application.selection import Selection, selection_of
from ntupleml.artifacts import default_method_name, methods_by_fold, models_by_fold, record_hash, sha256_of_file
from ntupleml.config import ApplicationConfig, ClusterConfig, DatasetConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import what_decides
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.scoring import load_scorer, score_branch_names
from ntupleml.scoring.conditions import one_hot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ntupleml.artifacts import TrainedModel, TrainingRecord
    from ntupleml.scoring import Engine, Scorer

log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """Everything about an application but its ntuples.

    Attributes
    ----------
    scorer : Scorer
        The models of all folds.
    branch_names : list of str
        New branches: one per score, and with `max_branches` the largest score and the index of its class.
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
    max_branches : bool
        Whether the last two branches are the largest score and the index of its class.
    labels : mapping of str to str
        Name of a branch that is taken for a variable where the ntuple lacks what its formula needs.
    models : tuple of str
        Checksum of each model, by which scores of a run are known again; without them a run is never taken up again.
    cluster : ClusterConfig
        What the jobs of a batch system ask for.
    selection : Selection
        Which events are scored.
    """

    scorer: Scorer
    branch_names: list[str]
    event_branch: str | None
    friend_paths: list[str]
    condition: str | None
    output_directory: str | None
    where: str
    max_branches: bool = True
    labels: Mapping[str, str] = MappingProxyType({})
    models: tuple[str, ...] = ()
    cluster: ClusterConfig = ClusterConfig()
    selection: Selection = Selection()

    @property
    def branch_types(self) -> dict[str, str]:
        """Types of the new branches: a number per event, or a vector where the models score each step of a sequence."""
        return dict.fromkeys(self.branch_names, "vector of f4" if self.scorer.per_step else "f4")


def make_plan(
    dataset_path: str | Path,
    training_path: str | Path,
    application_path: str | Path,
    *,
    kind: Literal["keras", "boosted_trees", "tmva"] = "keras",
    engine: Engine | None = None,
    weights: Sequence[str] | None = None,
    branch_prefix: str | None = None,
    output_directory: str | None = None,
) -> Plan:
    """Read the three configs, check them against each other and the models' records, and load the models.

    Parameters
    ----------
    dataset_path, training_path, application_path : path
        The configs (YAML).
    kind : {"keras", "boosted_trees", "tmva"}
        Which method scores where the application config neither lists models nor names one, see
        `ntupleml.artifacts.default_method_name`.
    engine : {"onnx", "forest", "tmva"}, optional
        By default the fastest.
    weights, branch_prefix, output_directory : optional
        Take the place of what the application config says: its `classifiers`, and the keys of these names.

    Raises
    ------
    NtuplemlError
        For anything wrong in a config or a model, for names that no branch can have, and where the dataset config
        divides the events into other folds than the models were trained on.
    """
    dataset = load_config(dataset_path, DatasetConfig)
    training = load_config(training_path, TrainingConfig)
    application = load_config(application_path, ApplicationConfig)
    prefix = application.branch_prefix if branch_prefix is None else branch_prefix
    names = score_branch_names(training.classes, prefix)
    require_branch_names(names, f"{application_path}: branch_prefix '{prefix}'")
    models = _models(training, application, kind, weights, str(training_path), str(application_path))
    record = models[0].record
    if all(model.weights is None for model in models):
        _require_same_folds(dataset, record, str(dataset_path), str(models[0].files.record))
    _require_number_of_folds(dataset, record, str(dataset_path), str(models[0].files.record))
    one_hot(record.conditions, application.condition, f"{application_path}: condition")  # sooner than models are read
    return Plan(
        load_scorer(models, engine=engine).of_condition(application.condition, f"{application_path}: condition"),
        names,
        dataset.event_branch,
        list(dataset.friend_paths),
        application.condition,
        output_directory or application.output_directory,
        str(application_path),
        models=tuple(map(_checksum, models)),
        cluster=application.cluster,
        selection=selection_of(application, str(application_path)),
    )


def _checksum(model: TrainedModel) -> str:
    """What tells a model from all others: its record, and where there is none its file."""
    return record_hash(model.record) if model.weights is None else sha256_of_file(model.files.model)


def _models(
    training: TrainingConfig,
    application: ApplicationConfig,
    kind: Literal["keras", "boosted_trees", "tmva"],
    weights: Sequence[str] | None,
    training_path: str,
    application_path: str,
) -> list[TrainedModel]:
    """The models: those listed, or of the method named, or of the one that the script is for."""
    listed = application.classifiers if weights is None else weights
    name, where = application.method, f"{application_path}: method"
    if name is None and not listed:  # listed files say themselves what they are
        name, where = default_method_name(training, kind, training_path), training_path
    return models_by_fold(
        training.output_path,
        training.num_folds,
        where=application_path if weights is None else "--weights",
        variables=training.variables,
        classes=training.classes,
        models=listed,
        preprocessing=application.preprocessing if weights is None else None,
        order="crossed",
        training_config=training_path,
        method=None if name is None else methods_by_fold(training, name, where),
    )


def _require_same_folds(dataset: DatasetConfig, record: TrainingRecord, where: str, record_path: str) -> None:
    """Refuse folds that differ from those of the training: models would score events that they were trained on."""
    if not record.folds_recorded:
        log.warning(
            "%s: the fold files of the training had no record of how events were divided; trusted is the dataset "
            "config, by which %s",
            record_path,
            what_decides(dataset.event_branch),
        )
    elif dataset.event_branch != record.event_branch:
        raise NtuplemlError(
            f"{where}: event_branch: {what_decides(dataset.event_branch)}, but the models were trained on folds where "
            f"{what_decides(record.event_branch)} ({record_path}); use the dataset config of that training"
        )


def _require_number_of_folds(dataset: DatasetConfig, record: TrainingRecord, where: str, record_path: str) -> None:
    if dataset.num_folds != record.num_folds:
        raise NtuplemlError(
            f"{where}: num_folds is {dataset.num_folds}, but the models were trained on {record.num_folds} folds "
            f"({record_path}); use the dataset config of that training"
        )


def branches_as_text(plan: Plan) -> str:
    """The new branches for a line of the log."""
    first, last = plan.branch_names[0], plan.branch_names[-1]
    return first if first == last else f"{first} … {last}"
