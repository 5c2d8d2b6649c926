"""The order in which events are used in an epoch: shuffled, or drawn so that all classes weigh the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Smallest Σw / Σ|w| of the events drawn for one group and batch: below it, weights of both signs cancel and the
#: factor that normalises them would blow up, so these events are drawn again.
SMALLEST_SUM = 1e-2
#: How often a group may be drawn anew before its negative weights count as too many.
MOST_DRAWS = 100


class Drawn(NamedTuple):
    """Events of an epoch in order of use, and their weights: int32 and float32, shape (n_used,)."""

    order: NDArray[np.int32]
    weights: NDArray[np.float32]


class Group(NamedTuple):
    """Events that share class and condition: a name for messages, and their indices."""

    name: str
    events: NDArray[np.int64]


def shuffled(generator: np.random.Generator, weights: NDArray[np.float32]) -> Drawn:
    """All events, each once, in random order."""
    order = generator.permutation(len(weights)).astype(np.int32)
    return Drawn(order, weights[order])


def group_events(
    classes: NDArray[np.int64],
    conditions: NDArray[np.int64],
    class_names: Sequence[str],
    condition_names: Sequence[str],
) -> list[Group]:
    """Groups of equal class (outer) and condition (inner), also those that are empty."""
    groups = []
    for class_index, class_name in enumerate(class_names):
        for condition_index, condition_name in enumerate(condition_names or [""]):
            events = np.flatnonzero((classes == class_index) & (conditions == condition_index))
            name = f"class '{class_name}'" + (f" in '{condition_name}'" if condition_name else "")
            groups.append(Group(name, events))
    return groups


def draw_balanced(
    generator: np.random.Generator,
    groups: Sequence[Group],
    weights: NDArray[np.float64],
    events_per_group: int,
    steps: int,
) -> Drawn:
    """Balanced batches: from each group the same number of events, with replacement, weighing the same in sum.

    Parameters
    ----------
    groups : sequence of Group
        None of them empty.
    weights : array of float, shape (n_events,)
        Event weights.
    events_per_group : int
        Events n of each group in each batch.
    steps : int
        Number of batches.

    Returns
    -------
    Drawn
        Batch after batch of n × len(groups) events, with weights w′ = w · n / Σw, the sum over the events of the
        group in the batch.
    """
    order = np.empty((steps, len(groups), events_per_group), dtype=np.int32)
    normalised = np.empty(order.shape, dtype=np.float32)
    for index, group in enumerate(groups):
        drawn = generator.choice(group.events, size=(steps, events_per_group))
        drawn, drawn_weights = _redraw_cancelling(generator, group, weights, drawn)
        order[:, index] = drawn
        normalised[:, index] = drawn_weights * (events_per_group / drawn_weights.sum(axis=1, keepdims=True))
    return Drawn(order.reshape(-1), normalised.reshape(-1))


def _redraw_cancelling(
    generator: np.random.Generator, group: Group, weights: NDArray[np.float64], drawn: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw anew where the weights of a batch cancel."""
    drawn_weights = weights[drawn]
    redrawn = 0
    for _ in range(MOST_DRAWS):
        cancelling = ~(drawn_weights.sum(axis=1) > SMALLEST_SUM * np.abs(drawn_weights).sum(axis=1))
        if not cancelling.any():
            if redrawn:
                log.debug("%s: drew %d batches anew, in which negative weights cancelled", group.name, redrawn)
            return drawn, drawn_weights
        redrawn += int(np.count_nonzero(cancelling))
        drawn[cancelling] = generator.choice(group.events, size=(np.count_nonzero(cancelling), drawn.shape[1]))
        drawn_weights = weights[drawn]
    raise NtuplemlError(
        f"{group.name}: the weights of {drawn.shape[1]} events drawn for a batch have no positive sum, tried "
        f"{MOST_DRAWS} times; raise model.eventsPerClassAndBatch, or train without balanced batches"
    )


def balanced_weights(groups: Sequence[Group], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that give all groups the same sum: w′ = w · N / (G Σw), for N events in G non-empty groups.

    Each of these has a positive sum of weights, see `ntupleml.training.weight_checks`.

    An event weighs 1 on average, as in the balanced batches, so that the losses of both can be compared. (htt-ml lets
    each group weigh N, which makes its validation loss G times as large.)
    """
    balanced = np.zeros_like(weights)
    filled = [group for group in groups if len(group.events)]
    for group in filled:
        scale = len(weights) / (len(filled) * weights[group.events].sum())
        balanced[group.events] = weights[group.events] * scale
    return balanced


def recommended_steps(group_sizes: Iterable[int], events_per_group: int) -> int:
    """Number of balanced batches in which the smallest group is used about once."""
    return min(group_sizes) // events_per_group + 1
