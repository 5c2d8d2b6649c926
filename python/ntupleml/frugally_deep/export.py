"""A Keras network and its preprocessing as one network of frugally-deep: raw variables in, scores out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.frugally_deep.architecture import Architecture, Value
from ntupleml.frugally_deep.export_layers import Call, affine, converted, masked
from ntupleml.frugally_deep.layers import encoded
from ntupleml.frugally_deep.reading import REMARKS
from ntupleml.lwtnn.export import scaled_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile
    from ntupleml.artifacts.keras_network import KerasNetwork
    from ntupleml.artifacts.keras_shapes import Shape
    from ntupleml.events.groups import InputGroup


def keras_to_frugally_deep(
    file: KerasFile,
    outputs: Sequence[str],
    groups: Sequence[InputGroup] = (),
    scalers: Mapping[str, Any] | None = None,
    *,
    target: TargetRecord | None = None,
    conditions: Sequence[str] = (),
    remarks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a Keras network as a file of frugally-deep does. Needs neither Keras nor TensorFlow.

    Parameters
    ----------
    file : KerasFile
        What `read_keras_file` gives, or `file_of_model` for a model in memory.
    outputs : sequence of str
        Names of the scores. Of a network with one output p the scores are (1 − p, p) where two are named.
    groups : sequence of InputGroup
        Raw inputs, in the order that the file gets. Left out: those of the network, as it takes them.
    scalers : mapping of str to scikit-learn scaler
        By the names of the groups.
    target : TargetRecord, optional
        What the network learnt, by default classes. Values get their units back.
    conditions : sequence of str
        Names of inputs that follow the variables of one group of numbers and are not scaled.
    remarks : mapping, optional
        More for the key ``ntupleml`` of the file, which frugally-deep reads past.

    Returns
    -------
    dict
        Ready for `json.dumps`. Inputs are, in the order of the groups, each group under its name, and behind objects
        their mask, ``{name}_mask``, 1 where an object is and 0 in empty slots.

    Raises
    ------
    NtuplemlError
        If frugally-deep has no form of a layer, of the inputs or of the preprocessing.
    """
    network, scalers, target = file.network, scalers or {}, target or TargetRecord()
    architecture = Architecture()
    try:
        values = _inputs(architecture, network, groups, scalers, conditions)
        output = _network(architecture, file, values)
    except NtuplemlError as error:
        raise NtuplemlError(f"{network.where}: {error}") from None
    output = _scores(architecture, output, outputs, target, network.where)
    names = {value.layer: [value.layer] for value in architecture.inputs}
    names |= {group.name: [*group.variables, *conditions] for group in groups if group.name in names}
    described = {"inputs": names, "outputs": list(outputs), "missing": groups[0].missing if groups else None}
    return {**architecture.content(output), REMARKS: {**described, **(remarks or {})}}


def scored_event(inputs: Sequence[NDArray[Any]], scores: NDArray[Any]) -> dict[str, Any]:
    """One event with its scores, which `fdeep::load_model` compares with its own.

    Parameters
    ----------
    inputs : sequence of array
        In the order of the file, each of one event.
    scores : array, shape (n_outputs,)
    """
    return {"inputs": [_tensor(one) for one in inputs], "outputs": [_tensor(scores)]}


def _tensor(values: NDArray[Any]) -> dict[str, Any]:
    return {"shape": list(values.shape), "values": encoded(values)}


def _fixed(name: str, shape: Shape) -> tuple[int, ...]:
    if None in shape:
        raise NtuplemlError(
            f"input '{name}' has any number of objects, of which frugally-deep needs a fixed one; train with "
            f"inputs.{name}.length"
        )
    return tuple(size or 0 for size in shape)


