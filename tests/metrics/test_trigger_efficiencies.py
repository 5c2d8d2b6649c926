"""Regions of two trigger levels, event by event, and what is made of their sums."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.metrics import Interval, Undefined
from ntupleml.metrics.bayesian_efficiency import bayesian_efficiency
from ntupleml.metrics.trigger_efficiencies import (
    efficiencies_of_original,
    other_efficiencies,
    ratio_of_overlapping,
    trigger_efficiencies,
)
from ntupleml.metrics.trigger_regions import (
    SCHEMES,
    Scheme,
    TriggerBits,
    region_sums,
    regions_of_original,
    trigger_regions,
)

#: All that can happen to an event: L1, HLT, and the anomaly triggers of both.
ALL = TriggerBits(*np.array(list(itertools.product([False, True], repeat=4))).T)


def letters(l1: bool, hlt: bool, l1ad: bool, hltad: bool, scheme: Scheme, *, original: bool) -> str:
    """Regions of one event, in words of one syllable."""
    found = "A"
    if l1ad:
        found += "C" if l1 else "B"
    elif l1:
        found += "D"
    seeded = l1ad or (l1 and scheme == "l1All")
    if seeded and hltad:
        found += "F" if hlt else "E"
    elif (l1 or l1ad) and hlt and not (original and hltad):
        found += "G"
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_regions_of_all_that_can_happen(scheme: Scheme) -> None:
    for is_original, regions in ((False, trigger_regions), (True, regions_of_original)):
        found = regions(ALL, scheme)._asdict()
        for number, event in enumerate(zip(*ALL, strict=True)):
            own = "".join(name for name, inside in found.items() if inside[number])
            assert own == letters(*map(bool, event), scheme, original=is_original)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_e_f_and_g_are_what_the_hlt_accepts_of_what_l1_accepts(scheme: Scheme) -> None:
    regions = trigger_regions(ALL, scheme)
    accepted = (ALL.l1 | ALL.l1_anomalous) & (ALL.hlt | (ALL.seeds(scheme) & ALL.hlt_anomalous))
    np.testing.assert_array_equal(regions.E.astype(int) + regions.F + regions.G, accepted)
    np.testing.assert_array_equal(regions.F | regions.G, (ALL.l1 | ALL.l1_anomalous) & ALL.hlt)


def events(number: int = 3000) -> tuple[TriggerBits, np.ndarray]:
    random = np.random.default_rng(5)
    bits = TriggerBits(*(random.random((4, number)) < np.array([[0.4], [0.1], [0.3], [0.2]])))
    return bits, random.exponential(1, number)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_efficiencies_are_ratios_of_sums_of_regions(scheme: Scheme) -> None:
    bits, weights = events()
    regions = trigger_regions(bits, scheme)
    sums = {name: one.value for name, one in region_sums(regions._asdict(), weights).items()}
    overlap = weights[regions.E & regions.B].sum()
    counted = sums["B"] + sums["C"] + (sums["D"] if scheme == "l1All" else 0)
    expected = {
        "raw": (sums["E"] + sums["F"]) / counted,
        "hlt": (sums["F"] + sums["G"]) / sums["A"],
        "combined": (sums["E"] + sums["F"] + sums["G"]) / sums["A"],
        "gain": sums["E"] / (sums["F"] + sums["G"]),
        "relative_gain": 100 * sums["E"] / (sums["F"] + sums["G"]),
        "e_over_b": sums["E"] / sums["B"],
        "e_and_b_over_b": overlap / sums["B"],
    }
    found = trigger_efficiencies(regions, scheme, weights)._asdict()
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    assert found["combined"].value == pytest.approx(found["hlt"].value * (1 + found["relative_gain"].value / 100))
    original = efficiencies_of_original(regions_of_original(bits, scheme), scheme, weights)
    assert isinstance(original.e_over_b, Interval)
    assert isinstance(original.e_and_b_over_b, Interval)
    assert original.e_over_b.value == pytest.approx(sums["E"] / (sums["B"] - overlap))
    assert original.e_and_b_over_b.value == pytest.approx(overlap / (sums["B"] - overlap))


def test_the_interval_of_a_gain_is_that_of_its_share() -> None:
    bits, weights = events()
    regions = trigger_regions(bits, "l1All")
    accepted = regions.E | regions.F | regions.G
    share = bayesian_efficiency(regions.E[accepted], weights[accepted])
    gain = trigger_efficiencies(regions, "l1All", weights).gain
    assert isinstance(share, Interval)
    assert isinstance(gain, Interval)
    for sign, reach, own in ((-1, share.down, gain.down), (1, share.up, gain.up)):
        end = share.value + sign * reach
        assert gain.value + sign * own == pytest.approx(end / (1 - end))


def test_the_interval_of_overlapping_sets_is_that_of_toys() -> None:
    """Events of E alone, of B alone and of both are multinomial; each weight times a Poisson number is one more set."""
    random = np.random.default_rng(6)
    e, b = random.random((2, 1000)) < np.array([[0.2], [0.3]])
    weights = random.exponential(1, 1000)
    found = ratio_of_overlapping(e, b, weights)
    toys = random.poisson(1, (1500, 1000)) * weights
    ratios = toys[:, e].sum(axis=1) / toys[:, b].sum(axis=1)
    assert isinstance(found, Interval)
    assert found.value == pytest.approx(weights[e].sum() / weights[b].sum())
    np.testing.assert_allclose(
        [found.down, found.up], np.abs(np.quantile(ratios, [0.159, 0.841]) - found.value), rtol=0.1
    )


@given(both=st.integers(1, 40), e_alone=st.integers(0, 40), b_alone=st.integers(0, 40))
def test_the_spread_of_counts_is_the_multinomial_one(both: int, e_alone: int, b_alone: int) -> None:
    """ln R = ln(both + E alone) − ln(both + B alone), its variance by the covariances of the multinomial numbers."""
    e = np.repeat([True, True, False], [both, e_alone, b_alone])
    b = np.repeat([True, False, True], [both, e_alone, b_alone])
    numbers = np.array([both, e_alone, b_alone], dtype=np.float64)
    total = numbers.sum()
    covariance = np.diag(numbers) - np.outer(numbers, numbers) / total
    slopes = np.array([1, 1, 0]) / (both + e_alone) - np.array([1, 0, 1]) / (both + b_alone)
    relative = np.sqrt(max(slopes @ covariance @ slopes, 0))
    found = ratio_of_overlapping(e, b, np.ones(len(e)))
    assert isinstance(found, Interval)
    assert np.log1p(found.up / found.value) == pytest.approx(relative, abs=1e-7)
    assert -np.log1p(-found.down / found.value) == pytest.approx(relative, abs=1e-7)


def test_without_events_of_e_the_interval_ends_at_zero() -> None:
    e, b = np.zeros(4, np.bool_), np.array([True, True, True, False])
    found = ratio_of_overlapping(e, b, np.ones(4))
    share = 1 - (1 - 0.683) ** (1 / 4)  # of 3 events none passes: Beta(1, 4)
    assert found == pytest.approx((0, 0, share / (1 - share)))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_other_efficiencies_are_shares_of_what_is_seeded_of_all_and_of_what_l1_accepts(scheme: Scheme) -> None:
    bits, weights = events()
    found = other_efficiencies(bits, scheme, weights)
    seeds = bits.l1_anomalous if scheme == "l1Seeded" else bits.l1 | bits.l1_anomalous
    either = bits.hlt | (bits.hlt_anomalous & seeds)
    counted = {"ase": seeds, "tse": seeds | True, "mise": bits.l1 | bits.l1_anomalous}
    if scheme == "l1All":
        assert found.mise is None
        del counted["mise"]
    for name, events_of in counted.items():
        for passed, one in zip((bits.hlt, either), getattr(found, name), strict=True):
            assert one.value == pytest.approx(weights[passed & events_of].sum() / weights[events_of].sum())


def test_what_does_not_exist_says_why() -> None:
    nothing = np.zeros(3, np.bool_)
    whole = ~nothing
    bits = TriggerBits(nothing, nothing, whole, whole)
    found = trigger_efficiencies(trigger_regions(bits, "l1Seeded"), "l1Seeded", np.ones(3))
    assert found.gain == found.relative_gain == Undefined("nothing else is accepted")
    bits = TriggerBits(whole, nothing, nothing, whole)
    found = trigger_efficiencies(trigger_regions(bits, "l1Seeded"), "l1Seeded", np.ones(3))
    assert found.raw == found.gain == Undefined("no events")
    assert found.e_over_b == Undefined("no B events")
