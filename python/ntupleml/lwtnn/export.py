"""Keras models in lwtnn's JSON formats, exactly or not at all, and scikit-learn's scalers as its offsets and scales."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.lwtnn.export_forms import Form, graph_form, pruned, sequential_form, why_not_sequential
from ntupleml.lwtnn.export_parts import MASK, NetworkBuilder, activation_only
from ntupleml.lwtnn.export_tracing import graph_of, trace
from ntupleml.lwtnn.network import ObjectList, Variable
from ntupleml.lwtnn.reading import SCORES, VARIABLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.lwtnn.export_parts import Value

#: Variables of one input; a name alone stands for a variable that enters as it is.
Variables: TypeAlias = Sequence[Variable | str]


def keras_to_lwtnn(
    model: Any,
    inputs: Variables | Mapping[str, Variables],
    outputs: Sequence[str] | Mapping[str, Sequence[str]],
    form: Form = "auto",
    *,
    complement: bool = False,
    masks: Collection[str] = (),
    objects: Mapping[str, ObjectList] | None = None,
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
    masks : collection of str
        Inputs of the model that say which steps of a sequence there are; the file has none of them.
    objects : mapping of str to ObjectList, optional
        Which objects are the steps, by the names of sequences; liblwtnn leaves it to its caller.
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
    if form not in get_args(Form):
        raise ValueError(f"form {form!r}")
    graph = graph_of(model)
    given = [tensor.name for tensor in graph.inputs if tensor.name not in masks]
    groups = _matched(inputs, given, VARIABLES, "inputs")
    labels = _matched(outputs, list(graph.output_names), SCORES, "outputs")
    variables = {name: [_variable(one) for one in group] for name, group in groups.items()}
    builder = NetworkBuilder()
    values = _input_values(builder, graph.inputs, variables, masks)
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
        return graph_form(network, places, variables, labels, remarks, objects or {})
    (one_group,), (one_list,) = variables.values(), labels.values()
    return sequential_form(network, one_group, one_list, remarks)


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
    builder: NetworkBuilder, tensors: Sequence[Any], variables: Mapping[str, Sequence[Variable]], masks: Collection[str]
) -> list[Value]:
    values: list[Value] = []
    named = iter(variables.items())
    numbers = {True: count(), False: count()}
    for tensor in tensors:
        if tensor.name in masks:
            values.append(MASK)
            continue
        name, group = next(named)
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
        values.append(builder.input(next(numbers[sequence]), shape[-1], sequence))
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


def scaled_variables(
    scaler: Any, variables: Sequence[str], *, conditions: Sequence[str] = (), missing: float | None = None
) -> list[Variable]:
    """Inputs of a network with their preprocessing, as lwtnn applies it: (x + offset) · scale.

    Parameters
    ----------
    scaler : scikit-learn scaler
        `StandardScaler`, `RobustScaler`, `MinMaxScaler` or `MaxAbsScaler`, fitted to the variables.
    conditions : sequence of str
        Names of inputs that follow the variables and are not scaled.
    missing : float, optional
        Value that replaces variables that are NaN; it becomes their default.

    Raises
    ------
    NtuplemlError
        If the scaler is of another kind, clips, or is fitted to another number of variables.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> scaled_variables(StandardScaler().fit([[1.0], [5.0]]), ["x"])
    [Variable(name='x', offset=-3.0, scale=0.5, default=None)]
    """
    if scaler.n_features_in_ != len(variables):
        raise NtuplemlError(
            f"the preprocessing is fitted to {scaler.n_features_in_} variables, but there are {len(variables)}"
        )
    offsets, scales = _offsets_and_scales(scaler)
    default = None if missing is None else float(np.float32(missing))  # as single as the inputs that it stands for
    scaled = zip(variables, offsets.tolist(), scales.tolist(), strict=True)
    return [*(Variable(*one, default) for one in scaled), *(Variable(name, 0.0, 1.0) for name in conditions)]


def _offsets_and_scales(scaler: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kind = type(scaler).__name__
    zeros, ones = np.zeros(scaler.n_features_in_), np.ones(scaler.n_features_in_)
    if kind == "StandardScaler":
        offsets = -scaler.mean_ if scaler.with_mean else zeros
        return offsets, 1 / scaler.scale_ if scaler.with_std else ones
    if kind == "RobustScaler":
        offsets = -scaler.center_ if scaler.with_centering else zeros
        return offsets, 1 / scaler.scale_ if scaler.with_scaling else ones
    if kind == "MaxAbsScaler":
        return zeros, 1 / scaler.scale_
    if kind == "MinMaxScaler" and not scaler.clip:
        return scaler.min_ / scaler.scale_, scaler.scale_
    reason = "clips its results" if kind == "MinMaxScaler" else "is not linear, as far as is known"
    raise NtuplemlError(
        f"preprocessing by a {kind} has no lwtnn form: it {reason}, but lwtnn shifts and scales; train with "
        "standard_scaler, robust_scaler, min_max_scaler or identity"
    )
