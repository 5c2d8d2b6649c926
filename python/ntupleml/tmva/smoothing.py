"""Smoothing, interpolating and smearing histograms as ROOT and TMVA do, to the rounding of each step.

TMVA keeps its densities as histograms of float32 numbers and its quadratic spline computes in float32, so the same
arithmetic in double precision would differ from its answers by up to 1e-4 where a density is small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Spline = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

Border = Literal["none", "renormalize", "mirror"]


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


class Kernel(NamedTuple):
    """How the density is smeared."""

    #: Widths from a first estimate: narrow where there are many events.
    adaptive: bool
    #: What happens at the ends: nothing, each kernel's part inside is scaled to one, or the outer fifths of the
    #: histogram are mirrored at its ends.
    border: Border
    #: Scale of the adaptive widths.
    fine_factor: float


def smear(
    contents: NDArray[np.float32], low: float, high: float, num_bins: int, kernel: Kernel
) -> NDArray[np.float32] | None:
    """Density in fine bins from a histogram, not normalized.

    Parameters
    ----------
    contents : array of float32, shape (n,)
        Of equidistant bins.
    low, high : float
        Ends of the histogram.
    num_bins : int
        Of the result.

    Returns
    -------
    array of float32, shape (num_bins,), or None
        None where the histogram is too empty to have a width.

    Notes
    -----
    `TMVA::PDF::BuildKDEPDF` and `TMVA::KDEKernel`. Both leave out the last bin of the histogram and of the result.
    The width is that of D. W. Scott, Multivariate Density Estimation (1992), times √2, since the kernel is written
    with the error function.
    """
    centres = bin_centres(low, high, contents.size)
    total = float(contents.astype(np.float64).sum())
    if total <= 0:
        return None
    mean = float((contents * centres).sum()) / total
    rms = np.sqrt(abs(float((contents * centres**2).sum()) / total - mean * mean))
    sigma = np.float32(np.sqrt(2.0) * (4.0 / 3.0) ** 0.2 * rms * total**-0.2)
    if not sigma > 0:
        return None
    widths = np.full(contents.size, sigma, dtype=np.float32)
    if kernel.adaptive:
        first = _smeared(contents, low, high, contents.size, widths, kernel.border)
        integral = np.float32(0)
        for content in first[:-1]:
            integral = np.float32(float(integral) + float(content) * ((high - low) / contents.size))
        first = (first.astype(np.float64) * (1.0 / float(integral))).astype(np.float32)
        if not (first[:-1] >= 0).all() or (kernel.border == "renormalize" and not first[:-1].all()):
            return None
        with np.errstate(divide="ignore"):  # infinitely wide where there is nothing, not even of the neighbours
            widths[:-1] = np.float32(kernel.fine_factor) * sigma / np.sqrt(first[:-1].astype(np.float64))
    return _smeared(contents, low, high, num_bins, widths, kernel.border)


def _smeared(
    contents: NDArray[np.float32], low: float, high: float, num_bins: int, widths: NDArray[np.float32], border: Border
) -> NDArray[np.float32]:
    edges = (low + np.arange(num_bins + 1) * ((high - low) / num_bins)).astype(np.float32).astype(np.float64)
    centres = bin_centres(low, high, contents.size)
    ends = float(np.float32(low)), float(np.float32(high))
    result = np.zeros(num_bins, dtype=np.float32)
    for number in range(1, contents.size):
        content, width = float(contents[number - 1]), float(widths[number - 1])
        means = [centres[number - 1]]
        if border == "mirror" and number < contents.size // 5:
            means.append(2 * ends[0] - centres[number - 1])
        if border == "mirror" and number > 4 * contents.size // 5:
            means.append(2 * ends[1] - centres[number - 1])
        for mean in means:
            part = _integrals(edges, float(np.float32(mean)), width)
            if border == "renormalize":
                inside = _integrals(np.array(ends), float(np.float32(mean)), width)[0]
                part = float(np.float32(1.0 / inside)) * part
            result[:-1] += (content * part.astype(np.float32).astype(np.float64)).astype(np.float32)[:-1]
    return result


def _integrals(edges: NDArray[np.float64], mean: float, width: float) -> NDArray[np.float64]:
    """Integrals of the kernel between neighbouring edges."""
    from scipy.special import erf

    scaled = ((edges - mean) / width).astype(np.float32).astype(np.float64)
    return np.asarray(0.5 * np.diff(erf(scaled)))
