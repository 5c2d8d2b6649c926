"""What all ONNX files of this project have in common: names and types of inputs and outputs, and the description."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from ntupleml import __version__
from ntupleml.onnx_models.graph import IR_VERSION, OPSET

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ntupleml.onnx_models.graph import GraphBuilder

#: Name of a graph's one input, its one output, and the metadata property that describes both.
INPUT, OUTPUT, PROPERTY = "variables", "scores", "ntupleml"
#: Operator set of trees and other classical models.
ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 3


class GraphInput(NamedTuple):
    """An input of a graph."""

    #: Of its columns, or of what its image is made of.
    names: Sequence[str]
    #: Whether it has any number of such rows per event.
    sequence: bool = False
    #: Shape of the image of one event; none for rows.
    image: Sequence[int] = ()


def contract_model(
    graph: GraphBuilder,
    inputs: Mapping[str, GraphInput],
    outputs: Mapping[str, Sequence[str]],
    *,
    step_outputs: Collection[str] = (),
    images: Mapping[str, Sequence[int]] | None = None,
    classes: Sequence[str],
    kind: str,
    dtype: type[np.generic] = np.float32,
    opset: int = OPSET,
    ml_opset: int = ML_OPSET,
    description: Mapping[str, Any] | None = None,
    doc: str = "",
) -> onnx.ModelProto:
    """Complete a graph to a model file: declared inputs and outputs, operator sets and description; checked.

    Parameters
    ----------
    graph : GraphBuilder
        Its nodes read values of the names of `inputs` (for a sequence also `{name}_length`, int64) and give values
        of the names of `outputs`.
    inputs : mapping of str to GraphInput
        Shape (events, columns), for a sequence (events, steps, columns), for an image (events, η, φ, channels).
    outputs : mapping of str to sequence of str
        Names of the columns of each output, shape (events, columns).
    step_outputs : collection of str
        Outputs of shape (events, steps, columns), for which the graph also gives `{name}_length`, int64.
    images : mapping of str to sequence of int, optional
        Further outputs that are images, by the shape of one.
    classes : sequence of str
        Names of the scores.
    kind : str
        What the model was made from, e.g. ``"keras"``, ``"tmva"``, ``"forest"``, ``"lwtnn"``.
    dtype : type
        float32 or float64, of inputs and outputs.
    description : mapping, optional
        More for the metadata property: ``conditions``, ``missing``, ``record_hash``, …
    doc : str
        One sentence for people.
    """
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    declared = []
    for name, value in inputs.items():
        middle = [f"{name}_steps"] if value.sequence else []
        shape: list[str | int] = [*value.image] if value.image else [*middle, len(value.names)]
        declared.append(helper.make_tensor_value_info(name, number, ["events", *shape]))
        if value.sequence:
            declared.append(helper.make_tensor_value_info(f"{name}_length", TensorProto.INT64, ["events"]))
    given = []
    for name, columns in outputs.items():
        middle = [f"{name}_steps"] if name in step_outputs else []
        given.append(helper.make_tensor_value_info(name, number, ["events", *middle, len(columns)]))
        if name in step_outputs:
            given.append(helper.make_tensor_value_info(f"{name}_length", TensorProto.INT64, ["events"]))
    for name, bins in (images or {}).items():
        given.append(helper.make_tensor_value_info(name, number, ["events", *bins]))
    domains = [helper.make_opsetid("", opset)]
    for node in graph.nodes:
        node.ClearField("doc_string")  # marks
    if any(node.domain == ML_DOMAIN for node in graph.nodes):
        domains.append(helper.make_opsetid(ML_DOMAIN, ml_opset))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "ntupleml", declared, given, initializer=graph.constants),
        opset_imports=domains,
        ir_version=IR_VERSION,
        producer_name="ntupleml",
        producer_version=__version__,
        doc_string=doc,
    )
    content = {
        "variables": {name: list(value.names) for name, value in inputs.items()},
        "outputs": list(outputs),
        "classes": list(classes),
        "kind": kind,
        **(description or {}),
    }
    helper.set_model_props(model, {PROPERTY: json.dumps(content)})
    onnx.checker.check_model(model, full_check=True)
    return model
