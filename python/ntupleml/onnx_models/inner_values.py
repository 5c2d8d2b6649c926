"""What happens inside the graph of a network: values between its nodes as outputs, and its weights as inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
from onnx import TensorProto, helper, numpy_helper

from ntupleml.onnx_models.sessions import new_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

#: Events that are evaluated at a time.
_BATCH_SIZE = 500
#: Inputs of operators that are weights, and their axis of the nodes (filters, units) that these belong to.
_WEIGHTS = {"Gemm": {1: -1}, "MatMul": {1: -1}, "Conv": {1: 0}, "LSTM": {1: 1, 2: 1}, "GRU": {1: 1, 2: 1}}


class Attention(NamedTuple):
    """A value of a graph that is attention."""

    name: str
    #: Inputs of the graph that it is made from.
    inputs: tuple[str, ...]
    #: Whether there are empty slots among what is looked at.
    is_masked: bool
    #: Whether what looks is made from inputs, in place of being learnt.
    has_queries_of_inputs: bool


class Weight(NamedTuple):
    """A matrix of weights."""

    values: NDArray[np.float32]
    #: Each place along it is one node of the layer.
    axis: int


def attention_values(graph: onnx.ModelProto) -> list[Attention]:
    """Attention, events × heads × queries × keys, in the order of the network.

    It is what is made positive and 1 in sum, and then multiplied with values that are no weights.
    """
    constants = {one.name for one in graph.graph.initializer}
    used = {node.input[0] for node in graph.graph.node if node.op_type == "MatMul" and node.input[1] not in constants}
    return [
        _attention(graph, node) for node in graph.graph.node if node.op_type == "Softmax" and node.output[0] in used
    ]


def _attention(graph: onnx.ModelProto, softmax: onnx.NodeProto) -> Attention:
    """Queries times keys, with a bias and a mask where there are any."""
    makers = _makers(graph)
    node, is_masked = makers.get(softmax.input[0]), False
    while node is not None and node.op_type in ("Add", "Where"):
        is_masked |= node.op_type == "Where"
        node = makers.get(node.input[1 if node.op_type == "Where" else 0])
    of_inputs = node is None or bool(_inputs_behind(graph, node.input[0]))
    return Attention(softmax.output[0], _inputs_behind(graph, softmax.output[0]), is_masked, of_inputs)


def _makers(graph: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.graph.node for name in node.output}


def before_last_layer(graph: onnx.ModelProto) -> str | None:
    """Name of what the last layer with weights takes; None where there is none."""
    constants = {one.name for one in graph.graph.initializer}
    for node in reversed(graph.graph.node):
        if node.op_type in ("Gemm", "MatMul") and node.input[1] in constants:
            return str(node.input[0])
    return None


def _inputs_behind(graph: onnx.ModelProto, value: str) -> tuple[str, ...]:
    """Inputs whose values count, not their number of events alone."""
    makers = _makers(graph)
    inputs, found, waiting = [one.name for one in graph.graph.input], {value}, [value]
    while waiting:
        node = makers.get(waiting.pop())
        new = set(node.input) - found if node is not None and node.op_type != "Shape" else set()
        found |= new
        waiting += new
    return tuple(name for name in inputs if name in found)


def inner_values(
    graph: onnx.ModelProto, names: Sequence[str], batch: Mapping[str, NDArray[Any]]
) -> list[dict[str, NDArray[Any]]]:
    """Values between the nodes by their names, batch by batch.

    Parameters
    ----------
    names : sequence of str
        Of values of the graph.
    batch : mapping of str to array
        Inputs of the graph.
    """
    extended = onnx.ModelProto()
    extended.CopyFrom(graph)
    known = {one.name for one in graph.graph.output}
    for name in dict.fromkeys(names):
        if name not in known:
            extended.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return list(in_batches(new_session(extended.SerializeToString()), names, batch))


def in_batches(
    session: Any,
    names: Sequence[str],
    batch: Mapping[str, NDArray[Any]],
    others: Mapping[str, NDArray[Any]] | None = None,
) -> Iterator[dict[str, NDArray[Any]]]:
    """Outputs of a session by their names, for some events at a time; other inputs are the same for all."""
    number = len(next(iter(batch.values())))
    for start in range(0, number, _BATCH_SIZE):
        given = {name: values[start : start + _BATCH_SIZE] for name, values in batch.items()}
        yield dict(zip(names, session.run(list(names), given | dict(others or {})), strict=True))


def weights_as_inputs(graph: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, Weight]]:
    """The graph that takes its matrices of weights as further inputs, and what they are; no biases."""
    arrays = {one.name: one for one in graph.graph.initializer if one.data_type == TensorProto.FLOAT}
    weights: dict[str, Weight] = {}
    for node in graph.graph.node:
        for place, axis in _WEIGHTS.get(node.op_type, {}).items():
            name = node.input[place]
            if name in arrays and len(arrays[name].dims) > 1:
                weights[name] = Weight(numpy_helper.to_array(arrays[name]), axis)
    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    for name, weight in weights.items():
        opened.graph.initializer.remove(arrays[name])
        opened.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, weight.values.shape))
    return opened, weights
