"""Which models score: those of a training, or files of any program; checked against the configs, and opened."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from ntupleml.artifacts import (
    default_method_name,
    find_by_checksum,
    methods_by_fold,
    models_by_fold,
    record_hash,
    sha256_of_file,
)
from ntupleml.artifacts.files import lwtnn_path
from ntupleml.artifacts.origins import find_files, find_origin, origin_of_record, require_number_of_files, require_safe
from ntupleml.config import ApplicationConfig, DatasetConfig, OnnxConfig, TrainingConfig
from ntupleml.config.loading import file_of
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup
from ntupleml.folds import rule_of, scoring_model
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.scoring import Scorer, load_scorer, score_branch_names, weights_evaluator
from ntupleml.scoring.conditions import one_hot
from ntupleml.scoring.model_files import (
    Filling,
    OpenFile,
    description_of_lwtnn,
    gives_classes,
    names_of_scores,
    open_lwtnn,
    scorer_of_files,
)
from ntupleml.scoring.onnx_graphs import open_onnx
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ntupleml.artifacts import TrainedModel, TrainingRecord
    from ntupleml.folds import FoldRule
    from ntupleml.onnx_models.lwtnn import Replaced
    from ntupleml.tmva.method import TmvaMethod

log = logging.getLogger(__name__)

#: Name of the branch of an image that is predicted, after the prefix.
IMAGE = "image"

#: Which kind of models scores: those of a training, or files.
TrainedKind = Literal["keras", "boosted_trees", "tmva"]
Kind = Literal["keras", "boosted_trees", "tmva", "onnx", "lwtnn", "weights"]
#: What may compute the scores: the last for networks of lwtnn, through ROOT.
AnyEngine = Literal["onnx", "forest", "tmva", "liblwtnn"]


class Request(NamedTuple):
    """Configs of a request (some may be missing) and the options of the command line."""

    dataset: DatasetConfig | None
    training: TrainingConfig | None
    application: ApplicationConfig | None
    dataset_path: str
    training_path: str
    where: str
    kind: Kind
    engine: AnyEngine | None
    weights: Sequence[str | Path] | None
    fold_rule: FoldRule
    prefix: str
    output: str | None
    replaced: Replaced | None

    @property
    def output_path(self) -> str | None:
        """Folder of the training."""
        return None if self.training is None else self.training.output_path

    @property
    def num_folds(self) -> int | None:
        """Number of folds, as far as a config says it."""
        return None if self.dataset is None else self.dataset.num_folds

    @property
    def condition(self) -> str | None:
        """Condition (era) of the ntuples."""
        return None if self.application is None else self.application.condition


class Models(NamedTuple):
    """Models that score: their branches, whether the largest score has some too, and what tells them from others."""

    scorer: Scorer
    branch_names: list[str]
    max_branches: bool
    checksums: Sequence[str]
    labels: Mapping[str, str] = MappingProxyType({})


def _of_training(request: Request) -> Models:
    """The models of a training, or weights files that stand for them."""
    dataset, training, application, where = request.dataset, request.training, request.application, request.where
    assert dataset is not None
    assert training is not None
    assert application is not None
    with_max = training.target_kind == "classes"
    names = score_branch_names(training.outputs, request.prefix, with_max=with_max)
    require_branch_names(names, f"{where}: branch_prefix '{request.prefix}'")
    models = _models(request, training, application)
    record = models[0].record
    if all(model.weights is None for model in models):
        _require_same_folds(dataset, record, request.dataset_path, str(models[0].files.record))
        _require_same_rows(dataset, record, request.dataset_path, str(models[0].files.record))
    _require_number_of_folds(dataset, record, request.dataset_path, str(models[0].files.record))
    one_hot(record.conditions, application.condition, f"{where}: condition")  # sooner than models are read
    engine = request.engine
    assert engine != "liblwtnn", "an engine of lwtnn's files"
    _check_image(application, training, where)
    scorer = load_scorer(models, engine=engine, with_image=application.image)
    scorer = scorer.of_condition(application.condition, f"{where}: condition")
    return Models(scorer, names, with_max, [_checksum(model) for model in models])


def _check_image(application: ApplicationConfig, training: TrainingConfig, where: str) -> None:
    """Refuse an image that is asked for where none is learnt or kept, or whose branch would be called as another."""
    if not application.image:
        return
    if training.target_kind != "image":
        raise NtuplemlError(f"{where}: image: the models learn {training.target_kind}, not an image; leave it out")
    if IMAGE in training.outputs:
        raise NtuplemlError(f"{where}: image: a value of the target is called '{IMAGE}' already; rename it")


def _of_weights(request: Request) -> Models:
    """TMVA's weights files alone: variables, scores and branches are those that they name."""
    paths = [Path(path) for path in request.weights or ()]
    if request.num_folds is not None and len(paths) not in (1, request.num_folds):
        raise NtuplemlError(
            f"--weights: {len(paths)} files, but {request.dataset_path} has {request.num_folds} folds; give one file "
            "per fold, or one for all"
        )
    methods: list[TmvaMethod] = []
    missing: list[float | None] = []
    for fold, path in enumerate(paths):
        if not path.exists():
            raise NtuplemlError(f"--weights: no file '{path}'")
        found = find_by_checksum(path)
        origin = None if found is None else origin_of_record(found.record, found.files.record)
        methods.append(read_weights(path))
        require_safe(path, origin, fold, len(paths), request.fold_rule, "--weights")
        missing.append(None if found is None else found.record.missing)
        _require_same_method(methods[0], methods[-1])
    first, engine = methods[0], request.engine
    assert engine != "liblwtnn", "an engine of lwtnn's files"
    names = _plain_branch_names(first.output_names, request.prefix, with_max=first.analysis == "Multiclass")
    require_branch_names(names, str(first.path))
    scorer = Scorer(
        {
            fold: weights_evaluator(method, engine, missing=value)
            for fold, (method, value) in enumerate(zip(methods, missing, strict=True))
        },
        [InputGroup("variables", tuple(variable.expression for variable in first.variables))],
        num_folds=len(paths),
        outputs=first.output_names,
        fold_rule=request.fold_rule,
        non_finite="as Reader" if None in missing else "replaced",
    )
    labels = {one.expression: one.label for one in first.variables if one.label != one.expression}
    checksums = list(map(sha256_of_file, paths))
    return Models(scorer, names, first.analysis == "Multiclass", checksums, labels)


