"""The stage: test models of any method on the folds that they never saw, and write their confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.artifacts import KERAS, methods_by_fold, models_by_fold
from ntupleml.atomic import all_or_none
from ntupleml.folds import chosen_models
from ntupleml.scoring import load_scorer
from ntupleml.testing.confusion import confusion_of_model, represent, warn_of_undefined
from ntupleml.testing.confusion_files import confusion_stems, refuse_existing_results, write_confusion
from ntupleml.testing.events import held_out_sample, weights_of

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.config import TestingConfig, TrainingConfig


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
    """Write the ten confusion matrices of one fold's model, or of all models; all files or, if anything fails, none.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
    fold : str
        Index of the model, or `all`.
    condition : str, optional
        Condition (era) to test, for trainings with conditions.
    method : str, optional
        Name of the method in the training config; by default the testing config's `method`, else the Keras network.
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
    samples = [held_out_sample(training, model, condition, str(training_path)) for model in models]
    name_key = f"{testing_path}: method" if method is None else "--method"
    methods = methods_by_fold(training, method or testing.method or KERAS.name, name_key)
    stems = {model: confusion_stems(training.output_path, model, condition, methods[model].name) for model in models}
    for model in models:
        refuse_existing_results(stems[model], overwrite=overwrite)
    trained = models_by_fold(
        training.output_path,
        training.num_folds,
        only=models,
        where=str(testing_path if testing.model or testing.preprocessing else training_path),
        variables=training.variables,
        classes=training.classes,
        models=testing.model,
        preprocessing=testing.preprocessing,
        order="straight",
        training_config=str(training_path),
        method=methods,
    )
    records = {model.record.fold: model.record for model in trained}
    scorer = load_scorer(trained)
    class_weights = list(training.class_weights_of(condition).values())
    weight_branch, weight_key = weights_of(training, testing, training_path, testing_path)
    paths = []
    with all_or_none():
        for sample in samples:
            record = records[sample.model]
            total = confusion_of_model(sample, scorer, record, weight_branch, entries_per_chunk, weight_key=weight_key)
            matrices = represent(total, class_weights)
            warn_of_undefined(matrices, scorer.classes, sample.model)
            paths += write_confusion(matrices, scorer.classes, stems[sample.model], testing.plot, overwrite=overwrite)
    return paths
