"""Models ready to score, whatever evaluates them: arrays of the inputs by name in, scores out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.onnx_models.sessions import new_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

#: Events per call of ONNX Runtime: so few that the results of the layers stay in the processor's cache. Batches of
#: 10,000 take up to 1.8 times longer (one hidden layer of 1000), a million rows at once several times.
BATCH_SIZE = 2_000


class Evaluator(NamedTuple):
    """A model ready to score."""

    #: Takes a batch, arrays by the names of the groups of inputs: numbers (n_events, n_columns), objects (n_events,
    #: n_objects, n_columns) and how many of them there are as `{name}_length`, images (n_events, eta, phi, channels);
    #: and the event numbers, int64, under the name that the scorer has for them. Gives the scores, shape (n_events,
    #: n_scores), of any float type, or `StepScores`.
    evaluate: Callable[[Mapping[str, NDArray[Any]]], Any]
    #: Number of events per call at which it is fastest.
    batch_size: int
    #: Whether the scores are `StepScores`.
    per_step: bool = False


class StepScores(NamedTuple):
    """Scores for each step of a sequence."""

    #: Shape (n_steps, n_scores). Those of all events, one after the other.
    rows: NDArray[Any]
    #: Shape (n_events,). Number of steps of each event.
    lengths: NDArray[np.int64]


def matrix_evaluator(evaluate: Callable[[NDArray[np.float32]], NDArray[Any]], batch_size: int) -> Evaluator:
    """Evaluator of a model that takes one matrix, shape (n_events, n_inputs): the only group of inputs."""
    return Evaluator(lambda batch: evaluate(next(iter(batch.values()))), batch_size)


def scores_of_matrix(evaluator: Evaluator, matrix: NDArray[np.float32]) -> NDArray[Any]:
    """Scores of a model that takes one group of numbers."""
    scores: NDArray[Any] = evaluator.evaluate({"variables": matrix})
    return scores


def open_session(content: bytes | str, name: object, threads: int) -> Any:
    """Session of ONNX Runtime for a graph.

    Parameters
    ----------
    content : bytes or str
        The ONNX file, or its path.
    name : path
        What to call it in messages.

    Raises
    ------
    NtuplemlError
        If ONNX Runtime does not take the graph.
    """
    try:
        return new_session(content, threads)
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise NtuplemlError(f"{name}: not an ONNX graph, or damaged: {one_line(error)}") from error


def session_evaluator(session: Any) -> Evaluator:
    """Evaluator of a session whose graph has the project's inputs and output."""
    names = [value.name for value in session.get_inputs()]

    def evaluate(batch: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        scores: NDArray[Any] = session.run(["scores"], {name: batch[name] for name in names})[0]
        return scores

    return Evaluator(evaluate, BATCH_SIZE)
