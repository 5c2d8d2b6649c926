"""The two forms of lwtnn's files: their content, and which networks each can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ntupleml.lwtnn.export_parts import NetworkBuilder
from ntupleml.lwtnn.layers import RECURRENT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.lwtnn.network import ObjectList, Variable

Form = Literal["auto", "sequential", "graph"]


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
        if kind == "sequence" and network.layers[node["layer_index"]]["architecture"] not in RECURRENT:
            return "it has convolutions"
        if kind == "sequence" and begun_rows:
            return "it has recurrent layers after others"
        begun_rows = begun_rows or kind == "feed_forward"
    return None


def _entry(variable: Variable, *, with_default: bool) -> dict[str, Any]:
    entry = {"name": variable.name, "offset": float(variable.offset), "scale": float(variable.scale)}
    if with_default and variable.default is not None:
        entry["default"] = float(variable.default)
    return entry


def sequential_form(
    network: NetworkBuilder, variables: Sequence[Variable], labels: Sequence[str], remarks: Mapping[str, str]
) -> dict[str, Any]:
    """Content of a file in the sequential form."""
    return {
        "inputs": [_entry(one, with_default=False) for one in variables],
        "layers": [network.layers[node["layer_index"]] for node in network.nodes[1:]],
        "outputs": list(labels),
        "defaults": {one.name: float(one.default) for one in variables if one.default is not None},
        "miscellaneous": dict(remarks),
    }


def graph_form(
    network: NetworkBuilder,
    places: Sequence[int],
    variables: Mapping[str, Sequence[Variable]],
    labels: Mapping[str, Sequence[str]],
    remarks: Mapping[str, str],
    objects: Mapping[str, ObjectList],
) -> dict[str, Any]:
    """Content of a file in the graph form; `places` are the nodes of the outputs."""
    inputs: dict[str, list[dict[str, Any]]] = {"input": [], "input_sequence": []}
    kinds = [node["type"] for node in network.nodes if _is_input(node)]
    for kind, (name, group) in zip(kinds, variables.items(), strict=True):
        inputs[kind].append({"name": name, "variables": [_entry(one, with_default=True) for one in group]})
        if name in objects:
            inputs[kind][-1]["objects"] = {key: value for key, value in objects[name]._asdict().items() if value}
    return {
        "inputs": inputs["input"],
        "input_sequences": inputs["input_sequence"],
        "nodes": network.nodes,
        "layers": network.layers,
        "outputs": {
            name: {"labels": list(names), "node_index": place}
            for (name, names), place in zip(labels.items(), places, strict=True)
        },
        "miscellaneous": dict(remarks),
    }
