"""What an image of transverse energy in (η, φ) tells of the event."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.features.arrays import NUMPY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.features.arrays import Array, Arrays

#: Range of φ that an image covers where nothing else is said.
FULL_CIRCLE = (-math.pi, math.pi)


def directions(bins: int, phi_range: Sequence[float] = FULL_CIRCLE) -> NDArray[np.float64]:
    """−cos φ and −sin φ at the centres of equal bins in φ.

    Returns
    -------
    array of float, shape (2, bins)
    """
    low, high = phi_range
    edges = np.linspace(low, high, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    return -np.stack([np.cos(centres), np.sin(centres)])


def missing_energy(arrays: Arrays, images: Array, towards: NDArray[np.floating]) -> Array:
    """Components of the missing transverse energy of images.

    Parameters
    ----------
    arrays : Arrays
        Operations on the images.
    images : array, shape (…, η, φ)
        Transverse energy of each pixel.
    towards : array, shape (2, φ)
        Of `directions`, in the precision of the images.

    Returns
    -------
    array, shape (…, 2)
        E_x = −Σ E cos φ and E_y = −Σ E sin φ, in the unit of the image; (…) has no axis of channels.
    """
    in_phi = arrays.sum(images, axis=-2)
    return arrays.stack([arrays.sum(in_phi * one, axis=-1) for one in towards])


def missing_energy_of(images: NDArray[np.floating], phi_range: Sequence[float] = FULL_CIRCLE) -> NDArray[np.float64]:
    """Components of the missing transverse energy of images in NumPy, in double precision; see `missing_energy`.

    Examples
    --------
    All energy in the φ bin around 0, of three bins: what is missing points the other way.

    >>> missing_energy_of(np.array([[[0.0, 40.0, 0.0]]])).round(6) + 0.0
    array([[-40.,   0.]])
    """
    components: NDArray[np.float64] = missing_energy(
        NUMPY, images.astype(np.float64), directions(images.shape[-1], phi_range)
    )
    return components
