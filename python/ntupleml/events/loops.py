"""The loops over objects, compiled by numba: padding, and filling of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.compiled import compiled, kept

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = NDArray[np.int64]


@kept
def place_objects(
    column: NDArray[Any],
    order: Positions,
    starts: Positions,
    counts: Positions,
    targets: Positions,
    values: NDArray[Any],
    index: int,
) -> None:
    """Copy a column of objects, taken in an order (empty: as they are), to one of an array of objects.

    Parameters
    ----------
    starts, counts : array
        By row: where its objects begin in the order, and how many they are.
    targets : array
        By row: where its objects begin in the array.
    """
    for row in range(len(counts)):
        for step in range(counts[row]):
            position = starts[row] + step
            if len(order) > 0:
                position = order[position]
            values[targets[row] + step, index] = column[position]


@kept
def place_type(value: int, counts: Positions, targets: Positions, values: NDArray[Any], index: int) -> None:
    """Write a number to a column of the objects of some rows; otherwise as `place_objects`."""
    for row in range(len(counts)):
        for step in range(counts[row]):
            values[targets[row] + step, index] = value


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
def fill_slots(
    values: NDArray[Any], starts: Positions, counts: Positions, padding: NDArray[Any], slots: NDArray[Any]
) -> None:
    """Fill an array (columns, length, rows) with the values (objects, columns) of each row, then with padding."""
    columns, length, rows = slots.shape
    block = 16  # rows whose values stay in the cache while they are written, column by column
    for first in range(0, rows, block):
        last = min(first + block, rows)
        filled = min(length, counts[first:last].max())
        for column in range(columns):
            for step in range(filled):
                for row in range(first, last):
                    slots[column, step, row] = (
                        values[starts[row] + step, column] if step < counts[row] else padding[column]
                    )
            for step in range(filled, length):
                for row in range(first, last):
                    slots[column, step, row] = padding[column]


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
