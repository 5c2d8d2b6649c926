"""What a comparison with stored answers consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Quantity(NamedTuple):
    """One comparison: its name, how the difference is computed, and how large it may be."""

    name: str
    difference: Callable[[], float]
    limit: float


def largest(found: NDArray[Any], expected: NDArray[Any], scale: NDArray[Any] | float = 1.0) -> float:
    """Largest difference, relative to the scale or the expected value; infinite where a number stands against none."""
    expected = expected.astype(np.float64)
    found = np.asarray(found, dtype=np.float64).reshape(expected.shape)
    with np.errstate(invalid="ignore"):
        differences = np.abs(found - expected) / np.maximum(np.abs(expected), scale)
    differences[(found == expected) | (np.isnan(found) & np.isnan(expected))] = 0
    return float(np.nan_to_num(differences, nan=np.inf).max(initial=0.0))
