"""Distance correlation of weighted events: zero only where two quantities are independent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, effective_entries, no_sum_of_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Events that are compared pair by pair; more are thinned out by chance.
LARGEST_SAMPLE = 2000
#: Below this number of effective entries, the p-value would be wrong.
_FEWEST_ENTRIES = 20.0


class DistanceCorrelation(NamedTuple):
    """Squared distance correlation R², without its bias."""

    #: R²: 0 for independent quantities, 1 for linear ones; in a sample it may be slightly negative.
    squared: Measurement
    #: Chance of a value at least as large for independent quantities.
    p_value: float
    #: Events that it was computed with.
    events: int


class WeightedSample(NamedTuple):
    """Events that stand for a larger number of them."""

    #: Shape (n_sample,).
    positions: NDArray[np.intp]
    #: Shape (n_sample,).
    weights: NDArray[np.float64]


def weighted_sample(
    positions: NDArray[np.intp], weights: NDArray[np.float64], seed: int, largest: int = LARGEST_SAMPLE
) -> WeightedSample:
    """Thin out events by chance, so that sums over those that are left have the expectation of sums over all.

    Events are hit with a chance in proportion to |w|, and then count with the sign of their weights; one that is hit
    several times counts as often. So nearly all have weights of +1 and −1. (To take events by |w| and forget the sign
    would give the distribution of |w|, which is another one.)

    Parameters
    ----------
    positions : array of intp, shape (n_events,)
        Positions of the events to choose from.
    weights : array of float64, shape (n_events,)
        Their weights.
    largest : int
        Number of events to take; fewer events are taken as they are.

    Notes
    -----
    Each hit is independent of the others (and not at equal distances of the cumulated |w|), as what is free of bias for
    independent events would not be so with fixed numbers of events of each class and sign.
    """
    if len(positions) <= largest:
        return WeightedSample(positions, weights)
    cumulated = np.cumsum(np.abs(weights))
    if not cumulated[-1] > 0:
        return WeightedSample(positions[:largest], weights[:largest])
    hits = np.random.default_rng(seed).random(largest) * cumulated[-1]
    taken, times = np.unique(np.searchsorted(cumulated, hits, side="right"), return_counts=True)
    return WeightedSample(positions[taken], np.sign(weights[taken]) * times)


class Distances(NamedTuple):
    """Distances between all pairs of some events in one quantity, to be compared with those in others."""

    #: Shape (n_events, n_events).
    matrix: NDArray[np.float64]
    #: Shape (n_events,). Weights of the events, divided by their sum.
    shares: NDArray[np.float64]
    #: Shape (n_events,). Weighted mean distance of each event to the others.
    rows: NDArray[np.float64]
    #: Distance variance without its bias.
    variance: float
    #: Shape (n_events,). What each event's share does to the distance variance.
    influences: NDArray[np.float64]


def distances(
    values: NDArray[Any], weights: NDArray[np.float64], buffer: NDArray[np.float64] | None = None
) -> Distances | Undefined:
    """Distances of some events in one quantity.

    Parameters
    ----------
    values : array, shape (n_events,)
        Finite. Memory and time grow with the square of their number.
    weights : array of float64, shape (n_events,)
    buffer : array of float64, shape (n_events, n_events), optional
        Memory for the matrix.

    Returns
    -------
    Distances or Undefined
        Undefined where there are fewer than 20 effective events, the sum of weights is not positive or all values are
        equal.
    """
    if reason := no_sum_of_weights(weights):
        return reason
    entries = effective_entries(weights)
    if entries < _FEWEST_ENTRIES:
        return Undefined(f"only {entries:.3g} effective events")
    numbers = np.asarray(values, dtype=np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return Undefined("all values are equal")
    # The scale does not matter, but squares of large numbers would overflow.
    scaled = (numbers - low) / (high - low)
    matrix = np.subtract.outer(scaled, scaled, out=buffer)
    np.abs(matrix, out=matrix)
    shares = weights / weights.sum()
    rows = _times(matrix, shares)
    products = _products_of_one(scaled, shares)
    variance, influences = _covariance((matrix, rows), (matrix, rows), shares, products)
    if not variance > 0:
        return Undefined("its distance variance is not positive: too few different values, or negative weights")
    return Distances(matrix, shares, rows, variance, influences)


def distance_correlation(
    first: Distances, second: Distances, buffer: NDArray[np.float64] | None = None
) -> DistanceCorrelation:
    """Weighted, bias-corrected distance correlation of two quantities of the same events.

    Parameters
    ----------
    first, second : Distances
        Of the same events.
    buffer : array of float64, shape (n_events, n_events), optional
        Memory for the product of the matrices.

    Notes
    -----
    R² = V²(x, y) / √(V²(x) V²(y)) with the distance covariance V²(x, y) = ⟨|x−x'||y−y'|⟩ + ⟨|x−x'|⟩⟨|y−y'|⟩ −
    2⟨|x−x'||y−y''|⟩ (Székely, Rizzo, Bakirov, Ann. Stat. 35 (2007) 2769, arXiv:0803.4101), weighted as by Kasieczka
    and Shih (arXiv:2001.05310), where each mean is over *distinct* events, which makes it free of bias (for equal
    weights it is the U-statistic of Székely and Rizzo, Ann. Stat. 42 (2014) 2382, arXiv:1310.2926).

    Negative weights count as they are in the means, whose expectation is that of the events that they describe.

    The uncertainty is first-order propagation (each event's influence on R²), and not below the spread √2/n of
    independent quantities; n are the effective entries. For nearly independent quantities it is too large by a factor
    of up to 2, as their influences are fluctuations themselves. The p-value is
    P(χ²₁ ≥ n R² + 1), which needs no permutations and is on the safe side (Shen, Panda, Vogelstein, J. Comput. Graph.
    Stat. 31 (2022) 254, arXiv:1912.12150).
    """
    from scipy.special import chdtrc

    shares = first.shares
    matrix = np.multiply(first.matrix, second.matrix, out=buffer)
    products = np.stack([_times(matrix, shares), _times(matrix, np.square(shares))], axis=1)
    covariance, influences = _covariance((first.matrix, first.rows), (second.matrix, second.rows), shares, products)
    size = math.sqrt(first.variance * second.variance)
    squared = covariance / size
    by_event = influences / size - 0.5 * squared * (
        first.influences / first.variance + second.influences / second.variance
    )
    entries = 1 / float(shares @ shares)
    spread = math.sqrt(float(np.square(shares) @ np.square(by_event)))
    return DistanceCorrelation(
        Measurement(squared, max(spread, math.sqrt(2) / entries)),
        float(chdtrc(1, max(entries * squared + 1, 0.0))),
        len(shares),
    )


def _times(matrix: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of matrix and vector; einsum, as BLAS would wake its threads for it, which costs more than it saves."""
    product: NDArray[np.float64] = np.einsum("ij,j->i", matrix, vector)
    return product


def _products_of_one(values: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Σⱼ pⱼ (xᵢ − xⱼ)² and the same with pⱼ², shape (n_events, 2), without the matrix."""
    columns = []
    for factors in (shares, np.square(shares)):
        columns.append(
            np.square(values) * factors.sum() - 2 * values * (factors @ values) + factors @ np.square(values)
        )
    return np.stack(columns, axis=1)


def _covariance(
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
    shares: NDArray[np.float64],
    products: NDArray[np.float64],
) -> tuple[float, NDArray[np.float64]]:
    """Distance covariance without its bias, and the influence of each event on it.

    Sums over distinct events are sums over all less those with equal ones, which are sums of powers of the shares.
    """
    (a, rows_a), (b, rows_b) = first, second
    powers = [float(np.sum(shares**power)) for power in (2, 3, 4)]
    squares = np.square(shares)
    mean_a, mean_b = float(shares @ rows_a), float(shares @ rows_b)
    both = shares @ products[:, 0]
    twice = squares @ products[:, 1]
    pairs = both / (1 - powers[0])
    triples = (shares @ (rows_a * rows_b) - shares @ products[:, 1]) / (1 - 3 * powers[0] + 2 * powers[1])
    fours = mean_a * mean_b - 4 * (squares @ (rows_a * rows_b)) + 2 * twice
    fours /= 1 - 6 * powers[0] + 8 * powers[1] + 3 * powers[0] ** 2 - 6 * powers[2]
    value = float(pairs + fours - 2 * triples)
    # Σⱼ pⱼ Aᵢⱼ Bᵢⱼ of the doubly centred matrices: half the derivative by the share of event i.
    along_a, along_b = _times(a, shares * rows_b), _times(b, shares * rows_a)
    centred = products[:, 0] - along_a - along_b - rows_a * rows_b + mean_b * rows_a + mean_a * rows_b
    centred += float(shares @ (rows_a * rows_b)) - mean_a * mean_b
    return value, 2 * (centred - float(shares @ centred))
