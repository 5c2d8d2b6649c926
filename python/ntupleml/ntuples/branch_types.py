"""What a new branch holds: a number per entry, a list of one length, or a list of any length (`"vector of f4"`)."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

    from ntupleml.ntuples.branches import Branch

_VECTOR_OF = "vector of "

#: CRC-32 of the numbers of a branch, for vectors preceded by that of the lengths.
Checksum = tuple[int, ...]


def vector_item(branch_type: DTypeLike | str) -> np.dtype[Any] | None:
    """Type of the numbers of a vector, or None for all other branches.

    Examples
    --------
    >>> vector_item("vector of f4"), vector_item("f4"), vector_item(np.dtype(("f4", (3,))))
    (dtype('float32'), None, None)
    """
    if isinstance(branch_type, str) and branch_type.startswith(_VECTOR_OF):
        return np.dtype(branch_type.removeprefix(_VECTOR_OF))
    return None


def number_type(branch_type: DTypeLike | str) -> np.dtype[Any]:
    """Type of the numbers of any branch.

    Examples
    --------
    >>> [number_type(kind).name for kind in ("vector of f4", "i8", np.dtype(("f8", (3,))))]
    ['float32', 'int64', 'float64']
    """
    item = vector_item(branch_type)
    return np.dtype(branch_type).base if item is None else item


def type_of_copy(branch: Branch) -> np.dtype[Any] | str:
    """Type of a new branch that takes the values of one that is read.

    Examples
    --------
    >>> from ntupleml.ntuples import Branch
    >>> type_of_copy(Branch("x", "float[3]", np.dtype("f4"), (3,)))
    dtype(('<f4', (3,)))
    """
    assert branch.dtype is not None
    return f"{_VECTOR_OF}{branch.dtype.name}" if None in branch.shape else np.dtype((branch.dtype, branch.shape))


def uproot_type(branch_type: DTypeLike | str) -> Any:
    """What uproot's `mktree` calls a type."""
    item = vector_item(branch_type)
    return np.dtype(branch_type) if item is None else f"var * {item.name}"


def counter_names(branch_types: Mapping[str, DTypeLike | str]) -> dict[str, str]:
    """Names of the branches that hold the lengths of vectors: `n` and the name, as usual, unless that is taken."""
    taken = set(branch_types)
    counters = {}
    for name in branch_types:
        counter = f"n{name.replace('.', '_')}"
        while counter in taken:
            counter += "_"
        taken.add(counter)
        counters[name] = counter
    return counters


def plain_arrays(values: Any, branch_type: DTypeLike | str) -> tuple[NDArray[Any], ...]:
    """Values of a branch as arrays of numbers that lie in one piece.

    Parameters
    ----------
    values : array
        numpy of shape (n,), of shape (n, length) for lists of one length, or for vectors a jagged awkward array or
        numpy of shape (n, length).

    Returns
    -------
    tuple of array
        The numbers, all lists one after the other; for vectors preceded by the lengths (int64).

    Raises
    ------
    ValueError
        If the values have another shape.

    Examples
    --------
    >>> import awkward as ak
    >>> plain_arrays(ak.Array([[1.5], [], [2.5, 3.5]]), "vector of f4")
    (array([1, 0, 2]), array([1.5, 2.5, 3.5], dtype=float32))
    """
    item = vector_item(branch_type)
    if item is None:
        dtype = np.dtype(branch_type)
        numbers = np.ascontiguousarray(values, dtype=dtype.base)
        if numbers.shape[1:] != dtype.shape:
            raise ValueError(f"values of shape {numbers.shape} for a branch of {dtype}")
        return (numbers.reshape(-1),)
    import awkward as ak

    if isinstance(values, np.ndarray) and values.dtype != object:
        counts = np.full(len(values), values.shape[1] if values.ndim == 2 else -1, dtype=np.int64)
        content = values
    else:
        jagged = ak.Array(values)
        counts = np.asarray(ak.num(jagged, axis=1), dtype=np.int64)
        content = ak.to_numpy(ak.flatten(jagged, axis=1))
    if np.ndim(content) > 2 or (counts < 0).any():
        raise ValueError(f"values of shape {np.shape(values)} for a branch that is a {branch_type}")
    return counts, np.ascontiguousarray(content, dtype=item).reshape(-1)


def no_checksum(branch_type: DTypeLike | str) -> Checksum:
    """Checksum of a branch without entries."""
    return (0,) if vector_item(branch_type) is None else (0, 0)


def add_to_checksum(checksum: Checksum, arrays: tuple[NDArray[Any], ...]) -> Checksum:
    """Checksum after more entries, which `plain_arrays` gave."""
    return tuple(zlib.crc32(array.data, crc) for array, crc in zip(arrays, checksum, strict=True))
