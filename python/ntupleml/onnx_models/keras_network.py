"""A Keras network and its preprocessing as one ONNX graph: raw variables in, scores out."""

from __future__ import annotations

import logging
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import OPSET, GraphBuilder
from ntupleml.onnx_models.scaler_nodes import scaler_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger(__name__)

_PREFIX = "network/"


def keras_to_onnx(
    model: Any,
    scaler: Any,
    variables: Sequence[str],
    classes: Sequence[str],
    *,
    missing: float | None = None,
    conditions: Sequence[str] = (),
    record_hash: str = "",
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Convert a Keras network with its preprocessing.

    Parameters
    ----------
    model : keras.Model
        A network with one matrix as input and one as output.
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
    num_outputs = _check_shapes(model, scaler, num_inputs, variables, classes)
    network = network_graph(model, num_inputs, opset)

    graph = GraphBuilder()
    prepared = _preparation(graph, scaler, len(variables), missing, num_conditions=len(conditions))
    graph.add("Identity", prepared, output=network.input[0].name)
    graph.nodes.extend(network.node)
    _scores(graph, network.output[0].name, num_outputs)

    graph.constants.extend(network.initializer)

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


def _check_shapes(model: Any, scaler: Any, num_inputs: int, variables: Sequence[str], classes: Sequence[str]) -> int:
    """Number of outputs of a network whose inputs and outputs fit the names."""
    if not isinstance(model.input_shape, tuple) or len(model.input_shape) != 2 or model.input_shape[1] != num_inputs:
        raise NtuplemlError(
            f"the network takes an input of shape {model.input_shape}, but there are {num_inputs} inputs per event "
            f"({variables[0]}, …); train it with these variables"
        )
    if scaler.n_features_in_ != len(variables):
        raise NtuplemlError(
            f"the preprocessing is fitted to {scaler.n_features_in_} variables, but there are {len(variables)}"
        )
    shape = model.output_shape
    num_outputs = shape[1] if isinstance(shape, tuple) and len(shape) == 2 else None
    if num_outputs != len(classes) and not (num_outputs == 1 and len(classes) == 2):
        raise NtuplemlError(f"the network gives an output of shape {shape}, but there are {len(classes)} classes")
    return int(num_outputs)


def _preparation(
    graph: GraphBuilder, scaler: Any, num_variables: int, missing: float | None, *, num_conditions: int
) -> str:
    """Nodes from the raw input to what the network takes."""
    values = INPUT
    if num_conditions:
        sizes = graph.constant([num_variables, num_conditions], np.int64)
        graph.nodes.append(helper.make_node("Split", [INPUT, sizes], ["raw", "conditions"], axis=1))
        values = "raw"
    if missing is not None:
        values = graph.filled(values, missing, np.float32)
    values = scaler_nodes(graph, values, scaler)
    return graph.add("Concat", values, "conditions", axis=1) if num_conditions else values


def _scores(graph: GraphBuilder, network_output: str, num_outputs: int) -> None:
    if num_outputs > 1:
        graph.add("Identity", network_output, output=OUTPUT)
        return
    other = graph.add("Sub", graph.constant(1.0, np.float32), network_output)
    graph.add("Concat", other, network_output, output=OUTPUT, axis=1)


def network_graph(model: Any, num_inputs: int, opset: int) -> onnx.GraphProto:
    """The bare network as ONNX, every name with a prefix."""
    model(np.zeros((1, num_inputs), dtype=np.float32))  # Keras exports only what has been called
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        model.export(path, format="onnx", verbose=False, opset_version=opset)
        network = onnx.load(path)
    if len(network.graph.input) != 1 or len(network.graph.output) != 1:
        raise NtuplemlError(
            f"the network has {len(network.graph.input)} inputs and {len(network.graph.output)} outputs; one of each "
            "is needed"
        )
    return onnx.compose.add_prefix(network, _PREFIX).graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what tf2onnx and TensorFlow log during a conversion; their errors are exceptions."""
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in ("tf2onnx", "tensorflow", "absl")}
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
