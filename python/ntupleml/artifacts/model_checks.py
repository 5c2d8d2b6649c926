"""Whether the trained models that were found are those that a config means, and belong together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ntupleml.artifacts.files import model_files, sha256_of_file
from ntupleml.config.four_vectors import CollectionsConfig
from ntupleml.config.inputs import matrix_of
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.folds import held_out_fold, scoring_model

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ntupleml.artifacts.files import Method, TrainedModel
    from ntupleml.artifacts.record import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.inputs import GroupConfig

#: What a list of models means: element i is model i; or element j scores the events of fold j.
Order = Literal["straight", "crossed"]


def key_of(order: Order) -> str:
    """Key of the config that lists models in this order: of a testing config, or of an application config."""
    return "model" if order == "straight" else "classifiers"


def check_length(key: str, listed: Sequence[str], num_folds: int, where: str) -> None:
    """Refuse a list that has not one file per fold."""
    if len(listed) != num_folds:
        raise NtuplemlError(
            f"{where}: {key} lists {len(listed)} files, but the training has {num_folds} folds; list one per fold, or "
            f"leave {key} out to use the models that the training wrote"
        )


def check_record(model: TrainedModel, training: TrainingConfig, where: str) -> None:
    """Refuse a model that was trained on other folds, inputs, classes or targets than the config says."""
    record = model.record
    path, num_folds = model.files.record, training.num_folds
    if record.num_folds != num_folds:
        raise NtuplemlError(
            f"{where}: the training config has {num_folds} folds, but the model of {path} was trained for "
            f"{record.num_folds}; train again"
        )
    if record.held_out_fold != held_out_fold(record.fold, num_folds):
        raise NtuplemlError(
            f"{path}: model {record.fold} is held out from fold {record.held_out_fold}, not from fold "
            f"{held_out_fold(record.fold, num_folds)} as the scheme of folds wants; train again"
        )
    # what takes a matrix takes the numbers of all groups
    if record.inputs is None and (training.inputs is None or record.engine != "keras"):
        _check_names("variable", training.numbers, record.variables, path, where)
    elif record.matrix and record.inputs is not None:
        matrix = matrix_of(training.groups)
        _check_names("variable", matrix.formulas, record.variables, path, where)
        _check_groups(matrix.made, matrix_of(record.inputs).made, path, where, {"features", "one_hot"})
    else:
        _check_groups(training.groups, record.groups, path, where)
    _check_names("class", training.classes, record.classes, path, where)
    _check_target(training, record, path, where)


def _check_groups(
    groups: Mapping[str, GroupConfig],
    others: Mapping[str, GroupConfig],
    path: Path,
    where: str,
    unused: Collection[str] = (),
) -> None:
    _check_names("group of inputs", list(groups), list(others), path, where)
    for name, group in groups.items():
        other = others[name]
        if isinstance(group, CollectionsConfig) and isinstance(other, CollectionsConfig):
            _check_names(f"collection in inputs.{name}", list(group.collections), list(other.collections), path, where)
        wanted, found = (one.model_dump(exclude={"preprocessing", *unused}) for one in (group, other))
        _check_block(f"inputs.{name}", wanted, found, path, where)


def _check_target(training: TrainingConfig, record: TrainingRecord, path: Path, where: str) -> None:
    _check_value("target", training.target_kind, record.target.kind, path, where)
    values = dict((training.target and training.target.values) or {})
    _check_names("value of the target", list(values), list(record.target.values), path, where)
    _check_value("target.values", values, record.target.values, path, where)
    _check_value("target.reconstruction", training.reconstructed, record.target.groups, path, where)
    if training.target_kind == "reconstruction":
        _check_value("target.scores", training.outputs, list(record.target.scores), path, where)
    images = (training.target and training.target.image, record.target.image and record.target.image.source)
    wanted, found = (None if one is None else one.model_dump() for one in images)
    _check_block("target.image", wanted, found, path, where)


def _check_block(key: str, wanted: Any, found: Any, path: Path, where: str) -> None:
    """Compare values, those of blocks and of lists of blocks one by one."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in dict.fromkeys([*wanted, *found]):
            _check_block(f"{key}.{name}", wanted.get(name), found.get(name), path, where)
    elif _are_blocks(wanted) and _are_blocks(found) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            _check_block(f"{key}[{number}]", one, other, path, where)
    else:
        _check_value(key, wanted, found, path, where)


