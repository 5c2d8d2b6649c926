"""The events of a training that does not fit into memory: read from the fold files in chunks, epoch after epoch.

All class trees are read side by side in proportion to their lengths, so each chunk is a mixture of the classes in
their true proportions; it is shuffled in memory before its batches are taken.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.categories import outside_categories, warn_of_categories
from ntupleml.datasets.loading import checked_chunks, require_same_shapes
from ntupleml.datasets.splitting import SPLIT_STREAM, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import makers_of
from ntupleml.models import groups_with_vectors
from ntupleml.progress import watched
from ntupleml.training.augmentation import Augmentation
from ntupleml.training.batches import draw_balanced, group_events
from ntupleml.training.compiled_epoch import EVALUATION_BATCH, Block
from ntupleml.training.data import (
    choose_batching,
    condition_names,
    randomised_trees,
    training_weights,
)
from ntupleml.training.nuisances import fit_of_nuisances
from ntupleml.training.outputs import number_checked
from ntupleml.training.preparation import (
    Preparation,
    cut_away,
    draws_for_scalers,
    group_shapes,
    inputs_of,
    joined_batches,
    lines_of,
    log_cut,
    longest_of,
    one_hot,
    raw_batch,
    scaler_fits,
    with_extreme_lengths,
    with_lengths,
)
from ntupleml.training.target_fit import TargetFit
from ntupleml.training.weight_checks import SplitSums, check_weights, with_balanced_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree, TreeRows
    from ntupleml.events.values import InputValues
    from ntupleml.training.compiled_epoch import EpochRunner
    from ntupleml.training.weight_checks import WeightSums

log = logging.getLogger(__name__)

#: Bytes of events that are held and shuffled at a time; the peak is a few times this.
BUFFER_BYTES = 64_000_000
#: What the numbers of `uniform_by_entry` are drawn for, beside the split.
_CONDITION = 1


class _Part(NamedTuple):
    """Some events: raw inputs with conditions, class, own condition, values that are learnt, weight."""

    inputs: dict[str, NDArray[Any]]
    classes: NDArray[np.int64]
    conditions: NDArray[np.int64]
    values: NDArray[np.float32]
    weights: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64] | NDArray[np.int32] | slice) -> _Part:
        rest: Any = (array[rows] for array in self[1:])
        return _Part({name: array[rows] for name, array in self.inputs.items()}, *rest)


def _joined(parts: Sequence[_Part]) -> _Part:
    if len(parts) == 1:
        return parts[0]
    inputs = {name: np.concatenate([part.inputs[name] for part in parts]) for name in parts[0].inputs}
    rest: Any = (np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True))
    return _Part(inputs, *rest)


def _number_of_rows(read: tuple[TreeRows, NDArray[np.int64], NDArray[np.bool_]]) -> int:
    return len(read[1])


class StreamedData:
    """Events read from disk anew for each epoch, in bounded memory; see `TrainingData`."""

    def __init__(
        self,
        config: TrainingConfig,
        trees: Sequence[ClassTree],
        fold: int,
        *,
        balanced: bool,
        randomized: bool,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self.config, self._fold, self.trees = config, fold, trees
        self._trees = [tree for tree in trees if tree.num_entries]
        self._names = condition_names(trees)
        self.runner: EpochRunner | None = None
        self._randomised = randomised_trees(config, self._trees) if randomized else np.zeros(len(self._trees), bool)
        unknown = balanced or any(config.has_balanced_classes(tree.file.condition) for tree in trees)
        if unknown and not balanced and config.target_kind == "values":
            raise NtuplemlError("class_weights: 'balanced' and values cannot be streamed together; give numbers")
        self._factors = np.ones(len(self._trees)) if unknown else training_weights(config, self._trees)
        self._augmentation = Augmentation.of(config, fold)
        self._longest: dict[str, int] = {}
        # The bytes of a row of objects or images are known after the first pass.
        self._steps: list[int | None] = [None] * len(self._trees)
        self._num_chunks = 0
        if config.inputs is None:
            self._divide(4 * (len(config.variables) + len(self._names) + len(config.classes)) + 32, buffer_bytes)
        self._scan(balanced, {tree: index for index, tree in enumerate(trees)}, buffer_bytes)
        log.info(
            "streaming %d events in %d chunks per epoch", self.num_training + self.num_validation, self._num_chunks
        )

    def _divide(self, row_bytes: int, buffer_bytes: int) -> None:
        """Fix the number of events of each tree in a chunk."""
        total = sum(tree.num_entries for tree in self._trees)
        chunks = max(1, -(-total * row_bytes // buffer_bytes))
        steps = [-(-tree.num_stored // chunks) for tree in self._trees]
        self._num_chunks = max(-(-tree.num_stored // step) for tree, step in zip(self._trees, steps, strict=True))
        self._steps = [*steps]

    def _scan(self, balanced: bool, positions: dict[ClassTree, int], buffer_bytes: int) -> None:
        """First pass: count, sum the weights, fit the scalers."""
        config = self.config
        fits, learnt, makers = scaler_fits(config), TargetFit(config), makers_of(config.groups)
        told, num_values = fit_of_nuisances(config), len((config.target and config.target.values) or {})
        cut: Counter[tuple[str, str]] = Counter()
        outside: Counter[str] = Counter()
        sums = [SplitSums.empty() for _ in positions]
        checked = []
        first: InputValues | None = None
        for index, tree in enumerate(self._trees):
            wanted = -1
            read = watched(self._tree_rows(index), f"reading {tree.where}", tree.num_entries, size=_number_of_rows)
            for rows, shown, chosen in read:
                first = first or rows.inputs
                wanted = -(-number_checked(rows.inputs) // len(self._trees)) if wanted < 0 else wanted
                require_same_shapes(first, rows.inputs, tree.where)
                sums[positions[tree]].add(rows.weights, chosen)
                training = np.flatnonzero(chosen)
                cut += cut_away(rows.inputs)
                outside += outside_categories(config, rows.inputs)
                for name, fit in fits.items():
                    fit.add(*lines_of(name, rows.inputs, makers, training, rows.weights))
                learnt.add(rows.inputs, rows.values, training, rows.weights[training] * self._factors[index])
                if config.nuisances:
                    of_class = np.full(len(training), tree.class_index)
                    told.add(of_class, rows.values[training, num_values:], rows.weights[training])
                for name, length in longest_of(rows.inputs).items():
                    self._longest[name] = max(length, self._longest.get(name, 1))
                others = np.flatnonzero(~chosen)[:wanted]
                checked.append(raw_batch(rows.inputs, others, self._condition_inputs(shown[others])))
                wanted -= len(others)
        assert first is not None
        self.num_training = sum(one.training.entries for one in sums)
        self.num_validation = sum(one.validation.entries for one in sums)
        if not self.num_training or not self.num_validation:
            raise NtuplemlError("train_test_split: leaves no events to train on or to validate; there are too few")
        if not balanced:
            config = self.config = with_balanced_classes(config, list(positions), sums)
            self._factors = training_weights(config, self._trees)
        check_weights(config, list(positions), sums, balanced=balanced)
        log_cut(cut)
        warn_of_categories(config, outside, self.num_training + self.num_validation)
        self.contents = [one.all.content() for one in sums]
        self.check_batch = with_extreme_lengths(inputs_of(joined_batches(checked)))
        self.preparation = Preparation(
            {name: fit.result() for name, fit in fits.items()},
            makers,
            groups_with_vectors(config.model, config.groups),
            learnt.record(),
            group_shapes(config, first, len(self._names)),
            tuple(config.classes),
            told.result(list(positions), sums, None if balanced else training_weights(config, list(positions)))
            if config.nuisances
            else None,
        )
        self.preprocessing_events = self.num_training if config.inputs else fits["variables"].num_events
        if config.inputs is not None:
            arrays = with_lengths(first, self._longest).batch(np.arange(min(1, len(first))))
            self._divide(sum(array.nbytes for array in arrays.values()) + 32, buffer_bytes)
        groups: dict[str, int] = {}
        for tree in self._trees:
            number = sums[positions[tree]].training.entries
            groups[_group_name(tree)] = groups.get(_group_name(tree), 0) + number
        if balanced and config.model.batch_size < 0 and (config.model.events_per_class_and_batch or -1) < 0:
            raise NtuplemlError("model.batch_size: a batch of all events cannot be streamed; give a positive number")
        self.batching = choose_batching(config, balanced, groups, len(self._names))
        if not balanced and self.batching.size == self.num_training and self._num_chunks > 1:
            raise NtuplemlError("model.batch_size: a batch of all events cannot be streamed; give a positive number")
        validation = [sums[positions[tree]].validation for tree in self._trees]
        self._validation_factors = self._balancing_factors(validation) if balanced else self._factors

    def _balancing_factors(self, validation: Sequence[WeightSums]) -> NDArray[np.float64]:
        """Per tree, the factor with which all groups that have events weigh the same, see `balanced_weights`."""
        totals: dict[str, float] = {}
        for tree, sums in zip(self._trees, validation, strict=True):
            if sums.entries:
                totals[_group_name(tree)] = totals.get(_group_name(tree), 0.0) + sums.total
        number = self.num_validation / len(totals)
        return np.array([number / totals.get(_group_name(tree), np.inf) for tree in self._trees])

    def for_job(self, config: TrainingConfig) -> StreamedData | None:
        """The same events for a training that differs in seed and folder; None where the seed changes more of them."""
        if self._randomised.any() or draws_for_scalers(config):
            return None
        other = copy.copy(self)
        other.config = self.config.model_copy(update={"seed": config.seed, "output_path": config.output_path})
        other._augmentation = Augmentation.of(other.config, self._fold)
        return other

    def training_blocks(self, epoch: int) -> Iterator[Block]:
        """Events of an epoch in shuffled or balanced blocks, of one size but for the last; read from disk."""
        generator = np.random.default_rng([self.config.seed, self._fold, epoch])
        changes = None if self._augmentation is None else self._augmentation.generator(epoch)
        parts = self._parts(training=True, factors=self._factors)
        if self.batching.balanced:
            yield from self._balanced_blocks(generator, parts, changes)
            return
        size = self.batching.size
        rows = max(size, self.num_training // self._num_chunks // size * size)
        for part in _rebatched(parts, rows, generator):
            yield self._block(part, changes)

    def validation_blocks(self) -> Iterator[Block]:
        """Events that validate, read from disk."""
        rows = max(1, self.num_validation // self._num_chunks // EVALUATION_BATCH) * EVALUATION_BATCH
        for part in _rebatched(self._parts(training=False, factors=self._validation_factors), rows, None):
            yield self._block(part)

    def _balanced_blocks(
        self, generator: np.random.Generator, parts: Iterator[_Part], changes: np.random.Generator | None
    ) -> Iterator[Block]:
        """Balanced batches from each chunk in turn; a class that a chunk lacks is taken from the one before."""
        steps = np.diff(np.linspace(0, self.batching.steps, self._num_chunks + 1).astype(int))
        kept: dict[str, _Part] = {}
        for number, part in zip(steps, parts, strict=True):
            for group in group_events(part.classes, part.conditions, self.config.classes, self._names):
                if len(group.events):
                    kept[group.name] = part.take(group.events)
            if number == 0:
                continue
            pool = _joined(list(kept.values()))
            groups = group_events(pool.classes, pool.conditions, self.config.classes, self._names)
            empty = [group.name for group in groups if not len(group.events)]
            if empty:
                raise NtuplemlError(f"{empty[0]}: too few events to be balanced while streaming; set stream: false")
            drawn = draw_balanced(generator, groups, pool.weights, self.batching.events_per_group, int(number))
            block = self._block(pool.take(drawn.order), changes)
            yield block._replace(weights=drawn.weights)

    def _parts(self, *, training: bool, factors: NDArray[np.float64]) -> Iterator[_Part]:
        """Training or validation events, a chunk of all trees at a time."""

        def chosen_of(index: int) -> Iterator[_Part]:
            for part, is_training in self._tree_chunks(index, factors):
                yield part.take(np.flatnonzero(is_training == training))

        for parts in zip_longest(*(chosen_of(index) for index in range(len(self._trees)))):
            yield _joined([part for part in parts if part is not None])

    def _tree_chunks(self, index: int, factors: NDArray[np.float64]) -> Iterator[tuple[_Part, NDArray[np.bool_]]]:
        """Chunks of one tree, and which of their events train the network."""
        tree = self._trees[index]
        for rows, shown, is_training in self._tree_rows(index):
            number = len(rows.weights)
            inputs = with_lengths(rows.inputs, self._longest)
            yield (
                _Part(
                    raw_batch(inputs, slice(None), self._condition_inputs(shown)),
                    np.full(number, tree.class_index),
                    np.full(number, tree.condition_index),
                    rows.values,
                    rows.weights * factors[index],
                ),
                is_training,
            )

    def _tree_rows(self, index: int) -> Iterator[tuple[TreeRows, NDArray[np.int64], NDArray[np.bool_]]]:
        """Chunks of one tree as they are read, the condition that each event shows, and which of them train."""
        tree, config = self._trees[index], self.config
        stream = (config.seed, self._fold, index)
        start = 0
        for rows in checked_chunks(tree, config, self._steps[index]):
            entries = np.arange(start, start + len(rows.weights))
            start += len(entries)
            shown = np.full(len(entries), tree.condition_index)
            if self._randomised[index]:
                shown = (uniform_by_entry(entries, *stream, _CONDITION) * len(self._names)).astype(np.int64)
            drawn = uniform_by_entry(entries, config.seed_of_data, self._fold, index, SPLIT_STREAM)
            yield rows, shown, drawn < config.train_test_split

    def _condition_inputs(self, shown: NDArray[np.int64]) -> NDArray[np.float32]:
        return one_hot(shown, len(self._names)) if self._names else np.empty((len(shown), 0), np.float32)

    def _block(self, part: _Part, changes: np.random.Generator | None = None) -> Block:
        """Events as the network takes them, augmented where random numbers for that are given."""
        inputs, values = part.inputs, part.values
        if self._augmentation is not None and changes is not None:
            inputs, values = self._augmentation.events(inputs, values, changes)
        return Block(
            *self.preparation.prepared(inputs, part.classes, values),
            np.arange(len(part.weights), dtype=np.int32),
            part.weights.astype(np.float32),
        )


def _group_name(tree: ClassTree) -> str:
    return f"class '{tree.name}'" + (f" in '{tree.file.condition}'" if tree.file.condition is not None else "")


def _rebatched(parts: Iterator[_Part], rows: int, generator: np.random.Generator | None) -> Iterator[_Part]:
    """Events in parts of one size, so that one compiled program serves for all, and the rest at the end.

    With a generator, the events held at a time are shuffled, and as many as a part has stay until the next ones come:
    an event may be given any number of parts later than it was read.
    """
    held: _Part | None = None
    kept = 0 if generator is None else rows
    for part in parts:
        held = part if held is None else _joined([held, part])
        if generator is not None:
            held = held.take(generator.permutation(len(held.weights)))
        start = 0
        while len(held.weights) - start >= rows + kept:
            yield held.take(slice(start, start + rows))
            start += rows
        held = held.take(slice(start, None))
    for start in range(0, 0 if held is None else len(held.weights), rows):
        assert held is not None
        yield held.take(slice(start, start + rows))
