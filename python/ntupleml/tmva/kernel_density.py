"""TMVA's kernel density estimate: every bin of a histogram smeared with a Gaussian, to the rounding of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ntupleml.tmva.splines import bin_centres

if TYPE_CHECKING:
    from numpy.typing import NDArray

Border = Literal["none", "renormalize", "mirror"]


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


def _edges(low: float, high: float, num_bins: int) -> NDArray[np.float64]:
    return np.asarray(low + np.arange(num_bins + 1) * ((high - low) / num_bins), dtype=np.float64)


def _smeared(
    contents: NDArray[np.float32], low: float, high: float, num_bins: int, widths: NDArray[np.float32], border: Border
) -> NDArray[np.float32]:
    edges = _edges(low, high, num_bins).astype(np.float32).astype(np.float64)
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
