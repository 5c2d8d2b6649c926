"""Numbers as TTreeFormula has them, except that integers stay exact.

TTreeFormula turns every value into a double, which merges event numbers above 2⁵³. Here whole numbers stay 64-bit
integers through ``+ - * %``, bit operators, comparisons, ``abs``, ``int``, ``min``, ``max``, ``?:`` and powers; all
other operations, and integer results that 64 bits cannot hold, are doubles as in TTreeFormula. Float branches are
doubles once an operation needs it: a float32 branch is compared with a literal as the double that it stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

_LARGEST_LONG = 2**63 - 1


def as_double(x: Array) -> Array:
    """As float64."""
    return x if x.dtype == np.float64 else x.astype(np.float64)


def as_number(x: Array) -> Array:
    """As a type in which arithmetic is safe: int64, uint64 or float64."""
    if x.dtype.kind in "bi" or (x.dtype.kind == "u" and x.dtype.itemsize < 8):
        return x.astype(np.int64, copy=False)
    return x if x.dtype.kind == "u" else as_double(x)


def as_long(x: Array) -> Array:
    """As 64-bit integers, floats cut off towards zero; what does not fit is -2⁶³, as C++ has it on x86."""
    x = as_number(x)
    return x if x.dtype.kind in "iu" else x.astype(np.int64)


def as_bits(x: Array) -> Array:
    """As unsigned 64-bit integers for bit operations; negative numbers keep their bit pattern."""
    x = as_number(x)
    if x.dtype.kind in "iu":
        return x.astype(np.uint64, copy=False)
    # C++ converts a double below 2⁶³ as signed and one above as unsigned.
    small = x < 2.0**63
    return np.where(small, x.astype(np.int64).astype(np.uint64), np.where(small, 0.0, x).astype(np.uint64))


def truth(x: Array) -> NDArray[np.bool_]:
    """Whether each value counts as true: not zero (NaN is true, as in C++)."""
    return x if x.dtype == np.bool_ else np.asarray(x != 0)


def _are_integers(*operands: Array) -> bool:
    return all(operand.dtype.kind in "biu" for operand in operands)


def _largest(x: Array) -> int:
    """A bound on the absolute values, cheap for small types."""
    if x.dtype.itemsize < 8:
        return 1 if x.dtype.kind == "b" else -int(np.iinfo(x.dtype).min) or int(np.iinfo(x.dtype).max)
    return max(-int(x.min()), int(x.max())) if x.size else 0


def _fits_long(x: Array) -> bool:
    """Whether int64 holds all values."""
    return x.dtype != np.uint64 or not x.size or int(x.max()) <= _LARGEST_LONG


def _integer_or_double(operation: Callable[..., Any], bound: Callable[[int, int], int], a: Array, b: Array) -> Array:
    """An operation on int64 where no result leaves them, else on doubles.

    Only where the largest operands could leave them, the results themselves are looked at (as doubles).
    """
    if not _are_integers(a, b):
        return np.asarray(operation(as_double(a), as_double(b)))
    if bound(_largest(a), _largest(b)) > _LARGEST_LONG:
        doubles = np.asarray(operation(as_double(a), as_double(b)))
        if not (_fits_long(a) and _fits_long(b) and (np.abs(doubles) < 2.0**63).all()):
            return doubles
    return np.asarray(operation(a.astype(np.int64, copy=False), b.astype(np.int64, copy=False)))


def add(a: Array, b: Array) -> Array:
    """``a + b``."""
    return _integer_or_double(np.add, lambda p, q: p + q, a, b)


def subtract(a: Array, b: Array) -> Array:
    """``a - b``."""
    return _integer_or_double(np.subtract, lambda p, q: p + q, a, b)


def multiply(a: Array, b: Array) -> Array:
    """``a * b``."""
    return _integer_or_double(np.multiply, lambda p, q: p * q, a, b)


def negative(x: Array) -> Array:
    """``-x``; of floats it keeps the type."""
    return -x if x.dtype.kind == "f" else subtract(np.asarray(0), x)


def absolute(x: Array) -> Array:
    """Absolute value; of floats it keeps the type."""
    if x.dtype.kind != "i":
        return np.abs(x) if x.dtype.kind == "f" else x
    x = x.astype(np.int64, copy=False)
    # |-2⁶³| is not an int64.
    return np.abs(as_double(x)) if x.size and x.min() == -_LARGEST_LONG - 1 else np.abs(x)


def divide(a: Array, b: Array) -> Array:
    """``a / b`` in doubles, also of integers; 0 where b is 0."""
    b = as_double(b)
    if np.all(b):
        return np.asarray(as_double(a) / b)
    return np.where(b == 0, 0.0, as_double(a) / b)


def square(x: Array) -> Array:
    """``x * x``."""
    return multiply(x, x)


def power(base: Array, exponent: Array) -> Array:
    """``base ^ exponent``: ``x*x`` for the exponent 2, exact integers where both are whole and not negative."""
    if exponent.ndim == 0 and exponent == 2:
        return square(base)
    doubles = np.asarray(np.power(as_double(base), as_double(exponent)))
    if not _are_integers(base, exponent) or not _fits_long(exponent) or (exponent.size and exponent.min() < 0):
        return doubles
    if (np.abs(doubles) < 2.0**63).all():
        return np.asarray(np.power(base.astype(np.int64), exponent.astype(np.int64)))
    return doubles


def modulo(a: Array, b: Array) -> Array:
    """``a % b`` of whole numbers (floats are cut off), with the sign of a; 0 where b is 0."""
    a, b = as_long(a), as_long(b)
    if a.dtype == b.dtype:
        # The one quotient that overflows, -2⁶³ / -1, is avoided: any number modulo -1 is 0, as it is modulo 1.
        return np.asarray(np.fmod(a, np.where(b == -1, 1, b) if b.dtype == np.int64 else b))
    magnitude = np.fmod(_magnitude(a), _magnitude(b))
    remainder = magnitude.astype(np.int64) if a.dtype == np.int64 else magnitude
    return np.where(a < 0, -remainder, remainder) if a.dtype == np.int64 else remainder


def _magnitude(x: Array) -> Array:
    """Absolute value as uint64, also of -2⁶³."""
    return np.abs(x).astype(np.uint64)


def bit_and(a: Array, b: Array) -> Array:
    """``a & b``."""
    return np.asarray(as_bits(a) & as_bits(b))


def bit_or(a: Array, b: Array) -> Array:
    """``a | b``."""
    return np.asarray(as_bits(a) | as_bits(b))


def left_shift(a: Array, b: Array) -> Array:
    """``a << b``; of the number of places only the lowest six bits count, as on the usual processors."""
    return np.asarray(as_bits(a) << (as_bits(b) & np.uint64(63)))


def right_shift(a: Array, b: Array) -> Array:
    """``a >> b``, filling with zeros."""
    return np.asarray(as_bits(a) >> (as_bits(b) & np.uint64(63)))


_COMPARE: dict[str, Callable[..., Any]] = {
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


def compare(symbol: str, a: Array, b: Array) -> Array:
    """A comparison: integers among themselves exactly, all else as doubles."""
    if a.ndim == 0 and b.ndim > 0:
        return compare(_MIRRORED[symbol], b, a)
    if b.ndim == 0 and a.ndim > 0 and a.dtype.kind in "iuf":
        return _compare_with_literal(symbol, a, b)
    if a.dtype.kind == "f" and a.dtype == b.dtype:
        return np.asarray(_COMPARE[symbol](a, b))
    return np.asarray(_COMPARE[symbol](as_number(a), as_number(b)))


def _compare_with_literal(symbol: str, x: Array, literal: Array) -> Array:
    """Compare many values with one in the type of the many, the cheapest way.

    A float32 x is above a double c exactly if it is above the largest float32 not above c.
    """
    if x.dtype.kind in "iu" and literal.dtype.kind in "biu":
        return np.asarray(_COMPARE[symbol](x, int(literal)))
    if x.dtype != np.float32:
        return np.asarray(_COMPARE[symbol](as_double(x), float(literal)))
    threshold = np.float32(literal)
    if symbol in {"==", "!="}:
        if float(threshold) != float(literal):
            return np.full(x.shape, symbol == "!=")
    elif symbol in {">", "<="} and float(threshold) > float(literal):
        threshold = np.nextafter(threshold, np.float32(-np.inf))
    elif symbol in {"<", ">="} and float(threshold) < float(literal):
        threshold = np.nextafter(threshold, np.float32(np.inf))
    return np.asarray(_COMPARE[symbol](x, threshold))


def select(condition: Array, yes: Array, no: Array) -> Array:
    """One of two values for each event, in a type that holds both."""
    if yes.dtype == no.dtype:
        return np.where(condition, yes, no)
    yes, no = as_number(yes), as_number(no)
    if yes.dtype != no.dtype and _are_integers(yes, no):
        if _fits_long(yes) and _fits_long(no):
            yes, no = yes.astype(np.int64), no.astype(np.int64)
        elif np.all(yes >= 0) and np.all(no >= 0):
            yes, no = yes.astype(np.uint64), no.astype(np.uint64)
    return np.where(condition, yes, no)
