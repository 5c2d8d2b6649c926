"""A walk through a Keras model: each of its layers becomes nodes of an lwtnn network, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.lwtnn.export_layers import Activation, activation_of, convert_row_layer
from ntupleml.lwtnn.export_operations import constant_layers, convert_masked, convert_merging
from ntupleml.lwtnn.export_parts import ActivationEntry, LayerEntry, activation_only, array, flat, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.lwtnn.export_parts import NetworkBuilder, Value


_REASONS = {
    "Bidirectional": "lwtnn reads sequences forwards only",
    "Dot": "lwtnn cannot multiply two values of an event",
    "Embedding": "liblwtnn's embedding is right only for the last variable; give the network one-hot categories",
    "GlobalAveragePooling1D": "lwtnn has the sum over steps (keras.ops.sum(x, axis=1)), but not the mean",
    "GlobalMaxPooling1D": "lwtnn has the sum over steps, but not the largest",
    "GroupNormalization": "lwtnn has no mean over the values of an event",
    "Lambda": "its code cannot be written to a file",
    "LayerNormalization": "lwtnn has no mean over the values of an event",
    "Masking": "lwtnn has no masks; it is given sequences without padding, so leave the layer out",
    "Multiply": "lwtnn cannot multiply two values of an event",
    "NotEqual": "lwtnn compares no values; where it comes from a Masking layer, leave that out",
    "UnitNormalization": "lwtnn has no division",
}
#: Operations (`keras.ops`) of one input that are one of lwtnn's functions.
_OPERATIONS = {"Abs": "abs", "Absolute": "abs", "Relu": "rectified", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def graph_of(model: Any) -> Any:
    """The graph of a model: with `inputs`, `outputs`, `output_names` and nodes by depth.

    Models with code of their own, and those that have not been built, have none and are refused.
    """
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth") or not _is_of_keras(model):
        kind = type(model).__name__
        raise NtuplemlError(
            f"model '{one_line(getattr(model, 'name', kind), 100)}' ({kind}) cannot be exported: it is neither a "
            "Sequential nor a functional model of Keras, or has not been built; give it an Input"
        )
    return graph


def taken_inputs(model: Any) -> set[str]:
    """Names of the inputs of a model that one of its layers takes."""
    graph = graph_of(model)
    taken = {id(tensor) for nodes in graph._nodes_by_depth.values() for node in nodes for tensor in node.input_tensors}
    return {tensor.name for tensor in graph.inputs if id(tensor) in taken}


def _is_of_keras(operation: Any) -> bool:
    return type(operation).__module__.startswith("keras.")


def trace(model: Any, values: Sequence[Value], builder: NetworkBuilder) -> list[Value]:
    """Append what a model, sequential or functional, computes of the values of its inputs, and return its outputs.

    Raises
    ------
    NtuplemlError
        Naming the first layer that lwtnn cannot represent, and the reason.
    """
    graph = graph_of(model)
    known = {id(tensor): value for tensor, value in zip(graph.inputs, values, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input or any(id(tensor) in known for tensor in node.output_tensors):
                continue
            _refuse_arguments(node)
            values = [known[id(tensor)] for tensor in node.input_tensors]
            found = _with_constants(node, values, builder) or _converted(node.operation, values, builder)
            known.update({id(tensor): value for tensor, value in zip(node.output_tensors, found, strict=True)})
    return [known[id(tensor)] for tensor in graph.outputs]


def _refuse_arguments(node: Any) -> None:
    """Layers called with more than their inputs: with a mask, an initial state, or as if in training."""
    operation, arguments = node.operation, dict(node.arguments.kwargs)
    arguments.update({f"argument {index}": value for index, value in enumerate(node.arguments.args) if index > 0})
    if hasattr(operation, "inputs") and any(isinstance(value, dict) for value in node.arguments.args):
        refuse(operation, "it is called with a dict of inputs; call it with a list in their order")
    if not hasattr(operation, "trainable_variables"):
        return  # an operation: what it is called with is its parameters
    for key, value in arguments.items():
        if key not in ("inputs", "sequence", "sequences") and not _is_default(value):
            refuse(operation, f"it is called with {key}={one_line(value, 60)}")


def _is_default(value: Any) -> bool:
    """Whether an argument says nothing; models of several inputs are called with a mask of None for each."""
    if isinstance(value, list | tuple):
        return all(_is_default(one) for one in value)
    return value is None or value is False


def _with_constants(node: Any, values: list[Value], builder: NetworkBuilder) -> list[Value] | None:
    """Arithmetic of one value with constants, which are arguments of the operation; None if it is something else."""
    operation, key = node.operation, (node.operation, "constants")
    if len(values) != 1 or not _is_of_keras(operation):
        return None
    (value,) = values
    layers = constant_layers(operation, node.arguments.args, value)
    return None if layers is None else [builder.chain(value, layers, value.width, key)]


def _converted(operation: Any, values: list[Value], builder: NetworkBuilder) -> list[Value]:
    name = type(operation).__name__
    if any(value.is_mask for value in values):
        return [convert_masked(operation, values, builder)]
    if not _is_of_keras(operation):
        refuse(operation, "it is a class of your own, whose code cannot be written to a file")
    if getattr(operation, "compute_dtype", "float32") not in ("float32", "float64"):
        refuse(operation, f"it computes in {operation.compute_dtype}; lwtnn computes in double precision")
    if hasattr(operation, "_nodes_by_depth") or getattr(operation, "_functional", None) is not None:
        return trace(operation, values, builder)
    merged = convert_merging(operation, values, builder)
    if merged is not None:
        return [merged]
    if len(values) == 1 and name in _OPERATIONS and not hasattr(operation, "trainable_variables"):
        (value,) = values
        return [builder.chain(value, [activation_only(_OPERATIONS[name])], value.width, name)]
    if len(values) != 1 or not hasattr(operation, "trainable_variables"):
        refuse(operation, _REASONS.get(name, "there is no such node"))
    return [_single(operation, values[0], builder)]


def _single(layer: Any, value: Value, builder: NetworkBuilder) -> Value:
    """A layer of one input."""
    name = type(layer).__name__
    if name == "TimeDistributed":
        return _time_distributed(layer, value, builder)
    row = convert_row_layer(layer, value.width, value.rank)
    if row is not None:
        return builder.chain(value, row.layers, row.width, (layer, value.rank, value.width))
    converted = convert_sequence_layer(layer)
    if converted is None:
        refuse(layer, _REASONS.get(name, "there is no such layer"))
    result = builder.sequence(value, converted.layer, converted.width, (layer, "sequence"))
    result = builder.chain(result, converted.after, converted.width, (layer, "after"))
    return result if converted.returns_sequence else result._replace(sequence=False)


def _time_distributed(layer: Any, value: Value, builder: NetworkBuilder) -> Value:
    steps = value._replace(distributed=True)
    (result,) = _converted(layer.layer, [steps], builder)
    return result._replace(distributed=False)


class ConvertedSequence(NamedTuple):
    """A Keras layer on sequences in lwtnn's form."""

    #: For a node of type `sequence`.
    layer: LayerEntry
    #: What follows it, at each step.
    after: list[LayerEntry]
    width: int
    #: Whether Keras gives all steps, or the last one.
    returns_sequence: bool


