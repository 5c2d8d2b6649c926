"""Rows found by keys of one or several integers: a hash table, exact on 64 bits with and without sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.compiled import compiled, kept
from ntupleml.errors import NtuplemlError
from ntupleml.folds import LARGEST_EXACT_FLOAT32, LARGEST_EXACT_FLOAT64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Positions = NDArray[np.int64]
    Bits = NDArray[np.uint64]

#: Slots of the table for each row, at least.
_SLOTS_PER_ROW = 1.5
_FIRST_FACTOR, _SECOND_FACTOR = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_STEP, _27, _30, _31 = np.uint64(0x9E3779B97F4A7C15), np.uint64(27), np.uint64(30), np.uint64(31)
_SIGN = np.uint64(1 << 63)


class Repeated(NamedTuple):
    """Rows whose key an earlier row has: how many, the first of them, and that earlier row."""

    rows: int
    first: int
    earlier: int


def exact_integers(values: NDArray[Any], where: str, first_entry: int = 0) -> NDArray[Any]:
    """Values of a key as integers, without loss.

    Parameters
    ----------
    first_entry : int, optional
        Entry of the first value, for messages.

    Raises
    ------
    NtuplemlError
        For floats that are no integers, or so large that they may stand for several.
    """
    if values.dtype.kind != "f":
        return values.view(np.uint8) if values.dtype.kind == "b" else values
    limit = LARGEST_EXACT_FLOAT32 if values.dtype.itemsize <= 4 else LARGEST_EXACT_FLOAT64
    wrong = np.flatnonzero(~((np.abs(values) < limit) & (values == np.floor(values))))
    if len(wrong):
        value = float(values[wrong[0]])
        what = f"is rounded, as {values.dtype} is from {limit} on" if abs(value) >= limit else "is no whole number"
        raise NtuplemlError(
            f"{where}: {value} of entry {first_entry + wrong[0]} {what}; a key is made of integers, so write it so"
        )
    return values.astype(np.int64)


class KeyIndex:
    """Rows by their keys.

    Parameters
    ----------
    num_rows : int
        Rows that will be added.
    types : sequence of dtype
        Of the parts of a key.

    Examples
    --------
    >>> index = KeyIndex(3, [np.dtype("i8"), np.dtype("u8")])
    >>> index.add([np.array([1, 1, 2]), np.array([7, 2**63, 7], np.uint64)])
    >>> index.finish()
    Repeated(rows=0, first=-1, earlier=-1)
    >>> index.find([np.array([2, 1, 1]), np.array([7, -(2**63), 7])])
    array([ 2, -1,  0])
    """

    def __init__(self, num_rows: int, types: Sequence[np.dtype[Any]]) -> None:
        self._signed = [dtype.kind in "if" for dtype in types]
        self._bits = np.empty((num_rows, len(types)), np.uint64)
        self._added = 0
        slots = 1 << max(int(_SLOTS_PER_ROW * num_rows), 1).bit_length()
        self._slots = np.full(slots, -1, np.int32 if num_rows < 2**31 else np.int64)

    def __len__(self) -> int:
        """Number of rows."""
        return self._added

    def add(self, columns: list[NDArray[Any]]) -> None:
        """Add rows: an array of integers for each part of the key."""
        rows = slice(self._added, self._added + len(columns[0]))
        for place, column in enumerate(columns):
            self._bits[rows, place] = _bits(column)
        self._added = rows.stop

    def finish(self, *, last: bool = False) -> Repeated:
        """Make the table, in which the first (or the last) row of a key stands; the rows that repeat one."""
        return Repeated(*map(int, _enter(self._bits, self._slots, last)))

    def find(self, columns: list[NDArray[Any]]) -> Positions:
        """Row of each key; −1 where no row has it."""
        bits = np.empty((len(columns[0]), len(columns)), np.uint64)
        is_possible = np.ones(len(bits), np.bool_)
        for place, column in enumerate(columns):
            bits[:, place] = _bits(column)
            if (column.dtype.kind == "i") != self._signed[place]:  # the first bit means a sign, or 2⁶³
                is_possible &= bits[:, place] < _SIGN
        found = np.empty(len(bits), np.int64)
        _look_up(self._bits, self._slots, bits, is_possible, found)
        return found


def _bits(column: NDArray[Any]) -> Bits:
    wide: NDArray[Any] = column.astype(np.int64 if column.dtype.kind == "i" else np.uint64, copy=False)
    return wide.view(np.uint64)


@compiled
def _slot(bits: Bits, row: int, mask: np.uint64) -> Any:
    """Where to look first: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), part by part."""
    mixed = np.uint64(0)
    for column in range(bits.shape[1]):
        mixed = (mixed ^ bits[row, column]) + _STEP
        mixed = (mixed ^ (mixed >> _30)) * _FIRST_FACTOR
        mixed = (mixed ^ (mixed >> _27)) * _SECOND_FACTOR
        mixed = mixed ^ (mixed >> _31)
    return np.int64(mixed & mask)


@compiled
def _is_same(bits: Bits, row: int, others: Bits, other: int) -> Any:
    same = True
    for column in range(bits.shape[1]):
        same &= bits[row, column] == others[other, column]
    return same


@kept
def _enter(bits: Bits, slots: NDArray[Any], last: bool) -> tuple[int, int, int]:
    mask = np.uint64(len(slots) - 1)
    repeated, first, earlier = 0, -1, -1
    for row in range(len(bits)):
        slot = _slot(bits, row, mask)
        while slots[slot] >= 0 and not _is_same(bits, row, bits, slots[slot]):
            slot = (slot + 1) & np.int64(mask)
        if slots[slot] >= 0:
            if repeated == 0:
                first, earlier = row, slots[slot]
            repeated += 1
        if slots[slot] < 0 or last:
            slots[slot] = row
    return repeated, first, earlier


@kept
def _look_up(bits: Bits, slots: NDArray[Any], wanted: Bits, is_possible: NDArray[np.bool_], found: Positions) -> None:
    mask = np.uint64(len(slots) - 1)
    for row in range(len(wanted)):
        found[row] = -1
        if is_possible[row]:
            slot = _slot(wanted, row, mask)
            while slots[slot] >= 0:
                if _is_same(wanted, row, bits, slots[slot]):
                    found[row] = slots[slot]
                    break
                slot = (slot + 1) & np.int64(mask)
