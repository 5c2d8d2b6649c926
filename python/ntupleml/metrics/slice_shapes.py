"""Shape of the background in a variable, in slices of the score: what a picture shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.binned_efficiency import ratios
from ntupleml.metrics.divergence import no_total
from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.variable_bins import Sums, sums_in_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.sculpting import ScoreSlices
    from ntupleml.metrics.variable_bins import VariableBins


class ShapeInSlices(NamedTuple):
    """Shape of the background in a variable, of all of it and in each slice of the score: what a picture shows."""

    #: Shape (n_bins + 1,). The outermost bins also hold what is beyond them.
    edges: NDArray[np.float64]
    #: Number of events of all kinds beyond the edges, and of those without a finite value.
    below: int
    above: int
    missing: int
    #: Share of the background in each bin.
    inclusive: tuple[Measurement | Undefined, ...]
    #: The same for each slice.
    slices: tuple[tuple[Measurement | Undefined, ...], ...]
    #: Shares of the slices, divided by those of all background.
    ratios: tuple[tuple[Measurement | Undefined, ...], ...]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        flow = {"events_below": self.below, "events_above": self.above, "events_missing": self.missing}
        shapes = {"inclusive": self.inclusive, "slices": self.slices, "ratios": self.ratios}
        return {"edges": self.edges, **flow, **shapes}


def shape_in_slices(slices: ScoreSlices, bins: VariableBins, weights: NDArray[np.float64]) -> ShapeInSlices:
    """Normalised distributions of the background in slices of the score.

    Parameters
    ----------
    bins : VariableBins
        Of the same events, e.g. of `even_bins`.
    weights : array of float64, shape (n_events,)
        Event weights, negative ones as they are.

    Notes
    -----
    Shares have binomial uncertainties, see `ratios`. The ratio of a slice to all background has that of first-order
    propagation with the slice as part of the background.
    """
    filled = sums_in_bins(slices.of_event, slices.number, bins, weights)
    every = Sums(*(array.sum(axis=0) for array in filled))
    shapes = tuple(_shares(*one) for one in zip(*filled, strict=True))
    compared = tuple(_to_inclusive(Sums(*one), every) for one in zip(*filled, strict=True))
    return ShapeInSlices(bins.edges, bins.below, bins.above, bins.missing, _shares(*every), shapes, compared)


def _shares(sums: NDArray[np.float64], squares: NDArray[np.float64]) -> tuple[Measurement | Undefined, ...]:
    return tuple(ratios(sums, squares, sums.sum() - sums, squares.sum() - squares))


def _to_inclusive(part: Sums, every: Sums) -> tuple[Measurement | Undefined, ...]:
    """Shares of a part of the events in the bins, divided by those of all events."""
    if reason := no_total(*part) or no_total(*every):
        return (reason,) * len(part.sums)
    others = Sums(*(whole - one for whole, one in zip(every, part, strict=True)))
    of_part, of_all = float(part.sums.sum()), float(every.sums.sum())
    in_bins = ratios(*part, *others)
    safe = np.where(every.sums > 0, every.sums, 1.0)
    values = part.sums / safe * of_all / of_part
    # Derivatives by the sums of the part and of the others in the same bin, and in all other bins.
    by_part = of_all / of_part * others.sums / safe**2 + part.sums / safe / of_part - values / of_part
    by_others = -values / safe + values / of_all
    variances = part.squares * np.square(by_part) + others.squares * np.square(by_others)
    variances += (part.squares.sum() - part.squares) * np.square(values * (1 / of_all - 1 / of_part))
    variances += (others.squares.sum() - others.squares) * np.square(values / of_all)
    at_end = (part.squares == 0) | (others.squares == 0)
    results: list[Measurement | Undefined] = []
    for share, value, variance, is_at_end in zip(in_bins, values, variances, at_end, strict=True):
        if isinstance(share, Measurement):
            smallest = share.uncertainty * of_all / of_part if is_at_end else 0.0
            results.append(Measurement(float(value), max(math.sqrt(variance), smallest)))
        else:
            results.append(share)
    return tuple(results)
