"""A whole method of TMVA as one ONNX graph: transformations, the method itself, and what Reader does with NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.forests import Forest
from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.forest import FOREST_ML_OPSET, forest_nodes
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.tmva_bodies import boost_nodes, discriminant_nodes, likelihood_nodes, mlp_nodes
from ntupleml.onnx_models.tmva_transformations import target_nodes, transformation_nodes
from ntupleml.tmva.method import Boosted, Likelihood, LinearDiscriminant, Mlp
from ntupleml.tmva.networks import PyKeras

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx

    from ntupleml.tmva.method import TmvaMethod

#: What TMVA's Reader answers where a variable is NaN.
LOST = -999.0


def tmva_to_onnx(
    method: TmvaMethod,
    dtype: type[np.generic] = np.float32,
    *,
    variables: Sequence[str] | None = None,
    missing: float | None = None,
    record_hash: str = "",
) -> onnx.ModelProto:
    """Convert a method of TMVA.

    The graph takes the method's variables, as their expressions give them, in the file's order, and answers as
    TMVA's Reader does: one value for a classification, one per class, one per target.

    Parameters
    ----------
    method : TmvaMethod
        From `ntupleml.tmva.read_weights`.
    dtype : type, default: float32
        Of inputs and scores: float32 or float64. Reader takes float32 alone, so values of a float64 graph are
        rounded to that wherever TMVA does.
    variables : sequence of str, optional
        Names of the variables, by default those of the file; TMVA takes the blanks out of formulas.
    missing : float, optional
        Value that replaces NaN and infinite inputs, where the training did so: the file does not know.
    record_hash : str
        Hash of the training's record, for the metadata, where there is one.

    Notes
    -----
    NaN is what the call makes of it that goes with the analysis of the file. `Reader::EvaluateMVA`
    (classification) answers −999 where a variable is NaN after the transformations. `EvaluateMulticlass` and
    `EvaluateRegression` print an error and go on: NaN goes to the left at each cut, through most networks it stays NaN,
    and a cumulative distribution (transformations G and U) makes the smallest value of it.
    """
    graph = GraphBuilder()
    given = INPUT if missing is None else graph.filled(INPUT, missing, dtype)
    value = transformation_nodes(graph, given, method.transformations, dtype)
    scores = _body(graph, value, method, dtype)
    if method.target_transformation is not None:
        scores = target_nodes(graph, scores, method.target_transformation, dtype)
    if method.answers_lost:
        scores = _without_lost(graph, _checked(graph, value, method, dtype), scores, dtype)
    graph.add("Identity", scores, output=OUTPUT)
    names = [variable.full_name for variable in method.variables] if variables is None else list(variables)
    return contract_model(
        graph,
        {INPUT: GraphInput(names)},
        {OUTPUT: method.output_names},
        classes=[] if method.analysis == "Regression" else method.classes,
        kind="tmva",
        dtype=dtype,
        ml_opset=FOREST_ML_OPSET,
        description={
            "scores": method.output_names,
            "labels": [variable.label for variable in method.variables],
            "expressions": [variable.expression for variable in method.variables],
            "spectators": [spectator.full_name for spectator in method.spectators],
            "targets": [target.full_name for target in method.targets],
            "analysis": method.analysis,
            "method": f"{method.kind}::{method.name}",
            **({"one_value": method.one_value} if method.analysis == "Classification" else {}),
            "conditions": [],
            "missing": missing,
            "record_hash": record_hash,
        },
        doc=f"The method {method.kind} '{method.name}' of TMVA from the raw variables.",
    )


#: What appends a method, by the type of its content.
_NODES: dict[type, Callable[..., str]] = {
    Forest: forest_nodes,
    Likelihood: likelihood_nodes,
    Mlp: mlp_nodes,
    LinearDiscriminant: discriminant_nodes,
    Boosted: boost_nodes,
}


def _body(graph: GraphBuilder, value: str, method: TmvaMethod, dtype: type[np.generic]) -> str:
    if isinstance(method.body, PyKeras):
        return _pykeras_nodes(graph, value, method.body, len(method.variables), dtype)
    return _NODES[type(method.body)](graph, value, method.body, dtype)


def _pykeras_nodes(graph: GraphBuilder, value: str, pykeras: PyKeras, num_inputs: int, dtype: type[np.generic]) -> str:
    """Append a Keras network, which computes in float32 as in TMVA.

    With one output of the method and several of the network (classification), it is the first, as in MethodPyKeras: the
    probability of the signal.
    """
    from ntupleml.artifacts import read_keras_file
    from ntupleml.onnx_models.keras_network import network_nodes

    file = read_keras_file(pykeras.file)
    found_inputs, found_outputs = file.network.num_inputs, file.network.num_outputs
    if found_inputs != num_inputs or (found_outputs != pykeras.num_outputs and pykeras.num_outputs != 1):
        raise NtuplemlError(
            f"{pykeras.file}: a network of {found_inputs} inputs and {found_outputs} outputs, but the method has "
            f"{num_inputs} variables and {pykeras.num_outputs} outputs; it belongs to another weights file"
        )
    outputs = network_nodes(graph, [graph.cast(value, np.float32)], file)
    if found_outputs > pykeras.num_outputs:
        outputs = graph.add("Gather", outputs, graph.constant([0], np.int64), axis=1)
    return graph.cast(outputs, dtype)


def _checked(graph: GraphBuilder, value: str, method: TmvaMethod, dtype: type[np.generic]) -> str:
    """The variables among which Reader looks for NaN: transformed, also those of Likelihood, which has its own."""
    if isinstance(method.body, Likelihood):
        return transformation_nodes(graph, value, method.body.transformations[0], dtype)
    return value


def _without_lost(graph: GraphBuilder, value: str, scores: str, dtype: type[np.generic]) -> str:
    """−999 in place of the scores of events that have a NaN among some values."""
    lost = graph.cast(graph.add("IsNaN", value), np.int32)
    any_lost = graph.cast(graph.add("ReduceMax", lost, axes=[1], keepdims=1), np.bool_)
    return graph.add("Where", any_lost, graph.constant(LOST, dtype), scores)
