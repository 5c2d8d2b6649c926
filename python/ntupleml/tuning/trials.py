"""One trial: settings from the sampler, a training of each fold in a folder of its own, the number that judges it."""

from __future__ import annotations

import logging
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import TrainedModel, model_files
from ntupleml.datasets.loading import checked_chunks
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.metrics import Undefined
from ntupleml.scoring import load_scorer
from ntupleml.scoring.training_rows import training_events, training_trees
from ntupleml.training.driver import train
from ntupleml.training.jobs import TrainingOptions
from ntupleml.tuning.objectives import Validated, objective_of
from ntupleml.tuning.space import distributions, values_of
from ntupleml.tuning.storage import (
    FOLDS,
    REASON,
    claim,
    num_tried,
    one_at_a_time,
    open_study,
    retry_killed,
    storage_errors,
    trial_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.tuning.objectives import Objective
    from ntupleml.tuning.space import Searched

_ENTRIES_PER_CHUNK = 100_000
#: Rooms that log what a training does.
_ROOMS = ("datasets", "events", "onnx_models", "preprocessing", "scoring", "tmva", "training")
#: Distinguishes the random numbers of the sampler from those of other purposes.
_SAMPLER_STREAM = 21
#: Keys that change what the validation loss is, so that trials cannot be compared by it before they end.
_OF_THE_LOSS = ("class_weights", "global_weight_scale", "model.name", "model.loss", "model.l1", "model.l2")


@dataclass(frozen=True)
class Search:
    """What all trials of a study have in common."""

    searched: Searched
    folder: Path
    folds: tuple[int, ...]
    trials: int
    #: Of boosted trees.
    threads: int
    keep_models: bool
    #: Whether the log has what the trainings say.
    detailed: bool

    @property
    def objective(self) -> Objective:
        """What trials are judged by."""
        return objective_of(self.searched.config, self.searched.where)

    @property
    def options(self) -> TrainingOptions:
        """Of the trainings."""
        conditional = self.searched.config.datasets is None
        return TrainingOptions(conditional=conditional, threads=self.threads, figures=False)

    @property
    def prunes(self) -> bool:
        """Whether trials are given up early."""
        tune = self.searched.tune
        return (
            tune.pruner != "none"
            and self.searched.method.kind == "keras"
            and not any(f"{key}.".startswith(f"{other}.") for key in tune.space for other in _OF_THE_LOSS)
        )


def run_trial(search: Search) -> str | None:
    """Begin the next trial of a study and end it; a task for workers.

    Returns
    -------
    str or None
        What became of it, in one line; None where all trials have begun already.
    """
    import optuna

    with storage_errors(search.folder):
        with one_at_a_time(search.folder):
            study = open_study(search.folder, pruner=_pruner(search))
            retry_killed(study, search.folder)
            number = num_tried(study)
            if number >= search.trials:
                return None
            # The trials before and this seed decide what is drawn: a study that goes on is as one that never stopped.
            state = np.random.SeedSequence([search.searched.config.seed, number, _SAMPLER_STREAM]).generate_state(1)
            study.sampler = optuna.samplers.TPESampler(seed=int(state[0]))
            trial = study.ask(distributions(search.searched.tune.space))
            lock = claim(search.folder, trial.number)
        with lock, _working_folder(search, trial.number) as folder:
            return f"trial {trial.number}: {_outcome(search, study, trial, folder)}: {_text(trial.params)}"


def _outcome(search: Search, study: Any, trial: Any, folder: Path) -> str:
    """Do a trial and tell the study how it ended."""
    import optuna
    from optuna.trial import TrialState

    try:
        with _quiet(search.detailed):
            value = _judged(search, trial, folder)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        return "given up"
    except (NtuplemlError, ValueError) as error:  # Keras raises the latter for shapes that do not fit
        trial.set_user_attr(REASON, one_line(error))
        study.tell(trial, state=TrialState.FAIL)
        return f"failed, {one_line(error)}"
    study.tell(trial, value)
    return f"{search.objective.name} {value:.6g}"


def _text(parameters: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in parameters.items()
    )


@contextmanager
def _working_folder(search: Search, number: int) -> Iterator[Path]:
    """Folder of the models of a trial, removed at its end unless they are to be kept."""
    place = trial_folder(search.folder, number)
    try:
        yield place
        if search.keep_models:
            (place / "lock").unlink()
            kept = search.folder / f"trial{number}"
            shutil.rmtree(kept, ignore_errors=True)
            place.rename(kept)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _judged(search: Search, trial: Any, folder: Path) -> float:
    """Train all folds with the settings of a trial; the mean of what they reach on their validation parts."""
    values: dict[int, float] = {}
    settings = values_of(trial.params, search.searched.tune.space)
    config = search.searched.with_values(settings).model_copy(update={"output_path": str(folder)})
    for fold in search.folds:
        record = _trained(search, config, fold, None if values else trial)
        number = search.objective.number(_validated(record, config, search))
        if isinstance(number, Undefined):
            raise NtuplemlError(f"model {fold}: {search.objective.name} is undefined: {number.reason}")
        values[fold] = number
        trial.set_user_attr(FOLDS, values)
    return float(np.mean(list(values.values())))


def _trained(search: Search, config: TrainingConfig, fold: int, trial: Any) -> TrainingRecord:
    """Train one fold; with a trial, its epochs decide whether it is given up."""
    import optuna

    options = search.options
    if trial is not None and search.prunes:
        sign = -1 if search.objective.maximise else 1

        def follow(history: Mapping[str, Sequence[float]]) -> None:
            losses = history["val_loss"]
            trial.report(sign * losses[-1], len(losses))  # what is reported must be better as the objective is
            if trial.should_prune():
                raise optuna.TrialPruned

        options = replace(options, followers=(follow,))
    (record,) = train(search.searched.jobs(config, [fold], options)).records
    return record


@contextmanager
def _quiet(detailed: bool) -> Iterator[None]:
    """Log of the trainings only what goes wrong: there are many."""
    loggers = [logging.getLogger(f"ntupleml.{room}") for room in _ROOMS]
    levels = [logger.level for logger in loggers]
    if not detailed:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _validated(record: TrainingRecord, config: TrainingConfig, search: Search) -> Validated:
    """Score the events that validated the training of a model, from the files that it was trained on."""
    method = search.searched.method
    model = TrainedModel(model_files(config.output_path, record.fold, method), record, method)
    trees = training_trees(config, record)
    if isinstance(trees, Undefined):
        raise NtuplemlError(trees.reason)
    # What takes a matrix was trained on the numbers of all groups.
    read = config.model_copy(update=record.keys_of_inputs)
    parts = list(
        training_events(
            record,
            trees,
            lambda tree: checked_chunks(tree, read, _ENTRIES_PER_CHUNK),
            load_scorer([model]),
            validating=True,
        )
    )
    return Validated(
        record,
        np.concatenate([part.scores for part in parts]),
        np.repeat([part.class_index for part in parts], [len(part.weights) for part in parts]),
        np.concatenate([part.weights for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _pruner(search: Search) -> Any:
    """By what other trials had reached after the same epoch of the first fold."""
    from optuna import pruners

    if not search.prunes:
        return pruners.NopPruner()
    if search.searched.tune.pruner == "hyperband":
        return pruners.HyperbandPruner(max_resource=search.searched.config.model.epochs)
    return pruners.MedianPruner(n_warmup_steps=2)
