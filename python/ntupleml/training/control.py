"""A control sample beside the events of a training: simulation and data whose scores are to be distributed alike."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.adversary import AdversaryConfig
from ntupleml.datasets.loading import class_trees, fold_files, load_events
from ntupleml.datasets.splitting import split_events
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.metrics.sliced_distances import NO_SLICE, slice_names, sliced_distances, slices_of
from ntupleml.training.compiled_epoch import Block
from ntupleml.training.data import Batching
from ntupleml.training.preparation import longest_of, one_hot, raw_batch, with_lengths
from ntupleml.training.record_parts import dataset_records, fold_division
from ntupleml.training.weight_checks import split_sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.config.adversary import ControlConfig
    from ntupleml.datasets.hypotheses import Hypotheses
    from ntupleml.datasets.loading import ClassTree, Events
    from ntupleml.metrics.sliced_distances import SlicedDistances
    from ntupleml.training.data import TrainingData
    from ntupleml.training.preparation import Preparation
    from ntupleml.training.weight_checks import SplitSums

log = logging.getLogger(__name__)

_KEY = "adversary.against"
#: What random numbers of an epoch are drawn for, beside those of the events.
_CONTROL = 2


def control_config(config: TrainingConfig) -> TrainingConfig:
    """The training config as the reader of events takes it for the control sample: its two samples are the classes."""
    control = config.control
    assert control is not None
    slices = control.slices
    return config.model_copy(
        update={
            "classes": list(control.classes),
            "datasets": control.datasets or config.datasets,
            "event_weights": control.event_weights or config.event_weights,
            "class_weights": None,
            "global_weight_scale": 1.0,
            "target": None,
            "selections": {},
            "equal_numbers": False,
            "reweight": None,
            "adversary": None if slices is None else AdversaryConfig(against=[slices.variable]),
        }
    )


def control_trees(config: TrainingConfig, fold: int, hypotheses: Hypotheses | None = None) -> list[ClassTree]:
    """Trees of the control sample in the fold files that a model is trained on, checked to have what is needed.

    Parameters
    ----------
    hypotheses : Hypotheses, optional
        Of the training, where it has parameters.
    """
    own = control_config(config)
    try:
        trees = class_trees(own, fold_files(own, fold, conditional=False), hypotheses)
        fold_division(trees, config.num_folds)
    except NtuplemlError as error:
        raise NtuplemlError(f"{_KEY}: {error}") from None
    return trees


class _Part(NamedTuple):
    """Rows of the control sample that train, or that validate."""

    inputs: Any
    is_data: NDArray[np.bool_]
    weights: NDArray[np.float64]
    #: Slice of each row.
    slices: NDArray[np.intp]


class ControlSample:
    """The control sample in memory, as a network takes it.

    Attributes
    ----------
    trees : list of ClassTree
        Where it is from.
    training, validation
        Its rows, split as those of the classes.
    """

    def __init__(self, config: TrainingConfig, trees: Sequence[ClassTree], preparation: Preparation) -> None:
        own, control = control_config(config), config.control
        assert control is not None
        self._control, self.trees = control, list(trees)
        events = load_events(own, trees)
        split = split_events(len(events.weights), config.train_test_split, config.seed_of_data)
        sums = split_sums(events.weights, events.trees, split.training, len(trees))
        of_sample = np.array([tree.class_index for tree in trees])
        self.contents = [one.all.content() for one in sums]
        self._factors = _factors(own, control, of_sample, sums)
        weights = events.weights * self._factors[of_sample[events.trees]]
        inputs = with_lengths(events.inputs, longest_of(events.inputs))
        empty = np.empty((len(weights), 0), np.float32)

        def part(rows: NDArray[np.int64]) -> _Part:
            taken = preparation.taken(raw_batch(inputs, rows, empty[rows]), len(rows))
            return _Part(taken, of_sample[events.trees][rows] == 1, weights[rows], self._slices(events, rows))

        self.training, self.validation = part(split.training), part(split.validation)
        self._warn_of_empty_slices()

    def _slices(self, events: Events, rows: NDArray[np.int64]) -> NDArray[np.intp]:
        if self._control.slices is None:
            return np.zeros(len(rows), np.intp)
        return slices_of(events.values[rows, 0], self._control.slices.edges)

    @property
    def num_slices(self) -> int:
        """How many slices there are."""
        return 1 if self._control.slices is None else len(self._control.slices.edges) + 1

    def distances(self, scores: NDArray[Any]) -> SlicedDistances:
        """Kolmogorov-Smirnov distances of the scores of the rows that validate."""
        part = self.validation
        return sliced_distances(scores, part.is_data, part.weights, part.slices, self.num_slices)

    def _warn_of_empty_slices(self) -> None:
        """Say which slices have no distance; refuse where none has one."""
        slices = self._control.slices
        names = ("all rows",) if slices is None else slice_names(slices.variable, slices.edges)
        (tests,) = self.distances(np.zeros((len(self.validation.weights), 1))).tests
        names_of_samples = zip(("first sample", "second sample"), self._control.classes, strict=True)
        missing = {name: one.reason for name, one in zip(names, tests, strict=True) if isinstance(one, Undefined)}
        for old, new in names_of_samples:
            missing = {name: reason.replace(old, f"'{new}'") for name, reason in missing.items()}
        for name, reason in missing.items():
            text = f"{_KEY}: no Kolmogorov-Smirnov distance of the rows that validate in {name}: {reason}"
            if len(missing) == len(names):
                raise NtuplemlError(f"{text}; the control sample needs more rows")
            log.warning("%s; the sum is that of the other slices (move adversary.against.slices.edges)", text)
        outside = int(np.count_nonzero(self.validation.slices == NO_SLICE))
        if outside:
            log.warning("%s.slices: %d rows that validate are in no slice, as the variable is NaN", _KEY, outside)

    def record(self) -> dict[str, Any]:
        """What the record of the training has of it."""
        records = dataset_records(self.trees, self.contents)
        return {
            "datasets": [one.model_dump(mode="json") for one in records],
            "factors": dict(zip(self._control.classes, self._factors.tolist(), strict=True)),
            "split": {"training": len(self.training.weights), "validation": len(self.validation.weights)},
        }


def _factors(
    config: TrainingConfig, control: ControlConfig, of_sample: NDArray[np.int64], sums: Sequence[SplitSums]
) -> NDArray[np.float64]:
    """Factor of the weights of both samples.

    Rescaled, both have the same sum among the rows that train, and a row weighs 1 on average.
    """
    totals, entries = np.zeros(2), np.zeros(2)
    for index, one in zip(of_sample, sums, strict=True):
        totals[index] += one.training.total
        entries[index] += one.training.entries
    for name, total, number in zip(control.classes, totals, entries, strict=True):
        if not total > 0:
            what = f"sum to {total:.6g}; a positive sum is needed" if number else "are none; it needs more rows"
            branch = f", branch '{config.event_weights}'" if config.event_weights else ""
            raise NtuplemlError(f"{_KEY}: '{name}'{branch}: the weights of its rows that train {what}")
    factors = entries.sum() / 2 / totals if control.rescale else np.ones(2)
    log.info(
        "control sample: %s",
        ", ".join(
            f"'{name}' {number:.0f} rows that train, weights times {factor:.6g}"
            for name, number, factor in zip(control.classes, entries, factors, strict=True)
        ),
    )
    return factors


class WithControl:
    """The events of a training, and in each batch as many rows of the control sample behind them; see `TrainingData`.

    What is not of the batches is that of the events themselves.
    """

    def __init__(self, data: TrainingData, sample: ControlSample, fold: int) -> None:
        self.config, self.trees, self.preparation = data.config, data.trees, data.preparation
        self.contents, self.check_batch = data.contents, data.check_batch
        self.num_training, self.num_validation = data.num_training, data.num_validation
        self.preprocessing_events = data.preprocessing_events
        self._data, self._sample, self._fold = data, sample, fold
        steps = data.batching.steps or -(-data.num_training // data.batching.size)
        self.batching = Batching(2 * data.batching.size, data.batching.events_per_group, steps)

    def training_blocks(self, epoch: int) -> Iterator[Block]:
        """Events of an epoch; the rows of the control sample are used one after the other, shuffled each time."""
        part = self._sample.training
        generator = np.random.default_rng([self.config.seed, self._fold, epoch, _CONTROL])
        waiting = np.empty(0, np.int64)
        for block in self._data.training_blocks(epoch):
            number = len(block.order)
            while len(waiting) < number:
                waiting = np.concatenate([waiting, generator.permutation(len(part.weights))])
            rows, waiting = waiting[:number], waiting[number:]
            size = self._data.batching.size
            yield Block(
                both_inputs(block.inputs, _some(part.inputs, rows)),
                np.concatenate([_of_network(block.targets), self._targets(part, rows, block.targets.shape[1])]),
                _by_halves(block.order, len(block.targets) + np.arange(number, dtype=np.int32), size),
                _by_halves(block.weights, part.weights[rows].astype(np.float32), size),
            )

    def validation_blocks(self) -> Iterator[Block]:
        """Events that validate, then the rows of the control sample that do."""
        width = 0
        for block in self._data.validation_blocks():
            width = block.targets.shape[1]
            yield block._replace(targets=_of_network(block.targets))
        part = self._sample.validation
        rows = np.arange(len(part.weights), dtype=np.int32)
        targets = self._targets(part, rows, width)
        yield Block(part.inputs, targets, rows, part.weights.astype(np.float32))

    @staticmethod
    def _targets(part: _Part, rows: NDArray[Any], width: int) -> NDArray[np.float32]:
        """Targets as `AdversarialModel` takes them of rows of the control sample."""
        told = one_hot(part.is_data[rows].astype(np.int64), 2)
        return np.hstack(
            [np.zeros((len(rows), width)), told, np.ones((len(rows), 1)), np.zeros((len(rows), 1))]
        ).astype(np.float32)


def _of_network(targets: Any) -> NDArray[np.float32]:
    """Targets as `AdversarialModel` takes them of rows from which only the network learns."""
    learnt = np.asarray(targets)
    return np.hstack([learnt, np.zeros((len(learnt), 3)), np.ones((len(learnt), 1))]).astype(np.float32)


def _some(inputs: Any, rows: NDArray[Any]) -> Any:
    return {name: values[rows] for name, values in inputs.items()} if isinstance(inputs, dict) else inputs[rows]


def both_inputs(first: Any, second: Any) -> Any:
    """Inputs of rows after one another; where one has fewer slots for objects, it is padded with zeros."""
    import tensorflow as tf

    def joined(one: Any, other: Any) -> Any:
        arrays = [np.asarray(one), np.asarray(other)]
        if arrays[0].ndim > 1 and arrays[0].shape[1] != arrays[1].shape[1]:
            length = max(array.shape[1] for array in arrays)
            arrays = [
                np.pad(array, [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]) for array in arrays
            ]
        return np.concatenate(arrays)

    return tf.nest.map_structure(joined, first, second)


def _by_halves(first: NDArray[Any], second: NDArray[Any], size: int) -> NDArray[Any]:
    """So many of the first, as many of the second, and so on; the last ones may be fewer.

    Examples
    --------
    >>> _by_halves(np.array([1, 2, 3]), np.array([7, 8, 9]), 2)
    array([1, 2, 7, 8, 3, 9])
    """
    full = len(first) // size * size
    whole = np.stack([first[:full].reshape(-1, size), second[:full].reshape(-1, size)], axis=1)
    return np.concatenate([whole.reshape(-1), first[full:], second[full:]])