def _are_blocks(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _check_value(key: str, wanted: object, found: object, path: Path, where: str) -> None:
    if wanted != found:
        was = "nothing" if found is None else f"{found}"
        raise NtuplemlError(
            f"{where}: {key}: {'left out' if wanted is None else wanted} in the config, but the model of {path} was "
            f"trained with {was}; train again, or use the config of that training"
        )


def _check_names(kind: str, wanted: Sequence[str], found: Sequence[str], path: Path, where: str) -> None:
    if list(wanted) == list(found):
        return
    start = f"{where}: the config differs from what the model of {path} was trained on: "
    end = "; train again, or use the config of that training"
    for name in wanted:
        if name not in found:
            raise NtuplemlError(f"{start}it has no {kind} '{name}'{did_you_mean(name, found)}{end}")
    for name in found:
        if name not in wanted:
            raise NtuplemlError(f"{start}it has the {kind} '{name}', the config not{did_you_mean(name, wanted)}{end}")
    index = next(i for i, (left, right) in enumerate(zip(wanted, found, strict=True)) if left != right)
    raise NtuplemlError(
        f"{start}its {kind} {index} is '{found[index]}', that of the config '{wanted[index]}': the order matters{end}"
    )


def check_method(model: TrainedModel, method: Method, order: Order, where: str) -> None:
    """Refuse a listed model of another method than the one that is named; foreign weights may be called anything."""
    found = model.method
    if found.kind == method.kind and (found.name == method.name or model.weights is not None):
        return
    raise NtuplemlError(
        f"{where}: {key_of(order)} lists '{model.files.model}', which is of the method '{found.name}', but "
        f"'{method.name}' is asked for; name the method of the files with the key 'method', or list files of "
        f"'{method.name}'"
    )


def check_order(found: list[TrainedModel], models: Sequence[str], order: Order, where: str) -> None:
    """Refuse a list in which a model is not in its place, and say the right order."""
    num_folds = len(found)
    key = key_of(order)
    indices = [model.record.fold for model in found]
    for fold in range(num_folds):
        if fold not in indices:
            twice = next(index for index in indices if indices.count(index) > 1)
            raise NtuplemlError(f"{where}: {key}: model {twice} is listed twice, model {fold} not at all; list each")
    wanted = [index if order == "straight" else scoring_model(index, num_folds) for index in range(num_folds)]
    if indices == wanted:
        return
    right = ", ".join(models[indices.index(index)] for index in wanted)
    index = next(i for i in range(num_folds) if indices[i] != wanted[i])
    if order == "crossed":
        reason = f"element {index} scores the events of fold {index}, which model {indices[index]} was trained on"
    else:
        reason = f"element {index} is to be the model of fold {index}, but the record says that it is {indices[index]}"
    raise NtuplemlError(f"{where}: {key} is in the wrong order: {reason}; the right order is [{right}]")


def check_each(found: list[TrainedModel], wanted: Sequence[int], order: Order, where: str) -> None:
    """The order of a list of which only some elements are looked at."""
    for model in found:
        if model.record.fold not in wanted:
            raise NtuplemlError(
                f"{where}: {key_of(order)} is in the wrong order: where it should have the model of fold "
                f"{', '.join(map(str, wanted))}, it has that of fold {model.record.fold} ({model.files.record})"
            )


def check_same_training(found: list[TrainedModel], where: str) -> None:
    """Refuse models that differ in inputs, classes, folds or method."""
    first = found[0]
    for model in found[1:]:
        for field in (
            "variables",
            "classes",
            "conditions",
            "event_branch",
            "fold_by",
            "fold_file",
            "inputs",
            "rows",
            "num_members",
        ):
            one, other = getattr(first.record, field), getattr(model.record, field)
            if one != other:
                raise NtuplemlError(
                    f"{where}: the models are not of one training: {field} is {other} in {model.files.record}, but "
                    f"{one} in {first.files.record}; train all folds with one config"
                )
        if _without_fold(model) != _without_fold(first):
            raise NtuplemlError(
                f"{where}: the models are not of one training: '{first.files.model}' is of method "
                f"'{first.method.name}', '{model.files.model}' of '{model.method.name}'; list those of one method"
            )


def _without_fold(model: TrainedModel) -> tuple[str, str]:
    """Kind and name of a model's method, the fold taken out of the name; foreign weights may be called anything."""
    name = "" if model.weights is not None else model.method.name.replace(str(model.record.fold), "{fold}")
    return model.method.kind, name


def check_checksums(model: TrainedModel) -> None:
    """Refuse model and scaler if they are not the files that the record names."""
    wanted = model_files("", model.record.fold, model.method).of_record(model.record).names
    for path, name in (
        (model.files.model, wanted["model"]),
        (model.files.preprocessing, wanted.get("preprocessing", "")),
    ):
        # A listed file of another form, such as TMVA's weights of an XGBoost model, was found by its checksum.
        checksum = None if path is None or path.suffix != Path(name).suffix else model.record.sha256.get(name)
        if checksum is not None and path is not None and path.exists() and sha256_of_file(path) != checksum:
            raise NtuplemlError(
                f"{path}: not the file that the training wrote: its checksum differs from that in "
                f"{model.files.record}; restore it, or train again"
            )
