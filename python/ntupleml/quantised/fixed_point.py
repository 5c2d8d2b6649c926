"""Numbers of a fixed step, as whole numbers of steps; rounding to them, and what happens out of their range."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Numbers = NDArray[np.float32] | NDArray[np.float64]

#: Bits of a sum that 32-bit and 64-bit floating-point numbers hold exactly.
FLOAT_BITS, DOUBLE_BITS = 24, 53


class Fixed(NamedTuple):
    """Numbers of one step.

    Attributes
    ----------
    steps : array of int64
    fraction : int
        Bits behind the point: the step is 2^−fraction.
    """

    steps: NDArray[np.int64]
    fraction: int

    @property
    def values(self) -> NDArray[np.float64]:
        """The numbers themselves, exactly."""
        return np.ldexp(self.steps.astype(np.float64), -self.fraction)


class Quantiser(NamedTuple):
    """What rounds numbers to steps within a range; each attribute for all numbers, or for each column.

    Attributes
    ----------
    sign : array of int64
        1 where negative numbers are kept, else 0.
    integer, fraction : array of int64
        Bits before the point, without the sign, and behind it; either may be negative.
    rounding : str
        A key of `ROUNDINGS`.
    overflow : str
        Beyond its range a number becomes the nearest of it (``SAT``; ``SAT_SYM`` also leaves out the most negative
        one), or goes round (``WRAP``); ``NONE`` where the range is not looked at.
    """

    sign: NDArray[np.int64]
    integer: NDArray[np.int64]
    fraction: NDArray[np.int64]
    rounding: str
    overflow: str

    @classmethod
    def of(cls, sign: int, integer: int, fraction: int, rounding: str = "RND_CONV", overflow: str = "SAT") -> Quantiser:
        """One for all numbers."""
        widths = (np.asarray(one, np.int64) for one in (sign, integer, fraction))
        return cls(next(widths), next(widths), next(widths), rounding, overflow)

    @property
    def bits(self) -> NDArray[np.int64]:
        """Width of each number, the sign included; 0 where nothing is left of it."""
        return np.asarray(np.maximum(self.sign + self.integer + self.fraction, 0))

    @property
    def limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Least and largest number, exactly; both 0 where no bit is left."""
        step, top = np.ldexp(1.0, -self.fraction), np.ldexp(1.0, np.maximum(self.integer, -self.fraction))
        highest = np.where(self.bits > 0, top - step, 0.0)
        lowest = -self.sign * (highest if self.overflow == "SAT_SYM" else np.where(self.bits > 0, top, 0.0))
        return np.asarray(lowest + 0.0), np.asarray(highest)


def floor_half_up(values: Numbers) -> Numbers:
    """Nearest whole number, that above where two are equally near; in the precision of the values, as HGQ2 does it."""
    return np.floor(values + values.dtype.type(0.5))


#: Rounding of numbers in units of the step, by HGQ2's names.
ROUNDINGS: dict[str, Callable[[Numbers], Numbers]] = {
    "TRN": np.floor,
    "RND": floor_half_up,
    "RND_CONV": np.round,
    "TRN_ZERO": np.trunc,
    "RND_ZERO": lambda values: -np.floor(-np.abs(values) + values.dtype.type(0.5)) * np.sign(values),
    "RND_MIN_INF": lambda values: -floor_half_up(-values),
    "RND_INF": lambda values: floor_half_up(np.abs(values)) * np.sign(values),
}


def quantised(values: Numbers | Fixed, quantiser: Quantiser) -> Fixed:
    """Numbers rounded by a quantiser.

    Parameters
    ----------
    values : array of float32 or float64, or Fixed
        Floating-point numbers are scaled and rounded in their own precision, so that single ones become the same as in
        HGQ2 and in the ONNX file.

    Returns
    -------
    Fixed
        All of the finest step that the quantiser has.

    Raises
    ------
    NtuplemlError
        If a number is not finite, or needs more than 53 bits.
    """
    numbers = values.values if isinstance(values, Fixed) else values
    if not np.isfinite(numbers).all():
        raise NtuplemlError("a number to be rounded is NaN or infinite; give model inputs that are finite")
    kind = numbers.dtype.type
    if quantiser.overflow.startswith("SAT"):
        lowest, highest = (limit.astype(kind) for limit in quantiser.limits)
        numbers = np.minimum(np.maximum(numbers, lowest), highest)
    steps = ROUNDINGS[quantiser.rounding](numbers * np.ldexp(kind(1), quantiser.fraction).astype(kind))
    _check_size(steps)
    whole = steps.astype(np.int64)
    if quantiser.overflow == "WRAP":
        whole = _wrapped(whole, quantiser)
    if quantiser.overflow != "NONE":
        whole = np.where(quantiser.bits > 0, whole, 0)
    finest = int(np.max(quantiser.fraction))
    return shifted(Fixed(whole, 0), finest - quantiser.fraction)._replace(fraction=finest)


def _wrapped(steps: NDArray[np.int64], quantiser: Quantiser) -> NDArray[np.int64]:
    """Whole numbers modulo the number of those that the width has."""
    number = np.int64(1) << quantiser.bits
    half = quantiser.sign * (number >> 1)
    return np.asarray(np.mod(steps + half, number) - half)


def shifted(values: Fixed, more: NDArray[np.int64] | int) -> Fixed:
    """The same numbers with more bits behind the point."""
    _check_size(np.ldexp(values.steps.astype(np.float64), more))
    return Fixed(values.steps << np.asarray(more, np.int64), values.fraction + int(np.max(more)))


def _check_size(steps: NDArray[np.floating]) -> None:
    if steps.size and float(np.abs(steps).max()) > 2.0**DOUBLE_BITS:
        raise NtuplemlError(f"a number of the quantised network needs more than {DOUBLE_BITS} bits; take fewer")


def product(values: Fixed, kernel: Fixed, bias: Fixed | None) -> Fixed:
    """Matrix product of whole numbers, and a summand, exactly.

    Raises
    ------
    NtuplemlError
        If a sum can need more than 53 bits.
    """
    fraction = values.fraction + kernel.fraction
    shift = 0 if bias is None else max(bias.fraction - fraction, 0)
    largest = float(np.abs(values.steps).max(initial=0)) * float(np.abs(kernel.steps).sum(axis=0).max(initial=0))
    _check_size(np.asarray(np.ldexp(largest, shift)))
    # 64-bit floating-point numbers hold these whole numbers exactly, and their product is quick
    sums = (values.steps.astype(np.float64) @ kernel.steps.astype(np.float64)).astype(np.int64) << shift
    if bias is not None:
        sums = sums + (bias.steps << (fraction + shift - bias.fraction))
    return Fixed(sums, fraction + shift)
