"""Which models a config means, found by their records: lists in the wrong order and foreign models are refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ntupleml.artifacts.files import ModelFiles, model_files, sha256_of_file
from ntupleml.artifacts.listed_files import Listed, find_model, find_preprocessing, training_command
from ntupleml.artifacts.record import TrainingRecord, read_record
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.folds import held_out_fold, scoring_model

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

Order = Literal["straight", "crossed"]


class TrainedModel(NamedTuple):
    """The trained model of one fold: its files and its record."""

    files: ModelFiles
    record: TrainingRecord


def models_by_fold(
    output_path: str | Path,
    num_folds: int,
    *,
    where: str,
    only: Sequence[int] | None = None,
    variables: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    preprocessing: Sequence[str] | None = None,
    order: Order = "straight",
    training_config: str = "CONFIG",
) -> list[TrainedModel]:
    """Trained models of all folds, or of some, in the order of their own index.

    Parameters
    ----------
    output_path : path
        ``output_path`` of the training config.
    num_folds : int
        Number of folds: the number of datasets of the training config.
    where : str
        Path of the config that lists the models (or of the training config), for messages.
    only : sequence of int, optional
        Indices of the models that are needed; the others need not be trained yet.
    variables, classes : sequence of str, optional
        What the training config says; a model trained on others is refused.
    models, preprocessing : sequence of str, optional
        The lists of a testing config (``model``, ``preprocessing``) or an application config (``classifiers``,
        ``preprocessing``). Left out: the models in ``output_path``.
    order : {"straight", "crossed"}
        What the lists mean. ``"straight"`` (testing config): element i is model i; paths are relative to
        ``output_path``. ``"crossed"`` (application config): element j scores the events of fold j, so for two
        folds element 0 is model 1; paths are relative to the current folder, else to ``output_path``.
    training_config : str
        Path of the training config, for the command that makes a missing model.

    Returns
    -------
    list of TrainedModel
        By default element i is model i; `ntupleml.folds.scoring_model` says which one scores a fold.

    Raises
    ------
    NtuplemlError
        For a missing model, a list in the wrong order or of the wrong length, models of different trainings, a
        model of other variables or classes, and files that are not what the training wrote.
    """
    folder = Path(output_path)
    wanted = range(num_folds) if only is None else only
    if models is None:
        found = [_default_model(folder, fold, where, training_config) for fold in wanted]
    else:
        found = _listed_models(folder, models, num_folds, wanted, order, where, training_config)
    for model in found:
        _check_record(model, num_folds, variables, classes, where)
    if models is not None and len(wanted) == num_folds:
        _check_order(found, models, order, where)
    elif models is not None:
        _check_each(found, wanted, order, where)
    if preprocessing is not None:
        found = _with_preprocessing(found, folder, preprocessing, num_folds, order, where)
    found.sort(key=lambda model: model.record.fold)
    _check_same_training(found, where)
    for model in found:
        _check_checksums(model)
        log.info(
            "model %d: %s, held out from fold %d", model.record.fold, model.files.model, model.record.held_out_fold
        )
    return found


def _default_model(folder: Path, fold: int, where: str, training_config: str) -> TrainedModel:
    files = model_files(folder, fold)
    if not files.record.exists():
        raise NtuplemlError(
            f"{where}: no trained model of fold {fold} in '{folder}' ({files.record.name} is not there); "
            f"{training_command(training_config, fold)} makes it"
        )
    return TrainedModel(files, read_record(files.record))


def _listed_models(
    folder: Path,
    models: Sequence[str],
    num_folds: int,
    wanted: Sequence[int],
    order: Order,
    where: str,
    training_config: str,
) -> list[TrainedModel]:
    key = _key(order)
    _check_length(key, models, num_folds, where)
    found = []
    for index, text in enumerate(models):
        fold = index if order == "straight" else scoring_model(index, num_folds)
        if fold not in wanted:
            continue
        listed = Listed(text, f"{where}: {key}[{index}]", _places(folder, text, order))
        files, record = find_model(listed, fold, training_config)
        found.append(TrainedModel(files, record))
    return found


def _places(folder: Path, text: str, order: Order) -> list[Path]:
    """Where a listed file may be, best place first."""
    beside = folder / text
    return [beside] if order == "straight" else [Path(text), beside]


def _key(order: Order) -> str:
    return "model" if order == "straight" else "classifiers"


def _check_length(key: str, listed: Sequence[str], num_folds: int, where: str) -> None:
    if len(listed) != num_folds:
        raise NtuplemlError(
            f"{where}: {key} lists {len(listed)} files, but the training has {num_folds} folds; list one per fold, or "
            f"leave {key} out to use the models that the training wrote"
        )


def _check_record(
    model: TrainedModel,
    num_folds: int,
    variables: Sequence[str] | None,
    classes: Sequence[str] | None,
    where: str,
) -> None:
    record = model.record
    path = model.files.record
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
    for kind, wanted, found in (("variable", variables, record.variables), ("class", classes, record.classes)):
        if wanted is not None:
            _check_names(kind, list(wanted), found, path, where)


def _check_names(kind: str, wanted: list[str], found: list[str], path: Path, where: str) -> None:
    if wanted == found:
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


def _check_order(found: list[TrainedModel], models: Sequence[str], order: Order, where: str) -> None:
    num_folds = len(found)
    key = _key(order)
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


def _check_each(found: list[TrainedModel], wanted: Sequence[int], order: Order, where: str) -> None:
    """The order of a list of which only some elements are looked at."""
    for model in found:
        if model.record.fold not in wanted:
            raise NtuplemlError(
                f"{where}: {_key(order)} is in the wrong order: where it should have the model of fold "
                f"{', '.join(map(str, wanted))}, it has that of fold {model.record.fold} ({model.files.record})"
            )


def _with_preprocessing(
    found: list[TrainedModel], folder: Path, listed: Sequence[str], num_folds: int, order: Order, where: str
) -> list[TrainedModel]:
    """Models with the listed scalers, each of which must be the one of its model; both in the order of the list."""
    _check_length("preprocessing", listed, num_folds, where)
    # Without a list of models they are in straight order, whatever the order of the scalers.
    expected = {
        (index if order == "straight" else scoring_model(index, num_folds)): text for index, text in enumerate(listed)
    }
    positions = {fold: list(listed).index(text) for fold, text in expected.items()}
    result = []
    for model in found:
        fold = model.record.fold
        index = positions[fold]
        text = expected[fold]
        item = Listed(text, f"{where}: preprocessing[{index}]", _places(folder, text, order))
        fold_of_file, path = find_preprocessing(item, model, found)
        if fold_of_file != fold:
            raise NtuplemlError(
                f"{where}: preprocessing is in the wrong order: element {index} is '{text}' of model {fold_of_file}, "
                f"but the model there is {fold}; list them in the same order as {_key(order)}"
            )
        result.append(model._replace(files=model.files._replace(preprocessing=path)))
    return result


def _check_same_training(found: list[TrainedModel], where: str) -> None:
    first = found[0]
    for model in found[1:]:
        for field in ("variables", "classes", "conditions", "event_branch"):
            one, other = getattr(first.record, field), getattr(model.record, field)
            if one != other:
                raise NtuplemlError(
                    f"{where}: the models are not of one training: {field} is {other} in {model.files.record}, but "
                    f"{one} in {first.files.record}; train all folds with one config"
                )


def _check_checksums(model: TrainedModel) -> None:
    wanted = model_files("", model.record.fold)
    for path, name in (
        (model.files.model, wanted.model.name),
        (model.files.preprocessing, wanted.names["preprocessing"]),
    ):
        checksum = model.record.sha256.get(name)
        if checksum is not None and path is not None and path.exists() and sha256_of_file(path) != checksum:
            raise NtuplemlError(
                f"{path}: not the file that the training wrote: its checksum differs from that in "
                f"{model.files.record}; restore it, or train again"
            )