def _inputs(
    architecture: Architecture,
    network: KerasNetwork,
    groups: Sequence[InputGroup],
    scalers: Mapping[str, Any],
    conditions: Sequence[str],
) -> list[Value]:
    """What the network takes, in the order of its own inputs, made from the inputs of the file."""
    if not groups:
        return [architecture.input(name, _fixed(name, shape)) for name, shape in network.inputs.items()]
    (alone, *_), is_matrix = groups, len(groups) == 1 and len(network.input_names) == 1
    shapes = {alone.name: network.shapes[0]} if is_matrix else network.inputs
    found: dict[str, Value] = {}
    for group in groups:
        if group.name not in shapes:
            raise NtuplemlError(f"'{group.name}' is none of its inputs{did_you_mean(group.name, shapes)}")
        if group.collections or group.made or group.slots:
            raise NtuplemlError(
                f"inputs.{group.name}: is made of four-vectors; frugally-deep has no layer for their features; give "
                "the network as ONNX"
            )
        shape = _fixed(group.name, shapes[group.name])
        value = architecture.input(group.name, shape)
        mask = architecture.input(f"{group.name}_mask", shape[:1]) if group.objects is not None else None
        scaled = _scaled(architecture, value, group, scalers.get(group.name), conditions)
        if mask is not None:
            found[f"{group.name}_mask"] = mask
            scaled = masked(architecture, (group.name, "filled"), scaled, mask)
        found[group.name] = scaled
    if is_matrix:
        return [found[alone.name]]
    lacking = [name for name in network.input_names if name not in found]
    if lacking:
        raise NtuplemlError(
            f"its input '{lacking[0]}' is made of four-vectors, or of no group; give the network as ONNX"
        )
    return [found[name] for name in network.input_names]


def _scaled(
    architecture: Architecture, value: Value, group: InputGroup, scaler: Any, conditions: Sequence[str]
) -> Value:
    """Scaled values; those of the file where the scaler changes nothing."""
    if scaler is None:
        return value
    if type(scaler).__name__ == "QuantileTransformer":
        raise NtuplemlError(
            f"inputs.{group.name}: preprocessing by a quantile_transformer has no frugally-deep form, whose layers "
            "shift and scale; train with standard_scaler, robust_scaler, min_max_scaler or identity"
        )
    names = [str(number) for number in range(value.shape[-1] - len(conditions))]
    variables = scaled_variables(scaler, names, conditions=conditions)
    centre, factor = (
        np.array(numbers) for numbers in zip(*((-one.offset, one.scale) for one in variables), strict=True)
    )
    if not centre.any() and (factor == 1).all():
        return value
    return affine(architecture, (group.name, "scaled"), value, centre=centre, factor=factor)


def _network(architecture: Architecture, file: KerasFile, inputs: Sequence[Value]) -> Value:
    network = file.network
    values = dict(enumerate(inputs))
    for call in network.calls:
        layer = call.layer
        sources = [values[one] for one in call.inputs if one in values]
        shape = _fixed(layer.names[-1], network.shapes[call.output])
        this = Call(architecture, layer, file.weights[layer.names], sources, shape)
        if len(sources) < len(call.inputs):
            this.refuse("it joins values with a number; frugally-deep has layers for that, but no Keras file of them")
        values[call.output] = converted(this)
    return values[network.output]


def _scores(architecture: Architecture, output: Value, names: Sequence[str], target: TargetRecord, where: str) -> Value:
    """The network's output as scores: both of a probability, values in their units."""
    if target.kind == "reconstruction":
        raise NtuplemlError(
            f"{where}: gives its inputs back; frugally-deep has no layer for how far they are off; give the network as "
            "ONNX"
        )
    if target.image is not None:
        raise NtuplemlError(
            f"{where}: gives an image; frugally-deep has no form for its missing energy; give the network as ONNX"
        )
    if target.kind == "values":
        return affine(architecture, ("scores", "units"), output, factor=target.scale, summand=target.mean)
    (width,) = output.shape
    if (width, len(names)) == (1, 2):
        weights = [np.array([[-1.0, 1.0]]), np.array([1.0, 0.0])]
        return architecture.call(("scores", "complement"), "Dense", [output], (2,), {"units": 2}, weights)
    if width != len(names):
        raise NtuplemlError(f"{where}: gives {width} outputs per event, but {len(names)} are named")
    return output
