"""Bins of variables of any kind, and sums of weights in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ntupleml.metrics import Undefined
from ntupleml.metrics.variable_bins import (
    VariableBins,
    crossed_kinds,
    even_bins,
    quantile_bins,
    sums_in_bins,
    sums_of_crossed,
)

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(values=arrays(np.float32, st.integers(0, 60), elements=FLOATS))
@pytest.mark.parametrize("make", [even_bins, quantile_bins])
def test_every_finite_value_is_in_one_bin(make: object, values: np.ndarray) -> None:
    bins = make(values)  # type: ignore[operator]
    finite = np.isfinite(values)
    if not finite.any():
        assert isinstance(bins, Undefined)
        return
    assert isinstance(bins, VariableBins)
    assert np.all(np.diff(bins.edges) > 0)
    assert np.all(bins.of_event[~finite] == bins.number)
    assert np.all((bins.of_event[finite] >= 0) & (bins.of_event[finite] < bins.number))
    assert bins.missing == np.count_nonzero(~finite)


def test_even_bins_agree_with_numpy_and_say_what_is_beyond() -> None:
    values = np.random.default_rng(1).exponential(50, 30_000).astype("f4")
    bins = even_bins(values)
    assert isinstance(bins, VariableBins)
    assert 12 <= bins.number <= 25
    inside = np.clip(values.astype("f8"), bins.edges[0], np.nextafter(bins.edges[-1], 0))
    expected, _ = np.histogram(inside, bins.edges)
    np.testing.assert_array_equal(np.bincount(bins.of_event, minlength=bins.number), expected)
    assert bins.below == 0
    assert bins.above == np.count_nonzero(values > bins.edges[-1])
    assert 0 < bins.above < 0.006 * len(values)


def test_whole_numbers_are_in_the_middle_of_their_bins() -> None:
    bins = even_bins(np.random.default_rng(1).integers(0, 5, 1000).astype("f4"))
    assert isinstance(bins, VariableBins)
    np.testing.assert_array_equal(bins.edges, np.arange(-0.5, 5))
    wide = even_bins(np.arange(1000).astype("f4"))
    assert isinstance(wide, VariableBins)
    assert set(np.diff(wide.edges)) == {42.0}, "as many whole numbers in each bin"


@pytest.mark.parametrize("constant", [0.0, 3.0, -1e30])
def test_a_constant_has_one_bin(constant: float) -> None:
    for make in (even_bins, quantile_bins):
        bins = make(np.full(7, constant, "f4"))
        assert isinstance(bins, VariableBins)
        assert bins.number == 1
        assert np.all(bins.of_event == 0)


def test_quantile_bins_are_about_equally_filled() -> None:
    """Also where many events are found in a table of cells."""
    values = np.random.default_rng(2).lognormal(0, 1, 200_000).astype("f4")
    bins = quantile_bins(values)
    assert isinstance(bins, VariableBins)
    assert bins.number == 200
    counts = np.bincount(bins.of_event, minlength=200)
    assert np.all(np.abs(counts - 1000) < 300)
    assert np.all(np.diff(bins.of_event[np.argsort(values)]) >= 0), "larger values are never in lower bins"


@pytest.mark.parametrize("num_events", [1000, 200_000])
def test_few_values_have_a_bin_each(num_events: int) -> None:
    values = np.random.default_rng(2).choice(np.array([-999, 0, 1, 2, 7], "f4"), num_events)
    bins = quantile_bins(values)
    assert isinstance(bins, VariableBins)
    _, expected = np.unique(values, return_inverse=True)
    np.testing.assert_array_equal(bins.of_event, expected)


def test_sums_are_those_of_a_loop() -> None:
    random = np.random.default_rng(3)
    values, weights, kinds = random.normal(size=500), random.normal(1, 2, 500), random.integers(0, 4, 500)
    values[::50] = np.nan
    bins = even_bins(values)
    assert isinstance(bins, VariableBins)
    filled = sums_in_bins(kinds, 3, bins, weights)
    for kind in range(3):
        for index in range(bins.number):
            chosen = weights[(kinds == kind) & (bins.of_event == index)]
            assert filled.sums[kind, index] == pytest.approx(chosen.sum(), abs=1e-12)
            assert filled.squares[kind, index] == pytest.approx((chosen**2).sum(), abs=1e-12)


def test_kinds_filled_together_are_those_filled_one_by_one() -> None:
    """Four ways, of which three are crossed."""
    random = np.random.default_rng(4)
    values, weights = random.normal(size=2000), random.normal(1, 2, 2000)
    values[::30] = np.nan
    bins = even_bins(values)
    assert isinstance(bins, VariableBins)
    ways = [(random.integers(0, number + 1, 2000), number) for number in (1, 5, 3, 2)]
    crossed = crossed_kinds(ways)
    together = [sums for one in crossed for sums in sums_of_crossed(one, bins, weights, weights**2)]
    assert [len(one.numbers) for one in crossed] == [3, 1]
    for (kinds, number), found in zip(ways, together, strict=True):
        alone = sums_in_bins(kinds, number, bins, weights)
        np.testing.assert_allclose(found.sums, alone.sums, atol=1e-12)
        np.testing.assert_allclose(found.squares, alone.squares, atol=1e-12)
