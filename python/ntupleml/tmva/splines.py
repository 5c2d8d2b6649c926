"""Smoothing and interpolating histograms as ROOT and TMVA do, to the rounding of each step.

TMVA keeps its densities as histograms of float32 numbers and its quadratic spline computes in float32, so the same
arithmetic in double precision would differ from its answers by up to 1e-4 where a density is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Spline = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def bin_centres(low: float, high: float, num_bins: int) -> NDArray[np.float64]:
    """Centres of equidistant bins, rounded as ROOT's `TAxis::GetBinCenter` does.

    One rounding other than ROOT's makes a difference of 1e-3 in what `quadratic_spline` finds in float32.
    """
    return np.asarray(low + (np.arange(num_bins) + 0.5) * ((high - low) / num_bins), dtype=np.float64)


def smooth(contents: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Contents of a histogram after ROOT's `TH1::Smooth(times)`.

    Parameters
    ----------
    contents : array of float32, shape (n_bins,)

    Returns
    -------
    array of float32, shape (n_bins,)

    Notes
    -----
    J. Friedman's 353QH (running medians of 3, 5 and 3, a quadratic on flat segments, running means, and the same on
    the residuals), Proc. of the 1974 CERN School of Computing, p. 271; `TH1::SmoothArray`.
    """
    if contents.size < 3:
        return contents
    values = contents.astype(np.float64)
    for _ in range(times):
        rough = _353qh(values)
        result = rough + _353qh(values - rough)
        values = result if values.min() < 0 else np.maximum(result, 0.0)
    return values.astype(np.float32)


def _353qh(values: NDArray[np.float64]) -> NDArray[np.float64]:
    medians = values.copy()
    medians[1:-1] = _running_median(values, 3)
    medians[0] = np.median([medians[1], medians[0], 3 * medians[1] - 2 * medians[2]])
    medians[-1] = np.median([medians[-2], medians[-1], 3 * medians[-2] - 2 * medians[-3]])
    before = medians.copy()
    if medians.size >= 5:
        medians[2:-2] = _running_median(before, 5)
    medians[1] = np.median(before[:3])
    medians[-2] = np.median(before[-3:])
    medians[1:-1] = _running_median(medians, 3)
    smoothed = _curve_flat_segments(medians)
    means = smoothed.copy()
    means[1:-1] = 0.25 * smoothed[:-2] + 0.5 * smoothed[1:-1] + 0.25 * smoothed[2:]
    return means


def _running_median(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    return np.asarray(np.sort(windows, axis=1)[:, width // 2])


def _curve_flat_segments(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Three equal values between two that are both higher or both lower become part of a parabola."""
    result = values.copy()
    flat = np.flatnonzero((values[1:-3] == values[2:-2]) & (values[2:-2] == values[3:-1])) + 2
    for middle in flat:  # few, and later ones overwrite earlier ones
        before, after = values[middle - 2] - values[middle], values[middle + 2] - values[middle]
        if before * after <= 0:
            continue
        step = -1 if abs(after) > abs(before) else 1
        lower, upper = values[middle - 2 * step], values[middle + 2 * step]
        result[middle] = -0.5 * lower + values[middle] / 0.75 + upper / 6.0
        result[middle + step] = 0.5 * (upper - lower) + values[middle]
    return result


def linear_spline(x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Straight lines between points, and beyond them (TMVA's TSpline1).

    Parameters
    ----------
    x, y : array of float64, shape (n_points,)
        At least two points, ascending in x.
    at : array of float64, shape (n,)

    Returns
    -------
    array of float64, shape (n,)
    """
    near = _last_not_above(x, at)
    forwards = ((at > x[near]) & (near != x.size - 1)) | (near == 0)
    other = np.where(forwards, near + 1, near - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # points at the same x
        return np.asarray(y[near] + (at - x[near]) * (y[near] - y[other]) / (x[near] - x[other]))


def quadratic_spline(x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the two parabolas through the nearest points, in float32 (TMVA's TSpline2).

    Parameters and result as of `linear_spline`; with fewer than three points, the value of the nearest below.
    """
    near = _last_not_above(x, at)
    last = x.size - 1
    if last < 2:
        return np.asarray(y[near])
    lower = np.where(near == 0, 0, np.where(near >= last - 1, last - 2, near - 1))
    upper = np.where((near == 0) | (near >= last - 1), lower, near)
    return (_parabola(x, y, lower, at) + _parabola(x, y, upper, at)) * 0.5


def _parabola(
    x: NDArray[np.float64], y: NDArray[np.float64], first: NDArray[np.int64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Value at `at` of the parabola through the three points from `first` on, each step rounded to float32."""
    x1, x2, x3 = (x[first + step].astype(np.float32) for step in range(3))
    y1, y2, y3 = (y[first + step].astype(np.float32) for step in range(3))
    z = at.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        a = y1 * (x2 - x3) + y2 * (x3 - x1) + y3 * (x1 - x2)
        b = y1 * (x2 * x2 - x3 * x3) + y2 * (x3 * x3 - x1 * x1) + y3 * (x1 * x1 - x2 * x2)
        c = y1 * (x2 - x3) * x2 * x3 + y2 * (x3 - x1) * x3 * x1 + y3 * (x1 - x2) * x1 * x2
        denominator = (x2 - x3) * (x3 - x1) * (x1 - x2)
        value = np.where(denominator != 0, (-a * z * z + b * z - c) / denominator, np.float32(0))
    return value.astype(np.float64)


def cubic_spline(x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic spline with a continuous third derivative next to its ends (ROOT's TSpline3); as `linear_spline`."""
    from scipy.interpolate import CubicSpline

    return np.asarray(CubicSpline(x, y, bc_type="not-a-knot")(at))


def quintic_spline(x: NDArray[np.float64], y: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural quintic spline (ROOT's TSpline5, ACM algorithm 600); as `linear_spline`.

    Below the first point the first polynomial goes on; beyond the last ROOT leaves out the fifth power.
    """
    from scipy.interpolate import make_interp_spline

    natural = [(3, 0.0), (4, 0.0)]
    spline = make_interp_spline(x, y, k=5, bc_type=(natural, natural))
    beyond = at - x[-1]
    parabola = y[-1] + beyond * (spline(x[-1], 1) + beyond * 0.5 * spline(x[-1], 2))
    return np.asarray(np.where(beyond >= 0, parabola, spline(at)))


def _last_not_above(x: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(x, at, side="right") - 1, 0, x.size - 1)
