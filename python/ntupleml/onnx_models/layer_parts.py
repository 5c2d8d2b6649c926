"""What the nodes of a Keras layer are made from, and nodes that many of them have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_shapes import Shape
    from ntupleml.onnx_models.graph import GraphBuilder


#: Marks of nodes while a graph is made: a dense layer of plain numbers; and the factor of a batch normalisation, behind
#: which its summand follows.
DENSE, NORMALISATION = "dense", "normalisation"


class LayerParts(NamedTuple):
    """What the nodes of a layer are made from."""

    #: As in the file, all checked.
    settings: Mapping[str, Any]
    weights: Sequence[NDArray[Any]]
    #: Of its inputs for one event; None where the number of objects is open.
    shapes: Sequence[Shape]

    @property
    def shape(self) -> Shape:
        """Of its first input."""
        return self.shapes[0]

    @property
    def last_axis(self) -> int:
        """Of the input, counting that of the events."""
        return len(self.shape)

    @property
    def width(self) -> int:
        """Numbers along the last axis."""
        assert self.shape[-1] is not None
        return self.shape[-1]


def constant(graph: GraphBuilder, values: Any) -> str:
    """A constant in single precision."""
    return graph.constant(values, np.float32)


def summed(graph: GraphBuilder, value: str, axis: int, keepdims: int = 1) -> str:
    """Sum along an axis."""
    return graph.add("ReduceSum", value, graph.constant([axis], np.int64), keepdims=keepdims)
