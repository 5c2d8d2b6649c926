"""Keras models in lwtnn's JSON formats, exactly or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn.export_graph import FORMS, Form, NetworkBuilder, pruned, sequential_layers, why_not_sequential
from ntupleml.lwtnn.export_parts import activation_only
from ntupleml.lwtnn.export_tracing import graph_of, trace
from ntupleml.lwtnn.network import Variable
from ntupleml.lwtnn.reading import SCORES, VARIABLES

if TYPE_CHECKING:
    from ntupleml.lwtnn.export_graph import Value

#: Variables of one input; a name alone stands for a variable that enters as it is.
Variables: TypeAlias = Sequence[Variable | str]


def keras_to_lwtnn(
    model: Any,
    inputs: Variables | Mapping[str, Variables],
    outputs: Sequence[str] | Mapping[str, Sequence[str]],
    form: Form = "auto",
    *,
    complement: bool = False,
    miscellaneous: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Describe a Keras model as an lwtnn file does.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional. Inputs have the shape (events, variables) or, for sequences, (events, steps,
        variables). Nothing of the model is changed.
    inputs : sequence of Variable or str, or mapping of str to such sequences
        Variables with what is done to them before the network: it sees (x + offset) · scale. A mapping has one
        sequence for each input of the model, by its name.
    outputs : sequence of str, or mapping of str to sequence of str
        Labels of the scores. A mapping has one sequence for each output of the model, by the name of its last layer.
    form : {"auto", "sequential", "graph"}
        lwtnn's form of the file; auto is sequential where the network allows it and neither its input nor its output
        has a name.
    complement : bool, default: False
        Whether a single output p is to be written as two, 1 − p and p.
    miscellaneous : mapping of str to str, optional
        Remarks for the file.

    Returns
    -------
    dict
        Ready for `json.dumps`; all numbers are finite.

    Raises
    ------
    NtuplemlError
        If a layer has no exact lwtnn form (naming it, with the reason), the model cannot be written in the form asked
        for, the names do not fit the model, or an offset, scale or default is not finite.
    ValueError
        If there is no such form.

    Notes
    -----
    Numbers are those of Keras in double precision, so that liblwtnn's scores differ from those of Keras by what Keras
    loses in single precision, some 1e-7. Format: lwtnn's ``src/parse_json.cxx``.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r}")
    graph = graph_of(model)
    groups = _matched(inputs, [tensor.name for tensor in graph.inputs], VARIABLES, "inputs")
    labels = _matched(outputs, list(graph.output_names), SCORES, "outputs")
    variables = {name: [_variable(one) for one in group] for name, group in groups.items()}
    builder = NetworkBuilder()
    values = _input_values(builder, graph.inputs, variables)
    results = [
        _as_rows(builder, value, name) for value, name in zip(trace(model, values, builder), labels, strict=True)
    ]
    if complement:
        results = [_complement(builder, value) for value in results]
    for value, (name, names) in zip(results, labels.items(), strict=True):
        _check_labels(names, value.width, name)
    network, places = pruned(builder, [value.node for value in results])
    reason = why_not_sequential(network, len(results))
    if form == "sequential" and reason is not None:
        raise NtuplemlError(f"the network has no sequential form: {reason}; write it with --form graph")
    remarks = {str(key): str(value) for key, value in (miscellaneous or {}).items()}
    named = isinstance(inputs, Mapping) or isinstance(outputs, Mapping)  # names that only the graph form has
    if form == "graph" or reason is not None or (form == "auto" and named):
        return _graph_form(network, places, variables, labels, remarks)
    (one_group,), (one_list,) = variables.values(), labels.values()
    return _sequential_form(network, one_group, one_list, remarks)


def _matched(given: Any, names: list[str], single: str, what: str) -> dict[str, list[Any]]:
    """Lists of names by input or output, in the order of the model."""
    if not isinstance(given, Mapping):
        if len(names) != 1:
            raise NtuplemlError(
                f"the model has {len(names)} {what} ('{', '.join(names)}'), but one list is given; give one for each, "
                "by its name"
            )
        return {single: list(given)}
    if len(names) == 1 and len(given) == 1:
        return {name: list(values) for name, values in given.items()}
    for name in given:
        if name not in names:
            raise NtuplemlError(f"the model has no {what} '{name}'{did_you_mean(name, names)}")
    for name in names:
        if name not in given:
            raise NtuplemlError(f"no list is given for '{name}' of the {what}{did_you_mean(name, given)}")
    if len(set(names)) < len(names):
        raise NtuplemlError(f"two {what} of the model are called the same ('{', '.join(names)}'); rename the layers")
    return {name: list(given[name]) for name in names}


def _variable(one: Variable | str) -> Variable:
    variable = Variable(one, 0.0, 1.0) if isinstance(one, str) else one
    for key, number in zip(variable._fields[1:], variable[1:], strict=True):
        if number is not None and not math.isfinite(number):
            raise NtuplemlError(f"variable '{variable.name}': its {key} is {number}; lwtnn's files hold finite numbers")
    return variable


def _input_values(
    builder: NetworkBuilder, tensors: Sequence[Any], variables: Mapping[str, Sequence[Variable]]
) -> list[Value]:
    values: list[Value] = []
    for tensor, (name, group) in zip(tensors, variables.items(), strict=True):
        if tensor.dtype not in ("float32", "float64"):
            raise NtuplemlError(
                f"input '{tensor.name}' is of type {tensor.dtype}, to which Keras rounds the variables, but lwtnn does "
                "not; give the Input the dtype float32"
            )
        shape = tuple(tensor.shape)[1:]
        if len(shape) not in (1, 2) or shape[-1] is None:
            raise NtuplemlError(
                f"input '{name}' has the shape {(None, *shape)}; lwtnn takes rows (events × variables) and sequences "
                "(events × steps × variables)"
            )
        if len(group) != shape[-1]:
            raise NtuplemlError(f"input '{name}' takes {shape[-1]} variables, but {len(group)} are named")
        sequence = len(shape) == 2
        index = sum(value.sequence == sequence for value in values)
        values.append(builder.input(index, shape[-1], sequence))
    return values


def _as_rows(builder: NetworkBuilder, value: Value, name: str) -> Value:
    """An output, which lwtnn wants as a row that some layer computes."""
    if value.sequence:
        raise NtuplemlError(f"output '{name}' is a sequence; what is exported gives one row of scores per event")
    if builder.nodes[value.node]["type"] in ("input", "input_sequence"):
        return builder.chain(value, [activation_only("linear")], value.width, "unchanged")
    return value


def _complement(builder: NetworkBuilder, value: Value) -> Value:
    """(1 − p, p) of a single score p, as a layer of its own."""
    if value.width != 1:
        raise NtuplemlError(f"the network gives {value.width} scores; only a single one has a complement")
    layer = {"architecture": "dense", "weights": [-1.0, 1.0], "bias": [1.0, 0.0], "activation": "linear"}
    return builder.chain(value, [layer], 2, "complement")


def _check_labels(labels: Sequence[str], width: int, name: str) -> None:
    """Liblwtnn does not check their number, and reads beyond its values where there are too many."""
    if len(labels) != width:
        raise NtuplemlError(f"output '{name}' gives {width} values, but {len(labels)} labels are given; name each")
    twice = next((label for label in labels if list(labels).count(label) > 1), None)
    if twice is not None:
        raise NtuplemlError(f"output '{name}': the label '{twice}' is given twice; liblwtnn would lose one of them")


def _entry(variable: Variable, *, with_default: bool) -> dict[str, Any]:
    entry = {"name": variable.name, "offset": float(variable.offset), "scale": float(variable.scale)}
    if with_default and variable.default is not None:
        entry["default"] = float(variable.default)
    return entry


def _sequential_form(
    network: NetworkBuilder, variables: Sequence[Variable], labels: Sequence[str], remarks: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "inputs": [_entry(one, with_default=False) for one in variables],
        "layers": sequential_layers(network),
        "outputs": list(labels),
        "defaults": {one.name: float(one.default) for one in variables if one.default is not None},
        "miscellaneous": dict(remarks),
    }


def _graph_form(
    network: NetworkBuilder,
    places: Sequence[int],
    variables: Mapping[str, Sequence[Variable]],
    labels: Mapping[str, Sequence[str]],
    remarks: Mapping[str, str],
) -> dict[str, Any]:
    kinds = [node["type"] for node in network.nodes if node["type"] in ("input", "input_sequence")]
    groups = {
        kind: [
            {"name": name, "variables": [_entry(one, with_default=True) for one in group]}
            for (name, group), found in zip(variables.items(), kinds, strict=True)
            if found == kind
        ]
        for kind in ("input", "input_sequence")
    }
    return {
        "inputs": groups["input"],
        "input_sequences": groups["input_sequence"],
        "nodes": network.nodes,
        "layers": network.layers,
        "outputs": {
            name: {"labels": list(names), "node_index": place}
            for (name, names), place in zip(labels.items(), places, strict=True)
        },
        "miscellaneous": dict(remarks),
    }
