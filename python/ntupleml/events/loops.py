"""The loops over objects, compiled by numba: their order within a row, padding, and filling of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.compiled import compiled, kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]

#: Objects that are sorted by counting.
_RUN = 16


@kept
def order_objects(
    keys: NDArray[np.float64],
    passed: NDArray[np.bool_],
    counts: Positions,
    length: int,
    order: Positions,
    scratch: Positions,
    kept_counts: Positions,
) -> int:
    """Write the positions of the objects that are kept, row by row, smallest key first and NaN last; their number.

    Parameters
    ----------
    keys : array
        By object; empty for the order of the ntuple. Equal ones stay in their order.
    passed : array
        By object; empty where all pass.
    length : int
        Most objects of a row; negative for any number.
    order, scratch : array
        As long as there are objects; the first is filled.
    kept_counts : array
        By row, filled.
    """
    first, written = 0, 0
    run = np.empty(_RUN)
    for row in range(len(counts)):
        begin = written
        for position in range(first, first + counts[row]):
            if len(passed) == 0 or passed[position]:
                order[written] = position
                written += 1
        first += counts[row]
        if len(keys) > 0:
            _sort(keys, order, scratch, run, begin, written)
        if length >= 0:
            written = min(written, begin + length)
        kept_counts[row] = written - begin
    return written


@compiled
def _sort(
    keys: NDArray[np.float64], order: Positions, scratch: Positions, run: NDArray[np.float64], begin: int, end: int
) -> None:
    """Sort positions by their keys: short runs by counting what comes before, merged to runs of growing width.

    Counting has no branch that a processor could guess wrong.
    """
    width = _RUN
    for start in range(begin, end, width):
        number = min(width, end - start)
        for index in range(number):
            scratch[index] = order[start + index]
            run[index] = keys[scratch[index]]
        for index in range(number):
            rank = start
            for other in range(index):
                rank += not _before(run[index], run[other])
            for other in range(index + 1, number):
                rank += _before(run[other], run[index])
            order[rank] = scratch[index]
    while width < end - begin:
        for left in range(begin, end, 2 * width):
            middle, right = min(left + width, end), min(left + 2 * width, end)
            i, j = left, middle
            for place in range(left, right):
                if i < middle and (j >= right or not _before(keys[order[j]], keys[order[i]])):
                    scratch[place] = order[i]
                    i += 1
                else:
                    scratch[place] = order[j]
                    j += 1
        for place in range(begin, end):
            order[place] = scratch[place]
        width *= 2


@compiled
def _before(one: float, other: float) -> Any:
    return (one < other) | ((other != other) & (one == one))


@kept
def pad(values: NDArray[Any], starts: Positions, counts: Positions, padding: Any, padded: NDArray[Any]) -> None:
    """Fill an array (rows, length, columns) with the values (objects, columns) of each row, then with padding."""
    length, columns = padded.shape[1:]
    for row in range(len(counts)):
        number = min(counts[row], length)
        for step in range(number):
            for column in range(columns):
                padded[row, step, column] = values[starts[row] + step, column]
        for step in range(number, length):
            for column in range(columns):
                padded[row, step, column] = padding


@kept
def find_pixels(
    eta: NDArray[np.float64],
    phi: NDArray[np.float64],
    eta_edges: NDArray[np.float64],
    phi_edges: NDArray[np.float64],
    pixels: NDArray[np.int32],
) -> None:
    """Write the pixel of each object: -1 outside the range of η, -2 where η is NaN, -3 where φ is not finite."""
    low, high = phi_edges[0], phi_edges[-1]
    for position in range(len(eta)):
        place, angle = eta[position], phi[position]
        if np.isnan(place):
            pixels[position] = -2
        elif not np.isfinite(angle):
            pixels[position] = -3
        elif place < eta_edges[0] or place > eta_edges[-1]:
            pixels[position] = -1
        else:
            if angle < low or angle >= high:
                # What lies just below the range may be rounded up to its end: the last bin, as it should.
                angle -= (high - low) * np.floor((angle - low) / (high - low))
            pixels[position] = _bin(place, eta_edges) * (len(phi_edges) - 1) + _bin(angle, phi_edges)


@compiled
def _bin(value: float, edges: NDArray[np.float64]) -> Any:
    """Bin of a value; the upper edge belongs to the last."""
    last = len(edges) - 2
    index = int(min(max((value - edges[0]) / (edges[-1] - edges[0]) * (last + 1), 0.0), float(last)))
    while index > 0 and value < edges[index]:
        index -= 1
    while index < last and value >= edges[index + 1]:
        index += 1
    return index


@kept
def fill_channel(
    pixels: NDArray[np.int32],
    weights: NDArray[np.float64],
    starts: Positions,
    counts: Positions,
    sums: NDArray[np.float64],
    images: NDArray[Any],
    channel: int,
) -> None:
    """Add up the weights of each row in one channel of images (rows, pixels, channels).

    Parameters
    ----------
    sums : array
        Zeros, one per pixel, which are zeros again afterwards: sums are double.
    """
    for row in range(len(counts)):
        objects = range(starts[row], starts[row] + counts[row])
        for position in objects:
            if pixels[position] >= 0:
                sums[pixels[position]] += weights[position]
        for position in objects:
            if pixels[position] >= 0:
                images[row, pixels[position], channel] = sums[pixels[position]]
        for position in objects:
            if pixels[position] >= 0:
                sums[pixels[position]] = 0.0
