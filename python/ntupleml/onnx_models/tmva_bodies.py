"""The methods of TMVA as ONNX operators: perceptrons, linear discriminants, boosted or not, and likelihoods.

They compute in double precision as TMVA does, also between float32 inputs and outputs: a response near zero is a sum of
terms that cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.onnx_models.tmva_histograms import content_nodes, interpolation_nodes
from ntupleml.onnx_models.tmva_transformations import transformation_nodes
from ntupleml.tmva.method import LinearDiscriminant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.tmva.method import Boosted, Density, Likelihood, Mlp

#: Beyond it TMVA's tanh is ±1.
_TANH_END = 4.97
#: The smallest density and product: a thousand times the smallest normal double.
_EPSILON = 1e3 * float(np.finfo(np.float64).tiny)
#: Distance that values keep from the end of a density's range.
_INSIDE = 1e-10
_TAU = 15.0


def mlp_nodes(graph: GraphBuilder, value: str, mlp: Mlp, dtype: type[np.generic]) -> str:
    """Append a multilayer perceptron."""
    value = _doubles(graph, value, dtype)
    for weights in mlp.weights[:-1]:
        value = _activation(graph, _neuron_input(graph, value, weights, mlp), mlp)
    value = _neuron_input(graph, value, mlp.weights[-1], mlp)
    if mlp.output == "sigmoid":
        value = _sigmoid(graph, value)
    elif mlp.output == "softmax":
        value = _softmax(graph, value, mlp.weights[-1].shape[1])
    return graph.cast(value, dtype)


def _doubles(graph: GraphBuilder, value: str, dtype: type[np.generic]) -> str:
    return value if dtype == np.float64 else graph.cast(value, np.float64)


def _neuron_input(graph: GraphBuilder, value: str, weights: NDArray[np.float32], mlp: Mlp) -> str:
    """Sum of weighted values, of their squares or of their sizes; the last weights are those of the bias neuron."""
    matrix = weights.astype(np.float64)
    if mlp.neuron_input == "sqsum":
        matrix = matrix**2
        value = graph.add("Mul", value, value)
    elif mlp.neuron_input == "abssum":
        matrix = np.abs(matrix)
        value = graph.add("Abs", value)
    product = graph.add("MatMul", value, graph.constant(matrix[:-1]))
    return graph.add("Add", product, graph.constant(matrix[-1]))


def _activation(graph: GraphBuilder, value: str, mlp: Mlp) -> str:
    if mlp.neuron == "sigmoid":
        return _sigmoid(graph, value)
    if mlp.neuron == "ReLU":
        zero = graph.constant(0.0)
        return graph.add("Where", graph.add("Greater", value, zero), value, zero)  # 0 for NaN, as in TMVA
    if mlp.neuron == "radial":
        square = graph.add("Mul", value, value)
        return graph.add("Exp", graph.add("Mul", square, graph.constant(-0.5)))
    if mlp.neuron == "tanh":
        return graph.add("Tanh", value) if mlp.exact_tanh else _tanh(graph, value)
    return value


def _sigmoid(graph: GraphBuilder, value: str) -> str:
    one = graph.constant(1.0)
    return graph.add("Div", one, graph.add("Add", one, graph.add("Exp", graph.add("Neg", value))))


def _tanh(graph: GraphBuilder, value: str) -> str:
    """TMVA's quotient of polynomials, in float32 where TMVA computes it so (`TActivationTanh::fast_tanh`)."""
    square = graph.cast(graph.add("Mul", value, value), np.float32)
    upper = _polynomial(graph, square, (135135.0, 17325.0, 378.0, 1.0))
    lower = _polynomial(graph, square, (135135.0, 62370.0, 3150.0, 28.0))
    upper = graph.cast(graph.add("Mul", value, graph.cast(upper, np.float64)), np.float32)
    ratio = graph.cast(graph.add("Div", upper, lower), np.float64)
    one, end = graph.constant(1.0), graph.constant(_TANH_END)
    ratio = graph.add("Where", graph.add("Greater", value, end), one, ratio)
    return graph.add("Where", graph.add("Less", value, graph.add("Neg", end)), graph.add("Neg", one), ratio)


