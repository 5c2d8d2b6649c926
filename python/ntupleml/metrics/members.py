"""How stable a result is: one number for each member of an ensemble, and what they say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.regression import residuals
from ntupleml.metrics.variable_bins import even_bins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Bins of a score, at most.
_BINS = 20


class Quartiles(NamedTuple):
    """What a box of a box plot shows."""

    lower: float
    median: float
    upper: float


class OverMembers(NamedTuple):
    """One quantity of each member of an ensemble."""

    #: In the order of the members.
    values: tuple[float | Undefined, ...]
    #: Of those that are defined.
    mean: float | Undefined
    #: With n − 1 in the denominator: what another training with another seed differs by.
    standard_deviation: float | Undefined
    quartiles: Quartiles | Undefined

    @property
    def defined(self) -> list[float]:
        """Values that exist."""
        return [value for value in self.values if not isinstance(value, Undefined)]

    @property
    def measurement(self) -> Measurement | Undefined:
        """Mean, with the standard deviation of the members as its uncertainty."""
        if isinstance(self.mean, Undefined):
            return self.mean
        if isinstance(self.standard_deviation, Undefined):
            return self.standard_deviation
        return Measurement(self.mean, self.standard_deviation)


def over_members(values: Sequence[float | Measurement | Undefined]) -> OverMembers:
    """Mean and spread of a quantity over members.

    Parameters
    ----------
    values : sequence of float, Measurement or Undefined
        One for each member. The uncertainty of a measurement is left out: the members are measured with the same
        events, so that it says nothing of how they differ.

    Examples
    --------
    >>> found = over_members([1.0, 2.0, Undefined("no threshold"), 3.0])
    >>> found.mean, found.standard_deviation, found.quartiles
    (2.0, 1.0, Quartiles(lower=1.5, median=2.0, upper=2.5))
    """
    plain = tuple(_plain(value) for value in values)
    known = np.array([value for value in plain if not isinstance(value, Undefined)], dtype=np.float64)
    if not len(known):
        none = next((one for one in plain if isinstance(one, Undefined)), Undefined("no members"))
        return OverMembers(plain, none, none, none)
    spread: float | Undefined = Undefined("fewer than two members have a value")
    if len(known) > 1:
        spread = float(known.std(ddof=1))
    lower, median, upper = np.quantile(known, (0.25, 0.5, 0.75)).tolist()
    return OverMembers(plain, float(known.mean()), spread, Quartiles(lower, median, upper))


def _plain(value: float | Measurement | Undefined) -> float | Undefined:
    if isinstance(value, Undefined):
        return value
    number = float(value.value if isinstance(value, Measurement) else value)
    return number if np.isfinite(number) else Undefined("the value is not finite")


def each_member(
    members: NDArray[Any], quantity: Callable[[NDArray[Any]], float | Measurement | Undefined]
) -> OverMembers:
    """A quantity of the scores of each member.

    Parameters
    ----------
    members : array, shape (n_events, n_members, n_outputs)
        Scores.
    quantity : callable
        Takes the scores of one member, shape (n_events, n_outputs).
    """
    return over_members([quantity(members[:, index]) for index in range(members.shape[1])])


class SpreadProfile(NamedTuple):
    """How far the members disagree about events, by what the ensemble says of them."""

    entries: int
    #: Weighted mean of the standard deviations over the members, of all events.
    mean: Measurement | Undefined
    #: Half of the events have a smaller one, and 95 %.
    median: float
    high: float
    #: Shape (n_bins + 1,). Bins of the score.
    edges: NDArray[np.float64]
    #: Mean in each bin.
    in_bins: tuple[Measurement | Undefined, ...]


def spread_profile(
    scores: NDArray[Any], spread: NDArray[Any], weights: NDArray[np.float64], edges: NDArray[np.float64]
) -> SpreadProfile | Undefined:
    """Spread of the members against the score of the ensemble.

    Parameters
    ----------
    scores, spread : array, shape (n_events,)
        Mean and standard deviation over the members.
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.
    edges : array of float64, shape (n_bins + 1,)
        As `spread_edges` gives them; what is beyond them is in the outermost bins.

    Notes
    -----
    The uncertainty of a mean is that of `ntupleml.metrics.regression.regression`.
    """
    if undefined := no_sum_of_weights(weights):
        return undefined
    values = np.asarray(spread, dtype=np.float64)
    bins = np.searchsorted(edges[1:-1], scores, side="right")
    in_bins = [_mean_of(values[bins == index], weights[bins == index]) for index in range(len(edges) - 1)]
    median, high = np.quantile(values, (0.5, 0.95)).tolist()
    return SpreadProfile(len(values), _mean_of(values, weights), median, high, edges, tuple(in_bins))


def spread_edges(scores: NDArray[Any]) -> NDArray[np.float64] | Undefined:
    """Bins of scores, shape (n_bins + 1,), for `spread_profile`."""
    bins = even_bins(scores, _BINS)
    return bins if isinstance(bins, Undefined) else bins.edges


def _mean_of(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Measurement | Undefined:
    return no_sum_of_weights(weights) or residuals(values, weights).bias


def spread_of(members: NDArray[Any]) -> NDArray[np.float64]:
    """Standard deviation over the members, shape (n_events, n_outputs), of scores (n_events, n_members, n_outputs)."""
    found: NDArray[np.float64] = members.std(axis=1, ddof=1, dtype=np.float64)
    return found
