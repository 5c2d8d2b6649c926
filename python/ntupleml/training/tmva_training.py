"""Training the methods of TMVA that a config names: by TMVA where ROOT has it, else its trees by XGBoost."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntupleml.artifacts import Method, SplitSizes, find_method, model_files
from ntupleml.errors import NtuplemlError
from ntupleml.training.data import CHECKED_EVENTS
from ntupleml.training.keras_methods import pykeras_settings, train_pykeras_methods
from ntupleml.training.negative_weights import treat_negative_weights
from ntupleml.training.record_parts import (
    check_output_folder,
    log_contents,
    log_file,
    log_training,
    training_record,
)
from ntupleml.training.tabular_data import TabularPart, load_tabular_data
from ntupleml.training.tmva_options import bdt_settings
from ntupleml.training.tmva_outputs import TrainedMethods, refuse_existing, write_forest_method
from ntupleml.training.tmva_root import has_tmva, train_with_tmva

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.training import TmvaMethodConfig
    from ntupleml.forests import Forest
    from ntupleml.training.tabular_data import TabularData
    from ntupleml.training.tmva_options import BdtSettings

log = logging.getLogger(__name__)

#: ``"tmva"``: ROOT's own. ``"xgboost"``: its boosted trees by XGBoost and scikit-learn.
TmvaEngine = Literal["tmva", "xgboost"]
#: Type of the methods that our Keras trainer trains, whatever the engine.
PYKERAS = "kPyKeras"


def train_tmva(
    config: TrainingConfig,
    folds: Sequence[int],
    *,
    engine: TmvaEngine | None = None,
    method: str | None = None,
    overwrite: bool = False,
    where: str = "training config",
) -> TrainedMethods:
    """Train the methods of the config's `tmva: methods`, or one of them, for each fold.

    Parameters
    ----------
    config : TrainingConfig
    folds : sequence of int
        Models to train; model f is trained on all folds but (f + 1) mod k.
    engine : {"tmva", "xgboost"}, optional
        By default TMVA if ROOT has it.
    method : str, optional
        Name of the one method to train.
    overwrite : bool, default: False
        Whether the files of an earlier training may be replaced.
    where : str
        Path of the config, for messages.

    Returns
    -------
    TrainedMethods
        Fold by fold, in the order of the methods.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config, options or fold files, before anything is trained; for methods that the
        engine cannot train; if outputs exist and are not to be overwritten; and if all methods fail.
    """
    if config.datasets is None:
        raise NtuplemlError(
            f"{where}: TMVA is trained without conditions; add datasets, the fold files of one training"
        )
    chosen = _chosen(config, method, folds[0] if folds else 0, where)
    others = [entry for entry in chosen if entry.type != PYKERAS]
    keras = [entry for entry in chosen if entry.type == PYKERAS]
    used = _engine(engine, others, where)
    if used == "xgboost":
        _check_methods(config, others, where)
    check_output_folder(config.output_path)
    for fold in folds:
        for entry in keras:
            pykeras_settings(entry.options, fold, f"{where}: tmva.methods: '{entry.name}'")
        for entry in chosen:
            refuse_existing(config, fold, _method(entry, fold), overwrite)
    result = TrainedMethods([], [])
    for fold in folds:
        if others:
            train = train_with_tmva if used == "tmva" else _train_trees
            trained = train(config, fold, others, overwrite=overwrite, where=where)
            result.records.extend(trained.records)
            result.failures.extend(f"{failure} (model {fold})" for failure in trained.failures)
        if keras:
            result.records.extend(train_pykeras_methods(config, fold, keras, overwrite=overwrite, where=where))
    if result.failures and not result.records:
        raise NtuplemlError("; ".join(result.failures))
    return result


def _chosen(config: TrainingConfig, name: str | None, fold: int, where: str) -> list[TmvaMethodConfig]:
    methods = list(config.tmva.methods)
    if name is None:
        return methods
    found = find_method(config, name, fold, f"{where}: --method")
    if found.kind != "tmva":
        known = ", ".join(f"'{entry.name}'" for entry in methods)
        raise NtuplemlError(f"{where}: --method {name}: not a method of TMVA; there are: {known}")
    return [entry for entry in methods if _method(entry, fold).name == found.name]


def _method(entry: TmvaMethodConfig, fold: int) -> Method:
    return Method("tmva", entry.name.replace("{fold}", str(fold)), entry.type)


def _engine(asked: TmvaEngine | None, methods: Sequence[TmvaMethodConfig], where: str) -> TmvaEngine:
    """The engine that trains, with one line that says why."""
    if not methods:
        return "xgboost"
    if asked == "xgboost":
        log.info("engine: XGBoost, as asked for")
        return "xgboost"
    available = has_tmva()
    if asked == "tmva" and not available:
        raise NtuplemlError(
            f"{where}: --engine tmva: this ROOT has no TMVA, as that of PyPI; take ROOT from an LCG view, or leave "
            "--engine out, and XGBoost trains TMVA's boosted trees"
        )
    if available:
        log.info("engine: TMVA%s", ", as asked for" if asked else ", which this ROOT has")
        return "tmva"
    log.info("engine: XGBoost, since there is no ROOT with TMVA here")
    return "xgboost"


def _check_methods(config: TrainingConfig, methods: Sequence[TmvaMethodConfig], where: str) -> None:
    """Refuse the methods and options that need TMVA itself."""
    for entry in methods:
        key = f"{where}: tmva method '{entry.name}'"
        if entry.type != "kBDT":
            raise NtuplemlError(
                f"{key}: {entry.type} needs a ROOT with TMVA (an LCG view); without it kBDT and kPyKeras can be "
                "trained: choose one with --method, or take this one out"
            )
        settings = bdt_settings(entry.options, f"{key}: options")
        transformation = settings.given.get("VarTransform", "None")
        if transformation not in ("None", "I", "N"):  # cuts do not care for the scale of a variable
            raise NtuplemlError(f"{key}: VarTransform={transformation} needs a ROOT with TMVA; take it out")
        if settings.boost_type == "Grad":
            continue
        if settings.boost_type not in ("AdaBoost", "Bagging") or not settings.yes_no_leaf:
            what = settings.boost_type if settings.yes_no_leaf else f"{settings.boost_type} with !UseYesNoLeaf"
            raise NtuplemlError(
                f"{key}: BoostType={what} cannot be trained (TMVA's multiclass analysis takes Grad alone); use Grad, "
                "AdaBoost or Bagging"
            )
        if len(config.classes) != 2:
            raise NtuplemlError(
                f"{key}: BoostType={settings.boost_type} takes two classes, not {len(config.classes)}; use "
                "BoostType=Grad"
            )


def _train_trees(
    config: TrainingConfig, fold: int, methods: Sequence[TmvaMethodConfig], *, overwrite: bool, where: str
) -> TrainedMethods:
    """Train boosted trees without TMVA; a method that fails does so alone."""
    trained = TrainedMethods([], [])
    data = None
    for entry in methods:
        method = _method(entry, fold)
        key = f"{where}: tmva method '{entry.name}': options"
        try:
            with log_file(model_files(config.output_path, fold, method).log):
                log_training(fold, config.num_folds, f"{method.name}, model")
                data = data or load_tabular_data(config, fold)
                log_contents(data.trees, data.contents)
                refuse_existing(config, fold, method, overwrite)
                settings = bdt_settings(entry.options, key)
                trained.records.append(_train_method(config, fold, method, settings, data, key))
        except NtuplemlError as error:
            if data is None:
                raise  # the fold files are at fault, not the method
            trained.failures.append(str(error))
    return trained


def _train_method(
    config: TrainingConfig, fold: int, method: Method, settings: BdtSettings, data: TabularData, where: str
) -> TrainingRecord:
    part = data.training
    weights = treat_negative_weights(
        settings.negative_weights, part.weights, part.classes, part.inputs, where, config.classes
    )
    training = part._replace(weights=weights)
    train = _boost_by_xgboost if settings.boost_type == "Grad" else _vote
    begin = time.process_time()
    forest, scores, fields = train(config, settings, training, where)
    elapsed = time.process_time() - begin
    log.info("%d trees in %.1f s of CPU time", forest.num_trees, elapsed)
    record = training_record(
        config,
        fold,
        data.trees,
        data.contents,
        method=method.name,
        preprocessing="none",
        split=SplitSizes(training=data.num_training, validation=data.num_validation),
        epochs=settings.trees,
        **fields,
    )
    rows = data.validation.inputs[:CHECKED_EVENTS]
    return write_forest_method(
        config,
        method,
        forest,
        record,
        rows,
        scores(rows),
        minima=part.inputs.min(axis=0),
        maxima=part.inputs.max(axis=0),
        options=settings.given,
        training_time=elapsed,
        where=where,
    )


def _boost_by_xgboost(
    config: TrainingConfig, settings: BdtSettings, training: TabularPart, where: str
) -> tuple[Forest, Any, dict[str, Any]]:
    """Forest, function that gives XGBoost's own answers, and fields of the record."""
    from ntupleml.forests.xgboost import forest_of_xgboost
    from ntupleml.training import tmva_xgboost

    _log_unused(settings, tmva_xgboost.USED_OPTIONS, where)
    fit, parameters = tmva_xgboost.fit_gradient_boosting(settings, training, len(config.classes), config.seed)
    gain = np.array([fit.gain.get(index, 0.0) for index in range(len(config.variables))])

    def scores(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return tmva_xgboost.xgboost_scores(fit.model, rows)

    fields = {
        "engine": "xgboost",
        "network": {"options": settings.given, "parameters": parameters},
        "history": fit.history,
        "importance": _shares(config.variables, gain),
    }
    return forest_of_xgboost(fit.model), scores, fields


def _vote(
    config: TrainingConfig, settings: BdtSettings, training: TabularPart, where: str
) -> tuple[Forest, Any, dict[str, Any]]:
    """The same for AdaBoost and bagging."""
    from ntupleml.training import tmva_adaboost

    _log_unused(settings, tmva_adaboost.USED_OPTIONS, where)
    votes = tmva_adaboost.fit_voting_trees(settings, training, config.seed, where)

    def scores(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return tmva_adaboost.vote_scores(votes, rows)

    fields = {
        "engine": "sklearn",
        "network": {"options": settings.given},
        "history": {"error": votes.errors},
        "importance": _shares(config.variables, tmva_adaboost.importance_of_votes(votes)),
    }
    return tmva_adaboost.forest_of_votes(votes, len(config.variables)), scores, fields


def _shares(variables: Sequence[str], gain: NDArray[np.float64]) -> dict[str, float]:
    total = gain.sum()
    return {name: float(value / total) if total > 0 else 0.0 for name, value in zip(variables, gain, strict=True)}


def _log_unused(settings: BdtSettings, used: set[str], where: str) -> None:
    unused = settings.unused(used)
    if unused:
        log.info("%s: without a meaning here: %s", where, ", ".join(unused))
