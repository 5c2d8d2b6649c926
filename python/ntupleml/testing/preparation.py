"""Configs and FOLD to the material of a step: models, held-out folds, methods, columns to read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.config.define import OF_TESTING, completed_by
from ntupleml.datasets.excluding import trained_keys
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.groups import groups_to_read, image_groups
from ntupleml.folds import chosen_models
from ntupleml.targets import TARGET_IMAGE
from ntupleml.testing.blinding import branches_of_blind
from ntupleml.testing.events import held_out_sample, weights_of
from ntupleml.testing.external_models import external_sources
from ntupleml.testing.methods import load_model, method_in_files, wanted_methods
from ntupleml.testing.scored_parts import POINTS, SYSTEMATICS, Reading
from ntupleml.testing.search import signal_of
from ntupleml.testing.signals import signals_of
from ntupleml.testing.sources import trained_source
from ntupleml.testing.tested_events import read_recorded_data, read_tested_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.artifacts import TrainedModel
    from ntupleml.config import ConfigSource
    from ntupleml.metrics import Undefined
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.methods import WantedMethods
    from ntupleml.testing.sources import ScoreSource
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preparation:
    """Everything that is decided before events are read."""

    training: TrainingConfig
    testing: TestingConfig
    #: Files of the configs, for messages.
    training_path: str
    testing_path: str
    #: Index of the model, or `all`.
    fold: str
    #: Condition (era) that is tested.
    condition: str | None
    #: Indices of the models.
    models: list[int]
    #: Their held-out folds.
    samples: list[HeldOutSample]
    #: Methods that are tested, by the names that the config has.
    methods: list[str]
    #: By method, once per model; external models have none.
    trained: dict[str, list[TrainedModel]]
    #: By model.
    sources: dict[int, list[ScoreSource]]
    reading: Reading
    #: Methods of the config that cannot be tested, and why.
    left_out: dict[str, str] = field(default_factory=dict)
    #: Whether a method that cannot score the events is left out, in place of raising its error.
    tolerant: bool = False
    #: Largest number of events, where the user gave it beside the configs.
    asked_events: int | None = None

    @property
    def method(self) -> str:
        """The method, where there is one; `methods` where there are several."""
        return self.methods[0] if len(self.methods) == 1 else "methods"

    def stem(self, name: str) -> Path:
        """Path without ending of a picture, e.g. ``example/fold0_keras_roc_signal``.

        Of several methods together it is ``example/fold0_methods_roc_signal``, and of all folds pooled
        ``example/foldall_keras_roc_signal``.
        """
        method = method_in_files(self.method, self.fold)
        suffix = "" if self.condition is None else f"_{self.condition}"
        return Path(self.training.output_path) / f"fold{self.fold}_{method}_{name}{suffix}"


def prepare(
    training_config: ConfigSource,
    testing_config: ConfigSource,
    fold: str,
    *,
    methods: Sequence[str] | None = None,
    all_methods: bool = False,
    condition: str | None = None,
    class_weights: bool = False,
    max_events: int | None = None,
    entries_per_chunk: int | None = None,
    tolerant: bool = False,
) -> Preparation:
    """Read and check the configs, and find the models and the fold files that they are tested on.

    Parameters
    ----------
    training_config, testing_config : path, dictionary or config
    fold : str
        Index of the model, or `all`: the held-out folds of all models together, each event by the model that never
        saw it.
    methods : sequence of str, optional
        Names of methods or external models; by default the testing config's `method`, else the Keras network.
    all_methods : bool, default: False
        Take all methods that are trained, and all external models, where `methods` are not given.
    condition : str, optional
        Condition (era) to test, for trainings with conditions.
    class_weights : bool, default: False
        Multiply with class weights also where the testing config does not ask for it.
    max_events, entries_per_chunk : int, optional
        Events held in memory, and events read at a time; by default those of the testing config and what fits well.
    tolerant : bool, default: False
        Leave out what cannot be tested, in place of raising its error.

    Raises
    ------
    NtuplemlError
        For everything wrong with configs, fold, condition, methods and models.
    """
    training = load_config(training_config, TrainingConfig)
    testing = completed_by(load_config(testing_config, TestingConfig), training, OF_TESTING)
    _warn_of_other_labels(testing, tested_classes(training, testing))
    models = chosen_models(fold, training.num_folds, training.where)
    for model in models:  # so that a condition that is not there is the first thing to be said
        held_out_sample(training, model, condition, training.where)
    wanted = wanted_methods(training, testing, models, methods, training.where, testing.where, all_methods=all_methods)
    return prepare_wanted(
        training,
        testing,
        wanted,
        fold,
        training_path=training.where,
        testing_path=testing.where,
        condition=condition,
        class_weights=class_weights,
        max_events=max_events,
        entries_per_chunk=entries_per_chunk,
        tolerant=tolerant,
    )


def tested_classes(training: TrainingConfig, testing: TestingConfig) -> list[str]:
    """Trees of the fold files that are tested.

    Raises
    ------
    NtuplemlError
        For others than the classes of the training, where the models tell these apart.
    """
    wanted = testing.classes or training.classes
    if training.target is None and set(wanted) != set(training.classes):
        others = ", ".join(f"'{name}'" for name in training.classes)
        raise NtuplemlError(
            f"{testing.where}: classes: the models tell {others} apart, so these are tested; leave the key out"
        )
    return list(wanted)


def _warn_of_other_labels(testing: TestingConfig, classes: Sequence[str]) -> None:
    """Warn about labels of unknown classes; they are no error, as one `plot` block may serve several trainings."""
    for name in testing.plot.class_labels:
        if name not in classes and name != testing.data_class:
            hint = did_you_mean(name, classes)
            log.warning("%s: plot.class_labels: no class '%s' in the training config%s", testing.where, name, hint)


def prepare_wanted(
    training: TrainingConfig,
    testing: TestingConfig,
    wanted: WantedMethods,
    fold: str,
    *,
    training_path: str | Path = "CONFIG_TRAINING",
    testing_path: str | Path = "CONFIG_TESTING",
    condition: str | None = None,
    class_weights: bool = False,
    max_events: int | None = None,
    entries_per_chunk: int | None = None,
    tolerant: bool = False,
) -> Preparation:
    """As `prepare`, with configs that are read already and methods that are chosen already."""
    models = chosen_models(fold, training.num_folds, str(training_path))
    samples = [held_out_sample(training, model, condition, str(training_path)) for model in models]
    loaded = _loaded(training, testing, wanted, samples, str(training_path), str(testing_path), tolerant=tolerant)
    training = _with_class_weights(training, condition, loaded.trained)
    beside = _beside_inputs(training, testing)
    weight_branch, weight_key = weights_of(training, testing, training_path, testing_path)
    classes = tested_classes(training, testing)
    signals_of(testing, classes)  # so that one that is no class is known before anything is read
    return Preparation(
        training,
        testing,
        str(training_path),
        str(testing_path),
        fold,
        condition,
        models,
        samples,
        list(loaded.sources),
        loaded.trained,
        {
            sample.model: [per_model[index] for per_model in loaded.sources.values()]
            for index, sample in enumerate(samples)
        },
        Reading(
            classes,
            training.numbers,
            [name for name in beside if name not in training.numbers],
            weight_branch,
            weight_key,
            training.class_weights_of(condition) if class_weights or testing.class_weights else {},
            max_events or testing.max_events,
            testing.seed,
            entries_per_chunk,
            [] if training.target is None else training.outputs,
            list(training.target.values.values()) if training.target and training.target.values else [],
            next((group for group in groups_to_read(training) if group.name == TARGET_IMAGE), None),
            beside,
            None if testing.search is None else signal_of(testing.search, classes),
            trained_keys(testing.exclude_trained_by, testing.where),
            {} if testing.regression is None else image_groups(testing.regression.images),
        ),
        loaded.left_out,
        tolerant,
        max_events,
    )


def _beside_inputs(training: TrainingConfig, testing: TestingConfig) -> dict[str, str]:
    """What steps need of the events beside the inputs, and the key of a config that names it."""
    points = [] if testing.search is None else testing.search.points
    slices = [] if testing.slices is None else [testing.slices.variable]
    parameters = [] if training.parameters is None else training.parameters.names
    keys = {POINTS: points, "slices: variable": slices, "spectators": testing.spectators, "parameters": parameters}
    of_trigger = {} if testing.trigger is None else testing.trigger.formulas
    named = {formula: f"trigger: {key}" for key, formula in of_trigger.items()}
    of_values = {} if testing.regression is None else testing.regression.formulas
    named |= {formula: f"regression: {key}" for key, formula in of_values.items()}
    if testing.abcd is not None:
        named[testing.abcd.other] = "abcd: other"
    for source, systematic in testing.systematics.items():
        weights = {direction: shift.weight for direction, shift in systematic.shifts.items()}
        named |= {one: f"{SYSTEMATICS}: {source}: {key}" for key, one in weights.items() if one is not None}
    named |= dict.fromkeys(branches_of_blind(testing, training.classes), "blind")
    return named | {name: key for key, names in keys.items() for name in names}


def _with_class_weights(
    training: TrainingConfig, condition: str | None, trained: Mapping[str, Sequence[TrainedModel]]
) -> TrainingConfig:
    """The config with the mean class weights of the models' records where they come from the events that train."""
    if not training.has_balanced_classes(condition):
        return training
    found = []
    for record in (model.record for models in trained.values() for model in models):
        block = record.config if condition is None else record.config.get("conditions", {}).get(condition, {})
        weights = block.get("class_weights")
        if isinstance(weights, dict) and all(isinstance(weights.get(name), int | float) for name in training.classes):
            found.append([float(weights[name]) for name in training.classes])
    if not found:
        log.warning("%s: class_weights: no model's record has their numbers; all count 1", training.where)
    means = np.mean(found or [[1.0] * len(training.classes)], axis=0)
    return training.with_class_weights({condition: dict(zip(training.classes, map(float, means), strict=True))})


