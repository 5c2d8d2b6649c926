"""A Keras network and its preprocessing as one ONNX graph: raw variables in, scores out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.keras_layers import size_of
from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup, described
from ntupleml.onnx_models.contract import OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import OPSET, GraphBuilder
from ntupleml.onnx_models.keras_layers import LayerParts, layer_nodes
from ntupleml.onnx_models.lwtnn_sequences import SequenceValue, counts, sequence_input
from ntupleml.onnx_models.scaler_nodes import scaler_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from ntupleml.artifacts import KerasFile
    from ntupleml.artifacts.keras_layers import Shape
    from ntupleml.artifacts.keras_network import KerasNetwork
    from ntupleml.events.groups import InputGroup

log = logging.getLogger(__name__)


def keras_to_onnx(
    file: KerasFile,
    scalers: Mapping[str, Any],
    groups: Sequence[InputGroup],
    outputs: Sequence[str],
    *,
    target: TargetRecord | None = None,
    conditions: Sequence[str] = (),
    record_hash: str = "",
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Convert a Keras network with its preprocessing. Needs neither Keras nor TensorFlow.

    Parameters
    ----------
    file : KerasFile
        What `read_keras_file` gives, or `file_of_model` for a model in memory.
    scalers : mapping of str to scikit-learn scaler
        By the names of the groups.
    groups : sequence of InputGroup
        Raw inputs, each with what replaces its NaN and infinite values.
    outputs : sequence of str
        Names of the scores. A network with one output p, a probability, is one for two classes: the scores are
        (1 − p, p), so p is that of the second class.
    target : TargetRecord, optional
        What the network learnt, by default classes. Values get their units back. Of groups that it gives back, the
        score is the mean squared error per event, over what is there, in the scaled units.
    conditions : sequence of str
        Names of inputs that follow the variables of one group of numbers and are not scaled, such as one-hot eras.
    record_hash : str
        Hash of the training's record, for the metadata.
    opset : int
        ONNX operator set.

    Returns
    -------
    onnx.ModelProto
        Inputs, all raw, float32, by the names of the groups: numbers as events × variables (+ conditions), objects as
        events × steps × variables with their number as ``{name}_length`` (events, int64), images as events × η × φ ×
        channels. Output ``scores``: events × outputs, float32. The metadata property ``ntupleml`` is JSON:
        ``variables`` (per input), ``outputs``, ``classes``, ``conditions``, ``missing``, ``kind``, ``record_hash``;
        with objects or images also ``sequences``, ``images`` and ``inputs`` (all groups as in a config), and ``target``
        where it is not the classes.

    Raises
    ------
    NtuplemlError
        If the network's inputs and outputs do not fit the names, or a scaler is of another kind.
    """
    _check_inputs(file.network, groups, scalers, conditions)
    target = target or TargetRecord()
    _check_outputs(file.network, outputs, groups, target)
    graph = GraphBuilder(prefix="" if _is_matrix(groups) else "network/")
    prepared = _prepared(graph, file.network, groups, scalers, conditions)
    # a network of one matrix may call it as it likes
    taken = list(prepared.values()) if _is_matrix(groups) else [prepared[name] for name in file.network.input_names]
    given = network_nodes(graph, taken, file)
    if target.kind == "reconstruction":
        shapes = dict(zip(prepared, file.network.shapes, strict=False)) if _is_matrix(groups) else file.network.inputs
        _reconstruction_error(graph, given, prepared, target.groups, shapes)
    elif target.kind == "values":
        scaled = graph.add("Mul", given, graph.constant(target.scale, np.float32))
        graph.add("Add", scaled, graph.constant(target.mean, np.float32), output=OUTPUT)
    else:
        _scores(graph, given, file.network.num_outputs)
    result = contract_model(
        graph,
        {group.name: _graph_input(group, file.network, conditions) for group in groups},
        {OUTPUT: list(outputs)},
        classes=outputs,
        kind="keras",
        opset=opset,
        description={
            "conditions": list(conditions),
            "missing": groups[0].missing,
            "record_hash": record_hash,
            **_structure(groups),
            **({} if target.kind == "classes" else {"target": target.kind}),
        },
        doc="Scores of a Keras network from the raw variables; the preprocessing is inside.",
    )
    log.debug("converted the network to ONNX: %d nodes, %d bytes", len(graph.nodes), result.ByteSize())
    return result


