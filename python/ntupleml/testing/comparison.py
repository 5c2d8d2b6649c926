"""All methods of a config side by side: on the events that they never saw, and on those that they were fitted on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.atomic import all_or_none
from ntupleml.folds import chosen_models, held_out_fold
from ntupleml.metrics import Measurement, Performance, Undefined, performance
from ntupleml.testing.comparison_files import comparison_stem, refuse_existing_comparison, write_comparison
from ntupleml.testing.methods import WantedMethods, trained_methods, wanted_methods
from ntupleml.testing.preparation import prepare_wanted, tested_events
from ntupleml.testing.training_sample import training_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ntupleml.config import TestingConfig, TrainingConfig
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: In place of an engine, for models of other programs.
EXTERNAL = "external"


class MethodResult(NamedTuple):
    """A method of the config and how it performs.

    Attributes
    ----------
    engine : str
        What trained it, as its record has it; `external` for models of other programs.
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
    sampled : dict of str to float
        Share of the held-out events of each class that were taken, where it is less than 1.
    """

    classes: list[str]
    models: list[int]
    folds: list[int]
    results: dict[str, MethodResult]
    left_out: dict[str, str]
    factory: dict[str, dict[str, float]]
    class_weights: bool
    sampled: dict[str, float]


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
    max_events: int | None = None,
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
        Names of the methods, as the config has them or with the fold filled in, and of external models; by default
        all that are trained, and all external models.
    condition : str, optional
        Condition (era) to test, for trainings with conditions.
    class_weights : bool
        Multiply the event weights with the class weights of the training, as TMVA's factory does; by default what the
        testing config says.
    factory : mapping, optional
        Areas per class that TMVA's factory found with its own test part, by method: rows of the table.
    stem : path, optional
        Files without ending; by default ``fold{f}_methods_comparison`` in the output path of the training.
    training_path, testing_path : path
        Files of the configs, for messages.
    entries_per_chunk : int, optional
        Events read at a time.
    max_events : int, optional
        Events held in memory; of more, a random sample is taken. By default that of the testing config.
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
    preparation = prepare_wanted(
        training,
        testing,
        _wanted(training, testing, models, methods, str(training_path), str(testing_path)),
        fold,
        training_path=training_path,
        testing_path=testing_path,
        condition=condition,
        class_weights=class_weights,
        max_events=max_events,
        entries_per_chunk=entries_per_chunk,
    )
    comparison = comparison_of_methods(preparation, tested_events(preparation), factory=factory)
    with all_or_none():
        return write_comparison(comparison, stem, testing.plot, overwrite=overwrite)


def _wanted(
    training: TrainingConfig,
    testing: TestingConfig,
    models: Sequence[int],
    methods: Sequence[str] | None,
    training_path: str,
    testing_path: str,
) -> WantedMethods:
    if methods is None:
        return wanted_methods(training, testing, models, None, training_path, testing_path, all_methods=True)
    external = [name for name in methods if name in testing.external]
    if len(external) == len(methods):
        return WantedMethods(external, {}, {})
    others = [name for name in methods if name not in external]
    trained, left_out = trained_methods(training, testing, models, others, training_path)
    return WantedMethods([*trained, *external], trained, left_out)


def comparison_of_methods(
    preparation: Preparation, events: TestedEvents, *, factory: Mapping[str, Mapping[str, float]] | None = None
) -> Comparison:
    """Numbers of a comparison.

    Parameters
    ----------
    preparation : Preparation
    events : TestedEvents
        Those of the held-out folds, scored by all its methods.
    factory : mapping, optional
        Areas per class that TMVA's factory found, as for `compare_methods`.
    """
    results = {}
    for name, scores in events.scores.items():
        test = performance(scores, events.truth, events.weights, events.classes)
        trained = preparation.trained.get(name)
        engine = trained[0].record.engine if trained else EXTERNAL
        results[name] = MethodResult(engine, test, _training_performance(preparation, name))
        log.info("%s: AUC %s", name, _short(test.average_auc))
    num_folds = preparation.training.num_folds
    return Comparison(
        classes=events.classes,
        models=preparation.models,
        folds=[held_out_fold(model, num_folds) for model in preparation.models],
        results=dict(sorted(results.items(), key=lambda item: -_area(item[1].test))),
        left_out=events.left_out,
        factory={name: dict(areas) for name, areas in (factory or {}).items()},
        class_weights=bool(preparation.reading.factors),
        sampled=events.sampled,
    )


def _training_performance(preparation: Preparation, method: str) -> Performance | Undefined:
    events = training_part(preparation, method, preparation.reading.max_events)
    if isinstance(events, Undefined):
        return events
    return performance(events.scores[method], events.truth, events.weights, events.classes)


def _area(result: Performance) -> float:
    return result.average_auc.value if isinstance(result.average_auc, Measurement) else -1.0


def _short(area: Measurement | Undefined) -> str:
    return f"{area.value:.4f} ± {area.uncertainty:.4f}" if isinstance(area, Measurement) else str(area)