def _polynomial(graph: GraphBuilder, value: str, coefficients: tuple[float, ...]) -> str:
    """In float32; lowest power first."""
    result = graph.constant(coefficients[-1], np.float32)
    for coefficient in reversed(coefficients[:-1]):
        result = graph.add("Add", graph.add("Mul", value, result), graph.constant(coefficient, np.float32))
    return result


def _softmax(graph: GraphBuilder, value: str, num_classes: int) -> str:
    """1 / (1 + Σ exp(v_j − v_i)) of outputs rounded to float32."""
    rounded = graph.cast(value, np.float32)
    rows = graph.add("Unsqueeze", rounded, graph.constant([1], np.int64))
    own = graph.add("Unsqueeze", rounded, graph.constant([2], np.int64))
    powers = graph.add("Exp", graph.cast(graph.add("Sub", rows, own), np.float64))
    others = graph.constant(1.0 - np.eye(num_classes))
    total = graph.add("ReduceSum", graph.add("Mul", powers, others), graph.constant([2], np.int64), keepdims=0)
    one = graph.constant(1.0)
    return graph.add("Div", one, graph.add("Add", one, total))


def discriminant_nodes(
    graph: GraphBuilder, value: str, discriminant: LinearDiscriminant, dtype: type[np.generic]
) -> str:
    """Append Fisher or LD."""
    return graph.cast(_responses(graph, _doubles(graph, value, dtype), discriminant), dtype)


def _responses(graph: GraphBuilder, value: str, discriminant: LinearDiscriminant) -> str:
    """Offset plus one term after the other, float64; LD rounds each sum to float32."""
    num_inputs = discriminant.coefficients.shape[1]
    offset = discriminant.offset[None, :]
    products = [
        graph.add("Mul", column, graph.constant(discriminant.coefficients[None, :, index]))
        for index, column in enumerate(_columns(graph, value, num_inputs))
    ]
    if not discriminant.float32_sum:
        return _ordered_sum(graph, [graph.constant(offset), *products])
    total = graph.constant(offset.astype(np.float32))
    for product in products:
        total = graph.cast(graph.cast(graph.add("Add", total, product), np.float32), np.float64)
    return total


def boost_nodes(graph: GraphBuilder, value: str, boosted: Boosted, dtype: type[np.generic]) -> str:
    """Append the weighted mean of boosted discriminants."""
    value = _doubles(graph, value, dtype)
    together = LinearDiscriminant(
        np.concatenate([member.offset for member in boosted.members]),
        np.concatenate([member.coefficients for member in boosted.members]),
        boosted.members[0].float32_sum,
    )
    answers = _responses(graph, value, together)
    votes = graph.add("Mul", _votes(graph, answers, boosted), graph.constant(boosted.weights[None, :]))
    total = _ordered_sum(graph, _columns(graph, votes, len(boosted.members)))
    norm = 0.0
    for weight in boosted.weights:  # in TMVA's order
        norm += float(weight)
    return graph.cast(graph.add("Div", total, graph.constant(norm)), dtype)


def _votes(graph: GraphBuilder, answers: str, boosted: Boosted) -> str:
    """Answers after Boost_Transform, events × members (`MethodBoost::GetMvaValue`)."""
    cuts = boosted.cuts[None, :]
    if boosted.transform == "step":
        orientations = boosted.orientations[None, :]
        oriented = graph.add("Mul", answers, graph.constant(orientations))
        signal = graph.add("Greater", oriented, graph.constant(cuts * orientations))
        return graph.add("Where", signal, graph.constant(1.0), graph.constant(-1.0))
    if boosted.transform == "log":
        limit = graph.constant(cuts)
        above = graph.add("Sub", graph.add("Max", answers, limit), limit)
        return graph.add("Log", graph.add("Add", above, graph.constant(np.exp(-1.0))))
    if boosted.transform == "gauss":
        distance = graph.add("Sub", graph.add("Sub", answers, graph.constant(cuts)), graph.constant(1.0))
        return graph.add("Exp", graph.add("Mul", graph.add("Mul", distance, distance), graph.constant(-0.5)))
    return answers


