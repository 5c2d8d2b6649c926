"""ONNX files as evaluators of named inputs: batches of the size they take, and scores per class from their output."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.scoring.evaluators import BATCH_SIZE, Evaluator, StepScores
from ntupleml.scoring.onnx_inputs import input_array
from ntupleml.scoring.outputs import Binary, class_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.scoring.onnx_graphs import OnnxGraph, Port
    from ntupleml.scoring.onnx_inputs import InputPlan

log = logging.getLogger(__name__)

#: What is done to an output that is no probability yet.
Apply = Literal["softmax", "sigmoid"]
_Arrays = dict[str, Any]


def graph_evaluator(
    graph: OnnxGraph,
    inputs: InputPlan,
    output: Port,
    classes: Sequence[str],
    *,
    apply: Apply | None = None,
    binary: Binary = "second",
) -> Evaluator:
    """Evaluator of an ONNX file.

    Parameters
    ----------
    classes : sequence of str
        Names of the scores.
    apply : {"softmax", "sigmoid"}, optional
    binary : str
        What one value says where there are two classes.

    Raises
    ------
    NtuplemlError
        When it evaluates: if the output has not as many columns as there are classes, or ONNX Runtime fails.
    """
    if inputs.fixed_batch is not None:
        log.warning(
            "%s: takes %s at a time, which is slow; export it again with a number of events that may vary",
            graph.path,
            "one event" if inputs.fixed_batch == 1 else f"{inputs.fixed_batch} events",
        )

    def outputs(names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> list[Any]:
        feeds = {feed.port.name: input_array(feed, arrays) for feed in inputs.feeds}
        return graph.session.run(names, feeds)

    def run(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        (values,) = outputs([output.name], arrays)
        return _columns(values, len(next(iter(arrays.values()))), graph, output)

    evaluate = run if inputs.fixed_batch is None else _in_fixed_batches(run, inputs.fixed_batch)

    def scores(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return named(evaluate(arrays))

    def step_scores(arrays: Mapping[str, NDArray[Any]]) -> StepScores:
        values, lengths = outputs([output.name, f"{output.name}_length"], arrays)
        return StepScores(named(values[np.arange(values.shape[1]) < lengths[:, np.newaxis]]), lengths)

    def named(rows: NDArray[Any]) -> NDArray[Any]:
        """A column for each class."""
        values = _applied(rows, apply)
        if values.shape[1] == len(classes):
            return values
        if (values.shape[1], len(classes)) != (1, 2):
            raise NtuplemlError(
                f"{graph.path}: output {output} gives {values.shape[1]} values per event, but there are "
                f"{len(classes)} classes ({', '.join(classes)}); name one per value"
            )
        return class_scores(values, 2, binary)

    size = inputs.fixed_batch or 1
    if gives_steps(graph, output):
        return Evaluator(step_scores, BATCH_SIZE, per_step=True)
    return Evaluator(scores, max(size, BATCH_SIZE // size * size))


def gives_steps(graph: OnnxGraph, output: Port) -> bool:
    """Whether an output has scores for each step of a sequence, of which only files of ours say so."""
    names = graph.description.get("step_outputs")
    return isinstance(names, list) and output.name in names and f"{output.name}_length" in graph.outputs


def _columns(values: Any, num_events: int, graph: OnnxGraph, output: Port) -> NDArray[Any]:
    """Output as a matrix, events × values."""
    found = np.asarray(values)
    if found.ndim == 0 or len(found) != num_events:
        raise NtuplemlError(
            f"{graph.path}: output {output} is of shape {found.shape} for {num_events} events; one row per event is "
            "needed"
        )
    return found.reshape(num_events, -1)


def _in_fixed_batches(
    run: Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]], size: int
) -> Callable[[Mapping[str, NDArray[Any]]], NDArray[Any]]:
    """Calls of exactly `size` events; the last is filled up with its last event, whose scores are not used."""

    def evaluate(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        number = len(next(iter(arrays.values())))
        results = []
        for start in range(0, number, size):
            events = np.minimum(np.arange(start, start + size), number - 1)
            results.append(run({name: values[events] for name, values in arrays.items()}))
        return np.concatenate(results)[:number]

    return evaluate


def _applied(values: NDArray[Any], apply: Apply | None) -> NDArray[Any]:
    if apply is None:
        return values
    exact = values.astype(np.float64)
    if apply == "sigmoid":
        # exp of a negative number never overflows
        decay = np.exp(-np.abs(exact))
        return np.where(exact >= 0, 1 / (1 + decay), decay / (1 + decay))
    exponentials = np.exp(exact - exact.max(axis=1, keepdims=True))
    result: NDArray[Any] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result
