"""Writing an ONNX graph node by node."""

from __future__ import annotations

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
    """Nodes and constants of a graph under construction; values are referred to by name.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
        In order of computation.
    constants : list of onnx.TensorProto
        The graph's initializers.
    prefix : str
        Beginning of all names, so that they never meet those of inputs and outputs.
    """

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    prefix: str = ""

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        name = output or f"{self.prefix}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name], name=f"node_{len(self.nodes)}", **attributes)
        )
        return name

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Append the division of a value's columns into parts of given sizes, and return their names."""
        names = [f"{self.prefix}split_{len(self.nodes)}_{number}" for number in range(len(sizes))]
        inputs = [value, self.constant(sizes, np.int64)]
        self.nodes.append(helper.make_node("Split", inputs, names, name=f"node_{len(self.nodes)}", axis=1))
        return names

    def constant(self, values: Any, dtype: type[np.generic] = np.float64) -> str:
        """Append a constant array or number and return its name."""
        name = f"{self.prefix}constant_{len(self.constants)}"
        array: NDArray[Any] = np.asarray(values, dtype=dtype)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Append a conversion to another type of numbers."""
        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def filled(self, value: str, missing: float, dtype: type[np.generic]) -> str:
        """Append the replacement of NaN and infinite values of a type of numbers."""
        lost = self.add("Or", self.add("IsNaN", value), self.add("IsInf", value))
        return self.add("Where", lost, self.constant(missing, dtype), value)
