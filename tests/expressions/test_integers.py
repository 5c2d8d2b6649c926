"""Whole numbers stay exact to 64 bits; what they cannot hold is a double, as in TTreeFormula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ntupleml.expressions import parse

if TYPE_CHECKING:
    from conftest import Ntuple

LARGE = 2**53


def test_event_numbers_that_doubles_merge(ntuple: Ntuple) -> None:
    """TTreeFormula finds two events with one number, and all numbers even."""
    theirs = ntuple.root_values(f"l == {LARGE + 1}")
    assert theirs is not None
    assert sum(value[0] for value in theirs) == 2
    assert parse(f"l == {LARGE + 1}").passes(ntuple.columns, ntuple.num_events).nonzero()[0].tolist() == [1]
    assert parse("l % 2").evaluate(ntuple.columns, ntuple.num_events).tolist() == [0, 1] * 12


def test_unsigned_beyond_the_signed(ntuple: Ntuple) -> None:
    numbers = [int(number) for number in ntuple.columns["ul"]]
    assert min(numbers) == 2**63

    def values(formula: str) -> list[Any]:
        return list(parse(formula).evaluate(ntuple.columns, ntuple.num_events).tolist())

    assert values("ul") == numbers
    assert values("ul % 7") == [number % 7 for number in numbers]
    assert values("ul & 0xff") == [number & 0xFF for number in numbers]
    assert values("ul >> 3") == [number >> 3 for number in numbers]
    assert values("ul == 9223372036854775811") == [number == 2**63 + 3 for number in numbers]
    assert values("ul > l") == [True] * 24
    assert values("max(ul, l)") == numbers
    assert values("18446744073709551615") == [2**64 - 1] * 24


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u1", "u2", "u4", "?"])
def test_small_types_do_not_overflow(dtype: str) -> None:
    """Their sums and products in TTreeFormula are doubles."""
    largest = 1 if dtype == "?" else int(np.iinfo(dtype).max)
    columns = {"n": np.array([largest], dtype)}
    for formula, expected in [("n+n", 2 * largest), ("n*n", largest**2), ("-n", -largest), ("n-n-n", -largest)]:
        values = parse(formula).evaluate(columns, 1)
        assert float(values[0]) == float(expected), formula


def test_smallest_integers() -> None:
    columns = {"a": np.array([-128], "i1"), "b": np.array([-(2**63)]), "u": np.array([2**64 - 1], "u8")}
    assert parse("abs(a)").evaluate(columns, 1)[0] == 128
    assert parse("abs(b)").evaluate(columns, 1)[0] == 2.0**63
    assert parse("-b").evaluate(columns, 1)[0] == 2.0**63
    assert parse("b % -1").evaluate(columns, 1)[0] == 0
    assert parse("b % u").evaluate(columns, 1)[0] == -(2**63)
    assert parse("u - b").evaluate(columns, 1)[0] == 2.0**64 + 2.0**63


@example(a=-(2**63), b=-(2**53) - 1, symbol="-")
@given(
    a=st.integers(-(2**63), 2**63 - 1),
    b=st.integers(-(2**63), 2**63 - 1) | st.integers(-10, 10),
    symbol=st.sampled_from(["+", "-", "*", "<", "==", ">=", "^"]),
)
def test_arithmetic_is_exact_or_double(a: int, b: int, symbol: str) -> None:
    assume(symbol != "^" or 0 <= b <= 10)
    columns = {"a": np.array([a]), "b": np.array([b])}
    value = parse(f"a {symbol} b").evaluate(columns, 1)[0]
    operations = {
        "+": a + b, "-": a - b, "*": a * b, "<": a < b, "==": a == b, ">=": a >= b, "^": a**b if symbol == "^" else 0
    }  # fmt: skip
    exact = operations[symbol]
    if abs(exact) < 2**63 - 2**53:
        assert value == exact
        assert value.dtype.kind in "bi"
    else:
        assert float(value) == pytest.approx(float(exact), rel=1e-15)


@given(a=st.integers(-(2**63), 2**63 - 1), b=st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_modulo_has_the_sign_of_the_dividend(a: int, b: int) -> None:
    expected = abs(a) % abs(b) * (1 if a >= 0 else -1)
    assert parse("a % b").evaluate({"a": np.array([a]), "b": np.array([b])}, 1)[0] == expected


@given(
    value=st.floats(width=32, allow_nan=True),
    threshold=st.floats(allow_nan=False, allow_infinity=False),
    symbol=st.sampled_from(["<", ">", "<=", ">=", "==", "!="]),
)
def test_float32_is_compared_as_the_double_it_stands_for(value: float, threshold: float, symbol: str) -> None:
    for literal in (threshold, value):
        if not np.isfinite(literal):
            continue
        expected = {
            "<": value < literal, ">": value > literal, "<=": value <= literal, ">=": value >= literal,
            "==": value == literal, "!=": value != literal,
        }[symbol]  # fmt: skip
        columns = {"x": np.array([value], "f4")}
        assert parse(f"x {symbol} ({literal!r})").passes(columns, 1).tolist() == [expected]


def test_float32_below_its_decimal() -> None:
    """0.1 as float32 is above 0.1 as double, as in TTreeFormula."""
    columns = {"x": np.array([0.1], "f4")}
    assert parse("x > 0.1").passes(columns, 1).tolist() == [True]
    assert parse("x == 0.1").passes(columns, 1).tolist() == [False]
    assert parse("0.1 < x").passes(columns, 1).tolist() == [True]
