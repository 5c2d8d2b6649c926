"""Estimators of scikit-learn as ONNX graphs, by skl2onnx, with their preprocessing inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.onnx_models.contract import INPUT, ML_DOMAIN, ML_OPSET, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import OPSET, GraphBuilder
from ntupleml.onnx_models.renaming import prefixed
from ntupleml.onnx_models.scaler_nodes import scaler_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.preprocessing import Scaler

#: Where estimators are that compare float32 inputs with cuts; all others compute in double precision.
_OF_TREES = ("sklearn.ensemble", "sklearn.tree")


def estimator_to_onnx(
    estimator: Any, steps: Sequence[Scaler], record: TrainingRecord, record_hash: str
) -> onnx.ModelProto:
    """Graph of an estimator: raw variables and conditions in, probabilities of the classes or values out.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted to float32 numbers: what the steps make of the variables, and the conditions after them.
    steps : sequence of scikit-learn transformers
        As `ntupleml.preprocessing.steps.fit_steps` gives them.
    """
    graph = GraphBuilder()
    value = INPUT if record.missing is None else graph.filled(INPUT, record.missing, np.float32)
    names = [*record.variables, *record.conditions]
    conditions: list[str] = []
    if record.conditions:
        value, *conditions = graph.split(value, [len(record.variables), len(record.conditions)])
    for step in steps:
        value = scaler_nodes(graph, value, step)
    if conditions:
        value = graph.add("Concat", value, *conditions, axis=1)
    scores = estimator_nodes(graph, value, estimator, len(record.outputs))
    if record.target.kind == "values":
        scores = graph.add("Mul", graph.cast(scores, np.float64), graph.constant(record.target.scale))
        scores = graph.add("Add", scores, graph.constant(record.target.mean))
    graph.add("Identity", graph.cast(scores, np.float32), output=OUTPUT)
    description: Mapping[str, Any] = {
        "conditions": list(record.conditions),
        "missing": record.missing,
        "record_hash": record_hash,
        **({} if record.target.kind == "classes" else {"target": record.target.kind}),
        **record.description_of_matrix,
    }
    return contract_model(
        graph,
        {INPUT: GraphInput(names)},
        {OUTPUT: record.outputs},
        classes=record.outputs,
        kind=record.engine,
        description=description,
        doc=f"Scores of scikit-learn's {type(estimator).__name__} from the raw variables.",
    )


def estimator_nodes(graph: GraphBuilder, value: str, estimator: Any, num_outputs: int) -> str:
    """Append an estimator; gives probabilities, shape (n_events, n_classes), or values (n_events, n_values)."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    compares = type(estimator).__module__.startswith(_OF_TREES)
    tensor, dtype = (FloatTensorType, np.float32) if compares else (DoubleTensorType, np.float64)
    gives_classes = hasattr(estimator, "classes_")
    model = to_onnx(
        estimator,
        initial_types=[("inputs", tensor([None, estimator.n_features_in_]))],
        options={"zipmap": False} if gives_classes else None,
        target_opset={"": OPSET, ML_DOMAIN: ML_OPSET},
    )
    part = prefixed(model.graph, "estimator/")
    (given,), found = part.input, part.output
    # ONNX Runtime refuses some nodes of skl2onnx for no event at all (AdaBoost): there is always one more, of zeros.
    one_more = graph.constant(np.zeros((1, estimator.n_features_in_)), dtype)
    graph.add("Concat", one_more, graph.cast(value, dtype), axis=0, output=given.name)
    graph.nodes.extend(part.node)
    graph.constants.extend(part.initializer)
    # skl2onnx makes one column of all values of a multilayer perceptron
    shape = graph.constant([-1, num_outputs], np.int64)
    scores = graph.add("Reshape", str(found[1 if gives_classes else 0].name), shape)
    first, last = graph.constant([1], np.int64), graph.constant([np.iinfo(np.int64).max], np.int64)
    return graph.add("Slice", scores, first, last, graph.constant([0], np.int64))
