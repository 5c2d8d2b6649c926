"""Which methods of a config can be tested, and their trained models."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts import KERAS, listed_methods, methods_by_fold, methods_of, model_files, models_by_fold
from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.artifacts import Method, TrainedModel
    from ntupleml.config import TestingConfig, TrainingConfig

log = logging.getLogger(__name__)


class WantedMethods(NamedTuple):
    """Methods that a step of the testing stage is asked for.

    Attributes
    ----------
    names : list of str
        Of all, in order; those that are not `trained` are external models of the testing config.
    trained : dict of str to list of Method
        Methods of the training config by their names: the method, once per model.
    left_out : dict of str to str
        Methods that cannot be tested, and why.
    """

    names: list[str]
    trained: dict[str, list[Method]]
    left_out: dict[str, str]


def trained_methods(
    training: TrainingConfig, testing: TestingConfig, models: Sequence[int], wanted: Sequence[str] | None, where: str
) -> tuple[dict[str, list[Method]], dict[str, str]]:
    """Methods whose models are all there, and why the others are left out.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
    models : sequence of int
        Indices of the models that are needed.
    wanted : sequence of str, optional
        Names of the methods, as the config has them or with the fold filled in; by default all that are trained.
    where : str
        Path of the training config, for messages.

    Returns
    -------
    dict of str to list of Method, dict of str to str
        By name: the method, once per model; and the reasons.
    """
    configured = _configured_methods(training, models)
    if wanted is not None:
        configured = _chosen(configured, wanted, models, where)
    available, left_out = _available(training, testing, models, configured, skip_defaults=wanted is None)
    if left_out and wanted is not None:
        name, reason = next(iter(left_out.items()))
        raise NtuplemlError(f"--methods: '{name}': {reason}; train it, or leave it out")
    if not available:
        raise NtuplemlError(f"{where}: none of its methods is trained: {', '.join(configured)}; train one")
    return available, left_out


def _available(
    training: TrainingConfig,
    testing: TestingConfig,
    models: Sequence[int],
    configured: Mapping[str, list[Method]],
    *,
    skip_defaults: bool,
) -> tuple[dict[str, list[Method]], dict[str, str]]:
    """Methods whose models are all there, and why the others are left out."""
    available, left_out = {}, {}
    for name, per_model in configured.items():
        listed = testing.model is not None and name == (testing.method or KERAS.name)
        missing = [
            str(model)
            for model, method in zip(models, per_model, strict=True)
            if not listed and not model_files(training.output_path, model, method).record.exists()
        ]
        if missing and skip_defaults and _is_default(training, per_model[0]):
            continue
        if missing:
            left_out[name] = f"not trained for fold {', '.join(missing)}"
            log.info("%s: left out: %s", name, left_out[name])
        else:
            available[name] = per_model
    return available, left_out


def wanted_methods(
    training: TrainingConfig,
    testing: TestingConfig,
    models: Sequence[int],
    wanted: Sequence[str] | None,
    training_path: str,
    testing_path: str,
    *,
    all_methods: bool = False,
) -> WantedMethods:
    """Methods that a step of the testing stage is asked for, and why others are left out.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
    models : sequence of int
        Indices of the models that are needed.
    wanted : sequence of str, optional
        Names of the methods, of the training config or external; by default the testing config's `method`, else the
        Keras network.
    training_path, testing_path : str
        Files of the configs, for messages.
    all_methods : bool, default: False
        Take all that are trained, and all external models, where none is named.
    """
    _require_other_names(training, testing, training_path, testing_path)
    if wanted is None and all_methods:
        configured = _configured_methods(training, models)
        available, left_out = _available(training, testing, models, configured, skip_defaults=True)
        if not available and not testing.external:
            raise NtuplemlError(f"{training_path}: none of its methods is trained: {', '.join(configured)}; train one")
        return WantedMethods([*available, *testing.external], available, left_out)
    names, where = (list(dict.fromkeys(wanted)), "--method") if wanted else ([testing.method or KERAS.name], "")
    trained = {
        name: _method(training, testing, name, models, where or f"{testing_path}: method")
        for name in names
        if name not in testing.external
    }
    return WantedMethods(names, trained, {})


def _method(
    training: TrainingConfig, testing: TestingConfig, name: str, models: Sequence[int], where: str
) -> list[Method]:
    """Method of the training config, once per model."""
    known = {full for fold in range(training.num_folds) for full in methods_of(training, fold)}
    if testing.external and name.replace("{fold}", "0") not in known:
        names = [*methods_of(training, 0), *testing.external]
        raise NtuplemlError(f"{where}: no method or external model '{name}'{did_you_mean(name, names)}")
    methods = methods_by_fold(training, name, where)
    return [methods[model] for model in models]


def _require_other_names(
    training: TrainingConfig, testing: TestingConfig, training_path: str, testing_path: str
) -> None:
    """An external model must not be called as a method, whose files it would get."""
    for fold in range(training.num_folds):
        for name in methods_of(training, fold):
            if name in testing.external:
                raise NtuplemlError(
                    f"{testing_path}: external: {name}: {training_path} has a method of this name; choose another"
                )


def _is_default(training: TrainingConfig, method: Method) -> bool:
    """Whether the config has a method only because it does not say which methods of TMVA are wanted."""
    return method.kind == "tmva" and "tmva" not in training.model_fields_set


def _configured_methods(training: TrainingConfig, models: Sequence[int]) -> dict[str, list[Method]]:
    """Methods of a config, one per model; of several models by the name that the config has, else with the fold."""
    per_model = [list(methods_of(training, model).values()) for model in models]
    if len(models) == 1:
        return {method.name: [method] for method in per_model[0]}
    listed = [one.name for one in listed_methods(training)]
    names = [KERAS.name, *listed, *(one.name for one in training.tmva.methods)]
    return {name: [methods[index] for methods in per_model] for index, name in enumerate(names)}


def _chosen(
    configured: Mapping[str, list[Method]], wanted: Sequence[str], models: Sequence[int], where: str
) -> dict[str, list[Method]]:
    chosen = {}
    for text in wanted:
        name = text if text in configured else text.replace("{fold}", str(models[0]))
        if name not in configured:
            raise NtuplemlError(f"--methods: {where} has no method '{text}'{did_you_mean(text, configured)}")
        chosen[name] = configured[name]
    return chosen


def load_model(
    training: TrainingConfig,
    testing: TestingConfig,
    name: str,
    method: Method,
    model: int,
    training_path: str,
    testing_path: str,
) -> TrainedModel:
    """Trained model of a method, from the lists of the testing config where it has them for this method.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
    name : str
        Method, as the configs name it.
    method : Method
        The same, for this model.
    model : int
        Its index.
    training_path, testing_path : str
        Files of the configs, for messages.

    Raises
    ------
    NtuplemlError
        For files that are not there, damaged, of another training or in the wrong order.
    """
    listed = name == (testing.method or KERAS.name)
    uses_lists = listed and bool(testing.model or testing.preprocessing)
    return models_by_fold(
        training,
        only=[model],
        where=testing_path if uses_lists else training_path,
        training_path=training_path,
        models=testing.model if listed else None,
        preprocessing=testing.preprocessing if listed else None,
        method=method,
    )[0]


def method_in_files(name: str, fold: str) -> str:
    """Name of a method in the names of files: with the fold filled in, or without it where all folds are pooled.

    Parameters
    ----------
    name : str
        As the config has it.
    fold : str
        Index of the model, or `all`.

    Examples
    --------
    >>> method_in_files("PyKeras_fold{fold}", "1"), method_in_files("PyKeras_fold{fold}", "all")
    ('PyKeras_fold1', 'PyKeras')
    """
    if fold != "all":
        return name.replace("{fold}", fold)
    return name.replace("_fold{fold}", "").replace("_{fold}", "").replace("{fold}", "") or name