def likelihood_nodes(graph: GraphBuilder, value: str, likelihood: Likelihood, dtype: type[np.generic]) -> str:
    """Append a likelihood ratio, with the transformations of its two classes: its values are not transformed yet."""
    if dtype != np.float32:
        value = graph.cast(value, np.float32)  # TMVA's vector of variables, transformed or not
    products = []
    for densities, transformations in zip(
        (likelihood.signal, likelihood.background), likelihood.transformations, strict=True
    ):
        transformed = graph.cast(transformation_nodes(graph, value, transformations, np.float32), np.float64)
        # Both are kept within the range of the signal's density.
        inside = _kept_inside(graph, transformed, likelihood.signal)
        products.append(_product(graph, inside, densities))
    return graph.cast(_ratio(graph, *products, transform_output=likelihood.transform_output), dtype)


def _kept_inside(graph: GraphBuilder, value: str, densities: Sequence[Density]) -> str:
    lows = graph.constant([density.histogram.low for density in densities])
    highs = np.array([density.histogram.high for density in densities])
    too_high = graph.add("GreaterOrEqual", value, graph.constant(highs))
    raised = graph.add("Where", graph.add("Less", value, lows), lows, value)
    return graph.add("Where", too_high, graph.constant(highs - _INSIDE), raised)


def _product(graph: GraphBuilder, value: str, densities: Sequence[Density]) -> str:
    """Product of the densities, in the order of the variables."""
    epsilon = graph.constant(_EPSILON)
    factors: dict[int, str] = {}
    for interpolated in (True, False):
        chosen = [index for index, density in enumerate(densities) if density.interpolated == interpolated]
        if not chosen:
            continue
        histograms = [densities[index].histogram for index in chosen]
        selected = graph.add("Gather", value, graph.constant(chosen, np.int64), axis=1)
        if interpolated:
            contents = interpolation_nodes(graph, selected, histograms, overflow=True)
        else:
            contents = content_nodes(graph, selected, histograms)
        contents = graph.add("Where", graph.add("Less", contents, epsilon), epsilon, contents)
        factors.update(zip(chosen, _columns(graph, contents, len(chosen)), strict=True))
    product = factors[0]
    for index in range(1, len(densities)):
        product = graph.add("Mul", product, factors[index])
    return graph.add("Where", graph.add("Less", product, epsilon), epsilon, product)


def _ratio(graph: GraphBuilder, signal: str, background: str, *, transform_output: bool) -> str:
    one = graph.constant(1.0)
    ratio = graph.add("Div", signal, graph.add("Add", signal, background))
    at_one = graph.add("GreaterOrEqual", ratio, one)
    ratio = graph.add("Where", at_one, graph.constant(1.0 - 1e-15), ratio)
    if not transform_output:
        return ratio
    odds = graph.add("Sub", graph.add("Div", one, ratio), one)
    return graph.add("Div", graph.add("Neg", graph.add("Log", odds)), graph.constant(_TAU))


def _columns(graph: GraphBuilder, value: str, count: int) -> list[str]:
    """Append a selection of each column; names of matrices of one column."""
    return [graph.add("Gather", value, graph.constant([column], np.int64), axis=1) for column in range(count)]


def _ordered_sum(graph: GraphBuilder, terms: Sequence[str]) -> str:
    """Append a sum from left to right: of float64, so that it is the same bit for bit as that of a loop."""
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("Add", total, term)
    return total