def convert_sequence_layer(layer: Any) -> ConvertedSequence | None:
    """A recurrent layer or a convolution; None if the layer is another one. Refused where lwtnn has not its like."""
    name = type(layer).__name__
    return _CONVERTERS[name](layer) if name in _CONVERTERS else None


#: lwtnn's letters of the gates in the order of Keras' columns.
_GATES = {"LSTM": "ifco", "GRU": "zrh", "SimpleRNN": "h"}


def _recurrent(layer: Any) -> ConvertedSequence:
    name = type(layer).__name__
    _refuse_options(layer)
    gates = _GATES[name]
    kernel, recurrent = (array(layer, values) for values in (layer.cell.kernel, layer.cell.recurrent_kernel))
    bias = array(layer, layer.cell.bias) if layer.use_bias else np.zeros(kernel.shape[1])
    components = {
        gate: {"weights": flat(weights.T), "U": flat(matrix.T), "bias": flat(offset)}
        for gate, weights, matrix, offset in zip(
            gates, *(np.split(values, len(gates), axis=-1) for values in (kernel, recurrent, bias)), strict=True
        )
    }
    result = {
        "architecture": name.lower(),
        "components": components,
        "activation": _inside(layer, layer.activation, "activation"),
    }
    if name != "SimpleRNN":
        result["inner_activation"] = _inside(layer, layer.recurrent_activation, "recurrent_activation")
    return ConvertedSequence(result, [], recurrent.shape[0], bool(layer.return_sequences))


