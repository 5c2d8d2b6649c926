"""Summing up the inputs of a classifier, by class: from fold files in chunks, or from events in memory."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.datasets.splitting import uniform_by_entry
from ntupleml.metrics.input_binning import choose_binning
from ntupleml.metrics.input_sums import ClassSums
from ntupleml.metrics.inputs import InputSummary, input_summary
from ntupleml.ntuples import columns_to_matrix, required_branches
from ntupleml.progress import watched
from ntupleml.testing.events import require_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.input_binning import Binning
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: Events of each class, evenly spread over all, by which the bins are chosen.
_EVENTS_FOR_BINS = 20_000
#: Values that are held in memory; more are read twice.
_MOST_VALUES = 50_000_000
#: Events in memory that are worked on at a time.
_BLOCK = 100_000
#: Distinguishes the random numbers of the sampling from those of other purposes.
_SAMPLING_STREAM = 8


class Part(NamedTuple):
    """Some events of one class."""

    class_index: int
    #: Shape (n_events, n_variables).
    values: NDArray[np.float32]
    #: Shape (n_events,).
    weights: NDArray[np.float64]


class InputReading(NamedTuple):
    """What is read of the fold files, and how."""

    classes: list[str]
    variables: list[str]
    #: None for weights of 1.
    weight_branch: str | None
    #: Config and key that name it, for messages.
    weight_key: str
    #: Class weights; empty for none.
    factors: dict[str, float]
    #: Largest number of events to look at; None for all.
    max_events: int | None = None
    seed: int = 1234
    entries_per_chunk: int | None = None


class _Tree(NamedTuple):
    """The tree of a class in a fold file, whose branches are known to be there."""

    sample: HeldOutSample
    class_index: int
    place: tuple[int, int]
    branches: list[str]
    num_entries: int


def summarize_inputs(
    parts: Callable[[], Iterable[Part]],
    numbers: Sequence[int],
    classes: Sequence[str],
    variables: Sequence[str],
    sampled: Mapping[str, float] | None = None,
    binnings: Mapping[str, Binning] | None = None,
) -> InputSummary:
    """Sum up events, or objects, that come in parts.

    Parameters
    ----------
    parts : callable
        Gives the parts from the first to the last; called twice.
    numbers : sequence of int
        About how many events of each class there are, to take some evenly for choosing the bins.
    sampled : mapping of str to float, optional
        Share of the events of each class that the parts hold, where it is less than 1.
    binnings : mapping of str to Binning, optional
        By variable; by default chosen from the values.
    """
    from threadpoolctl import threadpool_limits

    # The matrices are small: threads of the linear algebra would only wait for each other.
    with threadpool_limits(limits=1, user_api="blas"):
        if binnings is None:
            binnings = chosen_binnings(parts(), numbers, variables)
        sums = [ClassSums(list(binnings.values())) for _ in classes]
        for part in parts():
            sums[part.class_index].add(part.values, part.weights)
        return input_summary(dict(zip(classes, sums, strict=True)), binnings, sampled)


def chosen_binnings(parts: Iterable[Part], numbers: Sequence[int], variables: Sequence[str]) -> dict[str, Binning]:
    """Binning of each variable from evenly spread events of each class; parameters as for `summarize_inputs`."""
    samples = _samples(parts, numbers, len(variables))
    return {
        name: choose_binning([values[:, index] for values, _ in samples], [weights for _, weights in samples])
        for index, name in enumerate(variables)
    }


def _samples(
    parts: Iterable[Part], numbers: Sequence[int], num_variables: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Evenly spread events of each class."""
    steps = [max(1, math.ceil(number / _EVENTS_FOR_BINS)) for number in numbers]
    seen = [0] * len(numbers)
    taken: list[list[tuple[NDArray[np.float32], NDArray[np.float64]]]] = [[] for _ in numbers]
    for part in parts:
        step = steps[part.class_index]
        rows = slice(-seen[part.class_index] % step, None, step)
        good = np.isfinite(part.weights[rows])
        taken[part.class_index].append((part.values[rows][good], part.weights[rows][good]))
        seen[part.class_index] += len(part.weights)
    nothing = (np.empty((0, num_variables), np.float32), np.empty(0))
    return [
        (np.concatenate([values for values, _ in some]), np.concatenate([weights for _, weights in some]))
        if some
        else nothing
        for some in taken
    ]


