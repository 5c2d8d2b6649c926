"""Efficiencies and gains of an anomaly trigger: of regions of events, and as functions of a rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.bayesian_efficiency import bayesian_efficiencies, bayesian_efficiency
from ntupleml.metrics.measurement import Interval, Undefined, no_sum_of_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.trigger_rates import RateScan, RateThreshold
    from ntupleml.metrics.trigger_regions import Regions, Scheme, TriggerBits

    Events = NDArray[np.bool_]


class TriggerEfficiencies(NamedTuple):
    """Efficiencies of one kind of events; each is a share of weighted events, or a ratio of such sums."""

    #: What the anomaly trigger of the HLT accepts of what L1 accepts: (E or F) / (B or C), for l1All / (B or C or D).
    raw: Interval | Undefined
    #: What the HLT accepts without the anomaly trigger, and with it, of all events: (F or G) / A, (E or F or G) / A.
    hlt: Interval | Undefined
    combined: Interval | Undefined
    #: What the anomaly trigger adds to it: E / (F or G), ε / (1 − ε) of ε = E / (E or F or G), and in percent.
    gain: Interval | Undefined
    relative_gain: Interval | Undefined
    #: What it adds to what the anomaly trigger of L1 adds: E / B, and the share of B that is in E.
    e_over_b: Interval | Undefined
    e_and_b_over_b: Interval | Undefined


class AcceptedShares(NamedTuple):
    """Share of events that the HLT accepts: without the anomaly trigger, and with it."""

    hlt: Interval | Undefined
    hlt_or_anomaly: Interval | Undefined


class OtherEfficiencies(NamedTuple):
    """Three more efficiencies, by the events that they are shares of."""

    #: Algorithm signal efficiency: of the seeds.
    ase: AcceptedShares
    #: Total signal efficiency: of all events.
    tse: AcceptedShares
    #: Mixed signal efficiency: of all that L1 accepts; None for l1All, where these are the seeds.
    mise: AcceptedShares | None


class EfficiencyAtRate(NamedTuple):
    """What passes the threshold for a pure rate."""

    rate: RateThreshold
    #: Share of some events.
    efficiency: Interval | Undefined


def share_of(passed: Events, counted: Events, weights: NDArray[np.float64]) -> Interval | Undefined:
    """Weighted share of some events that pass, with its Bayesian interval.

    Parameters
    ----------
    passed, counted : array of bool, shape (n_events,)
        What passes counts only where it is `counted`.
    weights : array of float64, shape (n_events,)
    """
    return bayesian_efficiency(passed[counted], weights[counted])


def odds_of(share: Interval | Undefined) -> Interval | Undefined:
    """ε / (1 − ε) of a share ε, and of the ends of its interval."""
    if isinstance(share, Undefined):
        return share
    return Undefined("nothing else is accepted") if share.value == 1 else share.transformed(_odds)


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else math.inf


def ratio_of_overlapping(numerator: Events, denominator: Events, weights: NDArray[np.float64]) -> Interval | Undefined:
    """Ratio of the sums of weights of two sets of events that may overlap.

    Parameters
    ----------
    numerator, denominator : array of bool, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.

    Returns
    -------
    Interval or Undefined
        Undefined where a sum of weights is not positive.

    Notes
    -----
    R = Σ_E w / Σ_B w. The events of E alone, of B alone and of both are multinomial; to first order the variance is
    σ² = Σ w² (1_E − R 1_B)² / (Σ_B w)². The interval is that of ln R ± σ / R, which keeps R positive. Without events
    of E nothing overlaps, and it is that of the odds of the share E / (E or B).

    Examples
    --------
    >>> e, b = np.array([True, True, False, False]), np.array([False, True, True, True])
    >>> round(ratio_of_overlapping(e, b, np.ones(4)).value, 4)
    0.6667
    """
    weights = np.asarray(weights, dtype=np.float64)
    if undefined := no_sum_of_weights(weights[denominator], "B"):
        return undefined
    if not numerator.any():
        return odds_of(share_of(numerator, denominator, weights))
    if undefined := no_sum_of_weights(weights[numerator], "E"):
        return undefined
    total = weights[denominator].sum()
    value = float(weights[numerator].sum() / total)
    deviations = weights * (numerator.astype(np.float64) - value * denominator)
    relative = float(np.sqrt(deviations @ deviations) / total) / value
    return Interval(value, -value * math.expm1(-relative), value * math.expm1(relative))


def trigger_efficiencies(regions: Regions, scheme: Scheme, weights: NDArray[Any]) -> TriggerEfficiencies:
    """Efficiencies and gains of regions of events.

    Parameters
    ----------
    regions : Regions
    scheme : {'l1Seeded', 'l1All'}
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are.

    Notes
    -----
    Shares have Bayesian intervals, see `bayesian_efficiencies`; those of gains are ε / (1 − ε) of their ends. E and B
    overlap, see `ratio_of_overlapping`.
    """
    weights = np.asarray(weights, dtype=np.float64)
    without, accepted = regions.F | regions.G, regions.E | regions.F | regions.G
    gain = odds_of(share_of(regions.E, accepted, weights))
    return TriggerEfficiencies(
        share_of(regions.accepted, regions.counted(scheme), weights),
        share_of(without, regions.A, weights),
        share_of(accepted, regions.A, weights),
        gain,
        gain if isinstance(gain, Undefined) else Interval(*(100 * one for one in gain)),
        ratio_of_overlapping(regions.E, regions.B, weights),
        share_of(regions.E, regions.B, weights),
    )


def efficiencies_of_original(regions: Regions, scheme: Scheme, weights: NDArray[Any]) -> TriggerEfficiencies:
    """Efficiencies as the HLT anomaly detection's own code has them, of its own regions.

    Its E / B is ε / (1 − ε) of ε = E / (E or B), which is E / (B without E), since E and B overlap. So is its share of
    B that is in E, with ε = (E and B) / B.
    """
    weights = np.asarray(weights, dtype=np.float64)
    found = trigger_efficiencies(regions, scheme, weights)
    return found._replace(
        e_over_b=odds_of(share_of(regions.E, regions.E | regions.B, weights)),
        e_and_b_over_b=odds_of(share_of(regions.E, regions.B, weights)),
    )


def other_efficiencies(bits: TriggerBits, scheme: Scheme, weights: NDArray[Any]) -> OtherEfficiencies:
    """Algorithm, total and mixed signal efficiency: the anomaly trigger of the HLT counts where it is seeded.

    Parameters
    ----------
    bits : TriggerBits
    scheme : {'l1Seeded', 'l1All'}
    weights : array, shape (n_events,)
    """
    weights = np.asarray(weights, dtype=np.float64)
    seeds = bits.seeds(scheme)
    with_anomaly = bits.hlt | (seeds & bits.hlt_anomalous)

    def shares(counted: Events) -> AcceptedShares:
        return AcceptedShares(share_of(bits.hlt, counted, weights), share_of(with_anomaly, counted, weights))

    mixed = shares(bits.l1 | bits.l1_anomalous) if scheme == "l1Seeded" else None
    return OtherEfficiencies(shares(seeds), shares(np.ones(len(seeds), np.bool_)), mixed)


def efficiencies_at_rates(
    scan: RateScan, rates: Sequence[float] | NDArray[np.float64], scores: NDArray[Any], weights: NDArray[Any]
) -> list[EfficiencyAtRate]:
    """Weighted share of events that pass the thresholds for some pure rates.

    Parameters
    ----------
    scan : RateScan
        Of the events that the rates are of.
    rates : sequence of float
        In Hz; the pure rates are below.
    scores, weights : arrays, shape (n_events,)
        Of the events that the efficiencies are of.
    """
    thresholds = [scan.threshold(float(rate)) for rate in rates]
    weights = np.asarray(weights, dtype=np.float64)
    passed = np.array([weights[one.accepts(scores)].sum() for one in thresholds])
    totals, squares = (np.full(len(thresholds), one) for one in (weights.sum(), weights @ weights))
    shares = bayesian_efficiencies(passed, totals, squares)
    return [EfficiencyAtRate(*pair) for pair in zip(thresholds, shares, strict=True)]
