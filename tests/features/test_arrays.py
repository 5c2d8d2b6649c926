"""The operations of formulas: NumPy and ONNX Runtime agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.features.arrays import NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.features.arrays import Arrays

FORMULAS: dict[str, Callable[[Arrays, Any], Any]] = {
    "sin": lambda a, x: a.sin(x),
    "cos": lambda a, x: a.cos(x),
    "sinh": lambda a, x: a.sinh(x),
    "cosh": lambda a, x: a.cosh(x),
    "asinh": lambda a, x: a.asinh(x),
    "exp and log": lambda a, x: a.log(a.exp(x) + 1.0),
    "sqrt and abs": lambda a, x: -a.sqrt(a.abs(x)),
    "floor": lambda a, x: a.floor(x),
    "maximum": lambda a, x: a.maximum(x, 0.5) - a.minimum(x, -0.5),
    "where": lambda a, x: a.where((x > 0.0) & ~(x >= 2.0), x, 1.0 / (x * x + 3.0)),
    "sum": lambda a, x: a.sum(x, -1),
    "max": lambda a, x: a.max(x, -2) - a.min(x, -2),
    "cumulative sum": lambda a, x: a.cumulative_sum(x),
    "columns": lambda a, x: a.stack([a.column(x, 2), 2.0 - a.column(x, 0)]),
    "pairs": lambda a, x: a.expand(x, -1) - a.expand(x, -2),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2e-6), (np.float64, 1e-14)])
def test_onnx_computes_what_numpy_does(
    name: str, dtype: type[np.generic], limit: float, in_onnx: Callable[..., NDArray[Any]]
) -> None:
    values = np.random.default_rng(3).normal(0, 2, (5, 4, 3)).astype(dtype)
    values[0] = 0
    expected = FORMULAS[name](NUMPY, values.astype(np.float64))
    np.testing.assert_allclose(in_onnx(FORMULAS[name], values, dtype), expected, rtol=limit, atol=limit)


def test_small_hyperbolic_sines_are_as_precise_as_large_ones(in_onnx: Callable[..., NDArray[Any]]) -> None:
    values = np.array([[1e-7, 0.01, 0.299, 0.301, 2.0, -1e-7]])
    found = in_onnx(lambda a, x: a.sinh(x), values, np.float64)
    np.testing.assert_allclose(found, np.sinh(values), rtol=2e-15)


def test_angle_in_all_quadrants_and_at_the_origin(in_onnx: Callable[..., NDArray[Any]]) -> None:
    y, x = np.meshgrid([-3.0, -1e-9, 0.0, 2.0], [-3.0, 0.0, 1e-9, 1.0])
    values = np.stack([y.ravel(), x.ravel()], axis=-1)

    def angle(a: Arrays, z: Any) -> Any:
        return a.atan2(a.column(z, 0), a.column(z, 1))

    expected = np.arctan2(values[:, 0], values[:, 1])
    np.testing.assert_allclose(in_onnx(angle, values, np.float64), expected, atol=3e-7)