class _Loaded(NamedTuple):
    """Sources of scores by method, once per model; models of methods of the training config; what is left out."""

    sources: dict[str, list[ScoreSource]]
    trained: dict[str, list[TrainedModel]]
    left_out: dict[str, str]


def _loaded(
    training: TrainingConfig,
    testing: TestingConfig,
    wanted: WantedMethods,
    samples: Sequence[HeldOutSample],
    training_path: str,
    testing_path: str,
    *,
    tolerant: bool,
) -> _Loaded:
    """Load the models of all methods; with `tolerant` those that cannot be loaded are left out."""
    loaded = _Loaded({}, {}, dict(wanted.left_out))
    for name in wanted.names:
        try:
            if name in wanted.trained:
                loaded.trained[name] = [
                    load_model(training, testing, name, method, sample.model, training_path, testing_path)
                    for sample, method in zip(samples, wanted.trained[name], strict=True)
                ]
                loaded.sources[name] = [
                    trained_source(name, sample, model)
                    for sample, model in zip(samples, loaded.trained[name], strict=True)
                ]
            else:
                loaded.sources[name] = external_sources(
                    name, testing.external[name], training, samples, training_path, testing_path
                )
        except NtuplemlError as error:
            if not tolerant:
                raise
            loaded.trained.pop(name, None)
            loaded.left_out[name] = str(error)
            log.warning("%s: left out: %s", name, error)
    if not loaded.sources:
        name, reason = next(iter(loaded.left_out.items()))
        raise NtuplemlError(f"no method can be tested: {name}: {reason}")
    return loaded


def tested_events(preparation: Preparation) -> TestedEvents:
    """Events of the held-out folds, scored by all methods; see `read_tested_events`."""
    return read_tested_events(
        preparation.samples,
        preparation.sources,
        preparation.reading,
        tolerant=preparation.tolerant,
        left_out=preparation.left_out,
    )


tested_events.__test__ = False  # type: ignore[attr-defined]  # the name begins with "test", but it is none


def recorded_data(preparation: Preparation) -> TestedEvents | Undefined:
    """Recorded data in the held-out folds, scored by all methods; see `read_recorded_data`."""
    return read_recorded_data(
        preparation.samples,
        preparation.sources,
        preparation.reading,
        preparation.testing.data_class,
        tolerant=preparation.tolerant,
    )
