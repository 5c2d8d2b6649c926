"""Columns of a matrix, and their sums in TMVA's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder


def columns(graph: GraphBuilder, value: str, count: int) -> list[str]:
    """Append a selection of each column; names of matrices of one column."""
    return [graph.add("Gather", value, graph.constant([column], np.int64), axis=1) for column in range(count)]


def ordered_sum(graph: GraphBuilder, terms: Sequence[str]) -> str:
    """Append a sum from left to right: of float64, so that it is the same bit for bit as that of a loop."""
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("Add", total, term)
    return total
