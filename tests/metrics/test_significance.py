"""Significances against the published formulas in 80 decimal digits, and their uncertainties against toys."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, just, one_of

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.significance import (
    Yields,
    approximate_median_significance,
    asimov_significance,
    signal_over_root_background,
    signal_over_root_total,
    significance_curve,
    significance_formulas,
)

YIELDS = floats(-12, 8).map(lambda exponent: 10.0**exponent)
RELATIVE = one_of(just(0.0), floats(-12, 2).map(lambda exponent: 10.0**exponent))


def exact(signal: float, background: float, relative: float) -> Decimal:
    """Cowan's formula as it is printed, or Eq. 97 of arXiv:1007.1727 where σ_b is zero."""
    with localcontext() as context:
        context.prec = 80
        s, b, variance = Decimal(signal), Decimal(background), (Decimal(relative) * Decimal(background)) ** 2
        if not relative:
            return (2 * ((s + b) * (1 + s / b).ln() - s)).sqrt()
        first = (s + b) * ((s + b) * (b + variance) / (b * b + (s + b) * variance)).ln()
        second = b * b / variance * (1 + variance * s / (b * (b + variance))).ln()
        return (2 * (first - second)).sqrt()


def without_uncertainties(signal: float, background: float) -> Yields:
    return Yields(signal, 0.0, background, 0.0)


def defined(result: Measurement | Undefined) -> Measurement:
    assert isinstance(result, Measurement), result
    return result


@given(signal=YIELDS, background=YIELDS, relative=RELATIVE)
def test_asimov_significance_keeps_its_digits(signal: float, background: float, relative: float) -> None:
    found = defined(asimov_significance(without_uncertainties(signal, background), relative))
    assert found.value == pytest.approx(float(exact(signal, background, relative)), rel=2e-14)


@given(signal=YIELDS, background=one_of(just(0.0), YIELDS), b_reg=floats(0.01, 100))
def test_ams_adds_the_regularisation_to_the_background(signal: float, background: float, b_reg: float) -> None:
    found = defined(approximate_median_significance(without_uncertainties(signal, background), b_reg))
    assert found.value == pytest.approx(float(exact(signal, background + b_reg, 0)), rel=2e-14)


def test_known_values() -> None:
    """S/√B and S/√(S+B) of round numbers; the others are near S/√B for S ≪ B, by −x/6 with x = S/B."""
    yields = without_uncertainties(9.0, 16.0)
    assert defined(signal_over_root_background(yields)).value == 9 / 4
    assert defined(signal_over_root_total(yields)).value == 9 / 5
    small = without_uncertainties(1e-3, 1e4)
    assert defined(asimov_significance(small)).value == pytest.approx(1e-5 * (1 - 1e-7 / 6), rel=1e-15)
    # A background uncertainty that dominates: S / σ_b.
    assert defined(asimov_significance(without_uncertainties(1.0, 1e6), 0.1)).value == pytest.approx(1e-5, rel=1e-3)


def test_a_vanishing_background_uncertainty_is_none() -> None:
    yields = without_uncertainties(37.0, 52.0)
    assert asimov_significance(yields, 1e-170) == asimov_significance(yields, 0.0)
    nearly = defined(asimov_significance(yields, 1e-9)).value
    assert nearly == pytest.approx(defined(asimov_significance(yields)).value, rel=1e-15)


@given(signal=floats(0.01, 1e4), background=floats(0.01, 1e4), relative=one_of(just(0.0), floats(1e-3, 3)))
def test_slopes_are_the_derivatives(signal: float, background: float, relative: float) -> None:
    step = 1e-5
    shifts = np.array([[1 - step, 1], [1 + step, 1], [1, 1 - step], [1, 1 + step]])
    for name, formula in significance_formulas(3.0, relative).items():
        values = formula.value_and_slopes(signal * shifts[:, 0], background * shifts[:, 1])[0]
        found = formula.value_and_slopes(np.array([signal]), np.array([background]))
        by_signal, by_background = np.diff(values)[[0, 2]] / (2 * step * np.array([signal, background]))
        # Rounding of the values, divided by the step.
        tolerance = 1e-10 * values[0] / step
        assert found[1][0] == pytest.approx(by_signal, rel=1e-6, abs=tolerance / signal), name
        assert found[2][0] == pytest.approx(by_background, rel=1e-6, abs=tolerance / background), name


