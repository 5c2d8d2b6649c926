"""Other forms of a graph: the models of all folds in one, and another version of ONNX's operator set.

The joined graph takes the event number too and asks the model that never saw the event.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

from ntupleml import __version__
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.onnx_models.contract import INPUT, OUTPUT, PROPERTY
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.renaming import prefixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


#: The input that takes the event numbers.
EVENT = "event"


def all_folds_model(models: Sequence[onnx.ModelProto], description: Mapping[str, Any]) -> onnx.ModelProto:
    """Join the models of all folds.

    The graph scores each event once: the events of each fold are gathered, scored by the model that was held out
    from it, and put back into their places. A fold is the event number modulo the number of folds, never negative, as
    `ntupleml.folds.fold_of_events` has it.

    Parameters
    ----------
    models : sequence of onnx.ModelProto
        Element j scores the events of fold j. All with the input ``variables``, the output ``scores``, and the same
        versions of operator sets.
    description : mapping
        Content of the metadata property ``ntupleml``; the name of the event input is added.

    Returns
    -------
    onnx.ModelProto
        Inputs ``variables`` and ``event`` (int64, shape (events,)), output ``scores``.
    """
    first = models[0]
    graph = GraphBuilder()
    number = _type_of(first.graph.input[0])
    # One event more, of zeros, belongs to all folds: many operators refuse to score no event at all.
    padded, last = _with_one_more(graph, number, _width(first.graph.input[0]))
    folds = graph.add("Mod", EVENT, graph.constant(len(models), np.int64))
    scores = graph.add(
        "Expand",
        graph.cast(graph.constant(0.0), _numpy_type(first.graph.output[0])),
        graph.add(
            "Concat",
            graph.add("Add", last, graph.constant([1], np.int64)),
            graph.constant([_width(first.graph.output[0])], np.int64),
            axis=0,
        ),
    )
    constants: list[onnx.TensorProto] = []
    for fold, model in enumerate(models):
        part = prefixed(model.graph, f"fold{fold}/")
        chosen = _entries(graph, folds, fold, last)
        graph.add("Gather", padded, graph.add("Squeeze", chosen, graph.constant([1], np.int64)), axis=0)
        graph.nodes[-1].output[0] = part.input[0].name
        graph.nodes.extend(part.node)
        constants.extend(part.initializer)
        scores = graph.add("ScatterND", scores, chosen, part.output[0].name)
    start, axis = graph.constant([0], np.int64), graph.constant([0], np.int64)
    graph.add("Slice", scores, start, last, axis, output=OUTPUT)
    return _model(graph, constants, first, {**description, "event": EVENT})


def _with_one_more(graph: GraphBuilder, number: int, width: int) -> tuple[str, str]:
    """The variables with a row of zeros after the last, and the number of events before it."""
    zeros = graph.add("Cast", graph.constant(np.zeros((1, width))), to=number)
    padded = graph.add("Concat", INPUT, zeros, axis=0)
    last = graph.add("Shape", EVENT)
    return padded, last


def _entries(graph: GraphBuilder, folds: str, fold: int, last: str) -> str:
    """Positions of the events of a fold, and of the row of zeros, as a column."""
    of_fold = graph.add("Equal", folds, graph.constant(fold, np.int64))
    found = graph.add("Transpose", graph.add("NonZero", of_fold), perm=[1, 0])
    column = graph.add("Reshape", last, graph.constant([1, 1], np.int64))
    return graph.add("Concat", found, column, axis=0)


def _model(
    graph: GraphBuilder, constants: Sequence[onnx.TensorProto], first: onnx.ModelProto, description: Mapping[str, Any]
) -> onnx.ModelProto:
    value = first.graph.input[0]
    inputs = [
        helper.make_tensor_value_info(INPUT, _type_of(value), ["events", _width(value)]),
        helper.make_tensor_value_info(EVENT, TensorProto.INT64, ["events"]),
    ]
    output = first.graph.output[0]
    outputs = [helper.make_tensor_value_info(OUTPUT, _type_of(output), ["events", _width(output)])]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "ntupleml", inputs, outputs, initializer=[*graph.constants, *constants]),
        opset_imports=list(first.opset_import),
        ir_version=first.ir_version,
        producer_name="ntupleml",
        producer_version=__version__,
        doc_string="Scores of the model that never saw the event, of those of all folds, from the raw variables.",
    )
    helper.set_model_props(model, {PROPERTY: json.dumps(description)})
    onnx.checker.check_model(model, full_check=True)
    return model


def _type_of(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _numpy_type(value: onnx.ValueInfoProto) -> type[np.generic]:
    found: type[np.generic] = helper.tensor_dtype_to_np_dtype(_type_of(value)).type
    return found


def _width(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.shape.dim[-1].dim_value)


#: Operator sets that can be asked for: ONNX Runtime 1.8 (2021) reads the first.
OLDEST_OPSET, NEWEST_OPSET = 13, 23


def with_opset(model: onnx.ModelProto, opset: int, where: str = "model") -> onnx.ModelProto:
    """Convert a graph to another version of ONNX's default operator set.

    Where the operators of the graph are the same in both versions the number alone is changed, which ONNX's own
    converter refuses for some (e.g. from 17 to 13, where newer versions only allow more types of numbers).

    Parameters
    ----------
    opset : int
        From 13 to 23.

    Returns
    -------
    onnx.ModelProto
        Checked by ONNX; metadata and names of inputs and outputs are the same.

    Raises
    ------
    NtuplemlError
        If there is no such version, or an operator of the graph has no form in it.
    """
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise NtuplemlError(f"--opset {opset}: operator sets from {OLDEST_OPSET} to {NEWEST_OPSET} are written")
    now = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if now == opset:
        return model
    try:
        result = _relabelled(model, opset) if opset < now else version_converter.convert_version(model, opset)
        result.ir_version = min(max(helper.find_min_ir_version_for(result.opset_import), 7), model.ir_version)
        if opset > now:
            result.ir_version = helper.find_min_ir_version_for(result.opset_import)
        onnx.checker.check_model(result, full_check=True)
    except Exception as error:  # onnx raises RuntimeError, ValueError and classes of its own
        raise NtuplemlError(
            f"{where}: has no form in operator set {opset} ({one_line(error, 160)}); choose one nearer to {now}"
        ) from error
    _keep_description(model, result)
    return result


def _relabelled(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The graph under a lower number; the check that follows refuses what the older version does not know."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for item in result.opset_import:
        if item.domain in ("", "ai.onnx"):
            item.version = opset
    return result


def _keep_description(model: onnx.ModelProto, result: onnx.ModelProto) -> None:
    """What ONNX's converter may drop."""
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    result.doc_string = model.doc_string
