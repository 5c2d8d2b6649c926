"""A walk through a Keras model: each of its layers becomes nodes of an lwtnn network, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.lwtnn.export_layers import convert_row_layer
from ntupleml.lwtnn.export_operations import constant_layers, convert_merging
from ntupleml.lwtnn.export_parts import activation_only, refuse
from ntupleml.lwtnn.export_sequences import convert_sequence_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

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
