"""Graphs of likelihoods against TMVA's answers, and against its formulas event by event."""

from __future__ import annotations

import gzip
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.tmva_bodies import likelihood_nodes
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.tmva.method import Density, Histogram, Likelihood, Normalize
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[1] / "data" / "tmva"
EPSILON = 1e3 * sys.float_info.min


def evaluate(likelihood: Likelihood, x: NDArray[Any], dtype: type[np.generic] = np.float64) -> NDArray[Any]:
    graph = GraphBuilder()
    graph.add("Identity", likelihood_nodes(graph, INPUT, likelihood, dtype), output=OUTPUT)
    inputs = {INPUT: GraphInput([f"v{index}" for index in range(x.shape[1])])}
    model = contract_model(graph, inputs, {OUTPUT: ["r"]}, classes=[], kind="tmva", dtype=dtype)
    used = {name for node in model.graph.node for name in node.input}
    assert {constant.name for constant in model.graph.initializer} <= used
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {INPUT: x.astype(dtype)})[0])[:, 0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 6.1e-8), (np.float64, 1e-12)])
def test_tmva_answers(dtype: type[np.generic], tolerance: float, tmp_path: Path) -> None:
    path = tmp_path / "bin_likelihood.weights.xml"
    path.write_bytes(gzip.decompress((DATA / "bin_likelihood" / "weights.xml.gz").read_bytes()))
    method = read_weights(path)
    with np.load(DATA / "toy5_eval.npz") as file:
        names = {name.rpartition("/")[2]: name for name in file.files}
        x = np.stack([file[names[variable.expression]] for variable in method.variables], axis=1).astype(dtype)
    with np.load(DATA / "bin_likelihood" / "responses.npz") as file:
        expected = file["response"]
    session = onnxruntime.InferenceSession(
        tmva_to_onnx(method, dtype).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    scores = session.run(None, {INPUT: x})[0]
    np.testing.assert_allclose(scores, expected.reshape(scores.shape), rtol=tolerance, atol=0)


def by_formula(likelihood: Likelihood, event: NDArray[np.float32]) -> float:
    """`MethodLikelihood::GetMvaValue`, without transformations."""
    products = []
    for densities in (likelihood.signal, likelihood.background):
        product = 1.0
        for variable, density in enumerate(densities):
            low, high, contents = density.histogram
            limits = likelihood.signal[variable].histogram
            x = float(event[variable])
            if x >= limits.high:
                x = limits.high - 1e-10
            elif x < limits.low:
                x = limits.low
            size = contents.size
            padded = [0.0, *contents.tolist(), 0.0]
            number = size + 1 if x >= high else max(1 + math.floor(size * (x - low) / (high - low)), 0)
            value = padded[number]
            if density.interpolated:

                def centre(index: int, low: float = low, high: float = high, size: int = size) -> float:
                    return low + (index - 0.5) * ((high - low) / size)

                up = (x > centre(number) and number != size) or number == 1
                other = number + 1 if up else number - 1
                slope = (padded[number] - padded[other]) / (centre(number) - centre(other))
                value += (x - centre(number)) * slope
            product *= max(value, EPSILON)
        products.append(max(product, EPSILON))
    ratio = min(products[0] / (products[0] + products[1]), 1 - 1e-15)
    return -math.log(1 / ratio - 1) / 15 if likelihood.transform_output else ratio


def density(seed: int, size: int, *, interpolated: bool, low: float = -2.0, high: float = 2.0) -> Density:
    contents = np.random.default_rng(seed).exponential(size=size).astype(np.float32).astype(float)
    contents[size // 3] = 0  # an empty bin
    return Density(Histogram(low, high, contents), interpolated)


@pytest.mark.parametrize("transform_output", [False, True])
@pytest.mark.parametrize("kinds", [(True, True), (False, False), (True, False), (False, True)])
def test_formula(transform_output: bool, kinds: tuple[bool, bool]) -> None:
    signal = tuple(density(seed, 40 + seed, interpolated=kind) for seed, kind in enumerate(kinds))
    background = tuple(density(9 + seed, 50, interpolated=kind) for seed, kind in enumerate(kinds))
    likelihood = Likelihood(signal, background, ((), ()), transform_output)
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(scale=1.2, size=(500, 2)), [[-9, 9], [9, -9], [-2, 2], [2, -2], [0, 1.5]]])
    x = x.astype(np.float32)
    expected = [by_formula(likelihood, event) for event in x]
    np.testing.assert_allclose(evaluate(likelihood, x), expected, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(evaluate(likelihood, x, np.float32), np.float32(expected), rtol=1e-6, atol=1e-30)


def test_densities_so_small_that_their_product_is_nothing() -> None:
    empty = Density(Histogram(0.0, 1.0, np.full(4, 0.0)), interpolated=False)
    full = Density(Histogram(0.0, 1.0, np.full(4, 1.0)), interpolated=False)
    x = np.full((1, 2), 0.4, dtype=np.float32)
    only_signal = Likelihood((full, full), (empty, empty), ((), ()), True)
    assert evaluate(only_signal, x) == pytest.approx(-math.log(1 / (1 - 1e-15) - 1) / 15, rel=1e-12)
    neither = Likelihood((empty, empty), (empty, empty), ((), ()), False)
    assert evaluate(neither, x) == 0.5


def test_integers_on_the_edges_of_bins() -> None:
    """Bins [0, 1), [1, 2), … of a discrete variable, and the last one, whose end belongs to it."""
    first = Density(Histogram(0.0, 3.0, np.array([1.0, 2.0, 4.0])), interpolated=False)
    second = Density(Histogram(0.0, 3.0, np.array([1.0, 1.0, 1.0])), interpolated=False)
    x = np.array([[-1], [0], [1], [2], [3], [7]], dtype=np.float32)
    expected = np.array([1 / 2, 1 / 2, 2 / 3, 4 / 5, 4 / 5, 4 / 5])
    np.testing.assert_allclose(evaluate(Likelihood((first,), (second,), ((), ()), False), x), expected, rtol=1e-15)


def test_an_end_too_large_to_step_back_from() -> None:
    """Where 1e-10 less than the end is the end itself, TMVA falls into the empty bin beyond."""
    contents = np.array([1.0, 2.0, 4.0, 8.0])
    for interpolated in (False, True):
        first = Density(Histogram(0.0, 1e9, contents), interpolated)
        second = Density(Histogram(0.0, 1e9, contents[::-1].copy()), interpolated)
        likelihood = Likelihood((first,), (second,), ((), ()), False)
        x = np.array([[2e9], [9e8]], dtype=np.float32)
        expected = [by_formula(likelihood, event) for event in x]
        np.testing.assert_allclose(evaluate(likelihood, x), expected, rtol=1e-14)


def test_each_class_is_transformed_by_its_own() -> None:
    uniform = Density(Histogram(-1.0, 1.0, np.array([1.0, 3.0])), interpolated=False)
    left, right = (Normalize((0,), np.array([low]), np.array([low + 2.0])) for low in (0.0, -2.0))
    x = np.array([[0.5], [-0.5], [1.5], [-1.5]], dtype=np.float32)
    # x − 1 for signal and x + 1 for background: below or above 0
    expected = [1 / (1 + 3), 1 / (1 + 3), 3 / (3 + 3), 1 / (1 + 1)]
    likelihood = Likelihood((uniform,), (uniform,), ((left,), (right,)), False)
    np.testing.assert_allclose(evaluate(likelihood, x), expected, rtol=1e-15)


def test_nan_is_no_failure() -> None:
    for interpolated in (False, True):
        one = density(1, 30, interpolated=interpolated)
        x = np.array([[np.nan], [np.inf], [-np.inf]], dtype=np.float32)
        result = evaluate(Likelihood((one,), (one,), ((), ()), True), x)
        assert np.isnan(result).tolist() == [True, False, False]
