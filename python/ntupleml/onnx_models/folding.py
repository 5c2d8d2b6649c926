"""Batch normalisations become part of the dense layers before them, which then cost nothing when events are scored."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

from ntupleml.onnx_models.layer_parts import DENSE, NORMALISATION

if TYPE_CHECKING:
    import onnx

    from ntupleml.onnx_models.graph import GraphBuilder


def fold_normalisations(graph: GraphBuilder) -> None:
    """Let dense layers have weights with the factors and summands of the normalisations that alone take their outputs.

    Notes
    -----
    (W x + b) f + s = (W f) x + (b f + s), which rounds differently in single precision.
    """
    values = {constant.name: constant for constant in graph.constants}
    uses = Counter(name for node in graph.nodes for name in node.input)
    takers = {name: node for node in graph.nodes for name in node.input}
    gone: set[str] = set()
    for node in graph.nodes:
        if node.doc_string != DENSE:
            continue
        factor, summand = _normalisation(node, takers, uses)
        if factor is None or summand is None:
            continue
        by, plus = (numpy_helper.to_array(values[one.input[1]]).astype(np.float64) for one in (factor, summand))
        kernel, *bias = (numpy_helper.to_array(values[name]).astype(np.float64) for name in node.input[1:])
        kept = [node.input[0]]
        kept += [graph.constant(one, np.float32) for one in (kernel * by, (bias[0] if bias else 0.0) * by + plus)]
        del node.input[:]
        node.input.extend(kept)
        node.output[0] = summand.output[0]
        gone |= {factor.name, summand.name}
    graph.nodes[:] = [node for node in graph.nodes if node.name not in gone]
    _forget_unused(graph)


def _normalisation(
    node: onnx.NodeProto, takers: dict[str, onnx.NodeProto], uses: Counter[str]
) -> tuple[onnx.NodeProto | None, onnx.NodeProto | None]:
    """Factor and summand that nothing else stands between or beside."""
    factor = takers.get(node.output[0])
    if factor is None or factor.doc_string != NORMALISATION or uses[node.output[0]] != 1:
        return None, None
    return factor, takers[factor.output[0]]  # of the same layer, which nobody else sees into


def _forget_unused(graph: GraphBuilder) -> None:
    """Leave constants out that no node takes any more; loops may take any."""
    if any(attribute.HasField("g") for node in graph.nodes for attribute in node.attribute):
        return
    used = {name for node in graph.nodes for name in node.input}
    graph.constants[:] = [constant for constant in graph.constants if constant.name in used]
    for key in [key for key, name in graph.known.items() if name not in used]:
        del graph.known[key]