def input_summary_of_events(events: TestedEvents, variables: Sequence[str] | None = None) -> InputSummary:
    """Sum up some variables, by default all, of events in memory; recorded data are left out."""
    variables = events.variables if variables is None else variables
    columns = [events.variables.index(name) for name in variables]
    values = events.values if variables == events.variables else events.values[:, columns]
    return summary_of_rows(values, events.truth, events.weights, events, variables)


def summary_of_rows(
    values: NDArray[np.float32],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64],
    events: TestedEvents,
    variables: Sequence[str],
    binnings: Mapping[str, Binning] | None = None,
) -> InputSummary:
    """Sum up rows in memory that are events, or objects of events, with the class and the weight of each.

    Parameters
    ----------
    values : array of float32, shape (n_rows, n_variables)
    truth, weights : arrays, shape (n_rows,)
    events : TestedEvents
        For their classes, and what share of them there is.
    binnings : mapping of str to Binning, optional
        By variable; by default chosen from the values.
    """
    rows = [np.flatnonzero(truth == index) for index in range(len(events.classes))]

    def parts() -> Iterator[Part]:
        for class_index, of_class in enumerate(rows):
            for start in range(0, len(of_class), _BLOCK):
                chosen = of_class[start : start + _BLOCK]
                yield Part(class_index, values[chosen], weights[chosen])

    return summarize_inputs(parts, [len(some) for some in rows], events.classes, variables, events.sampled, binnings)


def read_input_summary(samples: Sequence[HeldOutSample], reading: InputReading) -> InputSummary:
    """Read fold files and sum up their inputs.

    All events count, and memory does not grow with their number: what does not fit well into memory is read twice,
    the first time for choosing the bins.

    Parameters
    ----------
    samples : sequence of HeldOutSample
        Whose fold files are read; nothing else of them counts.
    """
    trees = [
        _tree(sample, reading, (number, index))
        for number, sample in enumerate(samples)
        for index in range(len(reading.classes))
    ]
    numbers = [sum(tree.num_entries for tree in trees if tree.class_index == k) for k in range(len(reading.classes))]
    total = sum(numbers)
    share = 1.0 if reading.max_events is None or total <= reading.max_events else reading.max_events / total
    if share < 1:
        log.info("a random sample of %.3g of the %d events is looked at", share, total)
    log.info("reading %d events of %d fold files", total, len(samples))

    def read() -> Iterator[Part]:
        found = (part for tree in trees for part in _parts(tree, reading, share))
        return watched(found, "reading the inputs", total * share, size=lambda part: len(part.weights))

    parts = read
    if total * share * len(reading.variables) <= _MOST_VALUES:
        held = list(read())

        def parts() -> Iterator[Part]:
            return iter(held)

    sampled = dict.fromkeys(reading.classes, share) if share < 1 else {}
    return summarize_inputs(
        parts, [math.ceil(number * share) for number in numbers], reading.classes, reading.variables, sampled
    )


def _tree(sample: HeldOutSample, reading: InputReading, place: tuple[int, int]) -> _Tree:
    name = reading.classes[place[1]]
    with sample.open(name) as ntuple:
        branches = required_branches(reading.variables, ntuple.branches, f"{sample.path}: tree '{name}'")
        ntuple.require(branches, sample.where)
        if reading.weight_branch is not None:
            require_weight(ntuple, reading.weight_branch, reading.weight_key)
            branches.append(reading.weight_branch)
        return _Tree(sample, place[1], place, list(dict.fromkeys(branches)), ntuple.num_entries)


def _parts(tree: _Tree, reading: InputReading, share: float) -> Iterator[Part]:
    name = reading.classes[tree.class_index]
    where = f"{tree.sample.path}: tree '{name}'"
    factor = reading.factors.get(name, 1.0) / share
    with tree.sample.open(name) as ntuple:
        for chunk in ntuple.chunks(tree.branches, reading.entries_per_chunk):
            number = chunk.stop - chunk.start
            values = columns_to_matrix(chunk.columns, reading.variables, where=where)
            branch = reading.weight_branch
            weights = np.ones(number) if branch is None else np.asarray(chunk.columns[branch], dtype=np.float64)
            if share < 1:
                entries = np.arange(chunk.start, chunk.stop)
                kept = uniform_by_entry(entries, reading.seed, *tree.place, _SAMPLING_STREAM) < share
                values, weights = values[kept], weights[kept]
            yield Part(tree.class_index, values, weights * factor)
