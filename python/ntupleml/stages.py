"""The four stages from Python. A config is a path, a dictionary with the file's content, or a config object.

What is written, and what is refused, is what the commands write and refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config import DatasetConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.notebook_html import shown, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.application.finding import Kind
    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import ConfigSource
    from ntupleml.datasets.records import DatasetSummary
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.steps import Answer
    from ntupleml.testing.tested_events import TestedEvents


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
        The network of the config, or the name of one of its boosted trees, estimators or methods of TMVA.
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
    if kind in training.listed_methods:
        from ntupleml.training import TrainingOptions
        from ntupleml.training.listed_methods import train_listed

        return train_listed(training, kind, folds, TrainingOptions(method, **options), where)
    from ntupleml.training.tmva_training import train_tmva

    trained = train_tmva(training, folds, method=method, where=where, **options)
    if trained.failures:
        raise NtuplemlError("; ".join(trained.failures))
    return trained.records


class Tested:
    """Trained models on the events that they never saw; made by `test`.

    ``tested["roc"]`` is the answer of a step: its `numbers` are the typed results, its `figure()` is the picture.

    Attributes
    ----------
    methods : list of str
        Methods that are tested.
    """

    def __init__(self, preparation: Preparation) -> None:
        """Take what `ntupleml.testing.preparation.prepare` gives."""
        from ntupleml.testing.material import Material

        self.methods = list(preparation.methods)
        self._material = Material(preparation)
        self._answers: dict[str, Answer] = {}

    @property
    def events(self) -> TestedEvents:
        """Events with their scores, truth, weights and inputs; read when they are first asked for."""
        return self._material.events

    @property
    def steps(self) -> list[str]:
        """Names of the steps that apply to what the models have learnt."""
        from ntupleml.testing.registry import STEPS

        return [name for name, step in STEPS.items() if self._material.target in step.targets]

    def _repr_html_(self) -> str:
        """What notebooks show: the methods, and what can be asked."""
        from ntupleml.testing.registry import STEPS

        rows = [(name, STEPS[name].title) for name in self.steps]
        return shown(f"Tested: {', '.join(self.methods)}", table(["step", "question"], rows))

    def __getitem__(self, name: str) -> Answer:
        """Answer of a step with its usual options; it is computed once."""
        if name not in self._answers:
            self._answers[name] = self.answer(name)
        return self._answers[name]

    def answer(self, name: str, **options: Any) -> Answer:
        """Answer of a step.

        Parameters
        ----------
        name : str
            One of `steps`.
        **options
            Those of the step's verb, e.g. ``working_points``; what is left out has the default of the step.

        Raises
        ------
        NtuplemlError
            For a step that does not exist (with the nearest name) or does not apply, and whatever the step refuses.
        """
        from ntupleml.testing.registry import STEPS

        if name not in STEPS:
            raise NtuplemlError(f"no step '{name}'{did_you_mean(name, self.steps)}")
        return STEPS[name](self._material, **options)


def test(
    training: ConfigSource,
    testing: ConfigSource | None = None,  # noqa: PT028 - no test of pytest
    fold: int | str = "all",  # noqa: PT028
    **options: Any,
) -> Tested:
    """Test trained models on the folds that they never saw. Nothing is written.

    Parameters
    ----------
    training : path, dictionary or TrainingConfig
    testing : path, dictionary or TestingConfig, optional
        By default the defaults of the testing config.
    fold : int or "all"
        Index of the model; all models together are tested each on its own fold.
    **options
        Those of `ntupleml.testing.preparation.prepare`: `methods` (names), `all_methods`, `condition`, `class_weights`,
        `max_events`.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with configs, models and fold files.
    """
    from ntupleml.testing.preparation import prepare

    return Tested(prepare(training, {} if testing is None else testing, str(fold), **options))


def apply(
    dataset: ConfigSource | None,
    training: ConfigSource | None,
    application: ConfigSource,
    inputs: Sequence[str | Path],
    tree: str,
    *,
    kind: Kind = "keras",
    friend: bool = False,
    overwrite: bool = False,
    output_directory: str | Path | None = None,
    keep_names: bool = False,
    workers: int | None = None,
    **options: Any,
) -> list[Path]:
    """Score ntuples into branches of their trees, or into friend trees.

    Parameters
    ----------
    dataset, training : path, dictionary or config
        None only for model files of other programs.
    application : path, dictionary or ApplicationConfig
    inputs : sequence of path
        Files, wildcards, ``@FILE`` with one such per line, or ``root://`` addresses.
    tree : str
        Tree in all of them.
    kind : {"keras", "boosted_trees", "tmva", "onnx", "lwtnn"}
        Which models score, where the application config names no method; or which files its `classifiers` are.
    friend : bool, default: False
        Whether scores go into friend trees.
    overwrite : bool, default: False
        Whether scores that exist are replaced.
    output_directory : path, optional
        Folder of the friends, or of copies with the scores.
    keep_names : bool, default: False
        Whether an output is called as its input: `{output_directory}/{folder}/{file}`.
    workers : int, optional
        Processes that share the files out; by default this one does all.
    **options
        Further ones of `ntupleml.application.plan.make_plan`, such as `engine`.

    Returns
    -------
    list of Path
        Files with the scores.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with configs, models or a file. All other files are done before that of a single one is
        raised; a second call skips them.
    """
    from functools import partial

    from ntupleml.application import make_plan
    from ntupleml.application.many_files import scored_files
    from ntupleml.application_arguments import ApplicationOptions
    from ntupleml.cluster import ClusterOptions

    folder = None if output_directory is None else str(output_directory)
    scored = scored_files(
        partial(make_plan, dataset, training, application, kind=kind, **options),
        [str(path) for path in inputs],
        tree,
        ApplicationOptions(friend, overwrite, folder, keep_names, ClusterOptions(workers)),
    )
    if scored.failures:
        raise NtuplemlError("; ".join(scored.failures))
    return scored.outputs


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
