"""Writing an ONNX graph node by node.

A function `…_nodes` appends what it is called after: it takes names of values and returns the name of the result.
Values are of the type `dtype` (float32 or float64) where it has that argument, and events × columns unless it says
otherwise.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Operator set of the graphs that are written; ONNX Runtime reads it since version 1.11.
OPSET = 17
#: Version of the file format that goes with it.
IR_VERSION = 8


@dataclass
class GraphBuilder:
    """Nodes and constants of a graph under construction; values are referred to by name."""

    #: In order of computation.
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    #: The graph's initializers.
    constants: list[onnx.TensorProto] = field(default_factory=list)
    #: Beginning of all names, so that they never meet those of inputs and outputs.
    prefix: str = ""
    #: Names of the constants so far, by type, shape and content: equal ones are kept once.
    known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        name = output or f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name], name=f"node_{len(self.nodes)}", **attributes)
        )
        return name

    def split(self, value: str, sizes: Sequence[int], axis: int = 1) -> list[str]:
        """Append the division of a value's columns into parts of given sizes, and return their names."""
        return self.several("Split", len(sizes), value, self.constant(sizes, np.int64), axis=axis)

    def several(self, operator: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node of several outputs and return their names."""
        names = [f"{self.prefix}{operator.lower()}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=f"node_{len(self.nodes)}", **attributes))
        return names

    def constant(self, values: Any, dtype: type[np.generic] = np.float64) -> str:
        """Append a constant array or number, unless it is there already, and return its name."""
        array: NDArray[Any] = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self.known:
            self.known[key] = f"{self.prefix}constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, self.known[key]))
        return self.known[key]

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Append a conversion to another type of numbers."""
        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def filled(self, value: str, missing: float, dtype: type[np.generic]) -> str:
        """Append the replacement of NaN and infinite values of a type of numbers."""
        lost = self.add("Or", self.add("IsNaN", value), self.add("IsInf", value))
        return self.add("Where", lost, self.constant(missing, dtype), value)

    def body(self) -> GraphBuilder:
        """An empty graph for the body of a loop; its constants belong to this graph."""
        return GraphBuilder(constants=self.constants, prefix=f"{self.prefix}loop_{len(self.nodes)}/", known=self.known)
