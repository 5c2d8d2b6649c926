"""Rates of a trigger that accepts events above a threshold on a score, and the threshold for a rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.binned_efficiency import ratios
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.roc import falling_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Points of a curve, at most.
_POINTS = 200


class RateThreshold(NamedTuple):
    """The threshold of a trigger, score ≥ threshold, and its rates."""

    #: None where no threshold has the rate that is wanted: then nothing is accepted.
    threshold: float | None
    #: Rates in Hz: of accepted events that no other trigger has accepted already, and of all accepted events.
    pure_rate: Measurement
    total_rate: Measurement
    #: Rates in Hz: what the pure rate is below, and that of the events that the trigger decides on.
    target_rate: float
    input_rate: float
    #: Number of these events, and how many of them the pure rate is of.
    entries: int
    pure_entries: int

    def accepts(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Which events are accepted, in the precision of the scores; none without a threshold."""
        if self.threshold is None:
            return np.zeros(len(scores), np.bool_)
        accepted: NDArray[np.bool_] = scores >= scores.dtype.type(self.threshold)
        return accepted


class RateCurve(NamedTuple):
    """Rates against the threshold."""

    #: Shape (n_points,). Descending.
    thresholds: NDArray[np.float64]
    #: Shape (n_points,). In Hz.
    pure_rates: NDArray[np.float64]
    pure_uncertainties: NDArray[np.float64]
    total_rates: NDArray[np.float64]
    total_uncertainties: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RateScan:
    """What passes each threshold, from the tightest to the loosest; events of equal score pass together."""

    #: Shape (n_thresholds,). The scores that occur, descending.
    thresholds: NDArray[np.float64]
    #: Shape (2, n_thresholds). Σw and Σw² of what passes, and of what no other trigger has accepted of it.
    total: NDArray[np.float64]
    pure: NDArray[np.float64]
    #: Shape (n_thresholds,). Number of the latter.
    pure_counts: NDArray[np.int64]
    #: Rate in Hz of the events that the trigger decides on, and their number.
    input_rate: float
    entries: int

    def threshold(self, target_rate: float) -> RateThreshold:
        """The loosest threshold whose pure rate is below a target, see `pure_rate_threshold`."""
        too_high = self._pure_rates >= target_rate
        loosest = int(np.argmax(too_high)) - 1 if too_high.any() else len(self.thresholds) - 1
        return self._at(loosest, target_rate)

    def at(self, threshold: float, target_rate: float) -> RateThreshold:
        """A given threshold with its rates."""
        passing = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        return self._at(passing, target_rate)._replace(threshold=threshold)

    def curve(self) -> RateCurve:
        """At most 200 points; the tightest thresholds are all among them."""
        number = len(self.thresholds)
        chosen = np.unique(np.rint(np.geomspace(1, number, _POINTS)).astype(np.intp)) - 1
        pure, total = (np.array(self._rates(sums, chosen)).reshape(-1, 2).T for sums in (self.pure, self.total))
        return RateCurve(self.thresholds[chosen], *pure, *total)

    @property
    def _pure_rates(self) -> NDArray[np.float64]:
        rates: NDArray[np.float64] = self.pure[0] * self.input_rate / self.total[0, -1]
        return rates

    def _at(self, position: int, target_rate: float) -> RateThreshold:
        if position < 0:
            nothing = np.zeros((2, 1))
            (rate,) = self._measured(nothing)
            return RateThreshold(None, rate, rate, target_rate, self.input_rate, self.entries, 0)
        (pure,), (total,) = (self._rates(sums, np.array([position])) for sums in (self.pure, self.total))
        threshold = float(self.thresholds[position])
        number = int(self.pure_counts[position])
        return RateThreshold(threshold, pure, total, target_rate, self.input_rate, self.entries, number)

    def _rates(self, sums: NDArray[np.float64], chosen: NDArray[np.intp]) -> list[Measurement]:
        return self._measured(sums[:, chosen])

    def _measured(self, sums: NDArray[np.float64]) -> list[Measurement]:
        """Rates with the uncertainties of shares of weighted events."""
        shares = ratios(*sums, *(self.total[:, -1:] - sums))
        return [
            Measurement(one.value * self.input_rate, one.uncertainty * self.input_rate)
            for one in shares
            if isinstance(one, Measurement)
        ]


