"""A plan from ONNX files of any origin: which inputs get which variables, and which branches the scores become."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.application.exported_files import (
    Origin,
    find_files,
    find_origin,
    origin_of_record,
    require_number_of_files,
    require_safe,
)
from ntupleml.application.plan import Plan
from ntupleml.artifacts import default_method_name, methods_by_fold, models_by_fold, sha256_of_file
from ntupleml.config import ApplicationConfig, DatasetConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import scoring_model
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.scoring import append_condition, score_branch_names
from ntupleml.scoring.engines import TMVA_BINARY
from ntupleml.scoring.group_scorer import GroupScorer
from ntupleml.scoring.onnx_graphs import OnnxGraph, choose_output, open_onnx
from ntupleml.scoring.onnx_inputs import EVENT, InputPlan, plan_inputs
from ntupleml.scoring.onnx_scores import graph_evaluator

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from ntupleml.scoring.onnx_graphs import Port
    from ntupleml.scoring.outputs import Binary


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


class OpenFile(NamedTuple):
    """A model file that is open, and the training that it comes from as far as that is known."""

    graph: OnnxGraph
    origin: Origin | None


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
    paths = find_files(configs.application.classifiers, configs.output_path, configs.where)
    require_number_of_files(paths, configs.num_folds, configs.where)
    files = []
    for fold, path in enumerate(paths):
        graph = open_onnx(path)
        origin = find_origin(path, graph.description, configs.output_path)
        require_safe(path, origin, fold, len(paths), configs.event_branch, f"{configs.where}: classifiers")
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
    files = [OpenFile(_with_conditions(file.graph, file.origin), file.origin) for file in files]
    condition = _condition(configs, files[0].graph)
    classes = class_names(configs, files[0].graph)
    evaluators = {}
    plans: list[InputPlan] = []
    for fold, file in enumerate(files):
        inputs, output = _bound(configs, file.graph, condition)
        _require_alike(files[0].graph, plans[0] if plans else inputs, file.graph, inputs)
        plans.append(inputs)
        evaluators[fold] = graph_evaluator(
            file.graph, inputs, output, classes, apply=configs.application.onnx.apply, binary=_binary(file.graph)
        )
    first = files[0].graph
    deals_with_any = configs.application.onnx.missing == "passed" or _replaces_missing(first)
    scorer = GroupScorer(
        evaluators,
        plans[0].groups,
        num_folds=len(files),
        classes=classes,
        event_branch=configs.event_branch,
        event_input=EVENT if plans[0].takes_event else None,
        any_value=True if deals_with_any else any_value,
    )
    return finished_plan(configs, scorer, classes, [file.graph.path for file in files])


def finished_plan(configs: Configs, scorer: GroupScorer, classes: Sequence[str], paths: Sequence[Path]) -> Plan:
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
    )


def _hash(configs: Configs) -> str:
    content = configs.application.model_dump_json(include={"onnx", "condition"})
    return hashlib.sha256(content.encode()).hexdigest()


def _bound(configs: Configs, graph: OnnxGraph, condition: dict[str, float]) -> tuple[InputPlan, Port]:
    variables = None if configs.training is None else configs.training.variables
    inputs = plan_inputs(graph, configs.application.onnx, variables, configs.where, condition)
    output = choose_output(graph, configs.application.onnx.output, configs.where)
    return inputs, output


def _with_conditions(graph: OnnxGraph, origin: Origin | None) -> OnnxGraph:
    """The graph, described with the conditions (eras) among its variables that the record of its training has."""
    if origin is None or not origin.conditions:
        return graph
    return graph._replace(description={**graph.description, "conditions": list(origin.conditions)})


def _condition(configs: Configs, graph: OnnxGraph) -> dict[str, float]:
    """Values of the inputs that stand for conditions (eras)."""
    conditions = [str(name) for name in graph.description.get("conditions") or []]
    nothing = np.empty((0, 0), np.float32)
    append_condition(nothing, conditions, configs.application.condition, f"{configs.where}: condition")
    return {name: float(name == configs.application.condition) for name in conditions}


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
    output = choose_output(graph, configs.application.onnx.output, configs.where)
    labels = graph.description.get("labels")
    for found in (
        graph.description.get("scores"),
        labels.get(output.name) if isinstance(labels, dict) else None,
        graph.description.get("classes"),
        graph.labels.get(output.name),
    ):
        if isinstance(found, list) and found:
            return [str(name) for name in found]
    raise NtuplemlError(
        f"{configs.where}: onnx: classes: {graph.path} does not say what its scores are called; name them, or give "
        "CONFIG_TRAINING"
    )


def _binary(graph: OnnxGraph) -> Binary:
    """What one value of a file says, where there are two classes."""
    stated: Any = graph.description.get("one_value")
    if stated is not None:
        chosen: Binary = stated
        return chosen
    if graph.description.get("kind") != "tmva":
        return "second"
    return TMVA_BINARY.get(str(graph.description.get("method")).split("::")[0], "discriminant")


def _replaces_missing(graph: OnnxGraph) -> bool:
    """Whether NaN is nothing special to a file: it replaces such values, or answers −999 as TMVA."""
    return graph.description.get("missing") is not None or graph.description.get("kind") == "tmva"


def _require_alike(first: OnnxGraph, plan: InputPlan, other: OnnxGraph, other_plan: InputPlan) -> None:
    if plan.groups != other_plan.groups or plan.takes_event != other_plan.takes_event:
        raise NtuplemlError(
            f"{other.path}: takes other inputs than {first.path} ({_inputs(other)}, but {_inputs(first)}); list files "
            "of one training"
        )


def _inputs(graph: OnnxGraph) -> str:
    return ", ".join(map(str, graph.inputs.values()))
