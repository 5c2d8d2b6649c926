"""Both forms of lwtnn's files to one: groups of inputs, nodes, outputs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn.json_file import Entry, read_json
from ntupleml.lwtnn.layers import RECURRENT, read_layers, shaped_layer
from ntupleml.lwtnn.network import InputGroup, Network, Node, ObjectList, Output, Variable
from ntupleml.lwtnn.nodes import build_nodes, read_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.lwtnn.layers import FlatLayer

log = logging.getLogger(__name__)

#: Steps that a sequence may be filled up to.
_MOST_OBJECTS = 100_000
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
    file = Entry(read_json(path), str(path))
    is_graph = "nodes" in file or "input_sequences" in file
    network = _graph(file, Path(path)) if is_graph else _sequential(file, Path(path))
    _check_names(network)
    log.info(
        "read %s: lwtnn's %s form, %d nodes, outputs %s",
        path,
        network.form,
        len(network.nodes),
        ", ".join(output.name for output in network.outputs),
    )
    return network


def _graph(file: Entry, path: Path) -> Network:
    inputs, input_sequences, listed_nodes, listed_layers = (
        file.at(key) for key in ("inputs", "input_sequences", "nodes", "layers")
    )
    groups = [*_groups(inputs, sequence=False), *_groups(input_sequences, sequence=True)]
    layers = read_layers(listed_layers)
    nodes, order = build_nodes(read_nodes(listed_nodes), layers, groups)
    return Network(path, "graph", tuple(groups), nodes, order, _outputs(file.at("outputs"), nodes))


def _groups(entry: Entry, *, sequence: bool) -> list[InputGroup]:
    groups = []
    for group in entry.items():
        name, listed = group.at("name").text(), group.at("variables")
        variables = [_variable(variable) for variable in listed.items()]
        if not variables:
            raise listed.error(f"empty; the input '{name}' needs at least one variable")
        objects = _objects(group.at("objects")) if sequence and "objects" in group else None
        groups.append(InputGroup(name, _first_defaults(variables), sequence, objects))
    return groups


def _objects(entry: Entry) -> ObjectList:
    length = entry.at("length").whole() if "length" in entry else None
    if length is not None and not 1 <= length <= _MOST_OBJECTS:
        raise entry.at("length").error(f"{length} objects; from 1 to {_MOST_OBJECTS} are read")
    selection, sort = (entry.at(key).text() if key in entry else None for key in ("selection", "sort"))
    filled, ascending = (key in entry and entry.at(key).value is True for key in ("filled", "ascending"))
    if filled and length is None:
        raise entry.error("filled, but there is no length")
    return ObjectList(length, filled, selection, sort, ascending)


def _variable(entry: Entry) -> Variable:
    default = entry.at("default").number() if "default" in entry else None
    return Variable(entry.at("name").text(), entry.at("offset").number(), entry.at("scale").number(), default)


def _first_defaults(variables: Sequence[Variable]) -> tuple[Variable, ...]:
    """Defaults go by name: the first one counts for all variables of that name."""
    defaults: dict[str, float] = {}
    for variable in variables:
        if variable.default is not None:
            defaults.setdefault(variable.name, variable.default)
    return tuple(variable._replace(default=defaults.get(variable.name)) for variable in variables)


def _outputs(entry: Entry, nodes: Sequence[Node]) -> tuple[Output, ...]:
    outputs = []
    for key in entry.block():
        name, output = entry._replace(value=key).text(), entry.at(key)
        labels = tuple(label.text() for label in output.at("labels").items())
        index = output.at("node_index").whole()
        if index >= len(nodes):
            raise output.at("node_index").error(f"no node {index}; there are {len(nodes)}, counted from 0")
        _check_labels(labels, nodes[index].width, output)
        # of a 'sequence', which can be read in both ways, liblwtnn's `compute` gives the last step
        outputs.append(Output(name, labels, index, nodes[index].kind in ("input_sequence", "time_distributed")))
    if not outputs:
        raise entry.error("empty; a network needs at least one output")
    return tuple(outputs)


def _check_labels(labels: Sequence[str], width: int, entry: Entry) -> None:
    if len(labels) != width:
        raise entry.error(f"{len(labels)} labels for {width} values; name each of them")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise entry.error(f"the label '{twice}' is given twice, of which liblwtnn would lose one; rename it")


def _sequential(file: Entry, path: Path) -> Network:
    inputs, listed_layers, outputs = (file.at(key) for key in ("inputs", "layers", "outputs"))
    variables = _sequential_variables(file, inputs)
    layers = read_layers(listed_layers)
    recurrent = [layer for layer in layers if layer.architecture in RECURRENT]
    others = [layer for layer in layers if layer.architecture not in RECURRENT]
    if [*recurrent, *others] != layers:
        log.warning("%s: recurrent layers run before the others, as in liblwtnn, not in the order of the file", path)
    nodes = _chain(len(variables), recurrent, others, str(path))
    labels = tuple(label.text() for label in outputs.items())
    _check_labels(labels, nodes[-1].width, outputs)
    groups = (InputGroup(VARIABLES, variables, sequence=bool(recurrent)),)
    output = Output(SCORES, labels, len(nodes) - 1)
    return Network(path, "sequential", groups, tuple(nodes), tuple(range(len(nodes))), (output,))


def _sequential_variables(file: Entry, inputs: Entry) -> tuple[Variable, ...]:
    """Variables; the key ``defaults`` of the file, even an empty one, hides those of the single inputs."""
    entries = inputs.items()
    if not entries:
        raise inputs.error("empty; a network needs at least one variable")
    if "defaults" not in file:
        return _first_defaults([_variable(entry) for entry in entries])
    # liblwtnn does not look at a single input's default then
    without = [{key: value for key, value in entry.block().items() if key != "default"} for entry in entries]
    variables = [_variable(entry._replace(value=block)) for entry, block in zip(entries, without, strict=True)]
    given = file.at("defaults")
    defaults = {name: given.at(name).number() for name in given.block()}
    return tuple(variable._replace(default=defaults.get(variable.name)) for variable in variables)


def _chain(num_variables: int, recurrent: Sequence[FlatLayer], others: Sequence[FlatLayer], where: str) -> list[Node]:
    """Nodes one after the other."""
    for flat in others:
        if flat.architecture == "conv1d":
            raise NtuplemlError(f"{flat.where}: conv1d layers exist only in lwtnn's graph form; write the file in it")
    nodes = [Node("input_sequence" if recurrent else "input", (0,), None, num_variables)]
    for flat in (*recurrent, *others):
        sequence = flat.architecture in RECURRENT
        layer, width = shaped_layer(flat, nodes[-1].width, where, sequence=sequence)
        nodes.append(Node("sequence" if sequence else "feed_forward", (len(nodes) - 1,), layer, width))
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