def rate_scan(
    scores: NDArray[Any], already: NDArray[np.bool_], weights: NDArray[Any], input_rate: float
) -> RateScan | Undefined:
    """Rates of all thresholds, score ≥ threshold.

    Parameters
    ----------
    scores : array of float, shape (n_events,)
    already : array of bool, shape (n_events,)
        Which events other triggers have accepted: they do not count in the pure rate.
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are, so that rates may fall as the threshold is lowered.
    input_rate : float
        Rate in Hz of all these events together.

    Returns
    -------
    RateScan or Undefined
        Undefined where there are no events, where their sum of weights is not positive, and where scores are NaN.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if undefined := no_sum_of_weights(weights):
        return undefined
    if bad := int(np.count_nonzero(np.isnan(scores))):
        return Undefined(f"{bad} of {len(scores)} scores are NaN")
    order = falling_order(scores := np.asarray(scores))
    ordered, own = scores[order], weights[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    pure = np.where(already[order], 0.0, own)
    total_sums, pure_sums = (np.cumsum([some, np.square(some)], axis=1)[:, last] for some in (own, pure))
    (whole,) = ratios(total_sums[0, -1:], total_sums[1, -1:], np.zeros(1), np.zeros(1))
    if isinstance(whole, Undefined):
        return whole
    counts = np.cumsum(~already[order])[last]
    return RateScan(ordered[last].astype(np.float64), total_sums, pure_sums, counts, input_rate, len(scores))


def pure_rate_threshold(
    scores: NDArray[Any],
    already: NDArray[np.bool_],
    weights: NDArray[Any],
    target_rate: float,
    input_rate: float,
) -> RateThreshold | Undefined:
    """The loosest threshold at which a trigger accepts less than a rate of events that no other one has accepted.

    Parameters
    ----------
    scores, already, weights, input_rate
        As for `rate_scan`.
    target_rate : float
        In Hz.

    Returns
    -------
    RateThreshold or Undefined
        Where the first events exceed the target already, there is no threshold, and nothing is accepted. Where it is
        never reached, the threshold is the lowest score.

    Notes
    -----
    Pure rate R_in Σ_pass w / Σw, the sum over accepted events that are not `already`. Events of equal score pass
    together or not at all, so that the pure rate is always below the target. With negative weights the rate may reach
    the target, fall below it again, and so on: the threshold is above the first one that reaches it.

    Examples
    --------
    >>> scores, already = np.array([5.0, 4.0, 3.0, 2.0, 1.0]), np.zeros(5, dtype=bool)
    >>> pure_rate_threshold(scores, already, np.ones(5), 50.0, 100.0).threshold
    4.0
    >>> pure_rate_threshold(scores, already, np.ones(5), 10.0, 100.0).threshold is None
    True
    """
    scan = rate_scan(scores, already, weights, input_rate)
    return scan if isinstance(scan, Undefined) else scan.threshold(target_rate)


def threshold_of_original(
    scores: NDArray[Any],
    already: NDArray[np.bool_],
    weights: NDArray[Any],
    target_rate: float,
    input_rate: float,
) -> RateThreshold | Undefined:
    """The threshold as the HLT anomaly detection's own code takes it; parameters as for `pure_rate_threshold`.

    Notes
    -----
    Events are counted one by one: the threshold is the score of the last event whose pure rate is below the target.
    With equal scores the rate may be above. Where the first event exceeds the target, it is the lowest score.
    """
    scan = rate_scan(scores, already, weights, input_rate)
    if isinstance(scan, Undefined):
        return scan
    weights = np.asarray(weights, dtype=np.float64)
    order = falling_order(scores)
    rates = np.cumsum(np.where(already, 0.0, weights)[order]) * input_rate / weights.sum()
    position = int(np.count_nonzero(rates < target_rate)) - 1
    return scan.at(float(scores[order][position]), target_rate)
