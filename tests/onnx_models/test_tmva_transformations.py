"""Graphs of transformations against TMVA's answers, and against its formulas event by event."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.scaler_nodes import error_function_nodes, normal_quantile_nodes
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.onnx_models.tmva_transformations import target_nodes, transformation_nodes
from ntupleml.tmva.method import Cumulative, Histogram, Linear, Normalize, Rearrange
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.tmva.method import TargetTransformation, Transformation

DATA = Path(__file__).resolve().parents[1] / "data" / "tmva"
f32 = np.float32
X = np.random.default_rng(1).normal(scale=1.3, size=(400, 3)).astype(f32)


def run(build: Callable[[GraphBuilder], str], x: NDArray[Any], num_outputs: int, dtype: type[np.generic]) -> Any:
    graph = GraphBuilder()
    graph.add("Identity", build(graph), output=OUTPUT)
    model = contract_model(
        graph,
        {INPUT: GraphInput([f"v{index}" for index in range(x.shape[1])])},
        {OUTPUT: [f"o{index}" for index in range(num_outputs)]},
        classes=[],
        kind="tmva",
        dtype=dtype,
    )
    used = {name for node in model.graph.node for name in node.input}
    assert {constant.name for constant in model.graph.initializer} <= used
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: x.astype(dtype)})[0]


def transformed(
    x: NDArray[Any], *transformations: Transformation, dtype: type[np.generic] = np.float32
) -> NDArray[Any]:
    result = run(lambda graph: transformation_nodes(graph, INPUT, transformations, dtype), x, x.shape[1], dtype)
    assert result.dtype == dtype
    return np.asarray(result)


def cumulative_histogram(seed: int, num_bins: int = 50) -> Histogram:
    contents = np.sort(np.random.default_rng(seed).uniform(size=num_bins)).astype(f32).astype(float)
    return Histogram(-2.0, 2.5, contents)


def normalized(x: np.float32, minimum: float, maximum: float) -> np.float32:
    """`VariableNormalizeTransform::Transform`: every step in float32."""
    scale = f32(1.0 / float(f32(maximum) - f32(minimum)))
    return (x - f32(minimum)) * scale * f32(2) - f32(1)


def cumulated(x: float, histogram: Histogram) -> float:
    """`PDF::GetVal` and the limits of `VariableGaussTransform::Transform`."""
    low, high, contents = histogram
    size = contents.size
    number = min(max(math.floor(size * (x - low) / (high - low)), 0), size - 1)

    def centre(index: int) -> float:
        return low + (index + 0.5) * ((high - low) / size)

    other = number + 1 if (x > centre(number) and number != size - 1) or number == 0 else number - 1
    slope = (contents[number] - contents[other]) / (centre(number) - centre(other))
    value = max(contents[number] + (x - centre(number)) * slope, 1e-12)
    return float(min(max(value, 1e-9), 1 - 1e-9))


@pytest.mark.parametrize("case", ["bin_fisher_G", "bin_mlp_tanh_G"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tmva_answers_with_gauss(case: str, dtype: type[np.generic], tmp_path: Path) -> None:
    path = tmp_path / f"{case}.weights.xml"
    path.write_bytes(gzip.decompress((DATA / case / "weights.xml.gz").read_bytes()))
    method = read_weights(path)
    with np.load(DATA / "toy5_eval.npz") as file:
        names = {name.rpartition("/")[2]: name for name in file.files}
        x = np.stack([file[names[variable.expression]] for variable in method.variables], axis=1).astype(dtype)
    with np.load(DATA / case / "responses.npz") as file:
        expected = file["response"]
    session = onnxruntime.InferenceSession(
        tmva_to_onnx(method, dtype).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    scores = session.run(None, {INPUT: x})[0]
    np.testing.assert_allclose(scores, expected.reshape(scores.shape), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalization_is_exact(dtype: type[np.generic]) -> None:
    minimum, maximum = np.array([-3.3, 0.1]), np.array([4.7, 0.7])
    result = transformed(X, Normalize((2, 0), minimum, maximum), dtype=dtype)
    expected = X.copy()
    for row, event in enumerate(X):
        expected[row, 2] = normalized(event[2], -3.3, 4.7)
        expected[row, 0] = normalized(event[0], 0.1, 0.7)
    assert np.array_equal(result, expected)


def test_linear_transformation() -> None:
    matrix, mean = np.array([[1.5, -0.25], [0.125, 2.0]]), np.array([0.5, -1.0])
    result = transformed(X, Linear((0, 2), mean, matrix))
    expected = X.astype(float)
    expected[:, 0] = 1.5 * (X[:, 0].astype(float) - 0.5) - 0.25 * (X[:, 2].astype(float) + 1)
    expected[:, 2] = 0.125 * (X[:, 0].astype(float) - 0.5) + 2 * (X[:, 2].astype(float) + 1)
    np.testing.assert_allclose(result, expected, rtol=6.1e-8)


def test_results_can_go_elsewhere() -> None:
    rearranged = transformed(X, Rearrange((2, 0, 1), (0, 1, 2)))
    assert np.array_equal(rearranged, X[:, [2, 0, 1]])
    minimum, maximum = np.array([-1.0, -2.0]), np.array([1.0, 2.0])
    result = transformed(X, Normalize((2, 0), minimum, maximum, (0, 2)))  # both ends symmetric: x and x/2
    np.testing.assert_allclose(result, np.stack([X[:, 2], X[:, 1], X[:, 0] / 2], axis=1), rtol=1e-6, atol=2e-7)


@pytest.mark.parametrize("gaussian", [False, True])
def test_gauss_and_uniform_of_some_variables(gaussian: bool) -> None:
    from scipy.special import erfinv

    histograms = (cumulative_histogram(2), cumulative_histogram(3, 31))
    x = np.concatenate([X, [[-50, 0, 50], [50, 0, -50], [-2, 0, 2.5], [2.5, 0, -2]]]).astype(f32)
    result = transformed(x, Cumulative((2, 0), histograms, gaussian))
    expected = x.astype(float)
    for row, event in enumerate(x):
        for column, histogram in zip((2, 0), histograms, strict=True):
            value = cumulated(float(event[column]), histogram)
            if gaussian:
                value = 1.414213562 * erfinv(min(max(2 * value - 1, -0.99999999), 0.99999999))
            expected[row, column] = value
    np.testing.assert_allclose(result, expected, rtol=2e-7, atol=2e-8)


def test_chain_rounds_between_its_steps() -> None:
    minimum, maximum = np.full(3, -3.3), np.full(3, 4.7)
    chain = (
        Cumulative((0, 1, 2), tuple(cumulative_histogram(seed) for seed in (2, 3, 4)), True),
        Linear((0, 1, 2), np.zeros(3), np.array([[1.0, 0.3, 0.2], [0.1, 1.1, 0.0], [0.0, 0.4, 0.9]])),
        Normalize((0, 1, 2), minimum, maximum),
    )
    stepwise = X
    for transformation in chain:
        stepwise = transformed(stepwise, transformation)
    assert np.array_equal(transformed(X, *chain), stepwise)
    assert np.array_equal(transformed(X, *chain, dtype=np.float64), stepwise)


def test_nothing_to_transform() -> None:
    assert np.array_equal(transformed(X), X)


def test_nan_becomes_the_smallest_and_infinity_is_no_failure() -> None:
    """`PDF::GetVal` ends with TMath::Max(value, smallest), which is the smallest where the value is NaN."""
    from scipy.special import erfinv

    x = np.array([[np.nan, 0, 0], [0, np.nan, np.inf], [0, -np.inf, 0]], dtype=f32)
    histograms = tuple(cumulative_histogram(seed) for seed in (2, 3, 4))
    result = transformed(x, Cumulative((0, 1, 2), histograms, True))
    # the cumulative value is kept 1e-9 away from 0, and the argument of erfinv 1e-8 from −1
    lowest = np.float32(1.414213562 * erfinv(-0.99999999))
    np.testing.assert_allclose(result[np.isnan(x)], lowest, rtol=1e-6)
    assert result[1, 2] > 5
    assert result[2, 1] < -5


def test_nan_stays_nan_where_it_is_only_scaled() -> None:
    x = np.array([[np.nan, 0, 0], [0, 1, np.inf]], dtype=f32)
    result = transformed(x, Normalize((0, 1), np.array([0.0, 0.0]), np.array([1.0, 2.0])))
    assert np.isnan(result).tolist() == np.isnan(x).tolist()


@pytest.mark.parametrize(("end", "infinity"), [(slice(None, 2), -np.inf), (slice(-2, None), np.inf)])
def test_infinity_beyond_a_flat_end_is_the_least(end: slice, infinity: float) -> None:
    """0 · ∞ in `PDF::GetVal` is no number, and ROOT's `TMath::Max(a, b)` is b unless a >= b: the smallest content."""
    histogram = cumulative_histogram(3)
    contents = histogram.contents.copy()
    contents[end] = contents[end].mean()
    flat = (histogram._replace(contents=contents),)
    result = transformed(np.full((1, 3), infinity, dtype=f32), Cumulative((0,), flat, False))
    assert result[0, 0] == f32(1e-9)


