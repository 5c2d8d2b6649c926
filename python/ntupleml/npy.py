"""Arrays of numpy's `.npy` form, read without pickle and without trust in what their heads claim."""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_npy(file: IO[bytes], size: int) -> NDArray[Any]:
    """An array from a file of some size; numpy's own reader takes the memory that the head asks for.

    Parameters
    ----------
    size : int
        Bytes from the beginning of the array to the end of the file.

    Returns
    -------
    array
        Read-only.

    Raises
    ------
    ValueError
        If it is damaged, or holds anything but numbers, flags and text.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> np.save(file, np.arange(3))
    >>> size = file.tell()
    >>> _ = file.seek(0)
    >>> read_npy(file, size)
    array([0, 1, 2])
    """
    start = file.tell()
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("other version of numpy's format")
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # the head is a text in Python's grammar, whose parsers raise what they like
        raise ValueError(one_line(error, 100)) from None
    if dtype.kind not in "biufU" or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} and type {dtype}; numbers or text are needed")
    left = size - (file.tell() - start)
    if math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"shape {shape} and type {dtype}, but {left:,} bytes; it is damaged")
    numbers = np.frombuffer(file.read(left), dtype)
    return numbers.reshape(shape[::-1]).T if is_fortran else numbers.reshape(shape)
