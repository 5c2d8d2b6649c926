"""The events of a training in memory: split, scaled, and handed out epoch by epoch."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ntupleml.datasets.categories import outside_categories, warn_of_categories
from ntupleml.datasets.loading import load_events
from ntupleml.datasets.splitting import split_events
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import makers_of
from ntupleml.models import groups_with_vectors
from ntupleml.training.augmentation import Augmentation
from ntupleml.training.batches import (
    Group,
    balanced_weights,
    draw_balanced,
    group_events,
    recommended_steps,
    shuffled,
)
from ntupleml.training.compiled_epoch import Block
from ntupleml.training.nuisances import fit_of_nuisances
from ntupleml.training.outputs import number_checked
from ntupleml.training.preparation import (
    Preparation,
    cut_away,
    draws_for_scalers,
    fit_scalers,
    group_shapes,
    inputs_of,
    log_cut,
    longest_of,
    one_hot,
    raw_batch,
    with_extreme_lengths,
    with_lengths,
)
from ntupleml.training.target_fit import TargetFit
from ntupleml.training.weight_checks import check_weights, split_sums, weight_factor, with_balanced_classes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import ClassContent
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree, Events
    from ntupleml.datasets.splitting import Split
    from ntupleml.training.compiled_epoch import EpochRunner
    from ntupleml.training.weight_checks import SplitSums

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batching:
    """Size and kind of the batches."""

    #: Events per batch.
    size: int
    #: Events of each class and condition in a batch, and batches per epoch; 0 where batches are not balanced.
    events_per_group: int = 0
    steps: int = 0

    @property
    def balanced(self) -> bool:
        """Whether all classes weigh the same in each batch."""
        return self.events_per_group > 0


class TrainingData(Protocol):
    """What the loop over epochs needs to know of the events, in memory or streamed."""

    config: TrainingConfig
    trees: Sequence[ClassTree]
    preparation: Preparation
    contents: list[ClassContent]
    num_training: int
    num_validation: int
    preprocessing_events: int
    batching: Batching
    #: Raw events that validate, on which files are compared.
    check_batch: dict[str, NDArray[Any]]

    def training_blocks(self, epoch: int) -> Iterable[Block]:
        """Events of an epoch, in the order of use."""

    def validation_blocks(self) -> Iterable[Block]:
        """Events that validate."""


class LoadedData(TrainingData, Protocol):
    """Events as they are loaded, which trainings that differ in the seed alone may share."""

    #: Compiled epochs of those trainings; None before the first.
    runner: EpochRunner | None

    def for_job(self, config: TrainingConfig) -> LoadedData | None:
        """The same events for a training that differs in seed and folder; None where the seed changes more of them."""


def condition_names(trees: Sequence[ClassTree]) -> list[str]:
    """Names of the conditions, in order; none where the training has no conditions."""
    return [name for name in dict.fromkeys(tree.file.condition for tree in trees) if name is not None]


def training_weights(
    config: TrainingConfig, trees: Sequence[ClassTree], events: Events | None = None
) -> NDArray[np.float64]:
    """Factor of the event weights per tree, or where events are given their weights with it."""
    factors = np.array([weight_factor(config, tree) for tree in trees])
    return factors if events is None else events.weights * factors[events.trees]


def randomised_trees(config: TrainingConfig, trees: Sequence[ClassTree]) -> NDArray[np.bool_]:
    """For each tree, whether its class is one of those whose condition is drawn at random."""
    prefixes = tuple(config.randomize_classes)
    chosen = np.array([tree.name.startswith(prefixes) for tree in trees])
    if not chosen.any():
        raise NtuplemlError(
            f"--randomization: no class begins with one of randomize_classes: {', '.join(prefixes)}; fix the config"
        )
    if not condition_names(trees):
        raise NtuplemlError("--randomization: draws conditions at random; it needs --conditional")
    return chosen


def drawn_conditions(
    config: TrainingConfig, trees: Sequence[ClassTree], origin: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Condition that each event shows to the network: its own, or a random one for the classes to be randomised."""
    conditions = np.array([tree.condition_index for tree in trees])[origin]
    chosen = randomised_trees(config, trees)[origin]
    conditions[chosen] = generator.integers(0, len(condition_names(trees)), size=np.count_nonzero(chosen))
    return conditions


