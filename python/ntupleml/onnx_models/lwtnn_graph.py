"""A graph under construction for lwtnn's networks: its own names never meet those of the user's inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import numpy_helper

from ntupleml.onnx_models.graph import GraphBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class LwtnnGraph(GraphBuilder):
    """Nodes and constants, with a prefix to every name; equal constants are kept once.

    Attributes
    ----------
    known : dict
        Names of the constants so far, by type, shape and content.
    """

    known: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)

    def constant(self, values: Any, dtype: type[np.generic] = np.float64) -> str:
        """Append a constant array or number, unless it is there already, and return its name."""
        array = np.asarray(values, dtype=dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.known:
            name = f"{self.prefix}constant_{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(array, name))
            self.known[key] = name
        return self.known[key]

    def body(self) -> LwtnnGraph:
        """An empty graph for the body of a loop; its constants belong to this graph."""
        prefix = f"{self.prefix}loop_{len(self.nodes)}/"
        return LwtnnGraph(constants=self.constants, prefix=prefix, known=self.known)


def safe_prefix(names: Iterable[str]) -> str:
    """A prefix that none of the given names begins with."""
    prefix = "network/"
    taken = list(names)
    while any(name.startswith(prefix) for name in taken):
        prefix = "_" + prefix
    return prefix
