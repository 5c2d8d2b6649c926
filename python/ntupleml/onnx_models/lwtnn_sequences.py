"""lwtnn's layers on sequences as ONNX operators: recurrent ones, convolutions, sums, last steps.

All events are computed at once, padded to the longest sequence; what lies beyond an event's own length never reaches
its results. ONNX Runtime's own LSTM and GRU know no double precision, and lwtnn admits any activation function, so the
recurrence is a loop over the steps. Formulas: lwtnn's ``include/lwtnn/generic/Stack.tcc`` and ``Graph.tcc``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from onnx import TensorProto, helper

from ntupleml.lwtnn.network import Recurrent
from ntupleml.onnx_models.lwtnn_layers import activation_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.lwtnn.network import Activation, Convolution, SequenceLayer
    from ntupleml.onnx_models.graph import GraphBuilder

#: End of a slice that goes to the end.
_END = np.iinfo(np.int64).max


class SequenceValue(NamedTuple):
    """Names of the values of a sequence in a graph; always in double precision, with at least one step."""

    #: Events × steps × width; anything beyond an event's length.
    steps: str
    #: Number of steps of each event that count, int64, shape (events,).
    length: str


def sequence_input(graph: GraphBuilder, steps: str, length: str, least: int = 1) -> SequenceValue:
    """Clip lengths to the steps that are there; pad sequences that are too short with empty steps."""
    num_steps = graph.add("Shape", steps, start=1, end=2)
    lacking = graph.add("Sub", graph.constant([least], np.int64), num_steps)
    lacking = graph.add("Max", lacking, graph.constant([0], np.int64))
    nothing = graph.constant([0] * 4, np.int64)
    pads = graph.add("Concat", nothing, lacking, graph.constant([0], np.int64), axis=0)
    return SequenceValue(graph.add("Pad", steps, pads), graph.add("Min", length, num_steps))


def first_steps(graph: GraphBuilder, value: SequenceValue, number: int) -> SequenceValue:
    """The steps up to some number."""
    bounds = [graph.constant([bound], np.int64) for bound in (0, number, 1)]
    steps = graph.add("Slice", value.steps, *bounds)
    return SequenceValue(steps, graph.add("Min", value.length, graph.constant(number, np.int64)))


def counts(graph: GraphBuilder, value: SequenceValue) -> str:
    """Whether a step counts: bool, events × steps × 1."""
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    position = graph.add("Range", zero, _num_steps(graph, value), one)
    position = graph.add("Unsqueeze", position, graph.constant([1], np.int64))
    length = graph.add("Unsqueeze", value.length, graph.constant([1, 2], np.int64))
    return graph.add("Less", position, length)


def steps_without_rest(graph: GraphBuilder, value: SequenceValue, rest: float = 0.0) -> str:
    """The steps, with a number in all that do not count."""
    return graph.add("Where", counts(graph, value), value.steps, graph.constant(rest))


def sum_nodes(graph: GraphBuilder, value: SequenceValue) -> str:
    """Append the sum over the steps: events × width."""
    return graph.add("ReduceSum", steps_without_rest(graph, value), graph.constant([1], np.int64), keepdims=0)


def last_nodes(graph: GraphBuilder, value: SequenceValue) -> str:
    """Append the last step that counts, zeros for an event without any: events × width."""
    one, zero = graph.constant(1, np.int64), graph.constant(0, np.int64)
    index = graph.add("Max", graph.add("Sub", value.length, one), zero)
    index = graph.add("Unsqueeze", index, graph.constant([1], np.int64))
    last = graph.add("GatherND", value.steps, index, batch_dims=1)
    is_empty = graph.add("Less", value.length, one)
    is_empty = graph.add("Unsqueeze", is_empty, graph.constant([1], np.int64))
    return graph.add("Where", is_empty, graph.constant(0.0), last)


def step_output_nodes(graph: GraphBuilder, value: SequenceValue) -> str:
    """Append the steps as an output: as many as the event has that has most, zeros beyond those of an event."""
    longest = graph.add("Concat", value.length, graph.constant([0], np.int64), axis=0)
    longest = graph.add("ReduceMax", longest, axes=[0], keepdims=1)
    bounds = [graph.constant([0], np.int64), longest, graph.constant([1], np.int64)]
    return graph.add("Slice", steps_without_rest(graph, value), *bounds)


def sequence_layer_nodes(graph: GraphBuilder, value: SequenceValue, layer: SequenceLayer) -> SequenceValue:
    """Append a layer that turns a sequence into another."""
    if isinstance(layer, Recurrent):
        return SequenceValue(_recurrent(graph, value, layer), value.length)
    return _convolution(graph, value, layer)


def _convolution(graph: GraphBuilder, value: SequenceValue, layer: Convolution) -> SequenceValue:
    """One product of matrices: the steps that a kernel sees side by side, times the kernel.

    Without padding an event loses the span of the kernel from its length; an event shorter than the kernel becomes an
    empty sequence (liblwtnn allows only one step less than the kernel has, with the same result).
    """
    steps = steps_without_rest(graph, value)
    span, front = layer.span, layer.front
    if span:
        pads = graph.constant([0, front, 0, 0, span - front, 0], np.int64)
        steps = graph.add("Pad", steps, pads)
    num_outputs, num_inputs, kernel_size = layer.weights.shape
    seen = [_shifted(graph, steps, element * layer.dilation, span) for element in range(kernel_size)]
    side_by_side = graph.add("Concat", *seen, axis=2)
    kernel = layer.weights.transpose(2, 1, 0).reshape(kernel_size * num_inputs, num_outputs)
    result = graph.add("MatMul", side_by_side, graph.constant(kernel))
    result = graph.add("Add", result, graph.constant(layer.bias))
    length = value.length
    if layer.padding == "valid" and span:
        shortened = graph.add("Sub", length, graph.constant(span, np.int64))
        length = graph.add("Max", shortened, graph.constant(0, np.int64))
    if layer.activation.function == "softmax":  # of each output over the steps, not over the outputs
        result = steps_without_rest(graph, SequenceValue(result, length), rest=-np.inf)
    return SequenceValue(activation_nodes(graph, result, layer.activation, np.float64, axis=1), length)


def _shifted(graph: GraphBuilder, steps: str, start: int, span: int) -> str:
    """All steps but the first `start` and so many of the last that `span` are left out."""
    if span == 0:
        return steps
    end = _END if start == span else start - span
    bounds = [graph.constant([bound], np.int64) for bound in (start, end, 1)]
    return graph.add("Slice", steps, *bounds)


def _recurrent(graph: GraphBuilder, value: SequenceValue, layer: Recurrent) -> str:
    """Loop over the steps; what comes after an event's own steps is computed too, but never read.

    What the inputs give to the gates is one product for all steps, outside of the loop.
    """
    gates = list(layer.gates.values())
    width = len(gates[0].bias)
    weights = np.concatenate([gate.weights for gate in gates]).T
    inputs = graph.add("MatMul", value.steps, graph.constant(weights))
    inputs = graph.add("Add", inputs, graph.constant(np.concatenate([gate.bias for gate in gates])))
    inputs = graph.add("Transpose", inputs, perm=[1, 0, 2])

    body = graph.body()
    step, go_on, *states = (f"{body.prefix}{name}" for name in ("step", "go_on", "output", "cell"))
    before = states if layer.kind == "lstm" else states[:1]
    at_step = body.add("Gather", inputs, step, axis=0)
    after = _STEPS[layer.kind](body, at_step, before, layer)
    body_outputs = [body.add("Identity", go_on), *after, body.add("Identity", after[0])]

    state_type = (TensorProto.DOUBLE, ["events", width])
    types = [(TensorProto.BOOL, []), *[state_type] * len(after), state_type]
    loop = helper.make_graph(
        body.nodes,
        "steps",
        [
            helper.make_tensor_value_info(step, TensorProto.INT64, []),
            helper.make_tensor_value_info(go_on, TensorProto.BOOL, []),
            *[helper.make_tensor_value_info(name, *state_type) for name in before],
        ],
        [helper.make_tensor_value_info(name, *kind) for name, kind in zip(body_outputs, types, strict=True)],
    )
    results = [*[f"{name}_at_end" for name in before], f"{body.prefix}outputs"]
    start = [_num_steps(graph, value), "", *[_zeros(graph, value, width)] * len(before)]
    graph.nodes.append(helper.make_node("Loop", start, results, name=f"{body.prefix}loop", body=loop))
    return graph.add("Transpose", results[-1], perm=[1, 0, 2])


def _num_steps(graph: GraphBuilder, value: SequenceValue) -> str:
    return graph.add("Squeeze", graph.add("Shape", value.steps, start=1, end=2))


def _zeros(graph: GraphBuilder, value: SequenceValue, width: int) -> str:
    """Events × width."""
    shape = graph.add("Concat", graph.add("Shape", value.length), graph.constant([width], np.int64), axis=0)
    zero = helper.make_tensor("zero", TensorProto.DOUBLE, [1], [0.0])
    return graph.add("ConstantOfShape", shape, value=zero)


def _split(body: GraphBuilder, value: str, parts: int, width: int) -> list[str]:
    """Parts of equal width of the last axis."""
    bounds = [body.constant([part * width], np.int64) for part in range(parts + 1)]
    axis = body.constant([1], np.int64)
    return [body.add("Slice", value, start, end, axis) for start, end in pairwise(bounds)]


def _activated(body: GraphBuilder, values: Sequence[str], activation: Activation) -> list[str]:
    return [activation_nodes(body, value, activation, np.float64) for value in values]


def _lstm_step(body: GraphBuilder, at_step: str, before: Sequence[str], layer: Recurrent) -> list[str]:
    output, cell = before
    gates = list(layer.gates.values())
    recurrent = body.constant(np.concatenate([gate.recurrent for gate in gates]).T)
    sums = body.add("Add", at_step, body.add("MatMul", output, recurrent))
    *inner, candidate = _split(body, sums, 4, len(gates[0].bias))
    in_gate, forget, out_gate = _activated(body, inner, layer.inner_activation)
    (candidate,) = _activated(body, [candidate], layer.activation)
    new_cell = body.add("Add", body.add("Mul", forget, cell), body.add("Mul", in_gate, candidate))
    (shown,) = _activated(body, [new_cell], layer.activation)
    return [body.add("Mul", out_gate, shown), new_cell]


def _gru_step(body: GraphBuilder, at_step: str, before: Sequence[str], layer: Recurrent) -> list[str]:
    (output,) = before
    update, reset, candidate = layer.gates["z"], layer.gates["r"], layer.gates["h"]
    at_update, at_reset, at_candidate = _split(body, at_step, 3, len(update.bias))
    sums = [
        body.add("Add", at_gate, body.add("MatMul", output, body.constant(gate.recurrent.T)))
        for at_gate, gate in ((at_update, update), (at_reset, reset))
    ]
    stay, use = _activated(body, sums, layer.inner_activation)
    used = body.add("MatMul", body.add("Mul", use, output), body.constant(candidate.recurrent.T))
    (new,) = _activated(body, [body.add("Add", at_candidate, used)], layer.activation)
    move = body.add("Sub", body.constant(1.0), stay)
    return [body.add("Add", body.add("Mul", stay, output), body.add("Mul", move, new))]


def _simple_step(body: GraphBuilder, at_step: str, before: Sequence[str], layer: Recurrent) -> list[str]:
    recurrent = body.add("MatMul", before[0], body.constant(layer.gates["h"].recurrent.T))
    return _activated(body, [body.add("Add", at_step, recurrent)], layer.activation)


_STEPS = {"lstm": _lstm_step, "gru": _gru_step, "simplernn": _simple_step}
