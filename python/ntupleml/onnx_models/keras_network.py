"""A Keras network and its preprocessing as one ONNX graph: raw variables in, scores out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.keras_shapes import size_of
from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup, described
from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.making import FeatureMaker
from ntupleml.features.slots import COLUMNS, SlotMaker
from ntupleml.onnx_models.contract import OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.features import combination_nodes, feature_nodes, raw_objects
from ntupleml.onnx_models.folding import fold_normalisations
from ntupleml.onnx_models.graph import OPSET, GraphBuilder
from ntupleml.onnx_models.keras_layers import layer_nodes
from ntupleml.onnx_models.layer_parts import LayerParts
from ntupleml.onnx_models.reconstruction import reconstruction_nodes, size_given_back
from ntupleml.onnx_models.scaler_nodes import scaler_nodes
from ntupleml.onnx_models.slots import slot_nodes
from ntupleml.onnx_models.target_nodes import image_nodes, in_units
from ntupleml.targets import IMAGE_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from ntupleml.artifacts import KerasFile
    from ntupleml.artifacts.keras_network import KerasNetwork
    from ntupleml.artifacts.keras_shapes import Shape
    from ntupleml.features.makers import Makers
    from ntupleml.onnx_models.features import RawObjects

log = logging.getLogger(__name__)


def keras_to_onnx(
    file: KerasFile,
    scalers: Mapping[str, Any],
    groups: Sequence[InputGroup],
    outputs: Sequence[str],
    *,
    target: TargetRecord | None = None,
    makers: Makers | None = None,
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
        error is the mean squared one per event, over what is there, in the scaled units; scores of its latent layer
        may stand beside it. Of an image the first scores are its missing transverse energy.
    makers : mapping of str to maker, optional
        What makes features of the raw columns of objects, by the names of the groups that the network gets, see
        `ntupleml.events.groups.makers_of`.
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
        channels. Output ``scores``: events × outputs, float32; with an image that was learnt also
        ``predicted_image``, events × η × φ. The metadata property ``ntupleml`` is JSON:
        ``variables`` (per input), ``outputs``, ``classes``, ``conditions``, ``missing``, ``kind``, ``record_hash``;
        with objects or images also ``sequences``, ``images`` and ``inputs`` (all groups as in a config), and ``target``
        where it is not the classes.

    Raises
    ------
    NtuplemlError
        If the network's inputs and outputs do not fit the names, or a scaler is of another kind.
    """
    makers = makers or {}
    _check_inputs(file.network, groups, scalers, makers, conditions)
    target, is_matrix = target or TargetRecord(), _is_matrix(groups, makers)
    _check_outputs(file.network, outputs, target, is_matrix=is_matrix)
    graph = GraphBuilder(prefix="" if is_matrix and not groups[0].slots else "network/")
    prepared = _prepared(graph, file.network, groups, scalers, makers, conditions)
    # a network of one matrix may call it as it likes
    taken = list(prepared.values()) if is_matrix else [prepared[name] for name in file.network.input_names]
    given = network_nodes(graph, taken, file)
    if target.kind == "reconstruction":
        shapes = file.network.inputs
        if is_matrix:
            shapes = dict(zip(prepared, file.network.shapes, strict=False))
        reconstruction_nodes(graph, given, prepared, target, shapes)
    elif target.image is not None:
        image_nodes(graph, given, target, target.image)
    elif target.kind == "values":
        in_units(graph, given, target, output=OUTPUT)
    else:
        _scores(graph, given, file.network.num_outputs)
    fold_normalisations(graph)
    result = contract_model(
        graph,
        {group.name: _graph_input(group, file.network, conditions) for group in groups},
        {OUTPUT: list(outputs)},
        images={} if target.image is None else {IMAGE_OUTPUT: target.image.bins},
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


def _is_matrix(groups: Sequence[InputGroup], makers: Makers) -> bool:
    """Whether the inputs are one group of numbers."""
    return len(groups) == 1 and not _has_objects(groups[0], makers) and groups[0].image is None


def _has_objects(group: InputGroup, makers: Makers) -> bool:
    """Whether the network gets a group as objects with a mask."""
    maker = makers.get(group.name)
    return not maker.flat if isinstance(maker, SlotMaker) else group.objects is not None


def _check_inputs(
    network: KerasNetwork,
    groups: Sequence[InputGroup],
    scalers: Mapping[str, Any],
    makers: Makers,
    conditions: Sequence[str],
) -> None:
    """Refuse a network or scalers that do not fit the groups."""
    if _is_matrix(groups, makers):
        (group,) = groups
        maker = makers.get(group.name)
        number = maker.number if isinstance(maker, SlotMaker) else len(group.variables)
        found, wanted = network.num_inputs, number + len(conditions)
        if found != wanted:
            raise NtuplemlError(
                f"{network.where}: takes {found} inputs per event, but there are {wanted} "
                f"({group.variables[0]}, …); train it with these variables"
            )
    else:
        expected = {name for group in groups for name in (group.name, *_more_names(group, network, makers))}
        expected |= {name for name, maker in makers.items() if isinstance(maker, CombinationMaker)}
        different = sorted(expected ^ set(network.input_names))
        if different:
            where = "the network" if different[0] in expected else "the list of groups"
            raise NtuplemlError(
                f"{network.where}: input '{different[0]}' is missing in {where}; train it with these groups"
            )
        if conditions:
            raise NtuplemlError(f"{network.where}: conditions go with one group of numbers only")
    for group in groups:
        shape = network.shapes[0] if _is_matrix(groups, makers) else network.inputs[group.name]
        axes = 3 if group.image is not None else 2 if _has_objects(group, makers) else 1
        columns = list(makers[group.name].columns if group.name in makers else group.variables)
        width = shape[-1] or 0 if group.image is not None else len(columns)
        _check_shape(network, group.name, shape, axes, columns, width + (len(conditions) if axes == 1 else 0))
        maker = makers.get(group.name)
        _check_scaler(scalers[group.name], maker.number if isinstance(maker, SlotMaker) else width)
    for name, maker in makers.items():
        if isinstance(maker, CombinationMaker):
            _check_shape(network, name, network.inputs[name], 1, maker.columns, len(maker.columns))
            _check_scaler(scalers[name], len(maker.columns))


def _check_shape(network: KerasNetwork, name: str, shape: Shape, axes: int, columns: Sequence[str], width: int) -> None:
    if len(shape) != axes or shape[-1] != width:
        raise NtuplemlError(
            f"{network.where}: its input '{name}' has the shape {shape}, which does not fit {len(columns)} variables "
            f"({columns[0]}, …)"
        )


def _check_scaler(scaler: Any, width: int) -> None:
    if scaler.n_features_in_ != width:
        raise NtuplemlError(f"the preprocessing is fitted to {scaler.n_features_in_} variables, but there are {width}")


def _more_names(group: InputGroup, network: KerasNetwork, makers: Makers) -> list[str]:
    """Inputs beside the objects: which of them are there, if their number is not fixed, and their four-vectors."""
    mask, vectors = f"{group.name}_mask", f"{group.name}_vectors"
    is_fixed = mask not in network.inputs and None not in network.inputs.get(group.name, ())
    masks = [mask] if _has_objects(group, makers) and not is_fixed else []
    return masks + ([vectors] if vectors in network.inputs and group.name in makers else [])


def _check_outputs(network: KerasNetwork, outputs: Sequence[str], target: TargetRecord, *, is_matrix: bool) -> None:
    found, wanted = network.num_outputs, len(outputs)
    if target.kind == "reconstruction":
        shapes = {name: network.shapes[0] if is_matrix else network.inputs[name] for name in target.groups}
        wanted = sum(size_given_back(name, shape, target) for name, shape in shapes.items()) + sum(target.latent_sizes)
        if found != wanted or any(None in shape for shape in shapes.values()):
            raise NtuplemlError(f"{network.where}: gives back {found} numbers per event, but there are {wanted}")
    elif target.image is not None:
        wanted = size_of(target.image.bins) + len(target.values)
        if found != wanted:
            raise NtuplemlError(
                f"{network.where}: gives {found} numbers per event, but there are {wanted} pixels and values"
            )
    elif found != wanted and not (target.kind == "classes" and (found, wanted) == (1, 2)):
        raise NtuplemlError(f"{network.where}: gives {found} outputs per event, but there are {wanted} {target.kind}")


def _graph_input(group: InputGroup, network: KerasNetwork, conditions: Sequence[str]) -> GraphInput:
    image: Sequence[int] = ()
    if group.slots:
        image = [group.num_slots, len(COLUMNS)]
    elif group.image is not None:
        image = [size or 0 for size in network.inputs[group.name]]
    return GraphInput([*group.variables, *conditions], sequence=group.objects is not None, image=image)


def _structure(groups: Sequence[InputGroup]) -> dict[str, Any]:
    """Which inputs are objects and which images, where there are any (or slots), and how all groups are filled."""
    sequences = [group.name for group in groups if group.objects is not None]
    images = [group.name for group in groups if group.image is not None]
    if not sequences and not images and not any(group.slots for group in groups):
        return {}
    return {"sequences": sequences, "images": images, "inputs": described(groups)}


def _prepared(
    graph: GraphBuilder,
    network: KerasNetwork,
    groups: Sequence[InputGroup],
    scalers: Mapping[str, Any],
    makers: Makers,
    conditions: Sequence[str],
) -> dict[str, str]:
    """Nodes from the raw inputs to what the network takes: groups by their names, ``{name}_mask``, ``_vectors``."""
    prepared: dict[str, str] = {}
    objects: dict[str, RawObjects] = {}
    for group in groups:
        scaler, values, maker = scalers[group.name], group.name, makers.get(group.name)
        if isinstance(maker, SlotMaker):
            prepared |= slot_nodes(graph, group.name, maker, scaler)
            continue
        if group.objects is not None:
            objects[group.name] = raw_objects(graph, group, network.inputs[group.name][0])
            vectors = f"{group.name}_vectors" in network.inputs
            prepared |= _scaled_objects(graph, group.name, objects[group.name], scaler, maker, vectors)
            continue
        if conditions:
            values, given = graph.split(values, [len(group.variables), len(conditions)])
        values = _scaled(graph, values, group, scaler)
        prepared[group.name] = graph.add("Concat", values, given, axis=1) if conditions else values
    for name, maker in makers.items():
        if isinstance(maker, CombinationMaker):
            prepared[name] = scaler_nodes(graph, combination_nodes(graph, maker, objects[maker.of]), scalers[name])
    return prepared


def _scaled(graph: GraphBuilder, values: str, group: InputGroup, scaler: Any) -> str:
    if group.missing is not None:
        values = graph.filled(values, group.missing, np.float32)
    return scaler_nodes(graph, values, scaler)


def _scaled_objects(
    graph: GraphBuilder,
    name: str,
    objects: RawObjects,
    scaler: Any,
    maker: FeatureMaker | CombinationMaker | None,
    vectors: bool,
) -> dict[str, str]:
    """Scaled objects or features of them, zero where no object is, their mask, and their four-vectors if asked for."""
    values, zero = objects.values, graph.constant(0, np.float32)
    prepared = {}
    if isinstance(maker, FeatureMaker):
        if vectors:
            found = feature_nodes(graph, maker.vectors, objects)
            prepared[f"{name}_vectors"] = graph.add("Where", objects.filled, found, zero)
        values = feature_nodes(graph, maker.make, objects)
    scaled = scaler_nodes(graph, values, scaler)
    mask = graph.cast(graph.add("Squeeze", objects.filled, graph.constant([2], np.int64)), np.float32)
    return {name: graph.add("Where", objects.filled, scaled, zero), f"{name}_mask": mask, **prepared}


def _scores(graph: GraphBuilder, network_output: str, num_outputs: int) -> None:
    if num_outputs > 1:
        graph.add("Identity", network_output, output=OUTPUT)
        return
    other = graph.add("Sub", graph.constant(1.0, np.float32), network_output)
    graph.add("Concat", other, network_output, output=OUTPUT, axis=1)


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
        parts = LayerParts(layer.settings, file.weights[layer.names], [network.shapes[one] for one in call.inputs])
        values[call.output] = layer_nodes(graph, layer.kind, [values[number] for number in call.inputs], parts)
    return values[network.output]
