"""Mean attention between objects: how much of what one sees comes from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class AttentionMap(NamedTuple):
    """Mean attention of one layer in the events of one class."""

    #: Shape (heads, queries, keys). Over the events that have both; NaN where there are none.
    means: NDArray[np.float64]
    uncertainties: NDArray[np.float64]
    #: Shape (queries, keys). Number of events that have both.
    events: NDArray[np.int64]


class AttentionPart(NamedTuple):
    """Attention of one layer in some events."""

    #: Shape (n_events, heads, n_queries, n_keys).
    attention: NDArray[np.float32]
    #: Shape (n_events, queries), (n_events, keys). Where each named object is among the queries and keys; −1: nowhere.
    queries: NDArray[np.int64]
    keys: NDArray[np.int64]
    #: Shape (n_events,).
    weights: NDArray[np.float64]


def attention_map(parts: Iterable[AttentionPart]) -> AttentionMap:
    """Weighted mean of the attention over events.

    Notes
    -----
    m = Σ w a / Σ w over the events that have both objects, with the variance Σ w² (a − m)² / (Σ w)². It is undefined
    (NaN) where the sum of weights is not positive.
    """
    sums: NDArray[np.float64] | None = None
    events: NDArray[np.int64] | None = None
    for part in parts:
        values = np.take_along_axis(part.attention, np.maximum(part.queries, 0)[:, None, :, None], axis=2)
        values = np.take_along_axis(values, np.maximum(part.keys, 0)[:, None, None, :], axis=3).astype(np.float64)
        both = (part.queries >= 0)[:, :, None] & (part.keys >= 0)[:, None, :]
        weights, squares = part.weights[:, None, None] * both, np.square(part.weights)[:, None, None] * both
        found = [
            np.einsum("eqk,ehqk->hqk", weight, values**power)
            for weight, power in ((weights, 0), (weights, 1), (squares, 0), (squares, 1), (squares, 2))
        ]
        sums = np.array(found) if sums is None else sums + np.array(found)
        events = both.sum(axis=0) if events is None else events + both.sum(axis=0)
    assert sums is not None
    assert events is not None
    total, first, squares, squares_first, squares_second = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(total > 0, first / total, np.nan)
        variance = squares_second - 2 * means * squares_first + means**2 * squares
        return AttentionMap(means, np.sqrt(np.maximum(variance, 0)) / total, events)
