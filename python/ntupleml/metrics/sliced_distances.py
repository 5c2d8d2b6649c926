"""How far the scores of two samples are apart, score by score, in slices of another quantity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined, effective_entries
from ntupleml.metrics.two_samples import TwoSampleTest, kolmogorov_smirnov

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Slice of a row of which the sliced quantity is NaN: none.
NO_SLICE = -1


class SlicedDistances(NamedTuple):
    """Kolmogorov-Smirnov tests of two samples."""

    #: For each score, one per slice.
    tests: tuple[tuple[TwoSampleTest | Undefined, ...], ...]
    #: For each slice, effective entries (Σw)² / Σw² of the two samples.
    entries: tuple[tuple[float, float], ...]

    @property
    def sums(self) -> tuple[float, ...]:
        """For each score, the sum of the distances of all slices that have one; NaN where none has."""
        return tuple(
            _sum([one.statistic for one in of_score if not isinstance(one, Undefined)]) for of_score in self.tests
        )


def _sum(distances: Sequence[float]) -> float:
    return math.fsum(distances) if distances else math.nan


def slices_of(values: NDArray[Any], edges: Sequence[float]) -> NDArray[np.intp]:
    """Slice of each row: 0 below the first edge; a row on an edge is in the slice above it.

    Examples
    --------
    >>> slices_of(np.array([1.0, 2.0, 2.5, np.nan]), [2.0])
    array([ 0,  1,  1, -1])
    """
    return np.where(np.isnan(values), NO_SLICE, np.searchsorted(edges, values, side="right"))


def slice_names(variable: str, edges: Sequence[float]) -> tuple[str, ...]:
    """What each slice holds, for people.

    Examples
    --------
    >>> slice_names("jet_pT", [155, 270])
    ('jet_pT < 155', '155 <= jet_pT < 270', 'jet_pT >= 270')
    """
    low, high = [f"{edge:g} <= " for edge in edges], [f" < {edge:g}" for edge in edges]
    inner = [f"{below}{variable}{above}" for below, above in zip(low, high[1:], strict=False)]
    return (f"{variable}{high[0]}", *inner, f"{variable} >= {edges[-1]:g}")


def sliced_distances(
    scores: NDArray[Any],
    is_second: NDArray[np.bool_],
    weights: NDArray[np.float64],
    slices: NDArray[np.intp] | None = None,
    number: int = 1,
) -> SlicedDistances:
    """Weighted Kolmogorov-Smirnov tests of each score between two samples, in each slice by itself.

    Parameters
    ----------
    scores : array, shape (n_rows, n_scores)
    is_second : array of bool, shape (n_rows,)
        Which rows are of the second sample.
    weights : array of float64, shape (n_rows,)
        Negative ones count as they are, see `kolmogorov_smirnov`.
    slices : array of int, shape (n_rows,), optional
        Slice of each row, of `slices_of`; by default all rows are one slice. Rows of `NO_SLICE` do not count.
    number : int
        Number of slices.
    """
    tests: list[list[TwoSampleTest | Undefined]] = [[] for _ in range(scores.shape[1])]
    entries = []
    for index in range(number):
        inside = np.ones(len(weights), np.bool_) if slices is None else slices == index
        samples = [np.flatnonzero(inside & of_sample) for of_sample in (~is_second, is_second)]
        first, second = (weights[rows] for rows in samples)
        entries.append((effective_entries(first), effective_entries(second)))
        for of_score, values in zip(tests, scores.T, strict=True):
            of_score.append(kolmogorov_smirnov(values[samples[0]], first, values[samples[1]], second))
    return SlicedDistances(tuple(map(tuple, tests)), tuple(entries))
