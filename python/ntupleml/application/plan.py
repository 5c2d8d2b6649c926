"""What the configs together say: which models score, by which event numbers, into which branches."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, cast, get_args

from ntupleml.application.selection import Selection, selection_of
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
from ntupleml.config import ApplicationConfig, ClusterConfig, DatasetConfig, OnnxConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup
from ntupleml.folds import scoring_model, what_decides
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
    from ntupleml.config import ConfigSource, RowsConfig
    from ntupleml.onnx_models.lwtnn import Replaced
    from ntupleml.tmva.method import TmvaMethod

log = logging.getLogger(__name__)

#: Which kind of models scores: those of a training, or files.
TrainedKind = Literal["keras", "boosted_trees", "tmva"]
Kind = Literal["keras", "boosted_trees", "tmva", "onnx", "lwtnn", "weights"]
#: What may compute the scores: the last for networks of lwtnn, through ROOT.
AnyEngine = Literal["onnx", "forest", "tmva", "liblwtnn"]
_DEFAULT_PREFIX = "ml_score_"


class Plan(NamedTuple):
    """Everything about an application but its ntuples."""

    #: The models of all folds.
    scorer: Scorer
    #: New branches: one per score, and with `max_branches` the largest score and the index of its class.
    branch_names: list[str]
    #: Branch whose value decides the fold; None where the entry number does.
    event_branch: str | None
    #: Folders with friends of the ntuples.
    friend_paths: list[str]
    #: Condition (era) of the ntuples.
    condition: str | None
    #: Folder of the friend files.
    output_directory: str | None
    #: Path of the application config, for messages.
    where: str
    #: Whether the last two branches are the largest score and the index of its class.
    max_branches: bool = True
    #: Name of a branch that is taken for a variable where the ntuple lacks what its formula needs.
    labels: Mapping[str, str] = MappingProxyType({})
    #: Checksum of each model, by which scores of a run are known again; without them a run is never taken up again.
    models: tuple[str, ...] = ()
    #: What the jobs of a batch system ask for.
    cluster: ClusterConfig = ClusterConfig()
    #: Which events are scored.
    selection: Selection = Selection()
    #: Objects that are scored in place of events: the branches hold one list per event.
    rows: RowsConfig | None = None

    @property
    def branch_types(self) -> dict[str, str]:
        """Types of the new branches: a number per event, or a vector where steps of a sequence or objects are."""
        lists = self.scorer.per_step or self.rows is not None
        return dict.fromkeys(self.branch_names, "vector of f4" if lists else "f4")


class _Request(NamedTuple):
    """Configs that are read, of which some may be left out, and what the command line says beside them."""

    dataset: DatasetConfig | None
    training: TrainingConfig | None
    application: ApplicationConfig | None
    dataset_path: str
    training_path: str
    where: str
    kind: Kind
    engine: AnyEngine | None
    weights: Sequence[str | Path] | None
    event_branch: str | None
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


class _Models(NamedTuple):
    """Models that score: their branches, whether the largest score has some too, and what tells them from others."""

    scorer: Scorer
    branch_names: list[str]
    max_branches: bool
    checksums: Sequence[str]
    labels: Mapping[str, str] = MappingProxyType({})


def make_plan(
    dataset_config: ConfigSource | None,
    training_config: ConfigSource | None,
    application_config: ConfigSource | None,
    *,
    kind: Kind = "keras",
    engine: AnyEngine | None = None,
    weights: Sequence[str | Path] | None = None,
    event_branch: str | None = None,
    branch_prefix: str | None = None,
    output_directory: str | None = None,
    output: str | None = None,
    replaced: Replaced | None = None,
) -> Plan:
    """Read the configs, check them against each other and the models, and open the models.

    Models of a training make the branches `{prefix}{class}`, `{prefix}max_score` and `{prefix}max_index`. Files of
    other programs make `{prefix}{score}` by the names that the training config, the config's `onnx` block or the files
    have; for several classes the largest and its index, too. What is no letter, digit or underscore in the names of
    files becomes an underscore.

    Parameters
    ----------
    dataset_config, training_config, application_config : path, dictionary, config or None
        Those of dataset and training may be left out for files of other programs, that of the
        application for weights files of TMVA.
    kind : {"keras", "boosted_trees", "tmva", "onnx", "lwtnn", "weights"}
        Which method scores where the application config neither lists models nor names one, see
        `ntupleml.artifacts.default_method_name`; or what its `classifiers` are: ONNX files, networks of lwtnn (left
        out: those of the training); or `weights`: files of TMVA alone, whose variables are the expressions in them.
    engine : {"onnx", "forest", "tmva", "liblwtnn"}, optional
        By default the fastest.
    weights : sequence of path, optional
        Weights files in place of the `classifiers`: element j scores the events of fold j, or a single one all events.
    event_branch, branch_prefix, output_directory : str, optional
        In place of what dataset and application config say.
    output : str, optional
        Which output scores, of networks of lwtnn with several.
    replaced : {"nan", "nan_and_infinities", "nothing"}, optional
        Raw values that the defaults in files of lwtnn stand for. By default NaN, and infinities as well for networks
        of a training that did so.

    Raises
    ------
    NtuplemlError
        For anything wrong in a config or a model, names that no branch can have, inputs that cannot be filled, and
        models that would score events that they were trained on.
    """
    dataset = None if dataset_config is None else load_config(dataset_config, DatasetConfig)
    training = None if training_config is None else load_config(training_config, TrainingConfig)
    application = None if application_config is None else load_config(application_config, ApplicationConfig)
    own_prefix = _DEFAULT_PREFIX if application is None else application.branch_prefix
    request = _Request(
        dataset,
        training,
        application,
        "" if dataset is None else dataset.where,
        "" if training is None else training.where,
        "--weights" if application is None else application.where,
        kind,
        engine,
        weights,
        event_branch or (None if dataset is None else dataset.event_branch),
        own_prefix if branch_prefix is None else branch_prefix,
        output,
        replaced,
    )
    models = _MODELS[kind](request)
    rows = None if dataset is None else dataset.rows
    if rows is not None and models.scorer.per_step:
        raise NtuplemlError(f"{request.dataset_path}: rows: the model gives a list of scores per row; leave rows out")
    return Plan(
        models.scorer,
        models.branch_names,
        # One file scores all events, whatever their numbers; friends still get a copy of them.
        request.event_branch,
        [] if dataset is None else list(dataset.friend_paths),
        request.condition if kind in get_args(TrainedKind) else None,
        output_directory or (None if application is None else application.output_directory),
        request.where,
        models.max_branches,
        models.labels,
        tuple(models.checksums),
        ClusterConfig() if application is None else application.cluster,
        selection_of(application, rows, request.where),
        rows,
    )


def _of_training(request: _Request) -> _Models:
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
    scorer = load_scorer(models, engine=engine).of_condition(application.condition, f"{where}: condition")
    return _Models(scorer, names, with_max, [_checksum(model) for model in models])


def _of_weights(request: _Request) -> _Models:
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
        require_safe(path, origin, fold, len(paths), request.event_branch, "--weights")
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
        event_branch=request.event_branch,
        non_finite="as Reader" if None in missing else "replaced",
    )
    labels = {one.expression: one.label for one in first.variables if one.label != one.expression}
    checksums = list(map(sha256_of_file, paths))
    return _Models(scorer, names, first.analysis == "Multiclass", checksums, labels)


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


def _of_files(request: _Request) -> _Models:
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
    scorer = scorer_of_files(files, outputs, filling, event_branch=request.event_branch)
    with_max = len(outputs) > 1 and gives_classes(first)
    names = _plain_branch_names(outputs, request.prefix, with_max=with_max)
    require_branch_names(names, f"{where}: branch_prefix '{request.prefix}'")
    # How the inputs are filled belongs to the models.
    filled = request.application.model_dump_json(include={"onnx", "condition"})
    checksums = [*map(sha256_of_file, paths), hashlib.sha256(filled.encode()).hexdigest()]
    return _Models(scorer, names, with_max, checksums)


def _open(path: Path, fold: int, num_files: int, request: _Request, key: str) -> OpenFile:
    """Open a file that may score the events of its place in the list."""
    graph = open_onnx(path) if request.kind == "onnx" else None
    description = description_of_lwtnn(path) if graph is None else graph.description
    origin = find_origin(path, description, request.output_path)
    require_safe(path, origin, fold, num_files, request.event_branch, key)
    if graph is not None:
        return OpenFile(graph, origin)
    as_trained: Replaced = "nan_and_infinities" if origin is not None and origin.missing else "nan"
    return open_lwtnn(path, origin, request.output, request.replaced or as_trained, "--output", request.engine)


def _paths_of_files(request: _Request, key: str) -> list[Path]:
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
            f"{request.training_path} all' makes it, or list other files in the key classifiers"
        )
    return [own[scoring_model(fold, training.num_folds)] for fold in range(training.num_folds)]


def _plain_branch_names(outputs: Sequence[str], prefix: str, *, with_max: bool) -> list[str]:
    """Names of the new branches; what no branch can be called becomes an underscore."""
    return score_branch_names([re.sub(r"\W", "_", name) for name in outputs], prefix, with_max=with_max)


_MODELS: dict[str, Callable[[_Request], _Models]] = {
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


def _models(request: _Request, training: TrainingConfig, application: ApplicationConfig) -> list[TrainedModel]:
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


def branches_as_text(plan: Plan) -> str:
    """The new branches for a line of the log."""
    first, last = plan.branch_names[0], plan.branch_names[-1]
    return first if first == last else f"{first} … {last}"
