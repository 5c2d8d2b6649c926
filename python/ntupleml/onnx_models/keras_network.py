"""A Keras network and its preprocessing as one ONNX graph: raw variables in, scores out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import OPSET, GraphBuilder
from ntupleml.onnx_models.keras_layers import LayerParts, layer_nodes
from ntupleml.onnx_models.scaler_nodes import scaler_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from ntupleml.artifacts import KerasFile

log = logging.getLogger(__name__)


def keras_to_onnx(
    file: KerasFile,
    scaler: Any,
    variables: Sequence[str],
    classes: Sequence[str],
    *,
    missing: float | None = None,
    conditions: Sequence[str] = (),
    record_hash: str = "",
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Convert a Keras network with its preprocessing. Needs neither Keras nor TensorFlow.

    Parameters
    ----------
    file : KerasFile
        What `read_keras_file` gives, or `file_of_model` for a model in memory.
    scaler : scikit-learn scaler
        Fitted to the variables.
    variables : sequence of str
        Names of the raw variables.
    classes : sequence of str
        Names of the scores. A network with one output p, a probability, is one for two classes: the scores are
        (1 − p, p), so p is that of the second class.
    missing : float, optional
        Value that replaces NaN and infinite variables before they are scaled.
    conditions : sequence of str
        Names of inputs that follow the variables and are not scaled, such as the one-hot eras.
    record_hash : str
        Hash of the training's record, for the metadata.
    opset : int
        ONNX operator set.

    Returns
    -------
    onnx.ModelProto
        Input ``variables``: events × (variables + conditions), float32. Output ``scores``: events × classes,
        float32. The metadata property ``ntupleml`` is JSON: ``variables`` (per input), ``outputs``, ``classes``,
        ``conditions``, ``missing``, ``kind``, ``record_hash``.

    Raises
    ------
    NtuplemlError
        If the network's numbers of inputs and outputs do not fit the names, or the scaler is of another kind.
    """
    num_inputs = len(variables) + len(conditions)
    _check_shapes(file, scaler, num_inputs, variables, classes)
    graph = GraphBuilder()
    prepared = _preparation(graph, scaler, len(variables), missing, num_conditions=len(conditions))
    _scores(graph, network_nodes(graph, prepared, file), file.network.num_outputs)
    result = contract_model(
        graph,
        {INPUT: GraphInput([*variables, *conditions])},
        {OUTPUT: list(classes)},
        classes=classes,
        kind="keras",
        opset=opset,
        description={"conditions": list(conditions), "missing": missing, "record_hash": record_hash},
        doc="Scores of a Keras network from the raw variables; the preprocessing is inside.",
    )
    log.debug("converted the network to ONNX: %d nodes, %d bytes", len(graph.nodes), result.ByteSize())
    return result


def _check_shapes(
    file: KerasFile, scaler: Any, num_inputs: int, variables: Sequence[str], classes: Sequence[str]
) -> None:
    """Refuse a network whose inputs and outputs do not fit the names."""
    network = file.network
    if network.num_inputs != num_inputs:
        raise NtuplemlError(
            f"{network.where}: takes {network.num_inputs} inputs per event, but there are {num_inputs} "
            f"({variables[0]}, …); train it with these variables"
        )
    if scaler.n_features_in_ != len(variables):
        raise NtuplemlError(
            f"the preprocessing is fitted to {scaler.n_features_in_} variables, but there are {len(variables)}"
        )
    if network.num_outputs != len(classes) and not (network.num_outputs == 1 and len(classes) == 2):
        raise NtuplemlError(
            f"{network.where}: gives {network.num_outputs} outputs per event, but there are {len(classes)} classes"
        )


def _preparation(
    graph: GraphBuilder, scaler: Any, num_variables: int, missing: float | None, *, num_conditions: int
) -> str:
    """Nodes from the raw input to what the network takes."""
    values = INPUT
    if num_conditions:
        values, given = graph.split(INPUT, [num_variables, num_conditions])
    if missing is not None:
        values = graph.filled(values, missing, np.float32)
    values = scaler_nodes(graph, values, scaler)
    return graph.add("Concat", values, given, axis=1) if num_conditions else values


def _scores(graph: GraphBuilder, network_output: str, num_outputs: int) -> None:
    if num_outputs > 1:
        graph.add("Identity", network_output, output=OUTPUT)
        return
    other = graph.add("Sub", graph.constant(1.0, np.float32), network_output)
    graph.add("Concat", other, network_output, output=OUTPUT, axis=1)


def network_nodes(graph: GraphBuilder, value: str, file: KerasFile) -> str:
    """Append the bare network.

    Parameters
    ----------
    graph : GraphBuilder
    value : str
        What the network takes: events × inputs, float32.
    file : KerasFile

    Returns
    -------
    str
        Name of its output, events × outputs, float32.
    """
    network = file.network
    values = {0: value}
    values |= {number: graph.constant([one], np.float32) for number, one in network.constants.items()}
    for call in network.calls:
        layer = call.layer
        parts = LayerParts(layer.settings, file.weights[layer.names], network.shapes[call.inputs[0]][0])
        values[call.output] = layer_nodes(graph, layer.kind, [values[number] for number in call.inputs], parts)
    return values[network.output]
