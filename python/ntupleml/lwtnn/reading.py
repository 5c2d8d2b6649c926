"""Both forms of lwtnn's files to one: groups of inputs, nodes, outputs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn import json_file
from ntupleml.lwtnn.layers import RECURRENT, FlatLayer, read_layers
from ntupleml.lwtnn.network import InputGroup, Network, Node, Output, Variable
from ntupleml.lwtnn.nodes import build_nodes, read_nodes
from ntupleml.lwtnn.shapes import feed_forward_layer, sequence_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

#: Names that a network of the sequential form, which has none, gets for its inputs and outputs.
VARIABLES, SCORES = "variables", "scores"


def read_network(path: str | Path) -> Network:
    """Read an lwtnn file of either form, as liblwtnn 2.14 does.

    A file with the key ``nodes`` is of the graph form, else of the sequential one. There a network with recurrent
    layers is what liblwtnn's LightweightRNN makes of it: these run first, over all steps, then the others on the last
    step, whatever their order in the file.

    Raises
    ------
    NtuplemlError
        If liblwtnn would refuse the file, would read beyond its numbers, or would give NaN for every event, and for
        embedding layers; the message names the file and the key.

    Notes
    -----
    Format: lwtnn's ``src/parse_json.cxx``, ``include/lwtnn/generic/{Stack,Graph}.tcc``.
    """
    content = json_file.read_json(path)
    is_graph = "nodes" in content or "input_sequences" in content
    network = _graph(content, Path(path)) if is_graph else _sequential(content, Path(path))
    _check_names(network)
    log.info(
        "read %s: lwtnn's %s form, %d nodes, outputs %s",
        path,
        network.form,
        len(network.nodes),
        ", ".join(output.name for output in network.outputs),
    )
    return network


def _graph(content: dict[str, Any], path: Path) -> Network:
    where = str(path)
    fields = {key: json_file.field(content, key, where) for key in ("inputs", "input_sequences", "nodes", "layers")}
    groups = [*_groups(fields, "inputs", where), *_groups(fields, "input_sequences", where)]
    layers = read_layers(fields["layers"], f"{where}: layers")
    nodes, order = build_nodes(read_nodes(fields["nodes"], f"{where}: nodes"), layers, groups)
    outputs = _outputs(json_file.field(content, "outputs", where), nodes, f"{where}: outputs")
    return Network(path, "graph", tuple(groups), nodes, order, outputs)


def _groups(fields: dict[str, Any], key: str, where: str) -> list[InputGroup]:
    groups = []
    for index, value in enumerate(json_file.items(fields[key], f"{where}: {key}")):
        place = f"{where}: {key}[{index}]"
        group = json_file.block(value, place)
        name = json_file.text(json_file.field(group, "name", place), f"{place}.name")
        listed = json_file.items(json_file.field(group, "variables", place), f"{place}.variables")
        if not listed:
            raise NtuplemlError(f"{place}.variables: empty; the input '{name}' needs at least one variable")
        variables = [_variable(variable, f"{place}.variables[{number}]") for number, variable in enumerate(listed)]
        groups.append(InputGroup(name, _first_defaults(variables), sequence=key == "input_sequences"))
    return groups


def _variable(value: Any, where: str) -> Variable:
    content = json_file.block(value, where)
    return Variable(
        json_file.text(json_file.field(content, "name", where), f"{where}.name"),
        json_file.number(json_file.field(content, "offset", where), f"{where}.offset"),
        json_file.number(json_file.field(content, "scale", where), f"{where}.scale"),
        json_file.number(content["default"], f"{where}.default") if "default" in content else None,
    )


def _first_defaults(variables: Sequence[Variable]) -> tuple[Variable, ...]:
    """Defaults go by name: the first one counts for all variables of that name."""
    defaults: dict[str, float] = {}
    for variable in variables:
        if variable.default is not None:
            defaults.setdefault(variable.name, variable.default)
    return tuple(variable._replace(default=defaults.get(variable.name)) for variable in variables)


def _outputs(value: Any, nodes: Sequence[Node], where: str) -> tuple[Output, ...]:
    outputs = []
    for name, entry in json_file.block(value, where).items():
        place = f"{where}.{json_file.text(name, where)}"
        content = json_file.block(entry, place)
        labels = _labels(json_file.field(content, "labels", place), f"{place}.labels")
        index = json_file.whole(json_file.field(content, "node_index", place), f"{place}.node_index")
        if index >= len(nodes):
            raise NtuplemlError(f"{place}.node_index: no node {index}; there are {len(nodes)}, counted from 0")
        _check_labels(labels, nodes[index].width, place)
        # of a 'sequence', which can be read in both ways, liblwtnn's `compute` gives the last step
        outputs.append(Output(name, labels, index, nodes[index].kind in ("input_sequence", "time_distributed")))
    if not outputs:
        raise NtuplemlError(f"{where}: empty; a network needs at least one output")
    return tuple(outputs)


def _labels(value: Any, where: str) -> tuple[str, ...]:
    return tuple(
        json_file.text(label, f"{where}[{number}]") for number, label in enumerate(json_file.items(value, where))
    )


def _check_labels(labels: Sequence[str], width: int, where: str) -> None:
    if len(labels) != width:
        raise NtuplemlError(f"{where}: {len(labels)} labels for {width} values; name each of them")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise NtuplemlError(f"{where}: the label '{twice}' is given twice, of which liblwtnn would lose one; rename it")


def _sequential(content: dict[str, Any], path: Path) -> Network:
    where = str(path)
    fields = {key: json_file.field(content, key, where) for key in ("inputs", "layers", "outputs")}
    variables = _sequential_variables(content, fields["inputs"], where)
    layers = read_layers(fields["layers"], f"{where}: layers")
    recurrent = [layer for layer in layers if layer.architecture in RECURRENT]
    others = [layer for layer in layers if layer.architecture not in RECURRENT]
    if [*recurrent, *others] != layers:
        log.warning("%s: recurrent layers run before the others, as in liblwtnn, not in the order of the file", path)
    nodes = _chain(len(variables), recurrent, others, where)
    labels = _labels(fields["outputs"], f"{where}: outputs")
    _check_labels(labels, nodes[-1].width, f"{where}: outputs")
    groups = (InputGroup(VARIABLES, variables, sequence=bool(recurrent)),)
    output = Output(SCORES, labels, len(nodes) - 1)
    return Network(path, "sequential", groups, tuple(nodes), tuple(range(len(nodes))), (output,))


def _sequential_variables(content: dict[str, Any], listed: Any, where: str) -> tuple[Variable, ...]:
    """Variables; the key ``defaults`` of the file, even an empty one, hides those of the single inputs."""
    inputs = json_file.items(listed, f"{where}: inputs")
    if not inputs:
        raise NtuplemlError(f"{where}: inputs: empty; a network needs at least one variable")
    has_defaults = "defaults" in content
    variables = []
    for index, value in enumerate(inputs):
        place = f"{where}: inputs[{index}]"
        block = json_file.block(value, place)
        if has_defaults:  # liblwtnn does not look at it then
            block = {key: entry for key, entry in block.items() if key != "default"}
        variables.append(_variable(block, place))
    if not has_defaults:
        return _first_defaults(variables)
    entries = json_file.block(content["defaults"], f"{where}: defaults")
    defaults = {name: json_file.number(value, f"{where}: defaults.{name}") for name, value in entries.items()}
    return tuple(variable._replace(default=defaults.get(variable.name)) for variable in variables)


def _chain(num_variables: int, recurrent: Sequence[FlatLayer], others: Sequence[FlatLayer], where: str) -> list[Node]:
    """Nodes one after the other."""
    for flat in others:
        if flat.architecture == "conv1d":
            raise NtuplemlError(f"{flat.where}: conv1d layers exist only in lwtnn's graph form; write the file in it")
    width = num_variables
    nodes = [Node("input_sequence" if recurrent else "input", (0,), None, width)]
    for flat in recurrent:
        scanning, width = sequence_layer(flat, width, where)
        nodes.append(Node("sequence", (len(nodes) - 1,), scanning, width))
    for flat in others:
        layer, width = feed_forward_layer(flat, width, where)
        nodes.append(Node("feed_forward", (len(nodes) - 1,), layer, width))
    return nodes


def _check_names(network: Network) -> None:
    """Inputs and outputs share one space of names in an ONNX graph."""
    names = [group.name for group in network.groups]
    names += [f"{group.name}_length" for group in network.groups if group.sequence]
    outputs = [(SCORES if len(network.outputs) == 1 else output.name, output) for output in network.outputs]
    names += [name for name, _ in outputs] + [f"{name}_length" for name, output in outputs if output.per_step]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise NtuplemlError(
            f"{network.path}: the name '{twice}' would stand for two inputs or outputs of the ONNX graph (a sequence "
            f"'name' also has 'name_length', as has an output of a score per step; a single output is '{SCORES}')"
            f"{did_you_mean(twice, names)}"
        )
