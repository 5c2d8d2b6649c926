"""The four stages from Python. A config is a path, a dictionary of what would stand in the file, or a config object.

What is written, and what is refused, is what the commands write and refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config import DatasetConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import ConfigSource
    from ntupleml.datasets.records import DatasetSummary


def create_datasets(config: ConfigSource, *, overwrite: bool = False, workers: int | None = None) -> DatasetSummary:
    """Build the fold files of a dataset config.

    Parameters
    ----------
    config : path, dictionary or DatasetConfig
    overwrite : bool, default: False
        Whether fold files that exist are replaced.
    workers : int, optional
        Processes that share the input files out; by default this one does all.

    Returns
    -------
    DatasetSummary
        The files, and the record of each: what was read and kept of every process. As text it is a table.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with the config or the inputs.

    Examples
    --------
    >>> import tempfile
    >>> from ntupleml.datasets.example import write_example_dataset
    >>> folder = tempfile.mkdtemp()
    >>> _ = write_example_dataset(folder, num_events=100)
    >>> config = {
    ...     "output_path": folder,
    ...     "output_filename": "dataset.root",
    ...     "base_path": folder,
    ...     "tree_path": "ntuple",
    ...     "event_branch": "event",
    ...     "processes": {
    ...         "signal": {"files": ["example_signal.root"]},
    ...         "background": {"files": ["example_background_1.root"]},
    ...     },
    ... }
    >>> summary = create_datasets(config)
    >>> [file.name for file in summary.files]
    ['fold0_dataset.root', 'fold1_dataset.root']
    """
    from ntupleml.cluster import ClusterOptions
    from ntupleml.datasets import create_training_dataset

    dataset = load_config(config, DatasetConfig)
    return create_training_dataset(dataset, overwrite, where=dataset.where, cluster=ClusterOptions(workers))


def train(
    config: ConfigSource, fold: int | str = "all", *, method: str = "keras", **options: Any
) -> list[TrainingRecord]:
    """Train a method of a training config, and write its models to the config's `output_path`.

    Parameters
    ----------
    config : path, dictionary or TrainingConfig
    fold : int or "all"
        Model f is trained on all folds but (f + 1) mod k.
    method : str, default: "keras"
        The network of the config, or the name of one of its boosted trees or methods of TMVA.
    **options
        Those of `ntupleml.training.TrainingOptions`, such as `overwrite`.

    Returns
    -------
    list of TrainingRecord
        One for each fold: what the model was trained on, and what was reached in each epoch.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config, options or fold files.
    """
    from ntupleml.artifacts.methods import find_method
    from ntupleml.folds import chosen_models

    training = load_config(config, TrainingConfig)
    where = training.where
    folds = chosen_models(str(fold), training.num_folds, where)
    kind = find_method(training, method, folds[0], f"{where}: method").kind
    if kind == "keras":
        from ntupleml.training import TrainingOptions, train_keras

        return train_keras(training, folds, TrainingOptions(**options), where)
    if kind == "boosted_trees":
        from ntupleml.training import TrainingOptions
        from ntupleml.training.boosted_trees import train_boosted_trees

        return train_boosted_trees(training, folds, TrainingOptions(method, **options), where)
    from ntupleml.training.tmva_training import train_tmva

    trained = train_tmva(training, folds, method=method, where=where, **options)
    if trained.failures:
        raise NtuplemlError("; ".join(trained.failures))
    return trained.records


class Events(NamedTuple):
    """Events of fold files, class after class, as a training reads them.

    Attributes
    ----------
    inputs : dict of str to array of float32, shape (n_events, n_variables)
        By the name of the input of the model, not scaled.
    truth : array of int64, shape (n_events,)
        Index of the class among those of the config.
    weights : array of float64, shape (n_events,)
        Event weights, without class weights.
    folds : array of int64, shape (n_events,)
        Fold of each event. Model f is trained on all folds but (f + 1) mod k.
    """

    inputs: dict[str, NDArray[np.float32]]
    truth: NDArray[np.int64]
    weights: NDArray[np.float64]
    folds: NDArray[np.int64]


def read_events(config: ConfigSource, fold: int | None = None, *, condition: str | None = None) -> Events:
    """Events as the training of a config reads them, for a training of your own.

    Parameters
    ----------
    config : path, dictionary or TrainingConfig
    fold : int, optional
        Only the events that this model is trained on; by default those of all folds.
    condition : str, optional
        Condition (era) of the events, for trainings with conditions.

    Raises
    ------
    NtuplemlError
        For files, trees and branches that are missing, and values that the training refuses.
    """
    from ntupleml.datasets.loading import FoldFile, class_trees, load_events
    from ntupleml.folds import chosen_models, trained_on

    training = load_config(config, TrainingConfig)
    known = [*training.conditions, *([] if training.datasets is None else [None])]
    if condition not in known:
        hint = did_you_mean(str(condition), training.conditions)
        raise NtuplemlError(f"{training.where}: condition: no datasets of '{condition}'{hint}")
    folds = list(range(training.num_folds))
    if fold is not None:
        (model,) = chosen_models(str(fold), training.num_folds, training.where)
        folds = sorted(trained_on(model, training.num_folds))
    paths = training.datasets_of(condition)
    trees = class_trees(training, [FoldFile(paths[index], index, condition) for index in folds])
    trees.sort(key=lambda tree: tree.class_index)
    events = load_events(training, trees)
    truth, of_fold = np.array([(tree.class_index, tree.file.fold) for tree in trees])[events.trees].T
    return Events(events.inputs.batch(), truth, events.weights, of_fold)
