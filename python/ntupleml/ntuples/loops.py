"""Loops over objects, compiled by numba: sorting, matching of members, nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.compiled import compiled, kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]
    Angles = NDArray[np.float64]

#: Objects that are sorted by counting.
_RUN = 16


@kept
def order_objects(
    keys: NDArray[np.float64],
    passed: NDArray[np.bool_],
    counts: Positions,
    length: int,
    order: Positions,
    scratch: Positions,
    kept_counts: Positions,
) -> int:
    """Write the positions of the objects that are kept, row by row, smallest key first and NaN last; their number.

    Parameters
    ----------
    keys : array
        By object; empty for the order of the ntuple. Equal ones stay in their order.
    passed : array
        By object; empty where all pass.
    length : int
        Most objects of a row; negative for any number.
    order, scratch : array
        As long as there are objects; the first is filled.
    kept_counts : array
        By row, filled.
    """
    first, written = 0, 0
    run = np.empty(_RUN)
    for row in range(len(counts)):
        begin = written
        for position in range(first, first + counts[row]):
            if len(passed) == 0 or passed[position]:
                order[written] = position
                written += 1
        first += counts[row]
        if len(keys) > 0:
            _sort(keys, order, scratch, run, begin, written)
        if length >= 0:
            written = min(written, begin + length)
        kept_counts[row] = written - begin
    return written


@compiled
def _sort(
    keys: NDArray[np.float64], order: Positions, scratch: Positions, run: NDArray[np.float64], begin: int, end: int
) -> None:
    """Sort positions by their keys: short runs by counting what comes before, merged to runs of growing width.

    Counting has no branch that a processor could guess wrong.
    """
    width = _RUN
    for start in range(begin, end, width):
        number = min(width, end - start)
        for index in range(number):
            scratch[index] = order[start + index]
            run[index] = keys[scratch[index]]
        for index in range(number):
            rank = start
            for other in range(index):
                rank += not _before(run[index], run[other])
            for other in range(index + 1, number):
                rank += _before(run[other], run[index])
            order[rank] = scratch[index]
    while width < end - begin:
        for left in range(begin, end, 2 * width):
            middle, right = min(left + width, end), min(left + 2 * width, end)
            i, j = left, middle
            for place in range(left, right):
                if i < middle and (j >= right or not _before(keys[order[j]], keys[order[i]])):
                    scratch[place] = order[i]
                    i += 1
                else:
                    scratch[place] = order[j]
                    j += 1
        for place in range(begin, end):
            order[place] = scratch[place]
        width *= 2


@compiled
def _before(one: float, other: float) -> Any:
    return (one < other) | ((other != other) & (one == one))


@kept
def members_by_index(
    index: Positions,
    lengths: Positions,
    member_counts: Positions,
    counts: Positions,
    is_row: NDArray[np.bool_],
    found: Positions,
) -> tuple[Positions, int]:
    """Members of each object, one object after the other, and the first index beyond the objects (−1: none is).

    Parameters
    ----------
    index : array
        Positions in the event of the objects that members belong to.
    lengths : array
        How many of them each member has; empty where it is one.
    member_counts, counts : array
        Members and objects of each event.
    is_row : array
        By object: whether its members are wanted.
    found : array
        By object, filled: how many members it has.
    """
    places = np.empty(0, np.int64)
    ends = np.empty(0, np.int64)
    last = np.empty(len(is_row), np.int64)
    for is_counted in (False, True):
        if is_counted:
            places, ends = np.empty(found.sum(), np.int64), np.cumsum(found) - found
        last[:] = -1
        first, member, at = 0, 0, 0
        for event in range(len(counts)):
            for _ in range(member_counts[event]):
                for _ in range(lengths[member] if len(lengths) > 0 else 1):
                    if index[at] >= counts[event]:
                        return places, at
                    owner = first + index[at]
                    if index[at] >= 0 and is_row[owner] and last[owner] != member:  # a list may say it twice
                        last[owner] = member
                        if is_counted:
                            places[ends[owner]] = member
                            ends[owner] += 1
                        else:
                            found[owner] += 1
                    at += 1
                member += 1
            first += counts[event]
    return places, -1


@kept
def members_within(
    radius: float,
    eta: Angles,
    phi: Angles,
    events: Positions,
    member_eta: Angles,
    member_phi: Angles,
    member_counts: Positions,
    found: Positions,
) -> Positions:
    """Members whose ΔR from a row of their event is not larger than a radius, one row after the other.

    Parameters
    ----------
    eta, phi, events : array
        By row; φ in radians, as that of the members of any period.
    found : array
        By row, filled: how many members it has.
    """
    starts = np.cumsum(member_counts) - member_counts
    places = np.empty(0, np.int64)
    for is_counted in (False, True):
        if is_counted:
            places = np.empty(found.sum(), np.int64)
        written = 0
        for row in range(len(eta)):
            start = starts[events[row]]
            for member in range(start, start + member_counts[events[row]]):
                if _distance(eta[row], phi[row], member_eta[member], member_phi[member]) <= radius**2:
                    if is_counted:
                        places[written] = member
                        written += 1
                    else:
                        found[row] += 1
    return places


@kept
def nearest(
    radius: float,
    eta: Angles,
    phi: Angles,
    counts: Positions,
    other_eta: Angles,
    other_phi: Angles,
    other_counts: Positions,
    found: Positions,
    distances: Angles,
) -> None:
    """Write the place of the nearest other object of the same event, the first of equal ones; −1 beyond the radius.

    Parameters
    ----------
    distances : array
        By object, filled: ΔR² of the nearest.
    """
    first, other_first = 0, 0
    for event in range(len(counts)):
        for place in range(first, first + counts[event]):
            found[place], distances[place] = -1, np.inf
            for other in range(other_first, other_first + other_counts[event]):
                distance = _distance(eta[place], phi[place], other_eta[other], other_phi[other])
                if distance <= radius**2 and distance < distances[place]:
                    found[place], distances[place] = other, distance
        first += counts[event]
        other_first += other_counts[event]


@compiled
def _distance(eta: float, phi: float, other_eta: float, other_phi: float) -> Any:
    """ΔR²."""
    turn = 2 * np.pi
    angle = np.abs(np.remainder(phi, turn) - np.remainder(other_phi, turn))
    angle = min(angle, turn - angle)
    return (eta - other_eta) ** 2 + angle**2