def _require_same_method(first: TmvaMethod, other: TmvaMethod) -> None:
    """Files for the folds of one training have the same variables and scores; their names may differ."""
    pairs: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "analysis": ([first.analysis], [other.analysis]),
        "variables": ([item.expression for item in first.variables], [item.expression for item in other.variables]),
    }
    if first.analysis != "Classification":
        pairs["outputs"] = (first.output_names, other.output_names)
    for what, (one, two) in pairs.items():
        if one != two:
            raise NtuplemlError(
                f"--weights: the files do not go together: {what} {', '.join(two)} in {other.path}, but "
                f"{', '.join(one)} in {first.path}"
            )


def _of_files(request: Request) -> Models:
    """ONNX files or networks of lwtnn of any origin, or those of the training."""
    assert request.application is not None, "these need an application config"
    training, where = request.training, request.where
    onnx, key = request.application.onnx, f"{where}: classifiers"
    if request.kind == "lwtnn" and onnx != OnnxConfig():
        raise NtuplemlError(f"{where}: onnx: this block is for ONNX files; a lwtnn file says all that itself")
    paths = _paths_of_files(request, key)
    files = [_open(path, fold, len(paths), request, key) for fold, path in enumerate(paths)]
    first = files[0].graph
    stated = names_of_scores(first, onnx, where)
    outputs = onnx.classes or (stated if training is None else training.outputs)
    if outputs is None:
        raise NtuplemlError(
            f"{where}: onnx: classes: {first.path} does not say what its scores are called; name them, or give "
            "CONFIG_TRAINING"
        )
    if request.kind == "lwtnn" and stated is not None and outputs != stated:
        raise NtuplemlError(
            f"{first.path}: its labels are {', '.join(stated)}, but {request.training_path} has the classes "
            f"{', '.join(outputs)}; give a training config like that, or none at all"
        )
    filling = Filling(onnx, None if training is None else training.numbers, request.condition, where)
    scorer = scorer_of_files(files, outputs, filling, fold_rule=request.fold_rule)
    with_max = len(outputs) > 1 and gives_classes(first)
    names = _plain_branch_names(outputs, request.prefix, with_max=with_max)
    require_branch_names(names, f"{where}: branch_prefix '{request.prefix}'")
    # How the inputs are filled belongs to the models.
    filled = request.application.model_dump_json(include={"onnx", "condition"})
    checksums = [*map(sha256_of_file, paths), hashlib.sha256(filled.encode()).hexdigest()]
    return Models(scorer, names, with_max, checksums)


def _open(path: Path, fold: int, num_files: int, request: Request, key: str) -> OpenFile:
    """Open a file that may score the events of its place in the list."""
    graph = open_onnx(path) if request.kind == "onnx" else None
    description = description_of_lwtnn(path) if graph is None else graph.description
    origin = find_origin(path, description, request.output_path)
    require_safe(path, origin, fold, num_files, request.fold_rule, key)
    if graph is not None:
        return OpenFile(graph, origin)
    as_trained: Replaced = "nan_and_infinities" if origin is not None and origin.missing else "nan"
    return open_lwtnn(path, origin, request.output, request.replaced or as_trained, "--output", request.engine)


