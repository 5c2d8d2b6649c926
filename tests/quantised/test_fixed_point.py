"""Rounding to fixed-point numbers, against exact fractions: ties, saturation, going round, sums."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import composite, floats, integers, lists, sampled_from

from ntupleml.errors import NtuplemlError
from ntupleml.quantised import Fixed, Quantiser
from ntupleml.quantised.fixed_point import product, quantised, shifted

HALF = Fraction(1, 2)
ROUNDINGS = {
    "TRN": math.floor,
    "RND": lambda value: math.floor(value + HALF),
    "RND_CONV": round,  # of a fraction, ties to even
    "TRN_ZERO": math.trunc,
    "RND_ZERO": lambda value: int(math.copysign(math.ceil(abs(value) - HALF), value)),
    "RND_MIN_INF": lambda value: math.ceil(value - HALF),
    "RND_INF": lambda value: int(math.copysign(math.floor(abs(value) + HALF), value)),
}


def expected(value: Fraction, sign: int, integer: int, fraction: int, rounding: str, overflow: str) -> Fraction:
    """What fixed-point hardware makes of a number."""
    bits = sign + integer + fraction
    if bits <= 0:
        return Fraction(0)
    step = Fraction(2) ** -fraction
    top = Fraction(2) ** max(integer, -fraction)
    if overflow != "WRAP":
        highest = top - step
        lowest = -sign * (highest if overflow == "SAT_SYM" else top)
        value = min(max(value, lowest), highest)
    steps = ROUNDINGS[rounding](value / step)
    if overflow == "WRAP":
        size, half = 2**bits, sign * 2 ** (bits - 1)
        steps = (steps + half) % size - half
    return steps * step


@composite
def quantisers(draw):
    return (
        draw(sampled_from((0, 1))),
        draw(integers(-4, 8)),
        draw(integers(-4, 8)),
        draw(sampled_from(sorted(ROUNDINGS))),
        draw(sampled_from(("SAT", "SAT_SYM", "WRAP"))),
    )


@given(widths=quantisers(), sixteenths=lists(integers(-(2**12), 2**12), min_size=1, max_size=20))
def test_numbers_on_a_finer_grid_are_rounded_as_fractions_are(
    widths: tuple[int, int, int, str, str], sixteenths: list[int]
) -> None:
    """Every number is a multiple of 2^−9, so that ties of all steps are among them."""
    wanted = [expected(Fraction(one, 512), *widths) for one in sixteenths]
    quantiser = Quantiser.of(*widths)
    of_steps = quantised(Fixed(np.array(sixteenths), 9), quantiser)
    of_floats = quantised(np.array(sixteenths, np.float32) / np.float32(512), quantiser)
    for found in (of_steps, of_floats):
        assert [Fraction(float(one)) for one in found.values] == wanted


@given(widths=quantisers(), value=floats(-1000, 1000, width=32))
def test_any_number_is_at_most_a_step_away_within_the_range(
    widths: tuple[int, int, int, str, str], value: float
) -> None:
    quantiser = Quantiser.of(*widths)
    lowest, highest = quantiser.limits
    found = float(quantised(np.array([value], np.float32), quantiser).values[0])
    assert lowest <= found <= highest
    if lowest <= value <= highest:
        assert abs(found - value) <= 2.0 ** -widths[2]


@pytest.mark.parametrize(
    ("value", "even", "up"), [(0.5, 0, 1), (1.5, 2, 2), (2.5, 2, 3), (-0.5, 0, 0), (-1.5, -2, -1), (-2.5, -2, -2)]
)
def test_ties(value: float, even: float, up: float) -> None:
    for rounding, wanted in (("RND_CONV", even), ("RND", up)):
        assert quantised(np.array([value]), Quantiser.of(1, 4, 0, rounding)).values[0] == wanted


def test_ten_bits_of_qkeras() -> None:
    """quantized_bits(10, 5): step 1/16, from −32 to 31.9375."""
    quantiser = Quantiser.of(1, 5, 4)
    assert [float(limit) for limit in quantiser.limits] == [-32, 31.9375]
    found = quantised(np.array([-1e9, -32.1, 31.99, 1e9, 1 / 32, 3 / 32]), quantiser).values
    np.testing.assert_array_equal(found, [-32, -32, 31.9375, 31.9375, 0, 0.125])


def test_columns_of_different_widths() -> None:
    quantiser = Quantiser(np.array([1, 0]), np.array([1, 2]), np.array([3, 0]), "RND", "SAT")
    found = quantised(np.array([[0.30, 1.7], [-9, -9]]), quantiser)
    np.testing.assert_array_equal(found.values, [[0.25, 2], [-2, 0]])
    assert found.fraction == 3


@given(
    inputs=lists(lists(integers(-1000, 1000), min_size=3, max_size=3), min_size=1, max_size=4),
    kernel=lists(lists(integers(-500, 500), min_size=2, max_size=2), min_size=3, max_size=3),
    bias=lists(integers(-(2**15), 2**15), min_size=2, max_size=2),
    fractions=lists(integers(0, 12), min_size=3, max_size=3),
)
def test_products_are_exact(
    inputs: list[list[int]], kernel: list[list[int]], bias: list[int], fractions: list[int]
) -> None:
    values = [Fixed(np.array(one), place) for one, place in zip((inputs, kernel, bias), fractions, strict=True)]
    found = product(*values).values
    rows, columns, summands = (
        [[Fraction(x) / 2**place for x in np.atleast_1d(y)] for y in one]
        for one, place in zip((inputs, kernel, bias), fractions, strict=True)
    )
    for number, row in enumerate(rows):
        for unit in range(2):
            total = sum(x * column[unit] for x, column in zip(row, columns, strict=True)) + summands[unit][0]
            assert Fraction(float(found[number, unit])) == total


def test_more_bits_than_a_double_holds_are_refused() -> None:
    large = Fixed(np.array([[2**40]]), 0)
    with pytest.raises(NtuplemlError, match="more than 53 bits"):
        product(large, large, None)
    with pytest.raises(NtuplemlError, match="more than 53 bits"):
        shifted(large, 20)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(NtuplemlError, match="NaN or infinite"):
        quantised(np.array([np.nan]), Quantiser.of(1, 5, 4))
