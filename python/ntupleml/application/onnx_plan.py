"""A plan from ONNX files of any origin: which inputs get which variables, and which branches the scores become."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.application.exported_files import require_safe
from ntupleml.application.plan import Plan
from ntupleml.application.selection import selection_of
from ntupleml.artifacts import default_method_name, methods_by_fold, models_by_fold, sha256_of_file
from ntupleml.artifacts.origins import find_files, find_origin, origin_of_record, require_number_of_files
from ntupleml.config import ApplicationConfig, DatasetConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import scoring_model
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.scoring import score_branch_names
from ntupleml.scoring.model_files import Filling, OpenFile, names_of_scores, scorer_of_files
from ntupleml.scoring.onnx_graphs import open_onnx

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from ntupleml.scoring import Scorer
    from ntupleml.scoring.onnx_graphs import OnnxGraph


class Configs(NamedTuple):
    """The configs of an application; that of the training may be left out for models of other programs."""

    dataset: DatasetConfig | None
    training: TrainingConfig | None
    application: ApplicationConfig
    where: str
    training_path: str

    @property
    def output_path(self) -> str | None:
        """Folder of the training."""
        return None if self.training is None else self.training.output_path

    @property
    def num_folds(self) -> int | None:
        """Number of folds, as far as a config says it."""
        return None if self.dataset is None else self.dataset.num_folds

    @property
    def event_branch(self) -> str | None:
        """Branch that decides the fold."""
        return None if self.dataset is None else self.dataset.event_branch


def load_configs(
    dataset_path: str | Path | None, training_path: str | Path | None, application_path: str | Path
) -> Configs:
    """Read the configs.

    Raises
    ------
    NtuplemlError
        For anything wrong in one, or numbers of folds that differ.
    """
    dataset = None if dataset_path is None else load_config(dataset_path, DatasetConfig)
    training = None if training_path is None else load_config(training_path, TrainingConfig)
    if dataset is not None and training is not None and dataset.num_folds != training.num_folds:
        raise NtuplemlError(
            f"{dataset_path}: num_folds is {dataset.num_folds}, but {training_path} has {training.num_folds} fold files"
        )
    application = load_config(application_path, ApplicationConfig)
    return Configs(dataset, training, application, str(application_path), str(training_path))


def make_onnx_plan(
    dataset_path: str | Path | None, training_path: str | Path | None, application_path: str | Path
) -> Plan:
    """Read configs and ONNX files, check them against each other, and say which branches they make.

    Parameters
    ----------
    dataset_path : path or None
        For `event_branch`, `num_folds` and `friend_paths`.
    training_path : path or None
        For the classes, and for the variables of a file with one matrix as input; None where the files or the
        config's `onnx` block say these.
    application_path : path
        Its `classifiers` are ONNX files: element j scores the events of fold j, or a single one all events. Left out:
        those of the training, of its `method`.

    Raises
    ------
    NtuplemlError
        For anything wrong in a config or a file, inputs that cannot be filled, and files that would score events
        that they were trained on.
    """
    configs = load_configs(dataset_path, training_path, application_path)
    files = _listed(configs) if configs.application.classifiers is not None else _trained(configs)
    return plan_of_graphs(configs, files)


def _listed(configs: Configs) -> list[OpenFile]:
    assert configs.application.classifiers is not None
    key = f"{configs.where}: classifiers"
    paths = find_files(configs.application.classifiers, configs.output_path, key)
    require_number_of_files(paths, configs.num_folds, key)
    files = []
    for fold, path in enumerate(paths):
        graph = open_onnx(path)
        origin = find_origin(path, graph.description, configs.output_path)
        require_safe(path, origin, fold, len(paths), configs.event_branch, key)
        files.append(OpenFile(graph, origin))
    return files


def _trained(configs: Configs) -> list[OpenFile]:
    """The ONNX files of the training, by the folds that they score."""
    if configs.training is None:
        raise NtuplemlError(
            f"{configs.where}: key 'classifiers' is missing; list the ONNX files, or give CONFIG_TRAINING"
        )
    name = configs.application.method or default_method_name(configs.training, "keras", configs.training_path)
    where = f"{configs.where}: method" if configs.application.method else configs.training_path
    num_folds = configs.training.num_folds
    models = models_by_fold(
        configs.training.output_path,
        num_folds,
        where=configs.training_path,
        variables=configs.training.variables,
        classes=configs.training.classes,
        training_config=configs.training_path,
        method=methods_by_fold(configs.training, name, where),
    )
    files = []
    for fold in range(num_folds):
        model = models[scoring_model(fold, num_folds)]
        origin = origin_of_record(model.record, model.files.record)
        require_safe(model.files.onnx, origin, fold, num_folds, configs.event_branch, f"{configs.where}: classifiers")
        files.append(OpenFile(open_onnx(model.files.onnx), origin))
    return files


def plan_of_graphs(configs: Configs, files: Sequence[OpenFile], any_value: Collection[str] = ()) -> Plan:
    """Plan of files that are open and may score the events of their place in the list.

    Parameters
    ----------
    configs : Configs
    files : sequence of OpenFile
    any_value : collection of str
        Variables whose NaN and infinite values the models deal with, besides what the files say themselves.

    Raises
    ------
    NtuplemlError
        As `make_onnx_plan`.
    """
    classes = class_names(configs, files[0].graph)
    filling = Filling(
        configs.application.onnx,
        None if configs.training is None else list(configs.training.variables),
        configs.application.condition,
        configs.where,
    )
    scorer = scorer_of_files(files, classes, filling, event_branch=configs.event_branch, any_value=any_value)
    return finished_plan(configs, scorer, classes, [file.graph.path for file in files])


def finished_plan(configs: Configs, scorer: Scorer, classes: Sequence[str], paths: Sequence[Path]) -> Plan:
    """Plan of a scorer for model files: branches `{prefix}{class}`, for several classes the largest and its index."""
    prefix = configs.application.branch_prefix
    plain = [re.sub(r"\W", "_", name) for name in classes]
    several = len(classes) > 1
    names = score_branch_names(plain, prefix) if several else [f"{prefix}{plain[0]}"]
    require_branch_names(names, f"{configs.where}: branch_prefix '{prefix}'")
    return Plan(
        scorer,
        names,
        configs.event_branch,
        [] if configs.dataset is None else list(configs.dataset.friend_paths),
        None,
        configs.application.output_directory,
        configs.where,
        several,
        # How the inputs are filled belongs to the models.
        models=(*map(sha256_of_file, paths), _hash(configs)),
        cluster=configs.application.cluster,
        selection=selection_of(configs.application, configs.where),
    )


def _hash(configs: Configs) -> str:
    content = configs.application.model_dump_json(include={"onnx", "condition"})
    return hashlib.sha256(content.encode()).hexdigest()


def class_names(configs: Configs, graph: OnnxGraph) -> list[str]:
    """Names of the scores: those of the config, of the training, or of the file itself.

    Raises
    ------
    NtuplemlError
        If none of them has any.
    """
    if configs.application.onnx.classes is not None:
        return list(configs.application.onnx.classes)
    if configs.training is not None:
        return list(configs.training.classes)
    found = names_of_scores(graph, configs.application.onnx, configs.where)
    if found is not None:
        return found
    raise NtuplemlError(
        f"{configs.where}: onnx: classes: {graph.path} does not say what its scores are called; name them, or give "
        "CONFIG_TRAINING"
    )
