"""Numbers as people read them: expected texts follow the rule of two digits of the uncertainty, and ISO 80000-1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers

from ntupleml.metrics import Measurement
from ntupleml.metrics.number_texts import count_text, in_two_lines, measurement_text, number_text

_LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-", "\u202f")


def _number(text: str) -> float:
    mantissa, _, power = text.translate(_LOWERED).partition(" × 10")
    return float(mantissa) * 10.0 ** int(power or 0)


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (Measurement(11423.57, 71.14), "11\u202f424 ± 71"),
        (Measurement(-123456.0, 12345.0), "−123\u202f456 ± 12\u202f345"),
        (Measurement(1234.5, 3.21), "1234.5 ± 3.2"),
        (Measurement(0.25, 0.0), "0.25"),
        (Measurement(0.5, 0.0996), "0.50 ± 0.10"),
        (Measurement(1.0e-9, 2.0e-10), "(1.00 ± 0.20) × 10⁻⁹"),
        (Measurement(float("inf"), 1.0), "inf"),
    ],
)
def test_measurements(measurement: Measurement, text: str) -> None:
    assert measurement_text(measurement) == text


@given(number=integers(-(10**12), 10**12))
def test_counts_are_in_groups_of_three(number: int) -> None:
    text = count_text(number)
    groups = text.lstrip("−").split("\u202f")
    assert int(_number(text)) == number
    assert len(groups) == 1 or all(len(one) == 3 for one in groups[1:])
    assert (len(groups) > 1) == (abs(number) >= 10_000)


@given(value=floats(-1e12, 1e12), uncertainty=floats(0, 1e12))
def test_both_lines_are_the_numbers(value: float, uncertainty: float) -> None:
    text, error = in_two_lines(Measurement(value, uncertainty))
    assert _number(text) == pytest.approx(value, rel=6e-4, abs=max(0.06 * uncertainty, 1e-12))
    assert bool(error) == (uncertainty > 0)
    if error and uncertainty > 1e-300:
        assert _number(error.removeprefix("± ")) == pytest.approx(uncertainty, rel=0.06)


def test_numbers_without_uncertainty() -> None:
    texts = [number_text(one) for one in (0.123456, 20000.0, 1.5e-7, -0.25, 3e10)]
    assert texts == ["0.1235", "20\u202f000", "1.5 × 10⁻⁷", "−0.25", "3 × 10¹⁰"]
