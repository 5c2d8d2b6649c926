"""The events of the testing stage in memory: scores of one or several methods, truth, weights and variables."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.splitting import uniform_by_entry
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics import Undefined
from ntupleml.ntuples import columns_to_matrix, required_branches
from ntupleml.ntuples.opening import files_kept_open, open_root_file, tree_paths
from ntupleml.testing.events import require_finite, require_scores, require_weight

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.ntuples import Chunk, Ntuple
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.sources import ScoreSource

log = logging.getLogger(__name__)

#: Distinguishes the random numbers of the sampling from those of other purposes.
_SAMPLING_STREAM = 7
#: Class of events whose class nobody knows: recorded data.
NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class TestedEvents:
    """Events, each scored by the models that did not see it."""

    __test__ = False  # the name begins with "Test", but pytest has nothing to collect here

    #: Classes of the training, by the columns of the scores.
    classes: list[str]
    #: Shape (n_events, n_classes). By method, finite.
    scores: dict[str, NDArray[np.float32]]
    #: Shape (n_events,). Index of the true class; −1 for recorded data.
    truth: NDArray[np.int64]
    #: Shape (n_events,). Event weights, with class weights where the testing config asks for them.
    weights: NDArray[np.float64]
    #: Shape (n_events,). Index of the model that scored the event.
    models: NDArray[np.int64]
    #: Inputs of the training config, then spectators.
    variables: list[str]
    #: Shape (n_events, n_variables). Their values; NaN and infinite ones are as in the ntuple.
    values: NDArray[np.float32]
    #: Share of the events of each class that are here, where it is less than 1; their weights are divided by it.
    sampled: dict[str, float]
    #: Methods without scores, and why.
    left_out: dict[str, str]
    #: Names of the scores, by their columns; empty where these are the classes.
    outputs: list[str] = field(default_factory=list)
    #: Shape (n_events, n_values). Truth where values are learnt, by the columns of the scores; no values else.
    target: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def __len__(self) -> int:
        """Number of events."""
        return len(self.truth)

    def values_of(self, variable: str) -> NDArray[np.float32]:
        """Values of one variable, shape (n_events,)."""
        if variable not in self.variables:
            raise NtuplemlError(f"variable '{variable}' was not read{did_you_mean(variable, self.variables)}")
        column: NDArray[np.float32] = self.values[:, self.variables.index(variable)]
        return column

    def scores_of(self, method: str | None) -> NDArray[np.float32]:
        """Scores of a method, by default of the first one."""
        method = method or next(iter(self.scores))
        if method not in self.scores:
            raise NtuplemlError(f"method '{method}' is not among those tested{did_you_mean(method, self.scores)}")
        return self.scores[method]

    def chosen(self, events: NDArray[Any]) -> TestedEvents:
        """Some of the events, by a mask or their positions."""
        return TestedEvents(
            self.classes,
            {name: scores[events] for name, scores in self.scores.items()},
            self.truth[events],
            self.weights[events],
            self.models[events],
            self.variables,
            self.values[events],
            self.sampled,
            self.left_out,
            self.outputs,
            self.target[events] if len(self.target) else self.target,
        )

    def of_model(self, model: int) -> TestedEvents:
        """Those that one model scored."""
        return self.chosen(self.models == model)


@dataclass(frozen=True)
class Reading:
    """What is read of the fold files, and how."""

    classes: list[str]
    variables: list[str]
    spectators: list[str]
    #: None for weights of 1.
    weight_branch: str | None
    #: Config and key that name it, for messages.
    weight_key: str
    #: Class weights; empty for none.
    factors: dict[str, float]
    max_events: int
    seed: int
    entries_per_chunk: int | None = None
    #: Names of the scores; empty where these are the classes.
    outputs: list[str] = field(default_factory=list)
    #: Formulas of the target, where it is values.
    values: list[str] = field(default_factory=list)


class ScoredPart(NamedTuple):
    """Some events of one class, and of one model."""

    scores: dict[str, NDArray[np.float32]]
    class_index: int
    weights: NDArray[np.float64]
    model: int
    values: NDArray[np.float32]
    target: NDArray[np.float32]


@files_kept_open()
def read_tested_events(
    samples: Sequence[HeldOutSample],
    sources: Mapping[int, Sequence[ScoreSource]],
    reading: Reading,
    *,
    tolerant: bool = False,
    left_out: Mapping[str, str] | None = None,
) -> TestedEvents:
    """Read the held-out folds of some models once, and score their events by all methods.

    Parameters
    ----------
    sources : mapping of int to sequence of ScoreSource
        By the index of the model.
    tolerant : bool, default: False
        Leave out a method that cannot score the events, with the reason, in place of raising its error.
    left_out : mapping of str to str, optional
        Methods that are left out already, and why.
    """
    failed: dict[str, str] = dict(left_out or {})
    shares = _shares(samples, reading)
    parts = [
        part
        for number, sample in enumerate(samples)
        for name in reading.classes
        for part in _parts(
            sample,
            name,
            (number, reading.classes.index(name)),
            sources[sample.model],
            reading,
            shares[name],
            failed if tolerant else None,
        )
    ]
    methods = list(dict.fromkeys(source.method for some in sources.values() for source in some))
    return _joined(parts, [name for name in methods if name not in failed], reading, shares, failed)


def read_recorded_data(
    samples: Sequence[HeldOutSample],
    sources: Mapping[int, Sequence[ScoreSource]],
    reading: Reading,
    data_class: str,
    *,
    tolerant: bool = False,
) -> TestedEvents | Undefined:
    """Recorded data of the fold files, scored as `read_tested_events` does; undefined where there are none.

    Their class is −1 and their weights are those of the weight branch, or 1 where the tree has no such branch.
    """
    without = [sample.path for sample in samples if not _has_tree(sample, data_class)]
    if without:
        return Undefined(f"no tree '{data_class}' in {without[0]}")
    failed: dict[str, str] = {}
    parts = [
        part
        for number, sample in enumerate(samples)
        for part in _parts(
            sample,
            data_class,
            (number, len(reading.classes)),
            sources[sample.model],
            reading,
            1.0,
            failed if tolerant else None,
        )
    ]
    methods = list(dict.fromkeys(source.method for some in sources.values() for source in some))
    return _joined(parts, [name for name in methods if name not in failed], reading, {}, failed)


def scored_parts(sample: HeldOutSample, sources: Sequence[ScoreSource], reading: Reading) -> Iterator[ScoredPart]:
    """All events of one fold with their scores, class after class, a bounded number at a time."""
    for index, name in enumerate(reading.classes):
        yield from _parts(sample, name, (0, index), sources, reading, 1.0, None)


def _has_tree(sample: HeldOutSample, name: str) -> bool:
    with open_root_file(sample.path, sample.where) as file:
        return name in tree_paths(file)


def _shares(samples: Sequence[HeldOutSample], reading: Reading) -> dict[str, float]:
    """Share of the events of each class that is taken, so that no more than `max_events` are held."""
    numbers = dict.fromkeys(reading.classes, 0)
    for sample in samples:
        for name in reading.classes:
            with open_class_tree(sample.path, name, sample.where) as ntuple:
                numbers[name] += ntuple.num_entries
    shares = dict(zip(numbers, shares_of_classes(list(numbers.values()), reading.max_events), strict=True))
    for name, share in shares.items():
        if share < 1:
            log.info("class '%s': a random sample of %.3g of its %d events is tested", name, share, numbers[name])
    return shares


def shares_of_classes(numbers: Sequence[int], max_events: int) -> list[float]:
    """Share of the events of each class that is taken: the smallest classes whole, as far as there is room.

    Examples
    --------
    >>> shares_of_classes([100, 2000, 4000], 2100)
    [1.0, 0.5, 0.25]
    """
    left, shares = max_events, [1.0] * len(numbers)
    for position, index in enumerate(sorted(range(len(numbers)), key=lambda one: numbers[one])):
        room = left // (len(numbers) - position)
        if numbers[index]:
            shares[index] = min(1.0, max(room, 1) / numbers[index])
        left -= min(numbers[index], room)
    return shares


def _parts(
    sample: HeldOutSample,
    name: str,
    place: tuple[int, int],
    sources: Sequence[ScoreSource],
    reading: Reading,
    share: float,
    failed: dict[str, str] | None,
) -> Iterator[ScoredPart]:
    """Scored events of one tree, chunk by chunk."""
    with open_class_tree(sample.path, name, sample.where) as ntuple:
        where = f"{sample.path}: tree '{name}'"
        is_class = name in reading.classes
        weight_branch = reading.weight_branch if is_class or reading.weight_branch in ntuple.branches else None
        branches = required_branches(reading.variables, ntuple.branches, where)
        branches += required_branches(reading.spectators, ntuple.branches, f"{where}: spectators")
        branches += required_branches(reading.values if is_class else [], ntuple.branches, f"{where}: target")
        branches += _branches_of_sources(sources, ntuple, failed)
        if weight_branch is not None:
            require_weight(ntuple, weight_branch, reading.weight_key)
            branches.append(weight_branch)
        class_index = reading.classes.index(name) if is_class else NO_CLASS
        factor = reading.factors.get(name, 1.0) / share
        for chunk in ntuple.chunks(list(dict.fromkeys(branches)), reading.entries_per_chunk):
            columns = chunk.columns
            if share < 1:
                entries = np.arange(chunk.start, chunk.stop)
                kept = np.flatnonzero(uniform_by_entry(entries, reading.seed, *place, _SAMPLING_STREAM) < share)
                columns = {branch: values[kept] for branch, values in columns.items()}
            else:
                kept = np.arange(chunk.stop - chunk.start)
            weights = _weights(columns, weight_branch, len(kept), chunk, where)
            matrix = columns_to_matrix(columns, [*reading.variables, *reading.spectators], where=where)
            inputs = matrix[:, : len(reading.variables)] if reading.spectators else matrix
            scores = _scores(sources, columns, inputs, chunk, where, failed)
            target = _target(columns, reading if is_class else None, len(kept), chunk, where)
            yield ScoredPart(scores, class_index, weights * factor, sample.model, matrix, target)


def _target(
    columns: Mapping[str, Any], reading: Reading | None, number: int, chunk: Chunk, where: str
) -> NDArray[np.float32]:
    """Truth of the values that are learnt; none of recorded data, and of other targets."""
    if reading is None or not reading.values:
        return np.full((number, len(reading.values) if reading else 0), np.nan, np.float32)
    target = columns_to_matrix(columns, reading.values, where=f"{where}: target")
    for name, column in zip(reading.outputs, target.T, strict=True):
        require_finite(column, f"the values of the target '{name}'", chunk, where)
    return target


def _active(sources: Sequence[ScoreSource], failed: Mapping[str, str] | None) -> list[ScoreSource]:
    return [source for source in sources if source.method not in (failed or {})]


def _branches_of_sources(sources: Sequence[ScoreSource], ntuple: Ntuple, failed: dict[str, str] | None) -> list[str]:
    """Branches that the methods need, of those that may score this tree."""
    branches = []
    for source in _active(sources, failed):
        try:
            source.require_unseen(ntuple)
            branches += source.branches(ntuple)
        except NtuplemlError as error:
            _leave_out(source, error, failed)
    return branches


def _leave_out(source: ScoreSource, error: NtuplemlError, failed: dict[str, str] | None) -> None:
    """Note why a method has no scores, or raise the error where that is not to be tolerated."""
    if failed is None:
        raise error
    failed[source.method] = str(error)
    log.warning("%s: left out: %s", source.method, error)


def _weights(
    columns: Mapping[str, Any], weight_branch: str | None, number: int, chunk: Chunk, where: str
) -> NDArray[np.float64]:
    if weight_branch is None:
        return np.ones(number)
    weights = np.asarray(columns[weight_branch], dtype=np.float64)
    require_finite(weights, f"the weights in branch '{weight_branch}'", chunk, where)
    return weights


def _scores(
    sources: Sequence[ScoreSource],
    columns: Mapping[str, Any],
    inputs: NDArray[np.float32],
    chunk: Chunk,
    where: str,
    failed: dict[str, str] | None,
) -> dict[str, NDArray[np.float32]]:
    found = {}
    for source in _active(sources, failed):
        try:
            scores = source.score(columns, np.ascontiguousarray(inputs), where)
            require_scores(scores, f"the scores of '{source.method}'", chunk, where)
        except NtuplemlError as error:
            _leave_out(source, error, failed)
            continue
        found[source.method] = scores
    return found


def _joined(
    parts: Sequence[ScoredPart],
    methods: Sequence[str],
    reading: Reading,
    shares: Mapping[str, float],
    failed: Mapping[str, str],
) -> TestedEvents:
    variables = [*reading.variables, *reading.spectators]
    lengths = [len(part.weights) for part in parts]
    total = sum(lengths)
    events = TestedEvents(
        list(reading.classes),
        {name: np.empty((total, len(reading.outputs or reading.classes)), np.float32) for name in methods},
        np.empty(total, np.int64),
        np.empty(total),
        np.empty(total, np.int64),
        variables,
        np.empty((total, len(variables)), np.float32),
        {name: share for name, share in shares.items() if share < 1},
        dict(failed),
        list(reading.outputs),
        np.concatenate([part.target for part in parts]) if reading.values else np.empty((0, 0), np.float32),
    )
    start = 0
    for part, length in zip(parts, lengths, strict=True):
        rows = slice(start, start + length)
        for name in methods:
            events.scores[name][rows] = part.scores[name]
        events.truth[rows], events.weights[rows], events.models[rows] = part.class_index, part.weights, part.model
        events.values[rows] = part.values
        start += length
    return events
