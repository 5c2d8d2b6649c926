"""Which models a config means, found by their records: lists in the wrong order and foreign models are refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.artifacts.files import KERAS, Method, TrainedModel, model_files
from ntupleml.artifacts.foreign_weights import foreign_files, foreign_record, read_foreign_weights
from ntupleml.artifacts.listed_files import Listed, find_model, find_preprocessing, training_command
from ntupleml.artifacts.model_checks import (
    Order,
    check_checksums,
    check_each,
    check_length,
    check_method,
    check_order,
    check_record,
    check_same_training,
    key_of,
)
from ntupleml.artifacts.record import read_record
from ntupleml.errors import NtuplemlError
from ntupleml.folds import held_out_fold, scoring_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config import TrainingConfig

log = logging.getLogger(__name__)


def models_by_fold(
    training: TrainingConfig,
    *,
    where: str,
    training_path: str = "CONFIG_TRAINING",
    only: Sequence[int] | None = None,
    models: Sequence[str] | None = None,
    preprocessing: Sequence[str] | None = None,
    order: Order = "straight",
    method: Method | Sequence[Method] | None = None,
) -> list[TrainedModel]:
    """Trained models of all folds, or of some, in the order of their own index.

    Parameters
    ----------
    training : TrainingConfig
        A model that was trained on other inputs, classes or targets is refused.
    training_path : str
        Path of the training config, for the command that makes a missing model.
    only : sequence of int, optional
        Indices of the models that are needed; the others need not be trained yet.
    models, preprocessing : sequence of str, optional
        The lists of a testing config (``model``, ``preprocessing``) or an application config (``classifiers``,
        ``preprocessing``). Left out: the models in ``output_path``.
    order : {"straight", "crossed"}
        What the lists mean. ``"straight"`` (testing config): element i is model i; paths are relative to
        ``output_path``. ``"crossed"`` (application config): element j scores the events of fold j, so for two
        folds element 0 is model 1; paths are relative to the current folder, else to ``output_path``.
    method : Method or sequence of Method, optional
        What was trained, which listed models must be of, too; one per fold if the name depends on the fold. Left out:
        the network, or whatever is listed.

    Returns
    -------
    list of TrainedModel
        By default element i is model i; `ntupleml.folds.scoring_model` says which one scores a fold.

    Raises
    ------
    NtuplemlError
        For a missing model, a list in the wrong order or of the wrong length, models of different trainings, a
        model of another method, of other inputs or classes, and files that are not what the training wrote.
    """
    folder, num_folds = Path(training.output_path), training.num_folds
    wanted = range(num_folds) if only is None else only
    named = method or KERAS
    methods = [named] * num_folds if isinstance(named, Method) else list(named)
    if models is None:
        found = [_default_model(folder, fold, methods[fold], where, training_path) for fold in wanted]
    else:
        places = _listed(folder, models, num_folds, wanted, order, where)
        found = [_listed_model(listed, fold, training, training_path, methods[fold]) for fold, listed in places.items()]
    for model in found:
        check_record(model, training, where)
        if method is not None:
            check_method(model, methods[model.record.fold], order, where)
    if models is not None and len(wanted) == num_folds:
        check_order(found, models, order, where)
    elif models is not None:
        check_each(found, wanted, order, where)
    if preprocessing is not None:
        found = _with_preprocessing(found, folder, preprocessing, num_folds, order, where)
    found.sort(key=lambda model: model.record.fold)
    check_same_training(found, where)
    for model in found:
        check_checksums(model)
        log.info(
            "model %d: %s, held out from fold %d", model.record.fold, model.files.model, model.record.held_out_fold
        )
    return found


def _default_model(folder: Path, fold: int, method: Method, where: str, training_path: str) -> TrainedModel:
    files = model_files(folder, fold, method)
    if not files.record.exists():
        raise NtuplemlError(
            f"{where}: no trained model of fold {fold} in '{folder}' ({files.record.relative_to(folder)} is not "
            f"there); {training_command(training_path, fold, method)} makes it"
        )
    record = read_record(files.record)
    return TrainedModel(files.of_record(record), record, method)


def _listed(
    folder: Path, models: Sequence[str], num_folds: int, wanted: Sequence[int], order: Order, where: str
) -> dict[int, Listed]:
    """The listed files by the model that each should be, in the order of the list."""
    key = key_of(order)
    check_length(key, models, num_folds, where)
    folds = [index if order == "straight" else scoring_model(index, num_folds) for index in range(num_folds)]
    return {
        fold: Listed(text, f"{where}: {key}[{index}]", _places(folder, text, order))
        for index, (fold, text) in enumerate(zip(folds, models, strict=True))
        if fold in wanted
    }


def _listed_model(
    listed: Listed, fold: int, training: TrainingConfig, training_path: str, method: Method
) -> TrainedModel:
    found = find_model(listed, fold, training_path, method)
    if isinstance(found, TrainedModel):
        return found
    weights = read_foreign_weights(found, held_out_fold(fold, training.num_folds))
    record = foreign_record(weights, fold, training, listed.where)
    return TrainedModel(foreign_files(found), record, Method("tmva", weights.name), weights)


def _places(folder: Path, text: str, order: Order) -> list[Path]:
    """Where a listed file may be, best place first."""
    beside = folder / text
    return [beside] if order == "straight" else [Path(text), beside]


def _with_preprocessing(
    found: list[TrainedModel], folder: Path, listed: Sequence[str], num_folds: int, order: Order, where: str
) -> list[TrainedModel]:
    """Models with the listed scalers, in the order of the list; each scaler must belong to its model."""
    check_length("preprocessing", listed, num_folds, where)
    for model in found:
        if model.files.preprocessing is None:
            raise NtuplemlError(
                f"{where}: preprocessing lists scalers, but the method '{model.method.name}' has none; leave the key "
                "out"
            )
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
                f"but the model there is {fold}; list them in the same order as {key_of(order)}"
            )
        result.append(model._replace(files=model.files._replace(preprocessing=path)))
    return result
