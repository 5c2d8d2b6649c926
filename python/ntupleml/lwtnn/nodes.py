"""The nodes of the graph form: order of computation, widths, and which of them give sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.layers import shaped_layer
from ntupleml.lwtnn.network import Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.lwtnn.json_file import Entry
    from ntupleml.lwtnn.layers import FlatLayer
    from ntupleml.lwtnn.network import InputGroup, Layer

#: Width of a node, and sum of all widths, that no network here has: concatenating a node with itself, again and
#: again, would fill any memory.
MOST_WIDTH, MOST_VALUES = 1_000_000, 20_000_000
_KINDS: tuple[str, ...] = get_args(NodeKind)
_INPUTS = ("input", "input_sequence")
_WITH_LAYER = ("feed_forward", "time_distributed", "sequence")
#: Kinds that can be read as one row per event, and as a sequence of rows.
_ROWS = ("input", "feed_forward", "sequence", "sum", "concatenate", "add")
_SEQUENCES = ("input_sequence", "time_distributed", "sequence")


class FlatNode(NamedTuple):
    """A node as it stands in the file, and its size (inputs) or the index of its layer; −1 for the other kinds."""

    kind: NodeKind
    sources: tuple[int, ...]
    number: int
    entry: Entry

    def error(self, problem: str, key: str = "") -> NtuplemlError:
        """The error that something is wrong with the node, or with one of its keys."""
        return NtuplemlError(f"{self.entry.where}{key and '.'}{key}: {problem}")


def read_nodes(entry: Entry) -> list[FlatNode]:
    """All nodes of a file."""
    return [_node(node) for node in entry.items()]


def _node(entry: Entry) -> FlatNode:
    kind = entry.at("type").choice(_KINDS, "node type")
    sources = tuple(source.whole() for source in entry.at("sources").items())
    if not sources or (len(sources) > 1 and kind not in ("concatenate", "add")):
        raise entry.at("sources").error(f"{len(sources)} sources, but a node of type '{kind}' needs one")
    key = "size" if kind in _INPUTS else "layer_index" if kind in _WITH_LAYER else None
    return FlatNode(cast("NodeKind", kind), sources, -1 if key is None else entry.at(key).whole(), entry)


def build_nodes(
    flat: Sequence[FlatNode], layers: Sequence[FlatLayer], groups: Sequence[InputGroup]
) -> tuple[tuple[Node, ...], tuple[int, ...]]:
    """Nodes with their widths and the layers they share, and an order in which each comes after its sources."""
    order = _order(flat)
    shared: dict[tuple[int, bool], tuple[Layer, int, int]] = {}
    built: dict[int, Node] = {}
    total = 0
    for index in order:
        built[index] = _built(flat[index], built, layers, groups, shared)
        total += built[index].width
        if built[index].width > MOST_WIDTH or total > MOST_VALUES:
            raise flat[index].error(
                f"refused: {built[index].width} values in this node, {total} in all up to it; not a network of lwtnn"
            )
    return tuple(built[index] for index in range(len(flat))), tuple(order)


def _order(flat: Sequence[FlatNode]) -> list[int]:
    """Depth first, without recursion: a chain of nodes may be long."""
    order: list[int] = []
    done: set[int] = set()
    for start in range(len(flat)):
        path = [(start, iter(_sources(flat, start)))] if start not in done else []
        above = {start}
        while path:
            index, sources = path[-1]
            source = next(sources, None)
            if source is None:
                path.pop()
                above.discard(index)
                if index not in done:
                    done.add(index)
                    order.append(index)
            elif source in above:
                raise flat[index].error(f"node {source} depends on this node: a cycle", "sources")
            elif source not in done:
                above.add(source)
                path.append((source, iter(_sources(flat, source))))
    return order


def _sources(flat: Sequence[FlatNode], index: int) -> tuple[int, ...]:
    """Nodes that a node reads, checked to exist."""
    node = flat[index]
    if node.kind in _INPUTS:
        return ()
    for source in node.sources:
        if source >= len(flat):
            raise node.error(f"no node {source}; there are {len(flat)}, counted from 0", "sources")
    return node.sources


def _built(
    flat: FlatNode,
    built: dict[int, Node],
    layers: Sequence[FlatLayer],
    groups: Sequence[InputGroup],
    shared: dict[tuple[int, bool], tuple[Layer, int, int]],
) -> Node:
    if flat.kind in _INPUTS:
        return _input(flat, groups)
    reads_sequences = flat.kind in ("time_distributed", "sequence", "sum")
    gives, reads = ("one row per event", "sequences") if reads_sequences else ("a sequence", "single rows")
    for source in flat.sources:
        kind = built[source].kind
        if kind not in (_SEQUENCES if reads_sequences else _ROWS):
            problem = f"node {source} ({kind}) gives {gives}, but a node of type '{flat.kind}' reads {reads}"
            raise flat.error(problem, "sources")
    widths = [built[source].width for source in flat.sources]
    if flat.kind in _WITH_LAYER:
        layer, width = _shared_layer(flat, widths[0], layers, shared)
        return Node(flat.kind, flat.sources, layer, width)
    if flat.kind == "add" and len(set(widths)) > 1:
        raise flat.error(f"of widths {min(widths)} and {max(widths)}; add needs equal ones", "sources")
    return Node(flat.kind, flat.sources, None, sum(widths) if flat.kind == "concatenate" else widths[0])


def _input(flat: FlatNode, groups: Sequence[InputGroup]) -> Node:
    sequence = flat.kind == "input_sequence"
    key = "input_sequences" if sequence else "inputs"
    indices = [index for index, group in enumerate(groups) if group.sequence == sequence]
    if flat.sources[0] >= len(indices):
        raise flat.error(f"no input {flat.sources[0]}; there are {len(indices)} in '{key}'", "sources")
    index = indices[flat.sources[0]]
    width = len(groups[index].variables)
    if flat.number != width:
        raise flat.error(f"{flat.number}, but '{groups[index].name}' has {width} variables", "size")
    return Node(flat.kind, (index,), None, width)


def _shared_layer(
    flat: FlatNode, width: int, layers: Sequence[FlatLayer], shared: dict[tuple[int, bool], tuple[Layer, int, int]]
) -> tuple[Layer, int]:
    """The layer of a node, and its width; liblwtnn shapes a layer by the first node that uses it."""
    if flat.number >= len(layers):
        raise flat.error(f"no layer {flat.number}; there are {len(layers)}, from 0", "layer_index")
    key = (flat.number, flat.kind == "sequence")
    if key not in shared:
        layer, num_outputs = shaped_layer(layers[flat.number], width, flat.entry.key, sequence=key[1])
        shared[key] = (layer, num_outputs, width)
    layer, num_outputs, num_inputs = shared[key]
    if num_inputs != width:
        raise flat.error(f"gives {width} values to layer {flat.number}, to which another node gives {num_inputs}")
    return layer, num_outputs