def test_uncertainty_without_signal() -> None:
    """Positive and negative weights that cancel: Z = 0 with the slope 1/√B of its limit."""
    found = defined(asimov_significance(Yields(0.0, 0.25, 4.0, 1.0)))
    assert found == Measurement(0.0, pytest.approx(0.25))


@pytest.mark.parametrize("name", list(significance_formulas()))
def test_uncertainties_cover_the_truth_of_toys(name: str) -> None:
    """Events of weights ½ and −0.2: the pull of 20,000 experiments has mean 0 and width 1."""
    random = np.random.default_rng(4)
    number = 20_000
    positive, negative = random.poisson(400, number), random.poisson(60, number)
    background = random.poisson(900, number)
    yields = Yields(
        0.5 * positive - 0.2 * negative, 0.25 * positive + 0.04 * negative, 0.3 * background, 0.09 * background
    )
    formula = significance_formulas(10.0, 0.05)[name]
    truth = significance_curve(Yields(*(np.array([part]) for part in (188.0, 0.0, 270.0, 0.0))), formula).values[0]
    found = significance_curve(yields, formula)
    pulls = (found.values - truth) / found.uncertainties
    assert abs(pulls.mean()) < 0.06
    assert pulls.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("signal", "background", "reason"),
    [
        (1.0, -1.0, "sum of background weights is negative"),
        (-1.0, 1.0, "sum of signal weights is negative"),
        (1.0, 0.0, "no background"),
        (0.0, 0.0, "no background"),
        (math.nan, 1.0, "sums of weights are NaN or infinite"),
        (1.0, math.inf, "sums of weights are NaN or infinite"),
    ],
)
def test_undefined_with_a_reason(signal: float, background: float, reason: str) -> None:
    yields = Yields(signal, 1.0, background, 1.0)
    for function in (asimov_significance, signal_over_root_background):
        assert function(yields) == Undefined(reason)
    if reason != "no background":
        assert approximate_median_significance(yields) == Undefined(reason)
        assert signal_over_root_total(yields) == Undefined(reason)


def test_formulas_that_need_no_background() -> None:
    assert signal_over_root_total(Yields(4.0, 1.0, 0.0, 0.0)) == Measurement(2.0, 0.25)
    assert signal_over_root_total(Yields(0.0, 0.0, 0.0, 0.0)) == Undefined("no signal and no background")
    ams = defined(approximate_median_significance(Yields(4.0, 0.0, 0.0, 0.0), 10))
    assert ams.value == pytest.approx(math.sqrt(2 * (14 * math.log(1.4) - 4)))
    assert approximate_median_significance(Yields(4.0, 0.0, 0.0, 0.0), 0) == Undefined("no background")


def test_what_rounding_leaves_of_a_background_is_none() -> None:
    leftover = 0.1 + 0.2 - 0.3
    assert leftover > 0
    assert signal_over_root_background(Yields(1.0, 1.0, leftover, 0.14)) == Undefined("no background")


def test_a_curve_as_plain_numbers_says_what_is_undefined() -> None:
    yields = Yields(*(np.array(part) for part in ([1.0, 2.0], [1.0, 1.0], [0.0, 4.0], [0.0, 1.0])))
    curve = significance_curve(yields, significance_formulas()["s_over_sqrt_b"])
    text = "undefined: no background"
    # ½² · 1 + (2 / (2 · 8))² · 1
    assert as_plain(curve) == {"value": [text, 1.0], "uncertainty": [text, pytest.approx(math.sqrt(0.25 + 1 / 64))]}