def _paths_of_files(request: Request, key: str) -> list[Path]:
    """The listed files, or those of the training by the folds that they score."""
    assert request.application is not None
    listed, training, is_onnx = request.application.classifiers, request.training, request.kind == "onnx"
    if training is not None and request.num_folds not in (None, training.num_folds):
        raise NtuplemlError(
            f"{request.dataset_path}: num_folds is {request.num_folds}, but {request.training_path} has "
            f"{training.num_folds} fold files"
        )
    if listed is not None:
        paths = find_files(listed, request.output_path, key)
        require_number_of_files(paths, request.num_folds, key)
        return paths
    if training is None:
        which = "the ONNX files" if is_onnx else "the files"
        raise NtuplemlError(f"{request.where}: key 'classifiers' is missing; list {which}, or give CONFIG_TRAINING")
    if is_onnx:
        own = [model.files.onnx for model in _models(request, training, request.application)]
    else:
        own = [lwtnn_path(training.output_path, model) for model in range(training.num_folds)]
    missing = [path for path in own if not path.is_file()]
    if missing and not is_onnx:
        raise NtuplemlError(
            f"{request.where}: no file '{missing[0]}'; 'python application/export_keras_to_lwtnn.py "
            f"{file_of(request.training_path)} all' makes it, or list other files in the key classifiers"
        )
    return [own[scoring_model(fold, training.num_folds)] for fold in range(training.num_folds)]


def _plain_branch_names(outputs: Sequence[str], prefix: str, *, with_max: bool) -> list[str]:
    """Names of the new branches; what no branch can be called becomes an underscore."""
    return score_branch_names([re.sub(r"\W", "_", name) for name in outputs], prefix, with_max=with_max)


MODELS: dict[str, Callable[[Request], Models]] = {
    "keras": _of_training,
    "boosted_trees": _of_training,
    "tmva": _of_training,
    "weights": _of_weights,
    "onnx": _of_files,
    "lwtnn": _of_files,
}


def _checksum(model: TrainedModel) -> str:
    """What tells a model from all others: its record, and where there is none its file."""
    return record_hash(model.record) if model.weights is None else sha256_of_file(model.files.model)


def _models(request: Request, training: TrainingConfig, application: ApplicationConfig) -> list[TrainedModel]:
    """The models: those listed, or of the method named, or of the one that the script is for."""
    weights = request.weights
    listed = application.classifiers if weights is None else list(map(str, weights))
    name, where = application.method, f"{request.where}: method"
    if name is None and not listed:  # listed files say themselves what they are
        kind = cast("TrainedKind", "keras" if request.kind == "onnx" else request.kind)
        name, where = default_method_name(training, kind, request.training_path), request.training_path
    return models_by_fold(
        training,
        where=request.where if weights is None else "--weights",
        training_path=request.training_path,
        models=listed,
        preprocessing=application.preprocessing if weights is None else None,
        order="crossed",
        method=None if name is None else methods_by_fold(training, name, where),
    )


def _require_same_folds(dataset: DatasetConfig, record: TrainingRecord, where: str, record_path: str) -> None:
    """Refuse folds that differ from those of the training: models would score events that they were trained on."""
    rule = rule_of(dataset)
    if not record.folds_recorded:
        log.warning(
            "%s: the fold files of the training had no record of how events were divided; trusted is the dataset "
            "config, by which %s",
            record_path,
            rule,
        )
    elif not rule.decides_as(record.fold_rule):
        raise NtuplemlError(
            f"{where}: {rule.key}: {rule}, but the models were trained on folds where "
            f"{record.fold_rule} ({record_path}); use the dataset config of that training"
        )


def _require_same_rows(dataset: DatasetConfig | None, record: TrainingRecord, where: str, record_path: str) -> None:
    """Refuse rows that are other objects than those of the training, or objects in place of events."""
    rows = None if dataset is None else dataset.rows
    if rows == record.rows:
        return
    wanted, found = ({} if one is None else one.model_dump() for one in (record.rows, rows))
    key = next(key for key in dict.fromkeys([*wanted, *found]) if wanted.get(key) != found.get(key))
    given = f"rows.{key}: {found[key]}" if found.get(key) else f"rows.{key} is left out"
    raise NtuplemlError(
        f"{where}: {given}, but the models were trained with {wanted.get(key) or 'events as rows'} "
        f"({record_path}); use the dataset config of that training"
    )


def _require_number_of_folds(dataset: DatasetConfig, record: TrainingRecord, where: str, record_path: str) -> None:
    if dataset.num_folds != record.num_folds:
        raise NtuplemlError(
            f"{where}: num_folds is {dataset.num_folds}, but the models were trained on {record.num_folds} folds "
            f"({record_path}); use the dataset config of that training"
        )
