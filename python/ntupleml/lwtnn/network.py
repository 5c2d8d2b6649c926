"""What an lwtnn file holds, as typed data: inputs, nodes with their layers, outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NodeKind = Literal[
    "input", "input_sequence", "feed_forward", "time_distributed", "sequence", "sum", "concatenate", "add"
]
Padding = Literal["valid", "same", "causal"]
RecurrentKind = Literal["lstm", "gru", "simplernn"]


class Variable(NamedTuple):
    """An input variable; the network sees (x + offset) · scale."""

    name: str
    offset: float
    scale: float
    #: Raw value that stands for one that is missing.
    default: float | None = None


class ObjectList(NamedTuple):
    """Which objects of an event are the steps of a sequence: a key of ours, of which liblwtnn takes no notice."""

    #: Largest number of objects; later ones are not read.
    length: int | None = None
    #: Whether the network has so many steps for each event, zeros where there are fewer objects.
    filled: bool = False
    #: As in a training config.
    selection: str | None = None
    sort: str | None = None
    ascending: bool = False


class InputGroup(NamedTuple):
    """Variables that enter together; per event one row, or a sequence of rows."""

    name: str
    variables: tuple[Variable, ...]
    sequence: bool = False
    objects: ObjectList | None = None


class Activation(NamedTuple):
    """A function by lwtnn's name, and its parameter where it has one, else NaN."""

    function: str
    alpha: float


@dataclass(frozen=True, eq=False)
class Dense:
    """activation(W x + b). Without weights or without bias that part is left out."""

    #: Shape (n_outputs, n_inputs), or None.
    weights: NDArray[np.float64] | None
    #: Shape (n_outputs,), or None.
    bias: NDArray[np.float64] | None
    activation: Activation


@dataclass(frozen=True, eq=False)
class Normalization:
    """weights · (x + bias), element by element; both of shape (n_inputs,)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


class Linear(NamedTuple):
    """W x + b with weights of shape (n_outputs, n_inputs) and bias of shape (n_outputs,)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Maxout:
    """The largest, element by element, of several linear maps."""

    units: tuple[Linear, ...]


@dataclass(frozen=True, eq=False)
class Highway:
    """c · activation(transform(x)) + (1 − c) · x with c = σ(carry(x))."""

    transform: Linear
    carry: Linear
    activation: Activation


class Gate(NamedTuple):
    """W x + U h + b with weights (n_outputs, n_inputs), recurrent (n_outputs, n_outputs), bias (n_outputs,)."""

    weights: NDArray[np.float64]
    recurrent: NDArray[np.float64]
    bias: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recurrent:
    """A recurrent layer."""

    kind: RecurrentKind
    #: By lwtnn's letters: i, f, o, c of an LSTM, z, r, h of a GRU, h of a simple one.
    gates: Mapping[str, Gate]
    #: The latter is that of the gates i, f, o, z, r; not used by a simple one.
    activation: Activation
    inner_activation: Activation


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution over the steps of a sequence."""

    #: Shape (n_outputs, n_inputs, kernel size).
    weights: NDArray[np.float64]
    #: Shape (n_outputs,).
    bias: NDArray[np.float64]
    padding: Padding
    #: Steps from one element of the kernel to the next.
    dilation: int
    #: Applied to each output over all steps; this matters for softmax only.
    activation: Activation

    @property
    def span(self) -> int:
        """Steps between the first and the last element of the kernel."""
        kernel_size: int = self.weights.shape[2]
        return (kernel_size - 1) * self.dilation

    @property
    def front(self) -> int:
        """Steps of zeros put before the sequence."""
        return {"valid": 0, "same": (self.span + 1) // 2, "causal": self.span}[self.padding]


FeedForwardLayer = Dense | Normalization | Maxout | Highway
SequenceLayer = Recurrent | Convolution
Layer = FeedForwardLayer | SequenceLayer


class Node(NamedTuple):
    """A step of the computation."""

    kind: NodeKind
    #: Nodes that it reads; for an input the index of its group in `Network.groups`.
    sources: tuple[int, ...]
    #: The same object in all nodes that share it.
    layer: Layer | None
    #: Number of outputs, per step for a sequence.
    width: int


class Output(NamedTuple):
    """A node that is asked for."""

    name: str
    #: Of its values.
    labels: tuple[str, ...]
    node: int
    #: Whether it gives values for each step of a sequence (`LightweightGraph::scan`), not one row per event.
    per_step: bool = False


@dataclass(frozen=True, eq=False)
class Network:
    """A network as an lwtnn file describes it."""

    path: Path
    #: ``"sequential"`` (of liblwtnn's LightweightNeuralNetwork and LightweightRNN) or ``"graph"``.
    form: Literal["sequential", "graph"]
    #: Those of single rows first.
    groups: tuple[InputGroup, ...]
    nodes: tuple[Node, ...] = field(repr=False)
    #: The nodes in an order in which each comes after its sources.
    order: tuple[int, ...] = field(repr=False)
    outputs: tuple[Output, ...]

    @property
    def num_weights(self) -> int:
        """Number of weights of the matrices in all layers, shared ones once."""
        layers = {id(node.layer): node.layer for node in self.nodes}.values()
        return sum(matrix.size for layer in layers for matrix in _matrices(layer))


def _matrices(layer: Layer | None) -> list[NDArray[np.float64]]:
    if isinstance(layer, Maxout):
        return [unit.weights for unit in layer.units]
    if isinstance(layer, Highway):
        return [layer.transform.weights, layer.carry.weights]
    if isinstance(layer, Recurrent):
        return [matrix for gate in layer.gates.values() for matrix in (gate.weights, gate.recurrent)]
    return [] if layer is None or layer.weights is None else [layer.weights]
