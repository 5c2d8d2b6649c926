"""Scikit-learn's scalers as ONNX operators, in float64 as scikit-learn computes them.

In float32 the subtraction of a mean that is large against the spread would lose the digits that matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.special_functions import quantile_nodes

if TYPE_CHECKING:
    from ntupleml.onnx_models.graph import GraphBuilder


def scaler_nodes(graph: GraphBuilder, variables: str, scaler: Any) -> str:
    """Append a fitted scaler to a graph.

    Parameters
    ----------
    graph : GraphBuilder
    variables : str
        Name of the raw variables, float32, events × variables.
    scaler : scikit-learn scaler
        `StandardScaler`, `RobustScaler`, `MinMaxScaler` or `QuantileTransformer`.

    Returns
    -------
    str
        Name of the scaled variables, float32; the input itself where the scaler changes nothing.
    """
    kind = type(scaler).__name__
    if kind == "StandardScaler":
        offset = scaler.mean_ if scaler.with_mean else None
        return _shift_and_divide(graph, variables, offset, scaler.scale_ if scaler.with_std else None)
    if kind == "RobustScaler":
        offset = scaler.center_ if scaler.with_centering else None
        return _shift_and_divide(graph, variables, offset, scaler.scale_ if scaler.with_scaling else None)
    if kind == "MinMaxScaler":
        return _min_max(graph, variables, scaler)
    if kind == "QuantileTransformer":
        return graph.cast(quantile_nodes(graph, graph.cast(variables, np.float64), scaler), np.float32)
    raise NtuplemlError(
        f"preprocessing by a {kind} cannot be written to ONNX; StandardScaler, RobustScaler, MinMaxScaler and "
        "QuantileTransformer can"
    )


def _shift_and_divide(graph: GraphBuilder, variables: str, offset: Any, scale: Any) -> str:
    shifts = offset is not None and np.any(offset != 0)
    divides = scale is not None and np.any(scale != 1)
    if not (shifts or divides):
        return variables
    value = graph.cast(variables, np.float64)
    if shifts:
        value = graph.add("Sub", value, graph.constant(offset))
    if divides:
        value = graph.add("Div", value, graph.constant(scale))
    return graph.cast(value, np.float32)


def _min_max(graph: GraphBuilder, variables: str, scaler: Any) -> str:
    value = graph.add("Mul", graph.cast(variables, np.float64), graph.constant(scaler.scale_))
    value = graph.add("Add", value, graph.constant(scaler.min_))
    if scaler.clip:
        lower, upper = scaler.feature_range
        value = graph.add("Clip", value, graph.constant(lower), graph.constant(upper))
    return graph.cast(value, np.float32)
