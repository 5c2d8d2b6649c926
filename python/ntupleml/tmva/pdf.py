"""TMVA's PDF: the histogram that a weights file stores, made into the fine one that TMVA evaluates.

The file holds the histogram before smoothing; `TMVA::PDF::ReadXML` smooths and interpolates it anew, so we do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.tmva import smoothing
from ntupleml.tmva.method import Density, Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.tmva.xml_file import Node

#: Bins of the fine histogram, and the smallest density in it (`PDF::fgNbin_PdfHist`, `PDF::fgEpsilon`).
NUM_BINS, SMALLEST = 10_000, 1e-12
_SPLINE0, _KDE = 0, 5
#: TMVA's numbers of its splines, and how many points each needs.
_SPLINES: dict[int, tuple[smoothing.Spline, int]] = {
    1: (smoothing.linear_spline, 2),
    2: (smoothing.quadratic_spline, 1),
    3: (smoothing.cubic_spline, 2),
    4: (smoothing.quintic_spline, 3),
}
_BORDERS: dict[int, smoothing.Border] = {1: "none", 2: "renormalize", 3: "mirror"}


class _Stored(NamedTuple):
    """The histogram of a file: float32 contents, and edges in double precision."""

    contents: NDArray[np.float32]
    edges: NDArray[np.float64]
    equidistant: bool

    @property
    def centres(self) -> NDArray[np.float64]:
        if self.equidistant:
            return smoothing.bin_centres(float(self.edges[0]), float(self.edges[-1]), self.contents.size)
        return np.asarray(self.edges[:-1] + 0.5 * np.diff(self.edges))


def read_pdf(node: Node, *, normalize: bool) -> Density:
    """Density or cumulative distribution of a `PDF` element; the integral of a density is made one, if asked for."""
    stored = _read_histogram(node)
    method = node.integer("InterpolMethod", maximum=_KDE)
    low, high = float(stored.edges[0]), float(stored.edges[-1])
    if method == _KDE:
        fine = _smeared(node, stored, low, high)
    else:
        fine = _splined(method, _smoothed(node, stored.contents), stored, node)
    if normalize:
        integral = float(fine.astype(np.float64).sum()) * ((high - low) / fine.size)
        if integral < 0:
            raise node.error(f"the integral of its PDF is {integral:g}; a density is needed")
        if integral > 0:
            fine = (fine.astype(np.float64) * (1.0 / integral)).astype(np.float32)
    return Density(Histogram(low, high, fine.astype(np.float64)), interpolated=method != _SPLINE0)


def _read_histogram(node: Node) -> _Stored:
    histogram = node.child("Histogram")
    num_bins = histogram.integer("NBins", minimum=1)
    contents = histogram.numbers(num_bins).astype(np.float32)
    equidistant = histogram.integer("HasEquidistantBins", maximum=1) == 1
    if equidistant:
        low, high = histogram.number("XMin"), histogram.number("XMax")
        edges = np.append(low + np.arange(num_bins) * ((high - low) / num_bins), high)
    else:
        binning = node.child("HistogramBinning")
        if binning.integer("NBins", minimum=1) != num_bins:
            raise node.error("Histogram and HistogramBinning have different NBins; the file is damaged")
        edges = binning.numbers(num_bins + 1)
    # Equal neighbours occur: the file rounds edges to nine digits.
    if not edges[0] < edges[-1] or (np.diff(edges) < 0).any():
        raise node.error("the edges of its Histogram do not ascend; the file is damaged")
    return _Stored(contents, edges, equidistant)


def _smoothed(node: Node, contents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smoothed as often as the file says; more often where the relative errors are large, if it gives two numbers."""
    least = node.integer("MinNSmooth", minimum=-1, maximum=1000)
    most = node.integer("MaxNSmooth", minimum=-1, maximum=1000)
    if least < 0 or most <= 0 or contents.size == 1:
        return contents
    if least == most:
        return smoothing.smooth(contents, least)
    wanted = _wanted_smoothings(contents, least, most)
    for times in range(most, -1, -1):
        # TMVA means to smooth regions only, but ROOT smooths the whole histogram each time
        for _ in range(1 if times <= least else _closed_regions(wanted >= times)):
            contents = smoothing.smooth(contents, 1)
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


def _splined(method: int, contents: NDArray[np.float32], stored: _Stored, node: Node) -> NDArray[np.float32]:
    """Fine histogram of a spline through the bin centres; of the histogram itself where no spline is asked for."""
    if method == _SPLINE0:
        if not stored.equidistant:
            raise node.error("PDFInterpol=Spline0 of bins of different width is not read")
        return contents
    spline, needed = _SPLINES[method]
    if contents.size < needed:
        raise node.error(f"{contents.size} bins are too few for InterpolMethod {method}")
    at = smoothing.bin_centres(float(stored.edges[0]), float(stored.edges[-1]), NUM_BINS)
    values = spline(stored.centres, contents.astype(np.float64), at)
    # where slopes are steep splines can fall below zero
    bins = np.clip(np.searchsorted(stored.edges, at, side="right") - 1, 0, contents.size - 1)
    values = np.where(values <= SMALLEST, contents[bins].astype(np.float64), values)
    return np.where(values >= SMALLEST, values, SMALLEST).astype(np.float32)  # not a number becomes the smallest


def _smeared(node: Node, stored: _Stored, low: float, high: float) -> NDArray[np.float32]:
    if node.integer("KDE_type") != 1:
        raise node.error(f"KDE_type {node.get('KDE_type')} is unknown; TMVA has the Gaussian one, 1")
    border = _BORDERS[node.integer("KDE_border", minimum=1, maximum=3)]
    adaptive = node.integer("KDE_iter", minimum=1, maximum=2) == 2
    if not stored.equidistant:
        raise node.error("a KDE of bins of different width is not read")
    kernel = smoothing.Kernel(adaptive, border, node.number("KDE_finefactor"))
    fine = smoothing.smear(stored.contents, low, high, NUM_BINS, kernel)
    if fine is None:
        raise node.error("its Histogram is too empty for a KDE")
    return fine
