"""What exported networks are made of: numbers, plain layers, nodes, and the refusal of what has no exact form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import ArrayLike, NDArray

#: An activation as it stands in the file: a name, or a block with the function and its parameter.
ActivationEntry: TypeAlias = str | dict[str, Any]
#: A layer as it stands in the file.
LayerEntry: TypeAlias = dict[str, Any]
#: Far below what single precision holds, for those who evaluate the file in it.
_LARGEST_BIAS = 1e30


def title(operation: Any) -> str:
    """What messages call a layer: its name and its class."""
    return f"layer '{one_line(operation.name, 100)}' ({type(operation).__name__})"


def refuse(operation: Any, reason: str) -> NoReturn:
    """Raise the error that a layer cannot be exported."""
    raise NtuplemlError(f"{title(operation)} has no lwtnn form: {reason}")


def array(operation: Any, variable: Any) -> NDArray[np.float64]:
    """Weights of a layer (a Keras variable or tensor), in double precision; finite ones, as JSON holds no others."""
    import keras

    values = np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float64)
    if not np.isfinite(values).all():
        raise NtuplemlError(f"{title(operation)} has weights that are NaN or infinite; the training has diverged")
    return values


def flat(values: ArrayLike) -> list[float]:
    """Numbers row after row, as the file has them."""
    numbers: list[float] = np.asarray(values, dtype=np.float64).ravel().tolist()
    return numbers


def dense(weights: ArrayLike, bias: ArrayLike | None = None, activation: ActivationEntry = "linear") -> LayerEntry:
    """Layer activation(W x + b); without weights (outputs × inputs) it only applies the activation."""
    return {
        "architecture": "dense",
        "weights": flat(weights),
        "bias": [] if bias is None else flat(bias),
        "activation": activation,
    }


def activation_only(activation: ActivationEntry) -> LayerEntry:
    """Layer that applies an activation and nothing else."""
    return dense([], None, activation)


def affine(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> list[LayerEntry]:
    """Layers that compute scale · x + offset, element by element.

    lwtnn's normalization is scale · (x + bias), which has no bias for an element whose scale is zero (or so small that
    offset / scale overflows); then a second layer adds the offset.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bias = offset / scale
    if np.isfinite(bias).all() and np.abs(bias).max(initial=0.0) < _LARGEST_BIAS:
        return [_normalization(scale, bias)]
    return [_normalization(scale, np.zeros_like(scale)), _normalization(np.ones_like(scale), offset)]


def _normalization(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> LayerEntry:
    return {"architecture": "normalization", "weights": flat(weights), "bias": flat(bias)}


class Value(NamedTuple):
    """What a Keras tensor is in the network."""

    node: int
    #: Number of values per event, or per step of a sequence.
    width: int
    #: Whether it has steps; the node of a recurrent layer can be read as a sequence, or as its last step.
    sequence: bool
    #: Whether Keras shows the steps one by one, within TimeDistributed.
    distributed: bool = False
    #: Whether it only says which steps there are; lwtnn has no node for this, as its sequences hold no others.
    is_mask: bool = False

    @property
    def rank(self) -> int:
        """Number of dimensions that a Keras layer sees: 2 for rows, 3 for sequences."""
        return 3 if self.sequence and not self.distributed else 2


#: What the mask of a sequence is.
MASK = Value(node=-1, width=1, sequence=True, is_mask=True)


@dataclass
class NetworkBuilder:
    """Nodes and layers so far; a Keras layer that is used twice has its layers here once."""

    nodes: list[dict[str, Any]] = field(default_factory=list)
    layers: list[LayerEntry] = field(default_factory=list)
    known: dict[Hashable, list[int]] = field(default_factory=dict)

    def input(self, index: int, width: int, sequence: bool) -> Value:
        """Append the node of an input, the `index`-th of its kind."""
        kind = "input_sequence" if sequence else "input"
        return Value(self._add({"type": kind, "size": width, "sources": [index]}), width, sequence)

    def chain(self, value: Value, layers: Sequence[LayerEntry], width: int, key: Hashable) -> Value:
        """Append layers on rows, or on each step of a sequence; the same layers, used again, have the same key."""
        kind = "time_distributed" if value.sequence else "feed_forward"
        for index in self._indices(key, layers):
            value = value._replace(
                node=self._add({"type": kind, "sources": [value.node], "layer_index": index}), width=width
            )
        return value

    def sequence(self, value: Value, layer: LayerEntry, width: int, key: Hashable) -> Value:
        """Append a recurrent layer or a convolution."""
        (index,) = self._indices(key, [layer])
        return Value(self._add({"type": "sequence", "sources": [value.node], "layer_index": index}), width, True)

    def merged(self, kind: Literal["add", "concatenate", "sum"], values: Sequence[Value]) -> Value:
        """Append a node that joins rows, or sums a sequence over its steps."""
        widths = [value.width for value in values]
        node = self._add({"type": kind, "sources": [value.node for value in values]})
        return Value(node, sum(widths) if kind == "concatenate" else widths[0], sequence=False)

    def _add(self, node: dict[str, Any]) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _indices(self, key: Hashable, layers: Sequence[LayerEntry]) -> list[int]:
        if key not in self.known:
            start = len(self.layers)
            self.layers.extend(layers)
            self.known[key] = list(range(start, len(self.layers)))
        return self.known[key]
