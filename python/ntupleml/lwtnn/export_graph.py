"""A network of lwtnn under construction, as nodes and layers, and the two forms in which it can be written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ntupleml.lwtnn.export_parts import LayerEntry

Form = Literal["auto", "sequential", "graph"]
#: Forms that may be asked for.
FORMS: tuple[Form, ...] = ("auto", "sequential", "graph")
_RECURRENT = ("lstm", "gru", "simplernn")


class Value(NamedTuple):
    """What a Keras tensor is in the network.

    Attributes
    ----------
    width : int
        Number of values per event, or per step of a sequence.
    sequence : bool
        Whether it has steps; the node of a recurrent layer can be read as a sequence, or as its last step.
    distributed : bool
        Whether Keras shows the steps one by one, within TimeDistributed.
    """

    node: int
    width: int
    sequence: bool
    distributed: bool = False

    @property
    def rank(self) -> int:
        """Number of dimensions that a Keras layer sees: 2 for rows, 3 for sequences."""
        return 3 if self.sequence and not self.distributed else 2


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
        """Append layers on rows, one after the other; on a sequence they act at each step.

        Parameters
        ----------
        value : Value
            What they read.
        width : int
            Number of values that the last one gives.
        key : hashable
            Tells the same layers, used again.
        """
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


def pruned(builder: NetworkBuilder, wanted: Sequence[int]) -> tuple[NetworkBuilder, list[int]]:
    """The network without nodes and layers that no wanted node depends on, inputs kept, and the new wanted nodes."""
    needed = {index for index, node in enumerate(builder.nodes) if _is_input(node)}
    waiting = list(wanted)
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            waiting += builder.nodes[index]["sources"]
    order = sorted(needed)
    places = {old: new for new, old in enumerate(order)}
    used = sorted({builder.nodes[index]["layer_index"] for index in order if "layer_index" in builder.nodes[index]})
    layers = {old: new for new, old in enumerate(used)}
    nodes = []
    for index in order:
        node = dict(builder.nodes[index])
        if not _is_input(node):
            node["sources"] = [places[source] for source in node["sources"]]
        if "layer_index" in node:
            node["layer_index"] = layers[node["layer_index"]]
        nodes.append(node)
    return NetworkBuilder(nodes, [builder.layers[index] for index in used]), [places[index] for index in wanted]


def _is_input(node: dict[str, Any]) -> bool:
    return node["type"] in ("input", "input_sequence")


def why_not_sequential(network: NetworkBuilder, num_outputs: int) -> str | None:
    """Reason why a network (pruned) cannot be written in the sequential form; None if it can.

    Of a file in that form liblwtnn runs all recurrent layers first, then all others on the last step.
    """
    inputs = [node for node in network.nodes if _is_input(node)]
    if len(inputs) != 1 or num_outputs != 1:
        return f"it has {len(inputs)} inputs and {num_outputs} outputs; that form has one of each"
    begun_rows = inputs[0]["type"] == "input"
    for index, node in enumerate(network.nodes[1:], start=1):
        kind = node["type"]
        if node["sources"] != [index - 1]:
            return "it branches"
        if kind in ("time_distributed", "sum", "concatenate", "add"):
            return f"it needs a node of type '{kind}'"
        if kind == "sequence" and network.layers[node["layer_index"]]["architecture"] not in _RECURRENT:
            return "it has convolutions"
        if kind == "sequence" and begun_rows:
            return "it has recurrent layers after others"
        begun_rows = begun_rows or kind == "feed_forward"
    return None


def sequential_layers(network: NetworkBuilder) -> list[LayerEntry]:
    """Layers in the order of the nodes, for the sequential form."""
    return [network.layers[node["layer_index"]] for node in network.nodes[1:]]
