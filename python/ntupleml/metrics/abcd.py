"""The ABCD method: a background in a corner of two scores, predicted from the three other corners."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.binned_efficiency import cuts_that_keep
from ntupleml.metrics.distance_correlation import (
    DistanceCorrelation,
    Distances,
    distance_correlation,
    distances,
    weighted_sample,
)
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Shares of the background that pass the cuts of the grid.
GRID = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)


class Sample(NamedTuple):
    """Events with two scores; larger ones are more like a signal."""

    #: Shape (n_events,) each.
    first: NDArray[np.floating]
    second: NDArray[np.floating]
    weights: NDArray[np.float64]


class Cuts(NamedTuple):
    """Cuts that events pass with at least these scores."""

    first: float
    second: float


class Regions(NamedTuple):
    """Sums of weights: A passes both cuts, B the first alone, C the second alone, D none."""

    A: Measurement
    B: Measurement
    C: Measurement
    D: Measurement


class Closure(NamedTuple):
    """How well the number of events in A is predicted by the other regions."""

    cuts: Cuts
    regions: Regions
    #: B·C/D.
    predicted: Measurement
    #: A / predicted.
    ratio: Measurement
    #: Difference of A and its prediction in standard deviations.
    significance: float


class Contamination(NamedTuple):
    """What a signal would do."""

    #: Share of it in A.
    efficiency: Measurement | Undefined
    #: By how much the prediction would be larger with the signal of its weights in B, C and D, relative to it.
    shift: float | Undefined


class AbcdTest(NamedTuple):
    """Closure of a background, at the cuts in use and at others."""

    closure: Closure | Undefined
    #: By the shares of the background that pass the cuts on the first and the second score.
    grid: dict[tuple[float, float], Closure | Undefined]
    correlation: DistanceCorrelation | Undefined
    signals: dict[str, Contamination]

    def plain(self) -> dict[str, object]:
        """As a file has it."""
        cells = [
            {"first_share": shares[0], "second_share": shares[1], "closure": one} for shares, one in self.grid.items()
        ]
        return {**self._asdict(), "grid": cells}


def regions_of(sample: Sample, cuts: Cuts) -> Regions:
    """Sums of weights in the four regions, with √Σw²."""
    passes = [
        scores >= np.asarray(scores).dtype.type(cut)
        for scores, cut in ((sample.first, cuts.first), (sample.second, cuts.second))
    ]
    place = 3 - 2 * passes[0] - passes[1]
    sums, squares = (np.bincount(place, weights=sample.weights**power, minlength=4) for power in (1, 2))
    return Regions(*(Measurement(float(one), math.sqrt(two)) for one, two in zip(sums, squares, strict=True)))


def predicted(regions: Regions) -> Measurement | Undefined:
    """B·C/D, with its uncertainty of first order.

    Notes
    -----
    The sums of weights of the regions are independent where the number of all events is that of a Poisson distribution.
    For a fixed number (a multinomial distribution) they are not, but ln(A·D/(B·C)) and so the significance of a
    difference are the same in both, as it does not change where all four grow by one factor.
    """
    _, b, c, d = regions
    for name, one in zip("BCD", (b, c, d), strict=True):
        if one.value <= 0:
            return Undefined(f"the sum of weights in {name} is not positive")
    value = b.value * c.value / d.value
    relative = math.sqrt(sum((one.uncertainty / one.value) ** 2 for one in (b, c, d)))
    return Measurement(value, value * relative)


def closure(sample: Sample, cuts: Cuts) -> Closure | Undefined:
    """Prediction and truth of region A at some cuts.

    Returns
    -------
    Closure or Undefined
        Undefined where a sum of weights that is needed is not positive.
    """
    regions = regions_of(sample, cuts)
    found = predicted(regions)
    if isinstance(found, Undefined):
        return found
    difference = regions.A.value - found.value
    width = math.hypot(regions.A.uncertainty, found.uncertainty)
    ratio = regions.A.value / found.value
    of_ratio = math.hypot(regions.A.uncertainty / found.value, ratio * found.uncertainty / found.value)
    return Closure(cuts, regions, found, Measurement(ratio, of_ratio), difference / width)


def cuts_of_shares(sample: Sample, shares: Sequence[float]) -> list[Cuts]:
    """Cuts that keep shares of the events on each score, by their weights."""
    kept = [cuts_that_keep(scores, sample.weights, shares) for scores in (sample.first, sample.second)]
    return [Cuts(float(one), float(other)) for one, other in zip(*kept, strict=True)]


def abcd_test(
    background: Sample,
    signals: Mapping[str, Sample],
    cuts: Cuts | float,
    seed: int,
    shares: Sequence[float] = GRID,
) -> AbcdTest | Undefined:
    """Closure of a background, its distance correlation, and what signals would do.

    Parameters
    ----------
    cuts : Cuts or float
        Those in use, or the share of the background that passes each of them.
    seed : int
        Of the sample of at most 2,000 events of which the distance correlation is computed.
    shares : sequence of float
        Of the cuts of the grid.
    """
    if reason := no_sum_of_weights(background.weights, "the background"):
        return reason
    used = cuts if isinstance(cuts, Cuts) else cuts_of_shares(background, [cuts])[0]
    of_shares = cuts_of_shares(background, shares)
    grid = {
        (one, other): closure(background, Cuts(of_shares[i].first, of_shares[j].second))
        for i, one in enumerate(shares)
        for j, other in enumerate(shares)
    }
    regions = regions_of(background, used)
    return AbcdTest(
        closure(background, used),
        grid,
        _correlation(background, seed),
        {name: _contamination(regions, regions_of(signal, used), signal) for name, signal in signals.items()},
    )


def _correlation(sample: Sample, seed: int) -> DistanceCorrelation | Undefined:
    thinned = weighted_sample(np.arange(len(sample.weights)), sample.weights, seed)
    found = [distances(scores[thinned.positions], thinned.weights) for scores in (sample.first, sample.second)]
    for one in found:
        if isinstance(one, Undefined):
            return one
    first, second = (one for one in found if isinstance(one, Distances))
    return distance_correlation(first, second)


def _contamination(background: Regions, signal: Regions, sample: Sample) -> Contamination:
    total = float(sample.weights.sum())
    efficiency: Measurement | Undefined
    if reason := no_sum_of_weights(sample.weights):
        efficiency = reason
    else:
        share = signal.A.value / total
        others = sum(one.uncertainty**2 for one in signal[1:])
        spread = math.sqrt((1 - share) ** 2 * signal.A.uncertainty**2 + share**2 * others) / abs(total)
        efficiency = Measurement(share, spread)
    alone = predicted(background)
    both = predicted(
        Regions(*(Measurement(one.value + two.value, 0.0) for one, two in zip(background, signal, strict=True)))
    )
    for one in (alone, both):
        if isinstance(one, Undefined):
            return Contamination(efficiency, one)
    assert isinstance(alone, Measurement)
    assert isinstance(both, Measurement)
    return Contamination(efficiency, both.value / alone.value - 1)
