"""Formulas of features as ONNX nodes: the operations of `features.arrays` on values of a graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder


@dataclass(frozen=True, eq=False)
class Value:
    """A value of a graph, by its name; arithmetic appends nodes."""

    arrays: OnnxArrays
    name: str

    def __add__(self, other: Any) -> Value:
        return self.arrays.add("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.arrays.add("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.arrays.add("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.arrays.add("Sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self.arrays.add("Mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.arrays.add("Mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self.arrays.add("Div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.arrays.add("Div", other, self)

    def __lt__(self, other: Any) -> Value:
        return self.arrays.add("Less", self, other)

    def __le__(self, other: Any) -> Value:
        return self.arrays.add("LessOrEqual", self, other)

    def __gt__(self, other: Any) -> Value:
        return self.arrays.add("Greater", self, other)

    def __ge__(self, other: Any) -> Value:
        return self.arrays.add("GreaterOrEqual", self, other)

    def __and__(self, other: Any) -> Value:
        return self.arrays.add("And", self, other)

    def __or__(self, other: Any) -> Value:
        return self.arrays.add("Or", self, other)

    def __neg__(self) -> Value:
        return self.arrays.add("Neg", self)

    def __invert__(self) -> Value:
        return self.arrays.add("Not", self)


class OnnxArrays:
    """`Arrays` of a graph.

    Parameters
    ----------
    dtype : type
        Of its numbers, float32 or float64.
    """

    def __init__(self, graph: GraphBuilder, dtype: type[np.generic] = np.float64) -> None:
        self.graph = graph
        self.dtype = dtype

    def value(self, name: str) -> Value:
        """A value of the graph that formulas can take; it has to be of the type of these arrays."""
        return Value(self, name)

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> Value:
        """Append a node; numbers become constants of the type of these arrays."""
        names = [one.name if isinstance(one, Value) else self.graph.constant(one, self.dtype) for one in inputs]
        return Value(self, self.graph.add(operator, *names, **attributes))

    def sin(self, x: Value) -> Value:
        """Sine."""
        return self.add("Sin", x)

    def cos(self, x: Value) -> Value:
        """Cosine."""
        return self.add("Cos", x)

    def sinh(self, x: Value) -> Value:
        """Hyperbolic sine; ONNX Runtime has none in double precision."""
        if self.dtype is np.float32:
            return self.add("Sinh", x)
        grown, square = self.exp(x), x * x
        near_zero = 1.0 + square / 110.0
        for divisor in (72.0, 42.0, 20.0, 6.0):
            near_zero = 1.0 + near_zero * square / divisor
        return self.where(self.abs(x) < 0.3, x * near_zero, (grown - 1.0 / grown) * 0.5)

    def cosh(self, x: Value) -> Value:
        """Hyperbolic cosine."""
        grown = self.exp(x)
        return (grown + 1.0 / grown) * 0.5

    def asinh(self, x: Value) -> Value:
        """Inverse of the hyperbolic sine."""
        size = self.abs(x)
        return self.add("Sign", x) * self.log(size + self.sqrt(size * size + 1.0))

    def atan2(self, y: Value, x: Value) -> Value:
        """Angle of (x, y), to single precision: ONNX Runtime has no arc tangent in double precision.

        From the half-angle formula, 2 atan(y / (r + x)), and its mirror image where x is negative.
        """
        size = self.sqrt(x * x + y * y)
        positive = x >= 0.0
        safe = self.maximum(size + self.abs(x), 1e-300 if self.dtype is np.float64 else 1e-37)
        ratio = self.graph.cast((y / safe).name, np.float32)
        half = Value(self, self.graph.cast(self.graph.add("Atan", ratio), self.dtype))
        turned = self.where(y >= 0.0, math.pi, -math.pi) - 2.0 * half
        return self.where(positive, 2.0 * half, turned)

    def exp(self, x: Value) -> Value:
        """Exponential."""
        return self.add("Exp", x)

    def log(self, x: Value) -> Value:
        """Natural logarithm."""
        return self.add("Log", x)

    def sqrt(self, x: Value) -> Value:
        """Square root."""
        return self.add("Sqrt", x)

    def abs(self, x: Value) -> Value:
        """Absolute value."""
        return self.add("Abs", x)

    def floor(self, x: Value) -> Value:
        """Largest whole number that is not larger."""
        return self.add("Floor", x)

    def maximum(self, x: Any, y: Any) -> Value:
        """Larger of two values."""
        return self.add("Max", x, y)

    def minimum(self, x: Any, y: Any) -> Value:
        """Smaller of two values."""
        return self.add("Min", x, y)

    def round(self, x: Value) -> Value:
        """Nearest whole number, of two the even one."""
        return self.add("Round", x)

    def equal(self, x: Value, y: Any) -> Value:
        """Where both are the same."""
        return self.add("Equal", x, y)

    def indicator(self, condition: Value) -> Value:
        """1 or 0."""
        return Value(self, self.graph.cast(condition.name, self.dtype))

    def take(self, x: Value, places: Sequence[int]) -> Value:
        """Places along the first axis."""
        return Value(self, self.graph.add("Gather", x.name, self.graph.constant(list(places), np.int64), axis=0))

    def split(self, x: Value, sizes: Sequence[int]) -> list[Value]:
        """Parts along the first axis."""
        return [Value(self, name) for name in self.graph.split(x.name, sizes, axis=0)]

    def combine(self, matrix: Any, x: Value) -> Value:
        """Sums along the first axis."""
        return self.add("MatMul", matrix, x)

    def join(self, parts: Sequence[Value]) -> Value:
        """Parts along the first axis."""
        return self.add("Concat", *parts, axis=0)

    def transposed(self, x: Value) -> Value:
        """Axes exchanged."""
        return self.add("Transpose", x, perm=[1, 0])

    def where(self, condition: Value, x: Any, y: Any) -> Value:
        """Elements of x where the condition holds, else of y."""
        return self.add("Where", condition, x, y)

    def sum(self, x: Value, axis: int) -> Value:
        """Sum over an axis."""
        return Value(self, self.graph.add("ReduceSum", x.name, self.graph.constant([axis], np.int64), keepdims=0))

    def max(self, x: Value, axis: int) -> Value:
        """Largest value along an axis."""
        return self.add("ReduceMax", x, axes=[axis], keepdims=0)

    def min(self, x: Value, axis: int) -> Value:
        """Smallest value along an axis."""
        return self.add("ReduceMin", x, axes=[axis], keepdims=0)

    def cumulative_sum(self, x: Value) -> Value:
        """Sum of all elements up to each one."""
        return Value(self, self.graph.add("CumSum", x.name, self.graph.constant(-1, np.int64)))

    def expand(self, x: Value, axis: int) -> Value:
        """A new axis of length 1."""
        return Value(self, self.graph.add("Unsqueeze", x.name, self.graph.constant([axis], np.int64)))

    def column(self, x: Value, index: int) -> Value:
        """One column."""
        return Value(self, self.graph.add("Gather", x.name, self.graph.constant(index, np.int64), axis=-1))

    def stack(self, columns: Sequence[Value]) -> Value:
        """Columns side by side."""
        return self.add("Concat", *(self.expand(one, -1) for one in columns), axis=-1)
