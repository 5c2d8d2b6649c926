"""The events of the testing stage in memory: scores of one or several methods, truth, weights and variables."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.datasets.excluding import EXCLUDE
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics import Undefined
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.progress import watched
from ntupleml.testing.scored_parts import NO_CLASS, Reading, ScoredPart, has_tree, parts_of_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.sources import ScoreSource

log = logging.getLogger(__name__)


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
    #: Shape (n_events, n_members, n_outputs). Scores of the members, by method; only of ensembles.
    members: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    #: Number of events of each class that are not here, since other trainings saw them.
    excluded: dict[str, int] = field(default_factory=dict)
    #: Shape (n_events, 2). Missing transverse energy of images that are simple estimators, by their names.
    references: dict[str, NDArray[np.float32]] = field(default_factory=dict)

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
            {name: scores[events] for name, scores in self.members.items()},
            self.excluded,
            {name: components[events] for name, components in self.references.items()},
        )

    def of_model(self, model: int) -> TestedEvents:
        """Those that one model scored."""
        return self.chosen(self.models == model)


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
    shares, total = _shares(samples, reading)
    read = (
        part
        for number, sample in enumerate(samples)
        for name in reading.classes
        for part in parts_of_tree(
            sample,
            name,
            (number, reading.classes.index(name)),
            sources[sample.model],
            reading,
            shares[name],
            failed if tolerant else None,
        )
    )
    parts = list(watched(read, "scoring the events", total, size=lambda part: len(part.weights)))
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
    without = [sample.path for sample in samples if not has_tree(sample, data_class)]
    if without:
        return Undefined(f"no tree '{data_class}' in {without[0]}")
    failed: dict[str, str] = {}
    parts = [
        part
        for number, sample in enumerate(samples)
        for part in parts_of_tree(
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


def _shares(samples: Sequence[HeldOutSample], reading: Reading) -> tuple[dict[str, float], float]:
    """Share of the events of each class that is taken, so that no more than `max_events` are held; and their number."""
    numbers = dict.fromkeys(reading.classes, 0)
    for sample in samples:
        for name in reading.classes:
            with sample.open(name) as ntuple:
                numbers[name] += ntuple.num_entries
    shares = dict(zip(numbers, shares_of_classes(list(numbers.values()), reading.max_events), strict=True))
    for name, share in shares.items():
        if share < 1:
            log.info("class '%s': a random sample of %.3g of its %d events is tested", name, share, numbers[name])
    return shares, sum(share * numbers[name] for name, share in shares.items())


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


def _excluded(parts: Sequence[ScoredPart], reading: Reading) -> dict[str, int]:
    """Number of events of each class that other trainings saw; no class may consist of them."""
    numbers: dict[str, int] = {}
    if reading.trained is None:
        return numbers
    for index, name in [*enumerate(reading.classes), (NO_CLASS, "recorded data")]:
        of_class = [part for part in parts if part.class_index == index]
        number, left = sum(part.excluded for part in of_class), sum(len(part.weights) for part in of_class)
        if number and not left:
            raise NtuplemlError(
                f"{EXCLUDE}: those trainings saw all {number:,} events of {name}; test on other events, or leave it out"
            )
        if of_class:
            numbers[name] = number
            log.info("%s: %s of %s events of %s are left out", EXCLUDE, f"{number:,}", f"{number + left:,}", name)
    return numbers


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
        np.concatenate([part.target for part in parts]) if reading.is_measured else np.empty((0, 0), np.float32),
        {name: np.concatenate([part.members[name] for part in parts]) for name in methods if _has_members(parts, name)},
        _excluded(parts, reading),
        {name: np.concatenate([part.references[name] for part in parts]) for name in reading.references},
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


def _has_members(parts: Sequence[ScoredPart], method: str) -> bool:
    return bool(parts) and all(method in part.members for part in parts)
