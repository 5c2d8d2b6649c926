"""Looking at the inputs in the fold files of a training config, before or after the training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.atomic import all_or_none
from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import chosen_models, scoring_model
from ntupleml.plots.pictures import refuse_existing_pictures, write_picture
from ntupleml.testing.events import held_out_sample, weights_of
from ntupleml.testing.input_findings import input_findings
from ntupleml.testing.input_summary import InputReading, read_input_summary
from ntupleml.testing.inputs import inputs_names, inputs_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.metrics.inputs import InputSummary

log = logging.getLogger(__name__)


def validate_inputs(
    training_path: str | Path,
    testing_path: str | Path | None = None,
    fold: str = "all",
    *,
    variables: Sequence[str] = (),
    condition: str | None = None,
    class_weights: bool = False,
    max_events: int | None = None,
    entries_per_chunk: int | None = None,
    overwrite: bool = False,
) -> tuple[InputSummary, list[Path]]:
    """Look at the inputs in the fold files of a training config, and write their pictures and numbers.

    Nothing needs to be trained yet.

    Parameters
    ----------
    training_path : path
    testing_path : path, optional
        For its weight branch, spectators, and look of the pictures.
    fold : str, default: "all"
        Index of the fold file, or `all` of them.
    variables : sequence of str, optional
        Branches or formulas beside the inputs of the training and the spectators.
    condition : str, optional
        Condition (era), for trainings with conditions.
    class_weights : bool, default: False
        Multiply the event weights with the class weights of the training also where the testing config does not.
    max_events : int, optional
        Look at a random sample of this size; by default at all events.
    entries_per_chunk : int, optional
        Events read at a time.
    overwrite : bool, default: False
        Whether existing files may be replaced.

    Returns
    -------
    InputSummary, list of Path
        The numbers, and the files written.

    Raises
    ------
    NtuplemlError
        For everything wrong with configs, fold, condition, files and variables, and for files that exist and must
        not be replaced.
    """
    training = load_config(training_path, TrainingConfig)
    testing = TestingConfig() if testing_path is None else load_config(testing_path, TestingConfig)
    chosen_models(fold, training.num_folds, str(training_path))
    folds = range(training.num_folds) if fold == "all" else [int(fold)]
    samples = [
        held_out_sample(training, scoring_model(index, training.num_folds), condition, str(training_path))
        for index in folds
    ]
    weight_branch, weight_key = weights_of(training, testing, training_path, str(testing_path))
    factors = training.class_weights_of(condition) if class_weights or testing.class_weights else {}
    wanted = list(dict.fromkeys([*training.variables, *testing.spectators, *variables]))
    if any(not name.strip() for name in wanted):
        raise NtuplemlError("--variable: an empty name; give a branch, or a formula of branches")
    reading = InputReading(
        training.classes, wanted, weight_branch, weight_key, factors, max_events, testing.seed, entries_per_chunk
    )
    suffix = "" if condition is None else f"_{condition}"
    folder = Path(training.output_path)
    stems = [folder / f"fold{fold}_{name}{suffix}" for name in inputs_names(wanted, training.classes)]
    refuse_existing_pictures(stems, overwrite=overwrite)
    summary = read_input_summary(samples, reading)
    plot = testing.plot if "plot" in testing.model_fields_set else training.plot
    for text in input_findings(summary):
        log.warning("%s", text)
    paths: list[Path] = []
    with all_or_none():
        for stem, picture in zip(stems, inputs_pictures(summary), strict=True):
            paths += write_picture(picture, stem, plot, overwrite=overwrite)
    return summary, paths
