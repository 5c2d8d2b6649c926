"""ONNX graphs as evaluators: sessions of ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.onnx_models.sessions import new_session

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

#: Events per call of ONNX Runtime: so few that the results of the layers stay in the processor's cache. Batches of
#: 10,000 take up to 1.8 times longer (one hidden layer of 1000), a million rows at once several times.
BATCH_SIZE = 2_000


class Evaluator(NamedTuple):
    """A model ready to score.

    Attributes
    ----------
    evaluate : callable
        Takes a matrix of float32, shape (n_events, n_inputs), contiguous, and gives the scores, shape (n_events,
        n_scores), of any float type.
    batch_size : int
        Number of events per call at which it is fastest.
    """

    evaluate: Callable[[NDArray[np.float32]], NDArray[Any]]
    batch_size: int


def open_session(content: bytes | str, name: object, threads: int) -> Any:
    """Session of ONNX Runtime for a graph.

    Parameters
    ----------
    content : bytes or str
        The ONNX file, or its path.
    name : path
        What to call it in messages.
    threads : int

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
    """Evaluator of a session whose graph has the project's input and output."""

    def evaluate(matrix: NDArray[np.float32]) -> NDArray[Any]:
        scores: NDArray[Any] = session.run(["scores"], {"variables": matrix})[0]
        return scores

    return Evaluator(evaluate, BATCH_SIZE)