def _refuse_options(layer: Any) -> None:
    if layer.go_backwards:
        refuse(layer, "go_backwards=True: lwtnn reads sequences forwards only")
    if getattr(layer, "reset_after", False):
        refuse(
            layer,
            "reset_after=True (Keras' default) applies the reset gate after the recurrent matrix, lwtnn before it; "
            "train with GRU(…, reset_after=False)",
        )
    if layer.stateful:
        refuse(layer, "stateful=True: lwtnn begins each event anew")
    if layer.return_state:
        refuse(layer, "return_state=True: lwtnn gives no states")


def _inside(layer: Any, function: Any, key: str) -> ActivationEntry:
    """An activation inside the recurrence, which must be a single function."""
    activation = activation_of(layer, function, int(layer.units))
    if activation.after or activation.mixes:
        name = getattr(function, "__name__", type(function).__name__)
        refuse(layer, f"{key} '{name}' is not one of lwtnn's functions, of which a recurrence takes a single one")
    return activation.function


def _convolution(layer: Any) -> ConvertedSequence:
    for key, wanted in (("strides", 1), ("groups", 1), ("data_format", "channels_last")):
        value = getattr(layer, key)
        value = value[0] if isinstance(value, tuple) else value
        if value != wanted:
            refuse(layer, f"{key}={value}: lwtnn has only {wanted}")
    kernel = array(layer, layer.kernel)  # steps × inputs × outputs
    dilation = int(layer.dilation_rate[0])
    if layer.padding == "same" and (len(kernel) - 1) * dilation % 2:
        kernel, dilation = _odd_kernel(kernel, dilation), 1
    width = kernel.shape[2]
    activation = activation_of(layer, layer.activation, width, rank=3)
    if activation.mixes:  # lwtnn would take the softmax over the steps
        activation = Activation("linear", tuple(activation.as_layers()))
    result = {
        "architecture": "conv1d",
        "weights": flat(kernel.T),
        "bias": flat(array(layer, layer.bias) if layer.use_bias else np.zeros(width)),
        "padding": layer.padding,
        "dilation_rate": dilation,
        "activation": activation.function,
    }
    return ConvertedSequence(result, list(activation.after), width, returns_sequence=True)


def _odd_kernel(kernel: NDArray[np.float64], dilation: int) -> NDArray[np.float64]:
    """The same kernel with a zero in front, and the gaps of its dilation filled with zeros.

    Where a kernel reaches over an odd number of steps, Keras puts the smaller half of the padding in front, lwtnn the
    larger one; a kernel with one more step in front sees the same numbers with equal halves.
    """
    spread = np.zeros((1 + (len(kernel) - 1) * dilation, *kernel.shape[1:]))
    spread[::dilation] = kernel
    return np.concatenate([np.zeros((1, *kernel.shape[1:])), spread])


_CONVERTERS: dict[str, Callable[[Any], ConvertedSequence]] = {
    "Conv1D": _convolution,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "SimpleRNN": _recurrent,
}
