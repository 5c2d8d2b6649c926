"""TMVA's transformations of variables as ONNX operators, rounded to float32 after each, as TMVA keeps its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.onnx_models.scaler_nodes import error_function_nodes, normal_quantile_nodes
from ntupleml.onnx_models.tmva_histograms import interpolation_nodes, inverse_nodes
from ntupleml.tmva.method import Cumulative, Linear, Normalize
from ntupleml.tmva.pdf import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.tmva.method import TargetTransformation, Transformation

#: Cumulative values stay this far from 0 and 1, and the argument of the inverse error function this far from ±1.
_FROM_ENDS, _FROM_POLES = 1e-9, 1e-8
#: TMVA's √2.
_ROOT2 = 1.414213562


def transformation_nodes(
    graph: GraphBuilder, value: str, transformations: Sequence[Transformation], dtype: type[np.generic]
) -> str:
    """Append a chain of transformations; both types give the same numbers, since TMVA rounds to float32."""
    if not transformations:
        return value
    if dtype != np.float32:
        value = graph.cast(value, np.float32)
    for transformation in transformations:
        inputs = transformation.inputs
        outputs = transformation.outputs or inputs
        selected = graph.add("Gather", value, graph.constant(inputs, np.int64), axis=1)
        value = _put(graph, value, outputs, _apply(graph, selected, transformation))
    return value if dtype == np.float32 else graph.cast(value, dtype)


def _apply(graph: GraphBuilder, value: str, transformation: Transformation) -> str:
    """Transformed values, float32, of the selected ones."""
    if isinstance(transformation, Normalize):
        return _normalize(graph, value, transformation)
    if isinstance(transformation, Linear):
        centred = graph.add("Sub", graph.cast(value, np.float64), graph.constant(transformation.mean))
        return graph.cast(graph.add("MatMul", centred, graph.constant(transformation.matrix.T)), np.float32)
    if isinstance(transformation, Cumulative):
        return _cumulative(graph, value, transformation)
    return value  # Rearrange


def _put(graph: GraphBuilder, value: str, outputs: tuple[int, ...], results: str) -> str:
    """Matrix with some columns replaced: by a scatter along the columns, the same for each event."""
    index = graph.add("Expand", graph.constant([outputs], np.int64), graph.add("Shape", results))
    return graph.add("ScatterElements", value, index, results, axis=1)


def _scale(transformation: Normalize) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Offset and scale in float32, rounded where TMVA rounds."""
    minimum = transformation.minimum.astype(np.float32)
    with np.errstate(divide="ignore"):  # a constant variable is infinitely far from itself in TMVA, too
        scale = 1.0 / (transformation.maximum.astype(np.float32) - minimum).astype(np.float64)
    return minimum, scale.astype(np.float32)


def _normalize(graph: GraphBuilder, value: str, transformation: Normalize) -> str:
    offset, scale = _scale(transformation)
    scaled = graph.add("Sub", value, graph.constant(offset, np.float32))
    scaled = graph.add("Mul", scaled, graph.constant(scale, np.float32))
    scaled = graph.add("Mul", scaled, graph.constant(2.0, np.float32))
    return graph.add("Sub", scaled, graph.constant(1.0, np.float32))


def _cumulative(graph: GraphBuilder, value: str, transformation: Cumulative) -> str:
    fraction = interpolation_nodes(graph, graph.cast(value, np.float64), transformation.histograms)
    smallest = graph.constant(SMALLEST)
    # NaN, which is not above anything, becomes the smallest, as by TMath::Max.
    fraction = graph.add("Where", graph.add("GreaterOrEqual", fraction, smallest), fraction, smallest)
    fraction = graph.add("Clip", fraction, graph.constant(_FROM_ENDS), graph.constant(1.0 - _FROM_ENDS))
    if transformation.gaussian:
        argument = graph.add("Sub", graph.add("Mul", graph.constant(2.0), fraction), graph.constant(1.0))
        pole = 1.0 - _FROM_POLES
        argument = graph.add("Clip", argument, graph.constant(-pole), graph.constant(pole))
        half = graph.add("Mul", graph.add("Add", argument, graph.constant(1.0)), graph.constant(0.5))
        # erfinv(a) = quantile((a + 1)/2) / √2, and TMVA multiplies with its rounded √2
        quantile = normal_quantile_nodes(graph, half)
        fraction = graph.add("Mul", quantile, graph.constant(_ROOT2 / np.sqrt(2.0)))
    return graph.cast(fraction, np.float32)


def target_nodes(graph: GraphBuilder, value: str, target: TargetTransformation, dtype: type[np.generic]) -> str:
    """Append the inverse of a transformation of targets: from the method's answers to those of Reader, in float32."""
    if dtype != np.float32:
        value = graph.cast(value, np.float32)
    transformed = target.outputs or target.inputs
    selected = graph.add("Gather", value, graph.constant(transformed, np.int64), axis=1)
    if isinstance(target, Normalize):
        result = _denormalize(graph, selected, target)
    else:
        result = _uncumulate(graph, selected, target)
    value = _put(graph, value, target.inputs, result)
    return value if dtype == np.float32 else graph.cast(value, dtype)


def _denormalize(graph: GraphBuilder, value: str, transformation: Normalize) -> str:
    offset, scale = _scale(transformation)
    raised = graph.add("Add", value, graph.constant(1.0, np.float32))
    spread = graph.add("Div", raised, graph.constant(scale * np.float32(2), np.float32))
    return graph.add("Add", graph.constant(offset, np.float32), spread)


def _uncumulate(graph: GraphBuilder, value: str, transformation: Cumulative) -> str:
    fraction = graph.cast(value, np.float64)
    if transformation.gaussian:
        integral = error_function_nodes(graph, graph.add("Div", fraction, graph.constant(_ROOT2)))
        fraction = graph.add("Div", graph.add("Add", integral, graph.constant(1.0)), graph.constant(2.0))
    return graph.cast(inverse_nodes(graph, fraction, transformation.histograms), np.float32)
