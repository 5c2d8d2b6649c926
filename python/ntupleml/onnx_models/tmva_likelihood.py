"""TMVA's one-dimensional likelihoods as ONNX operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.onnx_models.tmva_histograms import content_nodes, interpolation_nodes
from ntupleml.onnx_models.tmva_sums import columns
from ntupleml.onnx_models.tmva_transformations import transformation_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.tmva.method import Density, Likelihood

#: The smallest density and product: a thousand times the smallest normal double.
_EPSILON = 1e3 * float(np.finfo(np.float64).tiny)
#: Distance that values keep from the end of a density's range.
_INSIDE = 1e-10
_TAU = 15.0


def likelihood_nodes(graph: GraphBuilder, value: str, likelihood: Likelihood, dtype: type[np.generic]) -> str:
    """Append a likelihood ratio, with the transformations of its two classes.

    Parameters
    ----------
    value : str
        Name of the variables before any transformation, of `dtype`, events × variables.
    dtype : type
        float32 or float64.

    Returns
    -------
    str
        Name of the response, of `dtype`, events × 1.
    """
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
        factors.update(zip(chosen, columns(graph, contents, len(chosen)), strict=True))
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
