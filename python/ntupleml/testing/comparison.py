"""All methods of a config side by side: on the events that they never saw, and on those that they were fitted on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.atomic import all_or_none
from ntupleml.folds import chosen_models, held_out_fold
from ntupleml.metrics import Measurement, Performance, Undefined, performance
from ntupleml.scoring import load_scorer
from ntupleml.testing.comparison_files import comparison_stem, refuse_existing_comparison, write_comparison
from ntupleml.testing.events import held_out_sample, scored_events, weights_of
from ntupleml.testing.methods import load_model, trained_methods
from ntupleml.testing.training_part import training_events, training_trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.config import TestingConfig, TrainingConfig
    from ntupleml.scoring import Scorer
    from ntupleml.testing.events import HeldOutSample

log = logging.getLogger(__name__)


class MethodResult(NamedTuple):
    """A method of the config and how it performs.

    Attributes
    ----------
    engine : str
        What trained it, as its record has it.
    test : Performance
        On the held-out folds.
    training : Performance or Undefined
        On the events that the models were fitted on.
    """

    engine: str
    test: Performance
    training: Performance | Undefined


class Comparison(NamedTuple):
    """All methods on the same events.

    Attributes
    ----------
    classes : list of str
    models, folds : list of int
        Models, and the folds that they never saw.
    results : dict of str to MethodResult
        By the names of the methods, the largest area first.
    left_out : dict of str to str
        Methods of the config that are not compared, and why.
    factory : dict of str to dict of str to float
        Areas per class that TMVA found with its own test part, by method.
    class_weights : bool
        Whether events have the class weights of the training, too.
    """

    classes: list[str]
    models: list[int]
    folds: list[int]
    results: dict[str, MethodResult]
    left_out: dict[str, str]
    factory: dict[str, dict[str, float]]
    class_weights: bool


class _Events(NamedTuple):
    """Scored events of all classes."""

    scores: NDArray[np.float32]
    truth: NDArray[np.int64]
    weights: NDArray[np.float64]


def compare_methods(
    training: TrainingConfig,
    testing: TestingConfig,
    fold: str,
    *,
    methods: Sequence[str] | None = None,
    condition: str | None = None,
    class_weights: bool = False,
    factory: Mapping[str, Mapping[str, float]] | None = None,
    stem: str | Path | None = None,
    training_path: str | Path = "CONFIG_TRAINING",
    testing_path: str | Path = "CONFIG_TESTING",
    entries_per_chunk: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Compare the trained methods of a config: write one table and one picture of their ROC curves.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
        The `model` and `preprocessing` lists of the testing config are those of its `method`, by default the network.
    fold : str
        Index of the model, or `all`: the held-out folds of all models together, each event by the model that never
        saw it.
    methods : sequence of str, optional
        Names of the methods, as the config has them or with the fold filled in; by default all that are trained.
    condition : str, optional
        Condition (era) to test, for trainings with conditions.
    class_weights : bool
        Multiply the event weights with the class weights of the training, as TMVA's factory does.
    factory : mapping, optional
        Areas per class that TMVA's factory found with its own test part, by method: rows of the table.
    stem : path, optional
        Files without ending; by default ``fold{f}_methods_comparison`` in the output path of the training.
    training_path, testing_path : path
        Files of the configs, for messages.
    entries_per_chunk : int, optional
        Events read at a time.
    overwrite : bool, default: False
        Whether existing results may be replaced.

    Returns
    -------
    list of Path
        The files written: .txt, .yaml, .pdf and .png.

    Raises
    ------
    NtuplemlError
        If no method is trained, or one that is asked for is not, for results that exist already, and for everything
        wrong with fold, condition, models, fold files and their branches.
    """
    stem = comparison_stem(training.output_path, fold, condition) if stem is None else stem
    models = chosen_models(fold, training.num_folds, str(training_path))
    refuse_existing_comparison(stem, overwrite=overwrite)
    comparison = comparison_of_methods(
        training,
        testing,
        models,
        methods=methods,
        condition=condition,
        class_weights=class_weights,
        factory=factory,
        training_path=training_path,
        testing_path=testing_path,
        entries_per_chunk=entries_per_chunk,
    )
    with all_or_none():
        return write_comparison(comparison, stem, testing.plot, overwrite=overwrite)


