"""Training boosted trees on fold files: from a config to the files of each fold's models."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import Method, SplitSizes, model_files
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.training.negative_weights import find_treatment, treat_negative_weights
from ntupleml.training.record_parts import (
    check_output_folder,
    fold_division,
    log_contents,
    log_file,
    log_training,
    training_record,
)
from ntupleml.training.tabular_data import load_tabular_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.config.training import BoostedTreesConfig
    from ntupleml.training.boosted_tree_outputs import TrainedTrees
    from ntupleml.training.tabular_data import TabularData

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BoostedTreesOptions:
    """Options of the command line.

    Attributes
    ----------
    method : str or None
        Name of the one method to train; None for all of the config's `boosted_trees`.
    conditional : bool
        Train on all conditions (eras), each shown to the trees as a one-hot input.
    overwrite : bool
        Replace the files of an earlier training.
    threads : int or None
        Number of threads; None for as many as the process may use cores.
    """

    method: str | None = None
    conditional: bool = False
    overwrite: bool = False
    threads: int | None = None


class _Entry(NamedTuple):
    """A method of the config, and the config and key where it stands."""

    settings: BoostedTreesConfig
    where: str

    @property
    def method(self) -> Method:
        return Method("boosted_trees", self.settings.name, self.settings.type)


class _Fit(NamedTuple):
    """What both libraries give."""

    trees: TrainedTrees
    parameters: Mapping[str, Any]
    history: dict[str, list[float]]
    rounds: int
    best_round: int | None
    gain: dict[int, float]


def train_boosted_trees(
    config: TrainingConfig,
    folds: Sequence[int],
    options: BoostedTreesOptions | None = None,
    where: str = "training config",
) -> list[TrainingRecord]:
    """Train the boosted trees of each fold and write their files to the config's `output_path`.

    Parameters
    ----------
    config : TrainingConfig
    folds : sequence of int
        Models to train; model f is trained on all folds but (f + 1) mod k.
    options : BoostedTreesOptions, optional
    where : str
        Path of the config, for messages.

    Returns
    -------
    list of TrainingRecord
        Fold by fold, in each the methods in the order of the config.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config or fold files, before anything is trained; and if outputs exist and are not
        to be overwritten.
    """
    options = options or BoostedTreesOptions()
    entries = _chosen(config, options.method, where)
    for fold in folds:
        for entry in entries:
            _check_outputs(config.output_path, fold, entry.method, overwrite=options.overwrite)
    check_output_folder(config.output_path)
    num_conditions = len(config.conditions) if options.conditional else 0
    _check_options(entries, len(config.variables) + num_conditions, len(config.classes))
    for fold in folds:
        fold_division(class_trees(config, fold_files(config, fold, options.conditional)), config.num_folds)
    return [record for fold in folds for record in _train_fold(config, fold, entries, options)]


def _chosen(config: TrainingConfig, name: str | None, where: str) -> list[_Entry]:
    """Methods to train."""
    entries = [
        _Entry(settings, f"{where}: boosted_trees[{index}]") for index, settings in enumerate(config.boosted_trees)
    ]
    if not entries:
        raise NtuplemlError(
            f"{where}: no boosted_trees; list at least one, e.g. boosted_trees: [{{name: bdt, type: xgboost}}]"
        )
    if name is None:
        return entries
    chosen = [entry for entry in entries if entry.settings.name == name]
    if not chosen:
        names = [entry.settings.name for entry in entries]
        raise NtuplemlError(f"--method: {where} has no boosted trees '{name}'{did_you_mean(name, names)}")
    return chosen


def _check_outputs(output_path: str, fold: int, method: Method, *, overwrite: bool) -> None:
    """Refuse before the work what would fail after it."""
    from ntupleml.training.boosted_tree_outputs import extra_files

    files = model_files(output_path, fold, method)
    paths = [*files[:-1], *extra_files(files, fold, method).paths]
    existing = [path for path in paths if path is not None and path.exists()]
    if existing and not overwrite:
        raise NtuplemlError(f"{existing[0]}: exists already; give --overwrite to train anew")


def _check_options(entries: Sequence[_Entry], num_inputs: int, num_classes: int) -> None:
    from ntupleml.training.boosted_tree_options import check_options

    for entry in entries:
        find_treatment(entry.settings.negative_weights, f"{entry.where}.negative_weights")
        check_options(entry.settings, num_inputs, num_classes, entry.where)


def _train_fold(
    config: TrainingConfig, fold: int, entries: Sequence[_Entry], options: BoostedTreesOptions
) -> list[TrainingRecord]:
    """Load the events of a fold's models once, and train all methods on them."""
    data = load_tabular_data(config, fold, options.conditional)
    threads = options.threads or len(os.sched_getaffinity(0))
    records = []
    for entry in entries:
        with log_file(model_files(config.output_path, fold, entry.method).log):
            records.append(_train_method(config, fold, entry, data, threads))
    return records