def choose_batching(
    config: TrainingConfig, balanced: bool, group_sizes: Mapping[str, int], num_conditions: int
) -> Batching:
    """Sizes of the batches, with htt-ml's meaning of `eventsPerClassAndBatch` and `steps_per_epoch`.

    A negative size means all training events in one batch.

    Parameters
    ----------
    group_sizes : mapping
        Number of training events of each class and condition, by the names of `group_events`.
    num_conditions : int
        0 or more; balanced steps are multiplied by it.
    """
    model = config.model
    per_class = model.events_per_class_and_batch
    num_training = sum(group_sizes.values())
    if not balanced:
        size = model.batch_size if per_class is None else per_class * len(config.classes)
        return Batching(num_training if size < 0 else min(size, num_training))
    if per_class is None:
        per_class = max(1, model.batch_size // len(group_sizes)) if model.batch_size > 0 else -1
    if per_class < 0:
        per_class = max(1, num_training // len(group_sizes))
    recommended = recommended_steps(group_sizes.values(), per_class)
    steps = model.steps_per_epoch or recommended
    log.info(
        "balanced batches of %d events of each class: %d steps per epoch recommended, %d taken%s",
        per_class,
        recommended,
        steps,
        f", times {num_conditions} conditions" if num_conditions > 1 else "",
    )
    return Batching(per_class * len(group_sizes), per_class, steps * max(num_conditions, 1))


def load_split(
    config: TrainingConfig, trees: Sequence[ClassTree], **checks: bool
) -> tuple[TrainingConfig, Events, Split, list[SplitSums]]:
    """All events in memory, which of them train, and their sums by tree; `checks` are those of `check_weights`.

    The config comes back with numbers for class weights that are balanced.
    """
    events = load_events(config, trees)
    warn_of_categories(config, outside_categories(config, events.inputs), len(events.weights))
    split = split_events(len(events.weights), config.train_test_split, config.seed_of_data)
    sums = split_sums(events.weights, events.trees, split.training, len(trees))
    if not checks.get("balanced"):  # balanced batches need no class weights
        config = with_balanced_classes(config, trees, sums)
    check_weights(config, trees, sums, **checks)
    return config, events, split, sums


class MemoryData:
    """Events in memory. Tensors hold what the compiled epochs take."""

    def __init__(
        self, config: TrainingConfig, trees: Sequence[ClassTree], fold: int, *, balanced: bool, randomized: bool
    ) -> None:
        import tensorflow as tf

        self.trees = trees
        self._fold, self._randomized = fold, randomized
        self.runner: EpochRunner | None = None
        names = condition_names(trees)
        config, events, split, sums = load_split(config, trees, balanced=balanced)
        self.config, self.contents = config, [one.all.content() for one in sums]
        self.preprocessing_events = len(split.training)
        self.num_training, self.num_validation = len(split.training), len(split.validation)
        shown = np.array([tree.condition_index for tree in trees])[events.trees]
        own = shown
        if randomized:
            generator = np.random.default_rng([config.seed, fold, 0, 1])
            shown = drawn_conditions(config, trees, events.trees, generator)
        condition_inputs = one_hot(shown, len(names)) if names else np.empty((len(shown), 0), dtype=np.float32)
        classes = np.array([tree.class_index for tree in trees])[events.trees]

        def groups_of(rows: NDArray[np.int64]) -> list[Group]:
            return group_events(classes[rows], own[rows], config.classes, names)

        self._groups = groups_of(split.training)
        sizes = {group.name: len(group.events) for group in self._groups}
        self.batching = choose_batching(config, balanced, sizes, len(names))
        weights = events.weights if balanced else training_weights(config, trees, events)
        self._weights = weights[split.training]
        self._single_weights = self._weights.astype(np.float32)
        validation_weights = weights[split.validation]
        if balanced:
            validation_weights = balanced_weights(groups_of(split.validation), validation_weights)
        learnt = TargetFit(config)
        num_values = events.values.shape[1] - len(config.nuisances)
        learnt.add(events.inputs, events.values, split.training, self._weights)
        nuisances = None
        if config.nuisances:
            fit = fit_of_nuisances(config)
            fit.add(classes[split.training], events.values[split.training, num_values:], events.weights[split.training])
            nuisances = fit.result(trees, sums, None if balanced else training_weights(config, trees))
        log_cut(cut_away(events.inputs))
        self.preparation = Preparation(
            fit_scalers(config, events.inputs, split.training, events.weights),
            makers_of(config.groups),
            groups_with_vectors(config.model, config.groups),
            learnt.record(),
            group_shapes(config, events.inputs, len(names)),
            tuple(config.classes),
            nuisances,
        )
        inputs = with_lengths(events.inputs, longest_of(events.inputs))
        checked = split.validation[: number_checked(inputs)]
        self.check_batch = with_extreme_lengths(inputs_of(raw_batch(inputs, checked, condition_inputs[checked])))

        def arrays(rows: NDArray[np.int64]) -> Any:
            return raw_batch(inputs, rows, condition_inputs[rows]), classes[rows], events.values[rows]

        def tensors(of_rows: Any) -> Any:
            return tf.nest.map_structure(tf.constant, self.preparation.prepared(*of_rows))

        self._augmentation = Augmentation.of(config, fold)
        # what is augmented in each epoch, or the tensors of all epochs
        self._training = arrays(split.training) if self._augmentation else tensors(arrays(split.training))
        rows = np.arange(self.num_validation, dtype=np.int32)
        taken, targets = tensors(arrays(split.validation))
        self._validation = Block(taken, targets, rows, validation_weights.astype(np.float32))

    def for_job(self, config: TrainingConfig) -> MemoryData | None:
        """The same events for a training that differs in seed and folder; None where the seed changes more of them."""
        if self._randomized or draws_for_scalers(config):
            return None
        other = copy.copy(self)
        other.config = self.config.model_copy(update={"seed": config.seed, "output_path": config.output_path})
        other._augmentation = Augmentation.of(other.config, self._fold)
        return other

    def training_blocks(self, epoch: int) -> list[Block]:
        """Events of an epoch as one block, shuffled or drawn; the same for the same seed, fold and epoch."""
        generator = np.random.default_rng([self.config.seed, self._fold, epoch])
        if self.batching.balanced:
            drawn = draw_balanced(
                generator, self._groups, self._weights, self.batching.events_per_group, self.batching.steps
            )
        else:
            drawn = shuffled(generator, self._single_weights)
        if self._augmentation is None:
            inputs, targets = self._training
        else:
            batch, classes, values = self._training
            augmented, turned = self._augmentation.events(batch, values, self._augmentation.generator(epoch))
            inputs, targets = self.preparation.prepared(augmented, classes, turned)
        return [Block(inputs, targets, drawn.order, drawn.weights)]

    def validation_blocks(self) -> list[Block]:
        """Events that validate, as one block."""
        return [self._validation]
