"""TMVA's PDF: the histogram that a weights file stores, made into the fine one that TMVA evaluates.

The file holds the histogram before smoothing; `TMVA::PDF::ReadXML` smooths and interpolates it anew, so we do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.tmva import splines
from ntupleml.tmva.kernel_density import Border, Kernel, smear
from ntupleml.tmva.method import Density, Histogram
from ntupleml.tmva.xml_file import child, integer, number, numbers

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from numpy.typing import NDArray

#: Bins of the fine histogram, and the smallest density in it (`PDF::fgNbin_PdfHist`, `PDF::fgEpsilon`).
NUM_BINS, SMALLEST = 10_000, 1e-12
_SPLINE0, _KDE = 0, 5
#: TMVA's numbers of its splines, and how many points each needs.
_SPLINES: dict[int, tuple[splines.Spline, int]] = {
    1: (splines.linear_spline, 2),
    2: (splines.quadratic_spline, 1),
    3: (splines.cubic_spline, 2),
    4: (splines.quintic_spline, 3),
}
_BORDERS: dict[int, Border] = {1: "none", 2: "renormalize", 3: "mirror"}


class _Stored(NamedTuple):
    """The histogram of a file: float32 contents, and edges in double precision."""

    contents: NDArray[np.float32]
    edges: NDArray[np.float64]
    equidistant: bool

    @property
    def centres(self) -> NDArray[np.float64]:
        if self.equidistant:
            return splines.bin_centres(float(self.edges[0]), float(self.edges[-1]), self.contents.size)
        return np.asarray(self.edges[:-1] + 0.5 * np.diff(self.edges))


def read_pdf(element: Element, where: str, *, normalize: bool) -> Density:
    """Density or cumulative distribution of a `PDF` element.

    Parameters
    ----------
    normalize : bool
        Whether the integral becomes one: of densities, not of cumulative distributions.

    Raises
    ------
    NtuplemlError
        If something is missing, impossible or contradictory.
    """
    stored = _read_histogram(element, where)
    method = integer(element, "InterpolMethod", where, maximum=_KDE)
    low, high = float(stored.edges[0]), float(stored.edges[-1])
    if method == _KDE:
        fine = _smeared(element, stored, low, high, where)
    else:
        fine = _splined(method, _smoothed(element, stored.contents, where), stored, where)
    if normalize:
        integral = float(fine.astype(np.float64).sum()) * ((high - low) / fine.size)
        if integral < 0:
            raise NtuplemlError(f"{where}: the integral of its PDF is {integral:g}; a density is needed")
        if integral > 0:
            fine = (fine.astype(np.float64) * (1.0 / integral)).astype(np.float32)
    return Density(Histogram(low, high, fine.astype(np.float64)), interpolated=method != _SPLINE0)


def _read_histogram(element: Element, where: str) -> _Stored:
    histogram = child(element, "Histogram", where)
    num_bins = integer(histogram, "NBins", where, minimum=1)
    contents = numbers(histogram.text, num_bins, "Histogram", where).astype(np.float32)
    if integer(histogram, "HasEquidistantBins", where, maximum=1):
        low, high = number(histogram, "XMin", where), number(histogram, "XMax", where)
        edges = np.append(low + np.arange(num_bins) * ((high - low) / num_bins), high)
        equidistant = True
    else:
        binning = child(element, "HistogramBinning", where)
        if integer(binning, "NBins", where, minimum=1) != num_bins:
            raise NtuplemlError(f"{where}: Histogram and HistogramBinning have different NBins; the file is damaged")
        edges = numbers(binning.text, num_bins + 1, "HistogramBinning", where)
        low, high, equidistant = float(edges[0]), float(edges[-1]), False
    # Equal neighbours occur: the file rounds edges to nine digits.
    if not low < high or (np.diff(edges) < 0).any():
        raise NtuplemlError(f"{where}: the edges of its Histogram do not ascend; the file is damaged")
    return _Stored(contents, edges, equidistant)


def _smoothed(element: Element, contents: NDArray[np.float32], where: str) -> NDArray[np.float32]:
    """Smoothed as often as the file says; more often where the relative errors are large, if it gives two numbers."""
    least = integer(element, "MinNSmooth", where, minimum=-1, maximum=1000)
    most = integer(element, "MaxNSmooth", where, minimum=-1, maximum=1000)
    if least < 0 or most <= 0 or contents.size == 1:
        return contents
    if least == most:
        return splines.smooth(contents, least)
    wanted = _wanted_smoothings(contents, least, most)
    for times in range(most, -1, -1):
        # TMVA means to smooth regions only, but ROOT smooths the whole histogram each time
        for _ in range(1 if times <= least else _closed_regions(wanted >= times)):
            contents = splines.smooth(contents, 1)
    return contents


def _wanted_smoothings(contents: NDArray[np.float32], least: int, most: int) -> NDArray[np.int64]:
    """How often each bin wants smoothing, linear in its relative error (`PDF::SmoothHistogram`)."""
    values = contents.astype(np.float64)
    errors = np.sqrt(np.abs(values))
    filled = values > errors
    relative = (errors[filled] / values[filled]).astype(np.float32)
    if relative.size == 0:
        return np.full(contents.size, most)
    mean, square = np.float32(0), np.float32(0)
    for error in relative:  # in TMVA's order: sums of float32 depend on it
        mean, square = mean + error, square + error * error
    mean = mean / np.float32(relative.size)
    spread = np.float32(np.sqrt(np.float64(max(square / np.float32(relative.size) - mean * mean, np.float32(0)))))
    lower, width = mean - spread, (mean + spread) - (mean - spread)
    wanted = np.full(contents.size, most)
    if width > 0:
        scaled = (relative - lower) / width * np.float32(most - least)
        wanted[filled] = np.clip(np.trunc(scaled).astype(np.int64) + least, least, most)
    else:
        wanted[filled] = least
    return wanted


def _closed_regions(inside: NDArray[np.bool_]) -> int:
    """Runs of at least two bins inside that end before the histogram does."""
    steps = np.diff(inside.astype(np.int8), prepend=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return int(np.count_nonzero(ends - starts[: ends.size] >= 2))


def _splined(method: int, contents: NDArray[np.float32], stored: _Stored, where: str) -> NDArray[np.float32]:
    """Fine histogram of a spline through the bin centres; of the histogram itself where no spline is asked for."""
    if method == _SPLINE0:
        if not stored.equidistant:
            raise NtuplemlError(f"{where}: PDFInterpol=Spline0 of bins of different width is not read")
        return contents
    spline, needed = _SPLINES[method]
    if contents.size < needed:
        raise NtuplemlError(f"{where}: {contents.size} bins are too few for InterpolMethod {method}")
    at = splines.bin_centres(float(stored.edges[0]), float(stored.edges[-1]), NUM_BINS)
    values = spline(stored.centres, contents.astype(np.float64), at)
    # where slopes are steep splines can fall below zero
    bins = np.clip(np.searchsorted(stored.edges, at, side="right") - 1, 0, contents.size - 1)
    values = np.where(values <= SMALLEST, contents[bins].astype(np.float64), values)
    return np.where(values >= SMALLEST, values, SMALLEST).astype(np.float32)  # not a number becomes the smallest


def _smeared(element: Element, stored: _Stored, low: float, high: float, where: str) -> NDArray[np.float32]:
    if integer(element, "KDE_type", where) != 1:
        raise NtuplemlError(f"{where}: KDE_type {element.get('KDE_type')} is unknown; TMVA has the Gaussian one, 1")
    border = _BORDERS[integer(element, "KDE_border", where, minimum=1, maximum=3)]
    adaptive = integer(element, "KDE_iter", where, minimum=1, maximum=2) == 2
    if not stored.equidistant:
        raise NtuplemlError(f"{where}: a KDE of bins of different width is not read")
    kernel = Kernel(adaptive, border, number(element, "KDE_finefactor", where))
    fine = smear(stored.contents, low, high, NUM_BINS, kernel)
    if fine is None:
        raise NtuplemlError(f"{where}: its Histogram is too empty for a KDE")
    return fine