def _train_method(config: TrainingConfig, fold: int, entry: _Entry, data: TabularData, threads: int) -> TrainingRecord:
    from ntupleml.training.boosted_tree_outputs import importance_of, write_boosted_trees

    settings = entry.settings
    log_training(fold, config.num_folds, f"{settings.type} model '{settings.name}'")
    log_contents(data.trees, data.contents)
    log.info("%d events train and %d validate, on %d threads", data.num_training, data.num_validation, threads)
    weights = treat_negative_weights(
        settings.negative_weights,
        data.training.weights,
        data.training.classes,
        data.training.inputs,
        f"{entry.where}.negative_weights",
        config.classes,
    )
    fit = _FITS[settings.type](entry, data, weights, config.seed, threads)
    _check_cuts(fit, weights, entry)
    _log_end(fit)
    record = training_record(
        config,
        fold,
        data.trees,
        data.contents,
        engine=settings.type,
        method=settings.name,
        preprocessing="none",
        network={
            "parameters": dict(fit.parameters),
            "negative_weights": settings.negative_weights,
            "threads": threads,
            "trees": fit.trees.forest.num_trees,
        },
        split=SplitSizes(training=data.num_training, validation=data.num_validation),
        history=fit.history,
        epochs=fit.rounds,
        best_epoch=fit.best_round,
        importance=importance_of(fit.gain, [*config.variables, *data.conditions]),
    )
    return write_boosted_trees(fit.trees, record, data, config.output_path, entry.method, config.plot)


def _check_cuts(fit: _Fit, weights: NDArray[np.float64], entry: _Entry) -> None:
    """Refuse a forest of bare leaves, which knows nothing."""
    if not fit.gain:
        raise NtuplemlError(
            f"{entry.where}: no tree found a cut that gains anything; the mean weight of the training events is "
            f"{weights.mean():.3g}; set global_weight_scale so that it is near 1, or loosen the options (smallest "
            "weight or number of events of a leaf, regularisation)"
        )


def _log_end(fit: _Fit) -> None:
    history, last = fit.history, (fit.best_round or fit.rounds) - 1
    log.info(
        "%d rounds trained, %s: training loss %.5f, validation loss %.5f",
        fit.rounds,
        "all kept" if fit.best_round is None else f"the best is round {fit.best_round}",
        history["loss"][last],
        history["val_loss"][last],
    )


def _fit_xgboost(entry: _Entry, data: TabularData, weights: NDArray[np.float64], seed: int, threads: int) -> _Fit:
    from ntupleml.forests.xgboost import forest_of_xgboost
    from ntupleml.training.boosted_tree_outputs import TrainedTrees
    from ntupleml.training.xgboost_fit import DEFAULTS, fit_xgboost, predict_xgboost

    settings = entry.settings
    if (weights < 0).any() or (data.validation.weights < 0).any():
        log.info("XGBoost's own objective refuses negative weights; ours computes it with their sign")
    fit = fit_xgboost(
        data.training.inputs,
        data.training.classes,
        weights,
        int(data.classes.max()) + 1,
        rounds=settings.rounds,
        parameters=settings.options,
        seed=seed,
        validation=data.validation,
        early_stopping=settings.early_stopping,
        threads=threads,
    )
    trees = TrainedTrees(
        forest_of_xgboost(fit.model),
        lambda path: _write_bytes(path, fit.model),
        lambda inputs: predict_xgboost(fit.model, inputs),
    )
    return _Fit(trees, {**DEFAULTS, **settings.options}, fit.history, fit.rounds, fit.best_round, fit.gain)


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _fit_hist_gradient_boosting(
    entry: _Entry, data: TabularData, weights: NDArray[np.float64], seed: int, threads: int
) -> _Fit:
    from ntupleml.forests.files import save_forest
    from ntupleml.forests.sklearn import forest_of_hist_gradient_boosting
    from ntupleml.training.boosted_tree_outputs import TrainedTrees
    from ntupleml.training.histogram_boosting import fit_hist_gradient_boosting

    settings = entry.settings
    fit = fit_hist_gradient_boosting(
        data.training.inputs,
        data.training.classes,
        weights,
        rounds=settings.rounds,
        parameters=settings.options,
        seed=seed,
        where=entry.where,
        validation=data.validation,
        early_stopping=settings.early_stopping,
        threads=threads,
    )
    forest = forest_of_hist_gradient_boosting(fit.estimator)
    trees = TrainedTrees(forest, lambda path: save_forest(path, forest), fit.estimator.predict_proba)
    return _Fit(trees, settings.options, fit.history, fit.rounds, fit.best_round, fit.gain)


_FITS: dict[str, Callable[[_Entry, TabularData, NDArray[np.float64], int, int], _Fit]] = {
    "xgboost": _fit_xgboost,
    "hist_gradient_boosting": _fit_hist_gradient_boosting,
}
