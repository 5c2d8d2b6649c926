"""The ABCD method: sums and uncertainties by formula, independent scores close, others do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.metrics.abcd import AbcdTest, Closure, Cuts, Sample, abcd_test, closure, cuts_of_shares, regions_of
from ntupleml.metrics.measurement import Measurement, Undefined, as_plain


def sample(seed: int, number: int, share: float = 0.0, shift: float = 0.0) -> Sample:
    """The second score is mixed from the first and noise."""
    random = np.random.default_rng(seed)
    first = random.normal(size=number) + shift
    second = share * first + math.sqrt(1 - share**2) * random.normal(size=number) + shift
    return Sample(first.astype("f4"), second, random.uniform(0.5, 1.5, number))


@given(st.integers(0, 1000), st.floats(-1, 1), st.floats(-1, 1))
@settings(max_examples=30, deadline=None)
def test_regions_event_by_event(seed: int, first: float, second: float) -> None:
    """Each event is in one region; sums and their √Σw² by a loop, with weights of both signs."""
    random = np.random.default_rng(seed)
    one = sample(seed, 50)._replace(weights=random.uniform(-0.2, 1, 50))
    expected: dict[str, list[float]] = {name: [] for name in "ABCD"}
    for x, y, w in zip(*one, strict=True):
        passes = (bool(x >= np.float32(first)), bool(y >= second))
        expected[{(True, True): "A", (True, False): "B", (False, True): "C", (False, False): "D"}[passes]].append(w)
    found = regions_of(one, Cuts(first, second))
    for name, weights in expected.items():
        region = getattr(found, name)
        assert region.value == pytest.approx(math.fsum(weights), abs=1e-12)
        assert region.uncertainty == pytest.approx(math.sqrt(math.fsum(w * w for w in weights)))


def with_counts(a: int, b: int, c: int, d: int, weight: float = 1.0) -> Sample:
    places = np.repeat([3, 2, 1, 0], [a, b, c, d])  # first, second
    return Sample((places // 2).astype("f8"), (places % 2).astype("f8"), np.full(len(places), weight))


def test_prediction_and_uncertainty_by_formula() -> None:
    """50·40/200 = 10 ± 10 √(1/50 + 1/40 + 1/200); 16 are there; weights scale it all."""
    found = closure(with_counts(16, 50, 40, 200), Cuts(0.5, 0.5))
    assert isinstance(found, Closure)
    spread = 10 * math.sqrt(1 / 50 + 1 / 40 + 1 / 200)
    assert found.predicted == pytest.approx((10, spread))
    assert found.ratio == pytest.approx((1.6, 1.6 * math.sqrt(1 / 16 + (spread / 10) ** 2)))
    assert found.significance == pytest.approx(6 / math.sqrt(16 + spread**2))
    half = closure(with_counts(16, 50, 40, 200, 0.5), Cuts(0.5, 0.5))
    assert isinstance(half, Closure)
    assert half.predicted == pytest.approx((5, spread / 2))
    assert half.significance == pytest.approx(found.significance)
    empty = closure(with_counts(16, 50, 40, 0), Cuts(0.5, 0.5))
    assert empty == Undefined("the sum of weights in D is not positive")


@pytest.mark.parametrize("multinomial", [True, False])
def test_the_significance_is_a_standard_normal_number(multinomial: bool) -> None:
    """Of many samples of independent scores, of a fixed number of events or a random one."""
    random, found = np.random.default_rng(7), []
    for _ in range(400):
        number = 2000 if multinomial else random.poisson(2000)
        drawn = Sample(random.random(number), random.random(number), random.uniform(0.5, 1.5, number))
        one = closure(drawn, Cuts(0.7, 0.8))
        assert isinstance(one, Closure)
        found.append(one.significance)
    assert abs(np.mean(found)) < 4 / math.sqrt(400)
    assert abs(np.std(found) - 1) < 4 / math.sqrt(2 * 400)


@pytest.mark.parametrize(("share", "closes"), [(0.0, True), (0.2, False), (-0.2, False)])
def test_independent_scores_close_and_others_do_not(share: float, closes: bool) -> None:
    found = abcd_test(sample(3, 20_000, share), {}, 0.1, seed=1)
    assert isinstance(found, AbcdTest)
    assert isinstance(found.closure, Closure)
    known = [cell for cell in found.grid.values() if isinstance(cell, Closure)]
    assert (abs(found.closure.significance) < 3) == closes
    assert (max(abs(cell.significance) for cell in known) < 4) == closes
    if not closes:
        assert np.sign(found.closure.significance) == np.sign(share)
        assert not isinstance(found.correlation, Undefined)
        assert found.correlation.squared.value > 0.01
    ratio = found.grid[0.1, 0.1]
    assert isinstance(ratio, Closure)
    assert ratio.predicted == found.closure.predicted  # the cuts in use are in the grid
    assert len(as_plain(found)["grid"]) == 36


def test_cuts_keep_shares_by_weights() -> None:
    one = sample(2, 5000)
    for share, cuts in zip((0.5, 0.02), cuts_of_shares(one, (0.5, 0.02)), strict=True):
        for scores, cut in ((one.first, cuts.first), (one.second, cuts.second)):
            assert one.weights[scores >= cut].sum() / one.weights.sum() == pytest.approx(share, abs=1e-3)


def test_contamination_by_a_signal() -> None:
    """By hand: (50 + 10)(40 + 5)/(200 + 20) of 50·40/200; 30 of 65 events are in A."""
    signal = with_counts(30, 10, 5, 20)
    found = abcd_test(with_counts(16, 50, 40, 200), {"signal": signal}, Cuts(0.5, 0.5), seed=1)
    assert isinstance(found, AbcdTest)
    one = found.signals["signal"]
    assert one.shift == pytest.approx(60 * 45 / 220 / 10 - 1)
    assert isinstance(one.efficiency, Measurement)
    assert one.efficiency == pytest.approx((30 / 65, math.sqrt(30 / 65 * 35 / 65 / 65)))


def test_no_events_is_said() -> None:
    nothing: Any = Sample(np.empty(0), np.empty(0), np.empty(0))
    assert isinstance(abcd_test(nothing, {}, 0.1, seed=1), Undefined)
