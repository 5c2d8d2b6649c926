"""Smoothing and splines against numbers that ROOT 6.40 gives (TH1F::Smooth, TSpline3, TSpline5, TAxis)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.tmva.smoothing import bin_centres, cubic_spline, linear_spline, quadratic_spline, quintic_spline, smooth

COUNTS = np.array([0, 1, 0, 2, 5, 5, 5, 9, 14, 20, 17, 17, 17, 8, 3, 0], dtype=np.float32)
SMOOTHED = {
    1: [0, 0.25, 1, 2.4375, 4.0625, 4.8125, 5.9375, 9.25, 13.5, 16.25, 17, 17, 14.625, 8.625, 3, 0],
    2: [0, 0.25, 1.0546875, 2.3828125, 3.75, 4.8125, 6.390625, 9.5078125, 13.3828125, 16.28125, 17.523872375,
        16.994358063, 14.018663406, 8.751301765, 3.5625, 0],
    10: [0, 0.394684762, 1.055175781, 1.954042435, 3.096321344, 4.661875248, 6.924587727, 9.973748207, 13.382472038,
         16.116260529, 17.207366943, 16.332857132, 13.582789421, 9.438851357, 4.731666088, 0],
}  # fmt: skip
X = np.array([0.0, 1, 2.5, 3, 4, 6, 7])
Y = np.array([1.0, 3, 2, 2, 5, 4, 0.5])
AT = np.array([-1, 0, 0.5, 2.75, 3.9, 6.5, 7, 8])


@pytest.mark.parametrize("times", SMOOTHED)
def test_smoothing_is_that_of_root(times: int) -> None:
    np.testing.assert_allclose(smooth(COUNTS, times), SMOOTHED[times], rtol=0, atol=1e-9)


def test_smoothing_of_negative_contents_and_few_bins() -> None:
    assert smooth(np.array([-2.5, 1, 0.5, -0.25, 3], dtype=np.float32), 1).tolist() == [0.5] * 5
    assert smooth(np.array([3, 1], dtype=np.float32), 5).tolist() == [3, 1]  # ROOT refuses fewer than three


def test_cubic_spline_is_that_of_root() -> None:
    expected = [-5.915785001062245, 1, 2.465413214361589, 1.870840636286382, 4.700065774378585, 2.3636206713405565, 0.5,
                -3.254344593159125]  # fmt: skip
    np.testing.assert_allclose(cubic_spline(X, Y, AT), expected, rtol=1e-13)


def test_quintic_spline_is_that_of_root_also_beyond_its_ends() -> None:
    expected = [-3.7173423135713346, 1, 2.335479140517087, 1.8704039292982373, 4.648671668793387, 2.2558529790969493,
                0.5, -2.924895879755825]  # fmt: skip
    np.testing.assert_allclose(quintic_spline(X, Y, AT), expected, rtol=1e-12)


def test_bin_centres_round_as_those_of_root() -> None:
    expected = [-2.9285714285714284, -2.185714285714286, -1.4428571428571428, -0.7000000000000002, 0.042857142857142705,
                0.7857142857142856, 1.5285714285714285]  # fmt: skip
    assert bin_centres(-3.3, 1.9, 7).tolist() == expected


def test_linear_spline_extrapolates() -> None:
    at = np.array([-1.0, 0, 0.25, 1, 1.75, 6.5, 9])
    np.testing.assert_allclose(linear_spline(X, Y, at), [-1, 1, 1.5, 3, 2.5, 2.25, -6.5], rtol=1e-15)


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=3))
def test_quadratic_spline_of_a_parabola_is_the_parabola(coefficients: list[int]) -> None:
    x = np.array([-2.0, -1, 0, 1, 2, 3])
    at = np.array([-2.5, -1.5, 0.25, 1, 2.75, 3.5])
    a, b, c = coefficients
    expected = [float(a + b * Fraction(value) + c * Fraction(value) ** 2) for value in at]
    np.testing.assert_allclose(quadratic_spline(x, a + b * x + c * x**2, at), expected, atol=1e-3)


def test_quadratic_spline_is_the_mean_of_two_parabolas() -> None:
    """Through the three points before and after the middle of an interval, by Lagrange's formula."""
    y = np.array([0.0, 0, 1, 0, 0])
    # parabolas through (0, 0), (1, 0), (2, 1) and (1, 0), (2, 1), (3, 0) at 1.5: 3/8 and 3/4
    assert quadratic_spline(np.arange(5.0), y, np.array([1.5])) == pytest.approx((3 / 8 + 3 / 4) / 2)
    assert quadratic_spline(np.arange(2.0), y[1:3], np.array([0.9])) == 0  # too few points: the nearest below
