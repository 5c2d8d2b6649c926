"""Graphs of perceptrons and discriminants against TMVA's answers, and against its formulas event by event."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.tmva_bodies import boost_nodes, discriminant_nodes, mlp_nodes
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.tmva.method import Boosted, LinearDiscriminant, Mlp
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DATA = Path(__file__).resolve().parents[1] / "data" / "tmva"
BINARY_MLPS = ["bin_mlp_relu_N", "bin_mlp_sigmoid_N", "bin_mlp_tanh_N", "bin_mlp_tanh_ND", "bin_mlp_tanh_P"]
FLOAT32_MLPS = ["mc_mlp_perclass_tr", "mc_mlp_tanh_N", "reg_mlp"]
f32 = np.float32


def evaluate(
    nodes: Callable[..., str], body: Any, x: NDArray[Any], num_outputs: int, dtype: type[np.generic]
) -> NDArray[Any]:
    graph = GraphBuilder()
    graph.add("Identity", nodes(graph, INPUT, body, dtype), output=OUTPUT)
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
    (scores,) = session.run(None, {INPUT: x.astype(dtype)})
    assert scores.dtype == dtype
    return np.asarray(scores)


def answers(case: str, path: Path, dtype: type[np.generic]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ours and TMVA's, of a case in five variables."""
    method = read_weights(path)
    with np.load(DATA / "toy5_eval.npz") as file:
        names = {name.rpartition("/")[2]: name for name in file.files}
        x = np.stack([file[names[variable.expression]] for variable in method.variables], axis=1).astype(f32)
    with np.load(DATA / case / "responses.npz") as file:
        expected = file["response"]
    model = tmva_to_onnx(method, dtype)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {INPUT: x.astype(dtype)})
    return scores, expected.reshape(scores.shape)


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    import gzip

    folder = tmp_path_factory.mktemp("networks")

    def unpacked(case: str) -> Path:
        path = folder / f"{case}.weights.xml"
        path.write_bytes(gzip.decompress((DATA / case / "weights.xml.gz").read_bytes()))
        return path

    return unpacked


@pytest.mark.parametrize("case", [*BINARY_MLPS, "bin_fisher_none", "bin_fisher_D", "bin_ld"])
def test_tmva_answers_in_float64(case: str, weights_file: Callable[[str], Path]) -> None:
    scores, expected = answers(case, weights_file(case), np.float64)
    np.testing.assert_allclose(scores, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("case", [*BINARY_MLPS, *FLOAT32_MLPS, "bin_fisher_none", "bin_fisher_D", "bin_ld"])
def test_tmva_answers_in_float32(case: str, weights_file: Callable[[str], Path]) -> None:
    scores, expected = answers(case, weights_file(case), np.float32)
    np.testing.assert_allclose(scores, expected, rtol=6.1e-8, atol=0)  # one rounding to float32


def fast_tanh(x: float) -> float:
    if abs(x) > 4.97:
        return math.copysign(1.0, x)
    square = f32(x * x)
    upper = f32(x * float(f32(135135) + square * (f32(17325) + square * (f32(378) + square))))
    lower = f32(135135) + square * (f32(62370) + square * (f32(3150) + square * f32(28)))
    return float(upper / lower)


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": fast_tanh,
    "ReLU": lambda x: max(x, 0.0),
    "radial": lambda x: math.exp(-x * x / 2),
    "linear": lambda x: x,
}
INPUTS: dict[str, Callable[[float], float]] = {"sum": lambda v: v, "sqsum": lambda v: v * v, "abssum": abs}


def mlp_by_formula(mlp: Mlp, event: NDArray[np.float32]) -> list[float]:
    """Neuron by neuron."""
    values = [float(value) for value in event]
    for number, weights in enumerate(mlp.weights):
        values.append(1.0)
        columns = range(weights.shape[1])
        arriving = [
            sum(INPUTS[mlp.neuron_input](float(weights[row, column]) * values[row]) for row in range(len(values)))
            for column in columns
        ]
        last = number == len(mlp.weights) - 1
        function = ACTIVATIONS[mlp.neuron]
        if mlp.neuron == "tanh" and mlp.exact_tanh:
            function = math.tanh
        if last:
            function = ACTIVATIONS["sigmoid" if mlp.output == "sigmoid" else "linear"]
        values = [function(value) for value in arriving]
    if mlp.output == "softmax":
        rounded = [f32(value) for value in values]
        return [1 / sum(math.exp(float(other - own)) for other in rounded) for own in rounded]
    return values


def random_mlp(seed: int, sizes: list[int], **kinds: Any) -> Mlp:
    rng = np.random.default_rng(seed)
    weights = tuple(
        rng.uniform(-0.8, 0.8, (lower + 1, upper)).astype(f32) for lower, upper in itertools.pairwise(sizes)
    )
    return Mlp(weights, **kinds)


