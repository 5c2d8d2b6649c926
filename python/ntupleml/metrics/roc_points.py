"""What passes the cuts of a ROC curve: sums, efficiencies read off them, and few points that show the shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Equidistant signal efficiencies, and small or large ones, of the points that are kept of a curve.
_EQUIDISTANT, _AT_THE_ENDS = 101, 12
#: Background efficiencies, from one event on in equal factors, where points are kept.
_STEEP = 60
_SMALLEST_BACKGROUND_EFFICIENCY = 1e-6
#: Points that are as close as rounding makes equal ones are one.
_CLOSE = 1e-12


@dataclass(frozen=True, eq=False)
class RunningSums:
    """Sums over the events of one sample that pass each cut of a curve, which begin with 0."""

    #: Number of events of the sample.
    entries: int
    #: Shape (n_points,). Σw and Σw² of those that pass.
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    #: Shape (n_points,). Weighted share that passes.
    efficiency: NDArray[np.float64]

    @classmethod
    def of(cls, passed: NDArray[np.int64], weights: NDArray[np.float64] | None) -> RunningSums:
        """From the number of events that pass at each point, and their weights in the order of falling scores."""
        if weights is None:
            sums = passed.astype(np.float64)
            squares = sums
        else:
            sums, squares = (_running(values)[passed] for values in (weights, np.square(weights)))
        return cls(int(passed[-1]), sums, squares, sums / sums[-1])

    @property
    def effective_entries(self) -> float:
        """Number of events of equal weight with the same relative uncertainty."""
        return float(self.sums[-1] ** 2 / self.squares[-1])

    @cached_property
    def highest(self) -> NDArray[np.float64]:
        """Largest efficiency up to each point: the efficiency itself, where no weight is negative."""
        largest: NDArray[np.float64] = np.maximum.accumulate(self.efficiency)
        return largest

    def uncertainty(self, points: Any = slice(None)) -> NDArray[np.float64]:
        """Uncertainty of the efficiency at some points, by default all: that of a weighted share, see `roc_curve`."""
        value, passed = self.efficiency[points], self.squares[points]
        # In place: on a million points, memory costs more than arithmetic.
        variance = 1 - value
        variance *= variance
        variance *= passed
        failed = self.squares[-1] - passed
        failed *= value
        failed *= value
        variance += failed
        np.maximum(variance, 0, out=variance)
        np.sqrt(variance, out=variance)
        variance /= self.sums[-1]
        roots: NDArray[np.float64] = variance
        return roots


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, 2, … values."""
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


class RocPoints(NamedTuple):
    """Some points of a ROC curve."""

    #: Shape (n_points,). Ascending.
    signal_efficiency: NDArray[np.float64]
    #: Shape (n_points,). At these signal efficiencies.
    background_efficiency: NDArray[np.float64]
    uncertainty: NDArray[np.float64]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "signal_efficiency": self.signal_efficiency,
            "background_efficiency": self.background_efficiency,
            "background_efficiency_uncertainty": self.uncertainty,
        }


def levels_of_background(effective_entries: float) -> NDArray[np.float64]:
    """Background efficiencies in equal factors from that of one event up to 1: where a steep curve has its shape."""
    smallest = max(1 / max(effective_entries, 2.0), _SMALLEST_BACKGROUND_EFFICIENCY)
    return np.geomspace(smallest, 1.0, _STEEP)


def signal_efficiencies_of_points(at_levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signal efficiencies of the points to keep, ascending, at most 185.

    Parameters
    ----------
    at_levels : array of float64
        Signal efficiencies at `levels_of_background`.
    """
    ends = np.geomspace(1e-4, 1e-2, _AT_THE_ENDS)
    grid = np.concatenate([np.linspace(0, 1, _EQUIDISTANT), ends, 1 - ends, np.clip(at_levels, 0, 1)])
    grid.sort()
    distinct: NDArray[np.float64] = grid[np.append(True, np.diff(grid) > _CLOSE)]
    return distinct


def rejection_ratio(points: RocPoints, reference: RocPoints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rejection factors 1 / ε_B of a curve as ratio to those of another, at the signal efficiencies of the first.

    Returns
    -------
    values, uncertainties : arrays of float64, shape (n_points,)
        NaN where one of the background efficiencies is not positive. The uncertainty is that of the first curve alone.
    """
    other = np.interp(points.signal_efficiency, reference.signal_efficiency, reference.background_efficiency)
    known = (points.background_efficiency > 0) & (other > 0)
    own = np.where(known, points.background_efficiency, 1.0)
    ratio = np.where(known, other / own, np.nan)
    return ratio, ratio * points.uncertainty / own


def read_off(
    positions: NDArray[np.float64],
    along: RunningSums,
    wanted: RunningSums,
    *,
    side: str,
    falls: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One efficiency where the other has given values, with its uncertainty; see `RocCurve.efficiencies_at`.

    Parameters
    ----------
    positions : array of float64, shape (n,)
    along, wanted : RunningSums
        Of the sample whose efficiency is given, and of the other.
    side : {"left", "right"}
        Of several points at a position, the first or the last.
    falls : bool
        Whether the efficiency that is given steps back somewhere.
    """
    # Never falls, so that a position is found where the efficiency reaches it for the first time.
    reached = along.highest if falls else along.efficiency
    value, low, share = _interpolate(positions, along.efficiency, reached, wanted.efficiency, side)
    shift, own = (_uncertainty_between(sample, low, share) for sample in (along, wanted))
    lower, upper = np.maximum(positions - shift, 0.0), np.minimum(positions + shift, 1.0)
    change = (
        _interpolate(upper, along.efficiency, reached, wanted.efficiency, side)[0]
        - _interpolate(lower, along.efficiency, reached, wanted.efficiency, side)[0]
    )
    width = upper - lower
    threshold = np.divide(change * shift, width, out=np.zeros_like(change), where=width > 0)
    return value, np.hypot(own, threshold)


def _interpolate(
    positions: NDArray[np.float64],
    along: NDArray[np.float64],
    reached: NDArray[np.float64],
    wanted: NDArray[np.float64],
    side: str,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Values between the points before and after each position, the point before, and the share of the way to the next.

    With the side "right" a position that several points have gives the last of them (the loosest cut), else the first.
    """
    if side == "right":
        low = np.searchsorted(reached, positions, side="right") - 1
    else:
        low = np.searchsorted(reached, positions, side="left")
        low = np.where(reached[np.minimum(low, len(reached) - 1)] == positions, low, low - 1)
    low = np.clip(low, 0, len(along) - 1)
    high = np.minimum(low + 1, len(along) - 1)
    distance = along[high] - along[low]
    share = np.divide(positions - along[low], distance, out=np.zeros_like(positions), where=distance > 0)
    share = np.clip(share, 0.0, 1.0)
    return (1 - share) * wanted[low] + share * wanted[high], low, share


def _uncertainty_between(
    sample: RunningSums, low: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    high = np.minimum(low + 1, len(sample.efficiency) - 1)
    return (1 - share) * sample.uncertainty(low) + share * sample.uncertainty(high)