def comparison_of_methods(
    training: TrainingConfig,
    testing: TestingConfig,
    models: Sequence[int],
    *,
    methods: Sequence[str] | None = None,
    condition: str | None = None,
    class_weights: bool = False,
    factory: Mapping[str, Mapping[str, float]] | None = None,
    training_path: str | Path = "CONFIG_TRAINING",
    testing_path: str | Path = "CONFIG_TESTING",
    entries_per_chunk: int | None = None,
) -> Comparison:
    """Numbers of `compare_methods`, whose parameters these are; `models` are the indices of the models."""
    samples = [held_out_sample(training, model, condition, str(training_path)) for model in models]
    available, left_out = trained_methods(training, testing, models, methods, str(training_path))
    weight_branch, weight_key = weights_of(training, testing, training_path, testing_path)
    factors = np.ones(len(training.classes))
    if class_weights:
        factors = np.array(list(training.class_weights_of(condition).values()))
    results = {}
    for name, per_model in available.items():
        trained = [
            load_model(training, testing, name, method, model, str(training_path), str(testing_path))
            for model, method in zip(models, per_model, strict=True)
        ]
        results[name] = _method_result(
            training, samples, trained, weight_branch, weight_key, factors, condition, entries_per_chunk
        )
        log.info("%s: AUC %s", name, _short(results[name].test.average_auc))
    return Comparison(
        classes=list(training.classes),
        models=list(models),
        folds=[held_out_fold(model, training.num_folds) for model in models],
        results=dict(sorted(results.items(), key=lambda item: -_area(item[1].test))),
        left_out=left_out,
        factory={name: dict(areas) for name, areas in (factory or {}).items()},
        class_weights=class_weights,
    )


def _method_result(
    training: TrainingConfig,
    samples: Sequence[HeldOutSample],
    trained: Sequence[TrainedModel],
    weight_branch: str | None,
    weight_key: str,
    factors: NDArray[np.float64],
    condition: str | None,
    entries_per_chunk: int | None,
) -> MethodResult:
    """Performance of the models of one method, their events pooled."""
    scorers = [load_scorer([model]) for model in trained]
    parts = (
        part
        for sample, model, scorer in zip(samples, trained, scorers, strict=True)
        for part in _test_parts(sample, model, scorer, weight_branch, weight_key, entries_per_chunk)
    )
    test = _pooled(parts, len(factors))
    on_test = performance(test.scores, test.truth, test.weights * factors[test.truth], training.classes)
    del test  # so that only one part is in memory at a time
    on_training = _training_performance(training, trained, scorers, weight_branch, factors, condition)
    return MethodResult(trained[0].record.engine, on_test, on_training)


def _training_performance(
    training: TrainingConfig,
    trained: Sequence[TrainedModel],
    scorers: Sequence[Scorer],
    weight_branch: str | None,
    factors: NDArray[np.float64],
    condition: str | None,
) -> Performance | Undefined:
    parts = []
    for model, scorer in zip(trained, scorers, strict=True):
        trees = training_trees(training, model.record)
        if isinstance(trees, Undefined):
            log.warning("%s: no numbers of its training part: %s", model.files.model, trees)
            return trees
        for scores, weights, index in training_events(training, model.record, trees, scorer, weight_branch, condition):
            parts.append(_Events(scores, np.full(len(scores), index), weights))
    events = _pooled(parts, len(factors))
    return performance(events.scores, events.truth, events.weights * factors[events.truth], training.classes)


def _test_parts(
    sample: HeldOutSample,
    model: TrainedModel,
    scorer: Scorer,
    weight_branch: str | None,
    weight_key: str,
    entries_per_chunk: int | None,
) -> Iterable[_Events]:
    for index, name in enumerate(scorer.classes):
        for scores, weights in scored_events(
            sample, name, scorer, model.record, weight_branch, entries_per_chunk, weight_key=weight_key
        ):
            yield _Events(scores, np.full(len(scores), index), weights)


def _pooled(parts: Iterable[_Events], num_classes: int) -> _Events:
    found = list(parts)
    if not found:
        return _Events(np.zeros((0, num_classes), np.float32), np.zeros(0, np.int64), np.zeros(0))
    return _Events(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


def _area(result: Performance) -> float:
    return result.average_auc.value if isinstance(result.average_auc, Measurement) else -1.0


def _short(area: Measurement | Undefined) -> str:
    return f"{area.value:.4f} ± {area.uncertainty:.4f}" if isinstance(area, Measurement) else str(area)