@pytest.mark.parametrize("neuron", ACTIVATIONS)
@pytest.mark.parametrize("neuron_input", INPUTS)
@pytest.mark.parametrize(("output", "num_outputs"), [("sigmoid", 1), ("linear", 2), ("softmax", 3)])
def test_neurons_follow_their_formulas(neuron: str, neuron_input: str, output: str, num_outputs: int) -> None:
    mlp = random_mlp(3, [3, 5, 4, num_outputs], neuron=neuron, output=output, neuron_input=neuron_input)
    x = np.random.default_rng(4).normal(scale=1.5, size=(40, 3)).astype(f32)
    expected = np.array([mlp_by_formula(mlp, event) for event in x])
    # float32 within tanh and before softmax: a sum that differs in its last bit may round the other way
    tolerance = 1e-6 if neuron == "tanh" or output == "softmax" else 1e-12
    np.testing.assert_allclose(evaluate(mlp_nodes, mlp, x, num_outputs, np.float64), expected, rtol=tolerance)
    np.testing.assert_allclose(evaluate(mlp_nodes, mlp, x, num_outputs, np.float32), expected, rtol=1e-6, atol=1e-30)


def test_exact_tanh() -> None:
    mlp = random_mlp(5, [2, 4, 1], neuron="tanh", output="linear", exact_tanh=True)
    x = np.array([[0, 0], [1e-3, 2], [-30, 4], [8, -700]], dtype=f32)
    expected = np.array([mlp_by_formula(mlp, event) for event in x])
    np.testing.assert_allclose(evaluate(mlp_nodes, mlp, x, 1, np.float64), expected, rtol=1e-13)


def test_large_inputs_do_not_overflow() -> None:
    for neuron in ACTIVATIONS:
        mlp = random_mlp(6, [2, 4, 1], neuron=neuron, output="sigmoid")
        scores = evaluate(mlp_nodes, mlp, np.array([[1e5, -1e5], [-1e5, 3e4]], dtype=f32), 1, np.float32)
        assert np.isfinite(scores).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_fisher_is_summed_in_order(seed: int, num_inputs: int) -> None:
    """The same bit for bit as a loop, also where terms cancel."""
    rng = np.random.default_rng(seed)
    fisher = LinearDiscriminant(rng.normal(size=1), rng.normal(size=(1, num_inputs)))
    x = rng.normal(scale=100, size=(20, num_inputs)).astype(f32)
    expected = []
    for event in x:
        total = float(fisher.offset[0])
        for coefficient, value in zip(fisher.coefficients[0], event, strict=True):
            total += float(coefficient) * float(value)
        expected.append([total])
    assert np.array_equal(evaluate(discriminant_nodes, fisher, x, 1, np.float64), expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_ld_rounds_each_sum(seed: int, num_inputs: int) -> None:
    rng = np.random.default_rng(seed)
    ld = LinearDiscriminant(rng.normal(size=2), rng.normal(size=(2, num_inputs)), float32_sum=True)
    x = rng.normal(scale=100, size=(20, num_inputs)).astype(f32)
    expected = []
    for event in x:
        row = []
        for offset, coefficients in zip(ld.offset, ld.coefficients, strict=True):
            total = f32(offset)
            for coefficient, value in zip(coefficients, event, strict=True):
                total = f32(float(total) + float(coefficient) * float(value))
            row.append(total)
        expected.append(row)
    assert np.array_equal(evaluate(discriminant_nodes, ld, x, 2, np.float32), expected)


def boosted_by_formula(boosted: Boosted, event: NDArray[np.float32]) -> float:
    """`MethodBoost::GetMvaValue`."""
    total = norm = 0.0
    for member, weight, cut, orientation in zip(
        boosted.members, boosted.weights, boosted.cuts, boosted.orientations, strict=True
    ):
        value = float(member.offset[0])
        for coefficient, x in zip(member.coefficients[0], event, strict=True):
            value += float(coefficient) * float(x)
            if member.float32_sum:
                value = float(f32(value))
        if boosted.transform == "step":
            value = 1.0 if value * orientation > cut * orientation else -1.0
        elif boosted.transform == "log":
            value = math.log(max(value, cut) - cut + math.exp(-1))
        elif boosted.transform == "gauss":
            value = math.exp(-0.5 * (value - cut - 1) ** 2)
        total += value * weight
        norm += weight
    return total / norm


@pytest.mark.parametrize("transform", ["step", "linear", "log", "gauss"])
@pytest.mark.parametrize("float32_sum", [False, True])
def test_boosted_discriminants(transform: Any, float32_sum: bool) -> None:
    rng = np.random.default_rng(8)
    # The first offsets are float32 numbers, as LD begins with the rounded one.
    members = tuple(
        LinearDiscriminant(rng.normal(size=1).astype(f32).astype(float), rng.normal(size=(1, 4)), float32_sum)
        for _ in range(7)
    )
    orientations = np.array([1, -1, 1, 1, -1, 1, 1.0])
    boosted = Boosted(members, rng.uniform(0.1, 2, 7), rng.normal(size=7), orientations, transform)
    x = rng.normal(size=(300, 4)).astype(f32)
    expected = np.array([[boosted_by_formula(boosted, event)] for event in x])
    np.testing.assert_allclose(evaluate(boost_nodes, boosted, x, 1, np.float64), expected, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(evaluate(boost_nodes, boosted, x, 1, np.float32), expected, rtol=6.1e-8)