def _is_matrix(groups: Sequence[InputGroup]) -> bool:
    """Whether the inputs are one group of numbers."""
    return len(groups) == 1 and groups[0].objects is None and groups[0].image is None


def _check_inputs(
    network: KerasNetwork, groups: Sequence[InputGroup], scalers: Mapping[str, Any], conditions: Sequence[str]
) -> None:
    """Refuse a network or scalers that do not fit the groups."""
    if _is_matrix(groups):
        (group,) = groups
        found, wanted = network.num_inputs, len(group.variables) + len(conditions)
        if found != wanted:
            raise NtuplemlError(
                f"{network.where}: takes {found} inputs per event, but there are {wanted} "
                f"({group.variables[0]}, …); train it with these variables"
            )
    else:
        expected = {name for group in groups for name in (group.name, *_mask_names(group, network))}
        different = sorted(expected ^ set(network.input_names))
        if different:
            where = "the network" if different[0] in expected else "the list of groups"
            raise NtuplemlError(
                f"{network.where}: input '{different[0]}' is missing in {where}; train it with these groups"
            )
        if conditions:
            raise NtuplemlError(f"{network.where}: conditions go with one group of numbers only")
    for group in groups:
        shape = network.shapes[0] if _is_matrix(groups) else network.inputs[group.name]
        axes = 3 if group.image is not None else 2 if group.objects is not None else 1
        columns = shape[-1] or 0 if group.image is not None else len(group.variables)
        if len(shape) != axes or shape[-1] != columns + (len(conditions) if axes == 1 else 0):
            raise NtuplemlError(
                f"{network.where}: its input '{group.name}' has the shape {shape}, which does not fit "
                f"{len(group.variables)} variables ({group.variables[0]}, …)"
            )
        if scalers[group.name].n_features_in_ != columns:
            raise NtuplemlError(
                f"the preprocessing is fitted to {scalers[group.name].n_features_in_} variables, but there are "
                f"{columns}"
            )


def _mask_names(group: InputGroup, network: KerasNetwork) -> list[str]:
    """Input that says which objects are there; a network of a fixed number of objects may do without."""
    mask = f"{group.name}_mask"
    is_fixed = mask not in network.inputs and None not in network.inputs.get(group.name, ())
    return [mask] if group.objects is not None and not is_fixed else []


def _check_outputs(
    network: KerasNetwork, outputs: Sequence[str], groups: Sequence[InputGroup], target: TargetRecord
) -> None:
    found, wanted = network.num_outputs, len(outputs)
    if target.kind == "reconstruction":
        shapes = [network.shapes[0]] if _is_matrix(groups) else [network.inputs[name] for name in target.groups]
        wanted = sum(size_of(shape) for shape in shapes)
        if found != wanted or any(None in shape for shape in shapes):
            raise NtuplemlError(f"{network.where}: gives back {found} numbers per event, but there are {wanted}")
    elif found != wanted and not (target.kind == "classes" and (found, wanted) == (1, 2)):
        raise NtuplemlError(f"{network.where}: gives {found} outputs per event, but there are {wanted} {target.kind}")


def _graph_input(group: InputGroup, network: KerasNetwork, conditions: Sequence[str]) -> GraphInput:
    image = [size or 0 for size in network.inputs[group.name]] if group.image is not None else ()
    return GraphInput([*group.variables, *conditions], sequence=group.objects is not None, image=image)


def _structure(groups: Sequence[InputGroup]) -> dict[str, Any]:
    """Which inputs are objects and which images, where there are any, and how all groups are filled."""
    sequences = [group.name for group in groups if group.objects is not None]
    images = [group.name for group in groups if group.image is not None]
    if not sequences and not images:
        return {}
    return {"sequences": sequences, "images": images, "inputs": described(groups)}


def _prepared(
    graph: GraphBuilder,
    network: KerasNetwork,
    groups: Sequence[InputGroup],
    scalers: Mapping[str, Any],
    conditions: Sequence[str],
) -> dict[str, str]:
    """Nodes from the raw inputs to what the network takes: each group under its name, and ``{name}_mask``."""
    prepared: dict[str, str] = {}
    for group in groups:
        scaler, values = scalers[group.name], group.name
        if group.objects is not None:
            prepared |= _objects(graph, group, scaler, network.inputs[group.name][0])
            continue
        if conditions:
            values, given = graph.split(values, [len(group.variables), len(conditions)])
        values = _scaled(graph, values, group, scaler)
        prepared[group.name] = graph.add("Concat", values, given, axis=1) if conditions else values
    return prepared


