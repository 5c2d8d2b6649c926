"""Efficiency and purity of cuts on a score in bins of a variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.variable_bins import sums_in_bins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.variable_bins import Sums, VariableBins

    _Parts = tuple[Measurement | Undefined, ...]

#: Shares of the signal that the cuts keep.
WORKING_POINTS = (0.3, 0.5, 0.8)


class BinnedCut(NamedTuple):
    """Efficiencies and purity of one cut, score ≥ threshold."""

    #: Share of the signal that the cut was chosen to keep.
    wanted: float
    threshold: float
    #: Of all events: share of signal and of background that passes, and share of signal in what passes.
    signal: Measurement | Undefined
    background: Measurement | Undefined
    purity: Measurement | Undefined
    #: The same in each bin.
    signal_in_bins: tuple[Measurement | Undefined, ...]
    background_in_bins: tuple[Measurement | Undefined, ...]
    purity_in_bins: tuple[Measurement | Undefined, ...]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"wanted_signal_efficiency" if name == "wanted" else name: one for name, one in self._asdict().items()}


class BinnedEfficiency(NamedTuple):
    """Efficiencies and purities of several cuts in bins of a variable."""

    #: Shape (n_bins + 1,). The outermost bins also hold what is beyond them.
    edges: NDArray[np.float64]
    #: Number of events beyond the edges, and of those without a finite value.
    below: int
    above: int
    missing: int
    cuts: tuple[BinnedCut, ...]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        flow = {"events_below": self.below, "events_above": self.above, "events_missing": self.missing}
        return {"edges": self.edges, **flow, "cuts": self.cuts}


def ratios(
    sums: NDArray[np.float64],
    squares: NDArray[np.float64],
    rest_sums: NDArray[np.float64],
    rest_squares: NDArray[np.float64],
) -> list[Measurement | Undefined]:
    """Shares of weighted events, each with its binomial uncertainty.

    Parameters
    ----------
    sums, squares : array of float64, shape (n,)
        Σw and Σw² of the events that count.
    rest_sums, rest_squares : array of float64, shape (n,)
        The same of those that do not.

    Returns
    -------
    list of Measurement or Undefined
        Undefined where there are no events, or their sum of weights is not positive.

    Notes
    -----
    ε = Σ_pass w / Σw, with variance Σw² (p − ε)² / (Σw)², p = 1 for what passes and else 0: the normal approximation
    of ROOT's TEfficiency for weighted events. Where all or none pass, this would be zero; there, the uncertainty is the
    standard deviation of the Bayesian posterior with a uniform prior for n = (Σw)² / Σw² events, Beta(n + 1, 1), as
    TEfficiency's.

    Examples
    --------
    >>> ratios(*(np.array([one]) for one in (2.0, 2.0, 2.0, 2.0)))
    [Measurement(value=0.5, uncertainty=0.25)]
    """
    totals, all_squares = sums + rest_sums, squares + rest_squares
    # A sum that differs from zero by no more than rounding is zero.
    known = totals > 1e-12 * np.sqrt(all_squares)
    safe = np.where(known, totals, 1.0)
    values = sums / safe
    variances = (np.square(1 - values) * squares + np.square(values) * rest_squares) / np.square(safe)
    entries = np.square(totals) / np.where(all_squares > 0, all_squares, 1.0)
    at_end = (squares == 0) | (rest_squares == 0)
    variances = np.where(at_end, (entries + 1) / (np.square(entries + 2) * (entries + 3)), variances)
    return [
        Measurement(value, uncertainty) if is_known else Undefined(no_ratio(total, square))
        for value, uncertainty, is_known, total, square in zip(
            values.tolist(), np.sqrt(variances).tolist(), known, totals, all_squares, strict=True
        )
    ]


def no_ratio(total: float, square: float) -> str:
    """Why no share can be told of events with these Σw and Σw²."""
    if square == 0:
        return "no events"
    return f"sum of weights is {'negative' if total < -1e-12 * square**0.5 else 'zero'}"


def binned_efficiency(
    scores: NDArray[Any],
    is_signal: NDArray[np.bool_],
    weights: NDArray[np.float64],
    bins: VariableBins,
    working_points: Sequence[float] = WORKING_POINTS,
) -> BinnedEfficiency | Undefined:
    """Efficiency of signal and background, and purity, in bins of a variable, for some cuts on the score.

    Parameters
    ----------
    scores : array, shape (n_events,)
        Score of the signal.
    is_signal : array of bool, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.
    bins : VariableBins
        Of the same events.
    working_points : sequence of float
        Shares of the signal, between 0 and 1, that the cuts keep.

    Returns
    -------
    BinnedEfficiency or Undefined
        Undefined where signal has no events, or a sum of weights that is not positive.

    Notes
    -----
    A cut is at the largest score at which the share of signal reaches the working point; with equal scores or negative
    weights more may pass. The uncertainties take the cut as given; see `ratios` for the formula.
    """
    if reason := no_sum_of_weights(weights[is_signal], "signal"):
        return reason
    wanted = sorted(working_points)
    cuts = cuts_that_keep(scores[is_signal], weights[is_signal], wanted)
    # Kind of event: number of cuts passed (the loosest is passed first), and whether it is signal.
    kinds = np.zeros(len(scores), dtype=np.intp)
    for cut in cuts:
        kinds += scores >= cut
    kinds += np.where(is_signal, len(cuts) + 1, 0)
    number = len(cuts) + 1
    filled = sums_in_bins(kinds, 2 * number, bins, weights)
    in_all = sums_in_bins(kinds, 2 * number, _one_bin(bins), weights)
    results = []
    for passed, (one, cut) in enumerate(zip(reversed(wanted), reversed(cuts), strict=True), start=1):
        (signal,), (background,), (purity,) = _cut(in_all, number, passed)
        results.append(BinnedCut(one, float(cut), signal, background, purity, *_cut(filled, number, passed)))
    return BinnedEfficiency(bins.edges, bins.below, bins.above, bins.missing, tuple(reversed(results)))


def cuts_that_keep(scores: NDArray[Any], weights: NDArray[np.float64], shares: Sequence[float]) -> list[Any]:
    """The largest scores at which cuts, score ≥ threshold, keep these shares of the events, by their weights.

    Examples
    --------
    >>> [float(cut) for cut in cuts_that_keep(np.array([0.9, 0.1, 0.5, 0.7]), np.ones(4), [0.5, 0.51])]
    [0.7, 0.5]
    """
    order = np.argsort(scores)[::-1]
    cumulated = np.cumsum(weights[order])
    # Never falls, so that a share is found where it is reached for the first time.
    reached = np.maximum.accumulate(cumulated)
    positions = np.searchsorted(reached, np.asarray(shares) * cumulated[-1])
    return list(scores[order][np.minimum(positions, len(scores) - 1)])


def _one_bin(bins: VariableBins) -> VariableBins:
    """All events in one bin, those without a value too."""
    return bins._replace(edges=bins.edges[[0, -1]], of_event=np.zeros_like(bins.of_event))


def _cut(filled: Sums, number: int, level: int) -> tuple[_Parts, _Parts, _Parts]:
    """Efficiency of signal, of background, and purity of what passes at least some number of cuts."""
    passed, failed = [], []
    for kind in (slice(number, None), slice(0, number)):
        of_kind = [array[kind] for array in filled]
        passed.append([array[level:].sum(axis=0) for array in of_kind])
        failed.append([array[:level].sum(axis=0) for array in of_kind])
    signal, background = (ratios(*one, *other) for one, other in zip(passed, failed, strict=True))
    return tuple(signal), tuple(background), tuple(ratios(*passed[0], *passed[1]))
