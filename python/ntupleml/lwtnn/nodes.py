"""The nodes of the graph form: order of computation, widths, and which of them give sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn import json_file
from ntupleml.lwtnn.network import Node, NodeKind
from ntupleml.lwtnn.shapes import feed_forward_layer, sequence_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """A node as it stands in the file.

    Attributes
    ----------
    number : int
        Its size (inputs) or the index of its layer; −1 for the other kinds.
    """

    kind: NodeKind
    sources: tuple[int, ...]
    number: int
    where: str


def read_nodes(value: Any, where: str) -> list[FlatNode]:
    """All nodes of a file.

    Parameters
    ----------
    value : parsed JSON
        Content of the key ``nodes``.

    Raises
    ------
    NtuplemlError
        If a node is of an unknown type, or a key is missing or has a wrong value.
    """
    return [_node(node, f"{where}[{index}]") for index, node in enumerate(json_file.items(value, where))]


def _node(value: Any, where: str) -> FlatNode:
    content = json_file.block(value, where)
    kind = json_file.text(json_file.field(content, "type", where), f"{where}.type")
    if kind not in _KINDS:
        raise NtuplemlError(f"{where}.type: no node type '{kind}'{did_you_mean(kind, _KINDS)}")
    listed = json_file.items(json_file.field(content, "sources", where), f"{where}.sources")
    sources = tuple(json_file.whole(source, f"{where}.sources[{index}]") for index, source in enumerate(listed))
    if not sources or (len(sources) > 1 and kind not in ("concatenate", "add")):
        raise NtuplemlError(f"{where}.sources: {len(sources)} sources, but a node of type '{kind}' needs one")
    key = "size" if kind in _INPUTS else "layer_index" if kind in _WITH_LAYER else None
    number = -1 if key is None else json_file.whole(json_file.field(content, key, where), f"{where}.{key}")
    return FlatNode(cast("NodeKind", kind), sources, number, where)


def build_nodes(
    flat: Sequence[FlatNode], layers: Sequence[FlatLayer], groups: Sequence[InputGroup]
) -> tuple[tuple[Node, ...], tuple[int, ...]]:
    """Nodes with their widths and the layers they share, and an order in which each comes after its sources.

    Parameters
    ----------
    groups : sequence of InputGroup
        Those of single rows first.

    Raises
    ------
    NtuplemlError
        If there is a cycle, an index is out of range, a source is of the wrong kind, or sizes do not fit.
    """
    order = _order(flat)
    shared: dict[tuple[int, bool], tuple[Layer, int, int]] = {}
    built: dict[int, Node] = {}
    total = 0
    for index in order:
        built[index] = _built(flat[index], built, layers, groups, shared)
        total += built[index].width
        if built[index].width > MOST_WIDTH or total > MOST_VALUES:
            raise NtuplemlError(
                f"{flat[index].where}: refused: {built[index].width} values in this node, {total} in all up to it; "
                "not a network of lwtnn"
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
                raise NtuplemlError(f"{flat[index].where}.sources: node {source} depends on this node: a cycle")
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
            raise NtuplemlError(f"{node.where}.sources: no node {source}; there are {len(flat)}, counted from 0")
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
    readable = _SEQUENCES if flat.kind in ("time_distributed", "sequence", "sum") else _ROWS
    for source in flat.sources:
        if built[source].kind not in readable:
            raise NtuplemlError(
                f"{flat.where}.sources: node {source} ({built[source].kind}) gives "
                f"{'one row per event' if readable is _SEQUENCES else 'a sequence'}, but a node of type '{flat.kind}' "
                f"reads {'sequences' if readable is _SEQUENCES else 'single rows'}"
            )
    widths = [built[source].width for source in flat.sources]
    if flat.kind in _WITH_LAYER:
        layer, width = _shared_layer(flat, widths[0], layers, shared)
        return Node(flat.kind, flat.sources, layer, width)
    if flat.kind == "add" and len(set(widths)) > 1:
        raise NtuplemlError(f"{flat.where}.sources: of widths {min(widths)} and {max(widths)}; add needs equal ones")
    return Node(flat.kind, flat.sources, None, sum(widths) if flat.kind == "concatenate" else widths[0])


def _input(flat: FlatNode, groups: Sequence[InputGroup]) -> Node:
    sequence = flat.kind == "input_sequence"
    key = "input_sequences" if sequence else "inputs"
    indices = [index for index, group in enumerate(groups) if group.sequence == sequence]
    if flat.sources[0] >= len(indices):
        raise NtuplemlError(f"{flat.where}.sources: no input {flat.sources[0]}; there are {len(indices)} in '{key}'")
    index = indices[flat.sources[0]]
    width = len(groups[index].variables)
    if flat.number != width:
        raise NtuplemlError(f"{flat.where}.size: {flat.number}, but '{groups[index].name}' has {width} variables")
    return Node(flat.kind, (index,), None, width)


def _shared_layer(
    flat: FlatNode, width: int, layers: Sequence[FlatLayer], shared: dict[tuple[int, bool], tuple[Layer, int, int]]
) -> tuple[Layer, int]:
    """The layer of a node, and its width; liblwtnn shapes a layer by the first node that uses it."""
    if flat.number >= len(layers):
        raise NtuplemlError(f"{flat.where}.layer_index: no layer {flat.number}; there are {len(layers)}, from 0")
    sequence = flat.kind == "sequence"
    key = (flat.number, sequence)
    if key not in shared:
        shape = sequence_layer if sequence else feed_forward_layer
        layer, num_outputs = shape(layers[flat.number], width, flat.where.rpartition(": ")[2])
        shared[key] = (layer, num_outputs, width)
    layer, num_outputs, num_inputs = shared[key]
    if num_inputs != width:
        raise NtuplemlError(
            f"{flat.where}: gives {width} values to layer {flat.number}, to which another node gives {num_inputs}"
        )
    return layer, num_outputs
