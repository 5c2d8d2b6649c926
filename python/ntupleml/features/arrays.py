"""The operations that formulas of features are written with, and NumPy's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: An array of NumPy, a tensor of Keras, or a value of an ONNX graph. All know + - * / and comparisons, with
#: each other and with numbers, and broadcast.
Array = Any


class Arrays(Protocol):
    """Operations on arrays; a negative axis counts from the end."""

    def sin(self, x: Array) -> Array:
        """Sine."""

    def cos(self, x: Array) -> Array:
        """Cosine."""

    def sinh(self, x: Array) -> Array:
        """Hyperbolic sine."""

    def cosh(self, x: Array) -> Array:
        """Hyperbolic cosine."""

    def asinh(self, x: Array) -> Array:
        """Inverse of the hyperbolic sine."""

    def atan2(self, y: Array, x: Array) -> Array:
        """Angle of (x, y) in (-π, π]; 0 at the origin."""

    def exp(self, x: Array) -> Array:
        """Exponential."""

    def log(self, x: Array) -> Array:
        """Natural logarithm."""

    def sqrt(self, x: Array) -> Array:
        """Square root."""

    def abs(self, x: Array) -> Array:
        """Absolute value."""

    def floor(self, x: Array) -> Array:
        """Largest whole number that is not larger."""

    def maximum(self, x: Array, y: Array) -> Array:
        """Larger of two values, element by element."""

    def minimum(self, x: Array, y: Array) -> Array:
        """Smaller of two values, element by element."""

    def round(self, x: Array) -> Array:
        """Nearest whole number, of two the even one."""

    def equal(self, x: Array, y: Array) -> Array:
        """Where both are the same."""

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """Elements of x where the condition holds, else of y."""

    def indicator(self, condition: Array) -> Array:
        """1 where the condition holds, else 0: masks that are numbers cost a graph a tenth of `where`."""

    def take(self, x: Array, places: Sequence[int]) -> Array:
        """Places along the first axis, in this order."""

    def split(self, x: Array, sizes: Sequence[int]) -> Sequence[Array]:
        """Parts of these sizes along the first axis."""

    def join(self, parts: Sequence[Array]) -> Array:
        """Parts after one another along the first axis."""

    def combine(self, matrix: Array, x: Array) -> Array:
        """Sums along the first axis, each with its weights: a matrix of numbers times a matrix."""

    def transposed(self, x: Array) -> Array:
        """A matrix with its axes exchanged."""

    def sum(self, x: Array, axis: int) -> Array:
        """Sum over an axis, which vanishes."""

    def max(self, x: Array, axis: int) -> Array:
        """Largest value along an axis, which vanishes."""

    def min(self, x: Array, axis: int) -> Array:
        """Smallest value along an axis, which vanishes."""

    def cumulative_sum(self, x: Array) -> Array:
        """Sum of all elements up to each one, along the last axis."""

    def expand(self, x: Array, axis: int) -> Array:
        """A new axis of length 1."""

    def column(self, x: Array, index: int) -> Array:
        """One column, a position of the last axis, which vanishes."""

    def stack(self, columns: Sequence[Array]) -> Array:
        """Columns side by side along a new last axis."""


class NumpyLike:
    """`Arrays` of a module with NumPy's functions, in the precision of what they get."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, _NUMPY_NAMES.get(name, name))

    def cumulative_sum(self, x: Array) -> Array:
        """Sum of all elements up to each one."""
        return self._module.cumsum(x, axis=-1)

    def indicator(self, condition: Array) -> Array:
        """1 or 0, in single precision, which takes the precision of what it meets."""
        return self._module.where(condition, np.float32(1), np.float32(0))

    def take(self, x: Array, places: Sequence[int]) -> Array:
        """Places along the first axis."""
        return self._module.take(x, list(places), axis=0)

    def split(self, x: Array, sizes: Sequence[int]) -> Sequence[Array]:
        """Parts along the first axis."""
        ends: Sequence[Array] = self._module.split(x, np.cumsum(sizes)[:-1].tolist(), axis=0)
        return ends

    def combine(self, matrix: Array, x: Array) -> Array:
        """Sums along the first axis."""
        return self._module.matmul(matrix, x)

    def join(self, parts: Sequence[Array]) -> Array:
        """Parts along the first axis."""
        return self._module.concatenate(parts, axis=0)

    def transposed(self, x: Array) -> Array:
        """Axes exchanged."""
        return self._module.transpose(x)

    def column(self, x: Array, index: int) -> Array:
        """One column."""
        return x[..., index]

    def stack(self, columns: Sequence[Array]) -> Array:
        """Columns side by side."""
        return self._module.stack(columns, axis=-1)


class _QuickNumpy(NumpyLike):
    """NumPy for raw columns of single precision: sine and cosine have that, too, and are twenty times faster."""

    def sin(self, x: Array) -> Array:
        """Sine, to single precision."""
        return np.sin(x.astype(np.float32)).astype(np.float64)

    def cos(self, x: Array) -> Array:
        """Cosine, to single precision."""
        return np.cos(x.astype(np.float32)).astype(np.float64)


_NUMPY_NAMES = {"asinh": "arcsinh", "atan2": "arctan2", "expand": "expand_dims"}
NUMPY: Arrays = NumpyLike(np)
QUICK_NUMPY: Arrays = _QuickNumpy(np)
