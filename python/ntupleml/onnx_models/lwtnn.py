"""A network in one of lwtnn's JSON formats as an ONNX graph: raw variables in, scores out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from onnx import helper

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn import read_network
from ntupleml.lwtnn.network import Convolution, Dense, Normalization, ObjectList, Recurrent
from ntupleml.lwtnn.reading import SCORES
from ntupleml.onnx_models.contract import GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.lwtnn_layers import layer_nodes, scaled_nodes
from ntupleml.onnx_models.lwtnn_sequences import (
    SequenceValue,
    first_steps,
    last_nodes,
    sequence_input,
    sequence_layer_nodes,
    step_output_nodes,
    steps_without_rest,
    sum_nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import onnx

    from ntupleml.lwtnn.network import InputGroup, Network, Node, Output

log = logging.getLogger(__name__)

#: Which raw values the defaults of the variables stand for: NaN, as liblwtnn's NanReplacer does unless told otherwise;
#: NaN and infinities, its ``rep::all``; or none, as where the caller of liblwtnn uses no NanReplacer.
Replaced = Literal["nan", "nan_and_infinities", "nothing"]


#: Networks of fewer weights cost little more in double precision than in single.
_FEW_WEIGHTS = 4096


class _Value(NamedTuple):
    """What a node of the network is in the graph: rows, or a sequence of rows."""

    rows: str | None
    sequence: SequenceValue | None


def lwtnn_to_onnx(
    path: str | Path,
    dtype: type[np.generic] = np.float32,
    output: str | None = None,
    *,
    replaced: Replaced = "nan",
) -> onnx.ModelProto:
    """Convert a network in one of lwtnn's JSON formats.

    Parameters
    ----------
    path : str or Path
        JSON file of the sequential or the graph form.
    dtype : type
        float32 or float64, of inputs and outputs. With float32 only large networks of dense layers are computed in
        single precision, after inputs are scaled in double; all others in double throughout.
    output : str, optional
        Name of the one output that is wanted, of a network with several; default: all of them.
    replaced : str
        Raw values that a variable's default replaces, where it has one: ``"nan"``, ``"nan_and_infinities"`` or
        ``"nothing"``.

    Returns
    -------
    onnx.ModelProto
        Inputs: events × variables, named ``variables`` for the sequential form and as in the file for the graph form;
        a sequence ``name`` is events × steps × variables, with ``name_length`` (int64) steps per event, and what it
        holds beyond them does not matter. An event without any step gives the last step zeros, as liblwtnn's graphs
        do. Output: ``scores``, events × labels, or several under their own names. An output with values for each
        step, as `LightweightGraph::scan` gives, is events × steps × labels, with as many steps as the event has that
        has most, and ``{output}_length`` (int64) says how many of them are the event's own. The metadata property
        ``ntupleml`` is JSON: ``variables`` (per input), ``sequences``, ``outputs``, ``step_outputs``, ``labels`` (per
        output), ``classes`` (all labels), ``defaults`` (per input and variable), ``replaced``, ``form``, ``kind``.

    Raises
    ------
    NtuplemlError
        If the file is not one that liblwtnn would evaluate, or has no such output.
    ValueError
        If `dtype` or `replaced` is none of those above.
    """
    if dtype not in (np.float32, np.float64) or replaced not in get_args(Replaced):
        raise ValueError(f"dtype {dtype}, replaced {replaced!r}")
    network = read_network(path)
    outputs = _chosen(network, output)
    names = [group.name for group in network.groups] + [one.name for one in outputs]
    graph = GraphBuilder(prefix=_safe_prefix([*names, SCORES]))
    try:
        _network_nodes(graph, network, outputs, dtype, replaced)
    except NtuplemlError as error:
        raise NtuplemlError(f"{path}: {error}") from None
    model = contract_model(
        graph,
        {group.name: GraphInput([one.name for one in group.variables], group.sequence) for group in network.groups},
        {one.name: list(one.labels) for one in outputs},
        step_outputs=[one.name for one in outputs if one.per_step],
        classes=[label for one in outputs for label in one.labels],
        kind="lwtnn",
        dtype=dtype,
        description=_description(network, outputs, replaced),
        doc="Scores of a network from an lwtnn file, from the raw variables.",
    )
    log.info("converted %s to ONNX: %d nodes, %d bytes", path, len(graph.nodes), model.ByteSize())
    return model


def _chosen(network: Network, output: str | None) -> list[Output]:
    """The outputs of the graph, by their names in it: a single one is called ``scores``."""
    names = [one.name for one in network.outputs]
    if output is not None and output not in names:
        raise NtuplemlError(f"{network.path}: no output '{output}'{did_you_mean(output, names)}")
    chosen = [one for one in network.outputs if output in (None, one.name)]
    return [chosen[0]._replace(name=SCORES)] if len(chosen) == 1 else chosen


def _description(network: Network, outputs: list[Output], replaced: Replaced) -> dict[str, Any]:
    defaults = {
        group.name: {one.name: one.default for one in group.variables if one.default is not None}
        for group in network.groups
    }
    return {
        **_inputs(network),
        "sequences": [group.name for group in network.groups if group.sequence],
        "step_outputs": [one.name for one in outputs if one.per_step],
        "labels": {one.name: list(one.labels) for one in outputs},
        "defaults": {name: values for name, values in defaults.items() if values},
        "replaced": replaced,
        "form": network.form,
        "record_hash": "",
    }


def _inputs(network: Network) -> dict[str, Any]:
    """Groups as a training config describes them, where the file says which objects are its steps."""
    if all(group.objects is None for group in network.groups):
        return {}
    described: dict[str, Any] = {}
    for group in network.groups:
        names = [one.name for one in group.variables]
        chosen = (group.objects or ObjectList())._asdict() if group.sequence else {}
        given = {key: value for key, value in chosen.items() if value and key != "filled"}
        described[group.name] = {"objects" if group.sequence else "numbers": names, **given}
    return {"inputs": described}


def _network_nodes(
    graph: GraphBuilder, network: Network, outputs: list[Output], dtype: type[np.generic], replaced: Replaced
) -> None:
    """All nodes that the outputs need."""
    precision = _precision(network, dtype)
    needed = _needed(network, [one.node for one in outputs])
    values: dict[int, _Value] = {}
    for index in network.order:
        if index not in needed:
            continue
        node = network.nodes[index]
        if node.kind in ("input", "input_sequence"):
            values[index] = _input(graph, network.groups[node.sources[0]], precision, replaced)
        else:
            values[index] = _computed(graph, node, [values[source] for source in node.sources], precision)
    for one in outputs:
        if one.per_step:
            sequence = _sequence(values[one.node])
            graph.add("Identity", sequence.length, output=f"{one.name}_length")
            rows = step_output_nodes(graph, sequence)
        else:
            rows = _rows(graph, values[one.node])
        if precision == dtype:
            graph.add("Identity", rows, output=one.name)
        else:
            graph.add("Cast", rows, output=one.name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _precision(network: Network, dtype: type[np.generic]) -> type[np.generic]:
    """Type of numbers inside: single only for large networks of dense layers, whose speed matters most.

    The others cost little in double precision, or would lose more than 1e-6 of a score in single.
    """
    layers = [node.layer for node in network.nodes]
    is_dense = all(layer is None or isinstance(layer, Dense | Normalization) for layer in layers)
    has_sequences = any(group.sequence for group in network.groups)
    fast = dtype == np.float32 and is_dense and not has_sequences and network.num_weights >= _FEW_WEIGHTS
    return np.float32 if fast else np.float64


def _needed(network: Network, wanted: list[int]) -> set[int]:
    """Nodes that the wanted ones depend on, these included."""
    needed: set[int] = set()
    while wanted:
        index = wanted.pop()
        if index not in needed:
            needed.add(index)
            node = network.nodes[index]
            wanted += node.sources if node.kind not in ("input", "input_sequence") else ()
    return needed


def _input(graph: GraphBuilder, group: InputGroup, precision: type[np.generic], replaced: Replaced) -> _Value:
    """Scaled inputs; in single precision the subtraction of a large offset would lose the digits that matter."""
    value = graph.cast(group.name, np.float64)
    value = _replacement(graph, value, group, replaced)
    offsets = np.array([one.offset for one in group.variables])
    scales = np.array([one.scale for one in group.variables])
    if group.sequence:
        value = scaled_nodes(graph, graph.add("Add", value, graph.constant(offsets)), scales, np.float64)
        return _Value(None, _steps(graph, value, group))
    if len(scales) == 1:
        value = scaled_nodes(graph, graph.add("Add", value, graph.constant(offsets)), scales, np.float64)
        return _Value(value if precision == np.float64 else graph.cast(value, precision), None)
    # One number for a long row of events is much faster in ONNX Runtime than a short row of numbers for each event.
    value = graph.add("Transpose", value, perm=[1, 0])
    value = graph.add("Add", value, graph.constant(offsets[:, np.newaxis]))
    value = graph.add("Mul", value, graph.constant(scales[:, np.newaxis]))
    value = value if precision == np.float64 else graph.cast(value, precision)
    return _Value(graph.add("Transpose", value, perm=[1, 0]), None)


def _steps(graph: GraphBuilder, scaled: str, group: InputGroup) -> SequenceValue:
    """The steps of a sequence, cut and filled with zeros where the file says so."""
    most = group.objects.length if group.objects is not None else None
    value = sequence_input(graph, scaled, f"{group.name}_length", most or 1)
    if group.objects is None or most is None:
        return value
    value = first_steps(graph, value, most)
    if not group.objects.filled:
        return value
    return SequenceValue(
        steps_without_rest(graph, value), graph.add("Max", value.length, graph.constant(most, np.int64))
    )


def _replacement(graph: GraphBuilder, value: str, group: InputGroup, replaced: Replaced) -> str:
    has_default = [one.default is not None for one in group.variables]
    if replaced == "nothing" or not any(has_default):
        return value
    is_lost = graph.add("IsNaN", value)
    if replaced == "nan_and_infinities":
        is_lost = graph.add("Or", is_lost, graph.add("IsInf", value))
    is_lost = graph.add("And", is_lost, graph.constant(has_default, np.bool_))
    defaults = graph.constant([one.default or 0.0 for one in group.variables])
    return graph.add("Where", is_lost, defaults, value)


def _computed(graph: GraphBuilder, node: Node, sources: list[_Value], precision: type[np.generic]) -> _Value:
    if isinstance(node.layer, Recurrent | Convolution):
        return _Value(None, sequence_layer_nodes(graph, _sequence(sources[0]), node.layer))
    if node.kind == "sum":
        return _Value(sum_nodes(graph, _sequence(sources[0])), None)
    if node.kind == "time_distributed":
        sequence = _sequence(sources[0])
        assert node.layer is not None
        steps = layer_nodes(graph, sequence.steps, node.layer, np.float64, sequence=True)
        return _Value(None, sequence._replace(steps=steps))
    rows = [_rows(graph, source) for source in sources]
    if node.kind == "concatenate":
        return _Value(graph.add("Concat", *rows, axis=1), None)
    if node.kind == "add":
        return _Value(graph.add("Sum", *rows), None)
    assert node.layer is not None
    return _Value(layer_nodes(graph, rows[0], node.layer, precision), None)


def _sequence(value: _Value) -> SequenceValue:
    assert value.sequence is not None
    return value.sequence


def _rows(graph: GraphBuilder, value: _Value) -> str:
    """The rows of a node; of a sequence, its last steps."""
    return last_nodes(graph, _sequence(value)) if value.rows is None else value.rows


def _safe_prefix(names: Iterable[str]) -> str:
    """A prefix that none of the given names begins with."""
    prefix = "network/"
    taken = list(names)
    while any(name.startswith(prefix) for name in taken):
        prefix = "_" + prefix
    return prefix
