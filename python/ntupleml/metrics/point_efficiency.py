"""Share of events that are predicted to be of a class, for each point of a plane of parameters such as masses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.binned_efficiency import ratios
from ntupleml.metrics.measurement import Measurement, Undefined, effective_entries

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Standard deviations to both sides that the intervals are made for: 68.27 %.
_DEVIATIONS = 1.0


class SelectedShare(NamedTuple):
    """Which share of some events is selected."""

    entries: int
    selected: int
    share: Measurement | Undefined
    #: 68% interval of the share.
    interval: tuple[float, float] | Undefined


def wilson_interval(share: float, entries: float, deviations: float = _DEVIATIONS) -> tuple[float, float]:
    """Interval of a probability from the share of some entries: between 0 and 1, and never empty.

    Notes
    -----
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209: all p with (share − p)² ≤ z² p (1 − p) / n.

    Examples
    --------
    >>> [round(edge, 4) for edge in wilson_interval(0.0, 9)]
    [0.0, 0.1]
    """
    square = deviations**2 / entries
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def selected_share(selected: NDArray[np.bool_], weights: NDArray[np.float64]) -> SelectedShare:
    """Weighted share of events that are selected, with Wilson's interval of as many effective entries.

    Parameters
    ----------
    selected : array of bool, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are. Where they bring the share out of the range from 0 to 1, the
        interval is that of the uncertainty.
    """
    number = int(np.count_nonzero(selected))
    parts = [
        one for chosen in (selected, ~selected) for one in (weights[chosen].sum(), np.square(weights[chosen]).sum())
    ]
    (share,) = ratios(*(np.array([part]) for part in parts))
    if isinstance(share, Undefined):
        return SelectedShare(len(selected), number, share, share)
    if 0 <= share.value <= 1:
        interval = wilson_interval(share.value, effective_entries(weights))
    else:
        interval = (share.value - share.uncertainty, share.value + share.uncertainty)
    return SelectedShare(len(selected), number, share, interval)


def shares_of_points(
    selected: NDArray[np.bool_], weights: NDArray[np.float64], points: NDArray[np.floating]
) -> dict[tuple[float, ...], SelectedShare]:
    """`selected_share` of the events of each point.

    Parameters
    ----------
    points : array of float, shape (n_events, n_parameters)
        Where each event is; events with NaN are of no point.

    Returns
    -------
    dict of tuple of float to SelectedShare
        By point, ascending.

    Examples
    --------
    >>> found = shares_of_points(np.array([True, False, True]), np.ones(3), np.array([[5.0], [5.0], [7.0]]))
    >>> {point: one.share.value for point, one in found.items()}
    {(5.0,): 0.5, (7.0,): 1.0}
    """
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    values, of_event = np.unique(points[known], axis=0, return_inverse=True)
    order = np.argsort(of_event.reshape(-1), kind="stable")
    limits = np.searchsorted(of_event.reshape(-1)[order], np.arange(len(values) + 1))
    return (
        {
            tuple(map(float, point)): selected_share(selected[rows], weights[rows])
            for point, rows in zip(values, np.split(known[order], limits[1:-1]), strict=True)
        }
        if len(values)
        else {}
    )
