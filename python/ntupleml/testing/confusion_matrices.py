"""The stage: test models of any method on the folds that they never saw, and write their confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.atomic import all_or_none
from ntupleml.folds import chosen_models
from ntupleml.testing.confusion import confusion_of_model, represent, warn_of_undefined
from ntupleml.testing.confusion_files import confusion_stems, refuse_existing_results, write_confusion
from ntupleml.testing.events import held_out_sample
from ntupleml.testing.methods import method_in_files, wanted_methods
from ntupleml.testing.preparation import prepare_wanted

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.config import TestingConfig, TrainingConfig

#: The fold of all models together.
_ALL = "all"


def confusion_matrices(
    training: TrainingConfig,
    testing: TestingConfig,
    fold: str,
    condition: str | None = None,
    *,
    method: str | None = None,
    training_path: str | Path = "CONFIG_TRAINING",
    testing_path: str | Path = "CONFIG_TESTING",
    entries_per_chunk: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the ten confusion matrices of one fold's model, or of all models together.

    All files are written or, if anything fails, none.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
    fold : str
        Index of the model, or `all`: the sums of all models, each event by the model that never saw it.
    condition : str, optional
        Condition (era) to test, for trainings with conditions.
    method : str, optional
        Name of the method in the training config, or of an external model of the testing config; by default the
        testing config's `method`, else the Keras network.
    training_path, testing_path : path
        Files of the configs, for messages.
    entries_per_chunk : int, optional
        Events read at a time.
    overwrite : bool, default: False
        Whether existing results may be replaced.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NtuplemlError
        For results that exist already (before anything is computed), and for everything wrong with fold, condition,
        method, models, fold files and their branches.
    """
    models = chosen_models(fold, training.num_folds, str(training_path))
    for model in models:  # so that a condition that is not there is the first thing to be said
        held_out_sample(training, model, condition, str(training_path))
    wanted = wanted_methods(
        training, testing, models, None if method is None else [method], str(training_path), str(testing_path)
    )
    stems = confusion_stems(training.output_path, fold, condition, method_in_files(wanted.names[0], fold))
    refuse_existing_results(stems, overwrite=overwrite)
    preparation = prepare_wanted(
        training,
        testing,
        wanted,
        fold,
        training_path=training_path,
        testing_path=testing_path,
        condition=condition,
        entries_per_chunk=entries_per_chunk,
    )
    first, *others = [
        confusion_of_model(sample, preparation.sources[sample.model][0], preparation.reading)
        for sample in preparation.samples
    ]
    matrices = represent(sum(others, first), list(training.class_weights_of(condition).values()))
    warn_of_undefined(matrices, training.classes, "all models" if fold == _ALL else f"model {fold}")
    with all_or_none():
        return write_confusion(matrices, training.classes, stems, testing.plot, overwrite=overwrite)