def targets(x: NDArray[Any], target: TargetTransformation, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    return np.asarray(run(lambda graph: target_nodes(graph, INPUT, target, dtype), x, x.shape[1], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalized_targets_are_undone(dtype: type[np.generic]) -> None:
    """`VariableNormalizeTransform::InverseTransform`, in float32; the third target is none of it."""
    result = targets(X, Normalize((1, 0), np.array([-10.6, 2.0]), np.array([15.7, 3.0])), dtype)
    expected = X.copy()
    for column, low, high in ((1, -10.6, 15.7), (0, 2.0, 3.0)):
        scale = f32(1.0 / float(f32(high) - f32(low)))
        for row, value in enumerate(X[:, column]):
            expected[row, column] = f32(low) + (value + f32(1)) / (scale * f32(2))
    assert np.array_equal(result, expected)


def test_swapped_targets_return_to_their_places() -> None:
    target = Normalize((0, 1), np.array([-1.0, -2.0]), np.array([1.0, 2.0]), (1, 0))
    result = targets(X, target)
    np.testing.assert_allclose(result[:, :2], np.stack([X[:, 1], 2 * X[:, 0]], axis=1), rtol=1e-6, atol=3e-7)


def uncumulated(y: float, histogram: Histogram) -> float:
    """`PDF::GetValInverse` and `PDF::FindBinInverse`, bins counted from 1."""
    low, high, contents = histogram
    size = contents.size
    lower, higher, lower_value, higher_value = 0, size, 0.0, 0.0
    number = higher // 2
    while lower < number < higher:
        content = float(contents[number - 1])
        if y < content:
            higher, higher_value = number, content
        else:
            lower, lower_value = number, content
        number = lower + (higher - lower) // 2
    width = (high - low) / size
    length = higher_value - lower_value
    fraction = (y - lower_value) / length if length > 1e-10 else lower_value
    return low + (lower - 0.5) * width + (higher - lower) * width * fraction


@pytest.mark.parametrize("gaussian", [False, True])
def test_gauss_and_uniform_targets_are_undone(gaussian: bool) -> None:
    histograms = (cumulative_histogram(5, 64), cumulative_histogram(6, 64))
    values = X if gaussian else np.abs(X) / 2  # also beyond 1, where TMVA's search runs out of bins
    result = targets(values, Cumulative((0, 2), histograms, gaussian))
    expected = values.astype(float)
    for column, histogram in zip((0, 2), histograms, strict=True):
        for row, value in enumerate(values[:, column]):
            y = (math.erf(float(value) / 1.414213562) + 1) / 2 if gaussian else float(value)
            expected[row, column] = uncumulated(y, histogram)
    np.testing.assert_allclose(result, expected, rtol=2e-7, atol=2e-7)


def test_error_function() -> None:
    x = np.concatenate([np.linspace(-8, 8, 4001), [0.0, 1.0, -1.0, 1e-300, 40.0]])[:, None]
    result = run(lambda graph: error_function_nodes(graph, INPUT), x, 1, np.float64)
    np.testing.assert_allclose(result[:, 0], [math.erf(value) for value in x[:, 0]], rtol=1e-15, atol=0)


def test_normal_quantile() -> None:
    from statistics import NormalDist

    tails = np.logspace(-9, -1, 400)
    fractions = np.concatenate([tails, 1 - tails, np.linspace(0.05, 0.95, 401)])[:, None]
    result = run(lambda graph: normal_quantile_nodes(graph, INPUT), fractions, 1, np.float64)
    expected = [NormalDist().inv_cdf(value) for value in fractions[:, 0]]
    np.testing.assert_allclose(result[:, 0], expected, rtol=1e-13, atol=1e-15)