def _scaled(graph: GraphBuilder, values: str, group: InputGroup, scaler: Any) -> str:
    if group.missing is not None:
        values = graph.filled(values, group.missing, np.float32)
    return scaler_nodes(graph, values, scaler)


def _objects(graph: GraphBuilder, group: InputGroup, scaler: Any, length: int | None) -> dict[str, str]:
    """Scaled objects, zero where none is, and their mask; of a fixed number where the network takes that."""
    objects = sequence_input(graph, group.name, f"{group.name}_length", length or 1)
    if length is not None:
        bounds = [graph.constant([bound], np.int64) for bound in (0, length, 1)]
        objects = SequenceValue(
            graph.add("Slice", objects.steps, *bounds),
            graph.add("Min", objects.length, graph.constant(length, np.int64)),
        )
    filled = counts(graph, objects)
    scaled = _scaled(graph, objects.steps, group, scaler)
    scaled = graph.add("Where", filled, scaled, graph.constant(0, np.float32))
    mask = graph.cast(graph.add("Squeeze", filled, graph.constant([2], np.int64)), np.float32)
    return {group.name: scaled, f"{group.name}_mask": mask}


def _scores(graph: GraphBuilder, network_output: str, num_outputs: int) -> None:
    if num_outputs > 1:
        graph.add("Identity", network_output, output=OUTPUT)
        return
    other = graph.add("Sub", graph.constant(1.0, np.float32), network_output)
    graph.add("Concat", other, network_output, output=OUTPUT, axis=1)


def _reconstruction_error(
    graph: GraphBuilder, given: str, wanted: Mapping[str, str], names: Sequence[str], shapes: Mapping[str, Shape]
) -> None:
    """Mean squared error over what is there, 0 where nothing is."""
    sizes = [size_of(shapes[name]) for name in names]
    parts = graph.split(given, sizes) if len(names) > 1 else [given]
    sums, numbers = [], []
    one = graph.constant([1], np.int64)
    for name, part, size in zip(names, parts, sizes, strict=True):
        flat = graph.add("Reshape", wanted[name], graph.constant([0, size], np.int64))
        difference = graph.add("Sub", part, flat)
        squares = graph.add("Mul", difference, difference)
        if f"{name}_mask" not in wanted:
            sums.append(graph.add("ReduceSum", squares, one, keepdims=1))
            numbers.append(graph.constant([size], np.float32))
            continue
        length, width = (part or 0 for part in shapes[name])
        squares = graph.add("Reshape", squares, graph.constant([0, length, width], np.int64))
        each = graph.add("ReduceSum", squares, graph.constant([2], np.int64), keepdims=0)
        mask = wanted[f"{name}_mask"]
        sums.append(graph.add("ReduceSum", graph.add("Mul", each, mask), one, keepdims=1))
        filled = graph.add("ReduceSum", mask, one, keepdims=1)
        numbers.append(graph.add("Mul", filled, graph.constant(width, np.float32)))
    number = graph.add("Max", graph.add("Sum", *numbers), graph.constant(1, np.float32))
    graph.add("Div", graph.add("Sum", *sums), number, output=OUTPUT)


def network_nodes(graph: GraphBuilder, inputs: Sequence[str], file: KerasFile) -> str:
    """Append the bare network.

    Parameters
    ----------
    inputs : sequence of str
        What the network takes, in the order of its inputs, float32.

    Returns
    -------
    str
        Name of its output, events × outputs, float32.
    """
    network = file.network
    values = dict(enumerate(inputs))
    values |= {number: graph.constant([one], np.float32) for number, one in network.constants.items()}
    for call in network.calls:
        layer = call.layer
        parts = LayerParts(layer.settings, file.weights[layer.names], network.shapes[call.inputs[0]])
        values[call.output] = layer_nodes(graph, layer.kind, [values[number] for number in call.inputs], parts)
    return values[network.output]
