"""Models ready to score, whatever evaluates them: arrays of the inputs by name in, scores out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.onnx_models.sessions import new_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

#: Events per call of ONNX Runtime: so few that the results of the layers stay in the processor's cache. Batches of
#: 10,000 take up to 1.8 times longer (one hidden layer of 1000), a million rows at once several times.
BATCH_SIZE = 2_000
#: Numbers of the inputs per call. A network makes tens of numbers of each pixel of an image.
_MOST_NUMBERS = 200_000
#: Of images: events, η, φ, channels.
_IMAGE_AXES = 4


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
    #: How many models an ensemble is the mean of.
    num_members: int = 1
    #: Of an ensemble: takes the same, and gives the scores of all members.
    ensemble: Callable[[Mapping[str, NDArray[Any]]], EnsembleScores] | None = None
    #: Shapes (η, φ, channels) of the images that it takes, by the names of the groups; None where they are not known.
    images: Mapping[str, tuple[int, ...]] | None = None


class EnsembleScores(NamedTuple):
    """What the members of an ensemble say."""

    #: Shape (n_events, n_scores). Their mean, which is the score; with the pixels of an image behind as of the others.
    scores: NDArray[Any]
    #: Shape (n_events, n_scores). Their standard deviation, with n − 1 in the denominator.
    spread: NDArray[Any]
    #: Shape (n_events, n_members, n_scores).
    members: NDArray[Any]


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


def session_evaluator(session: Any, image: str | None = None) -> Evaluator:
    """Evaluator of a session whose graph has the project's inputs and output.

    Parameters
    ----------
    image : str, optional
        Output whose pixels are given behind the scores.
    """
    names = [value.name for value in session.get_inputs()]
    outputs = ["scores", *([] if image is None else [image])]

    def evaluate(batch: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        found = session.run(outputs, {name: batch[name] for name in names})
        return found[0] if image is None else np.hstack([one.reshape(len(one), -1) for one in found])

    def ensemble(batch: Mapping[str, NDArray[Any]]) -> EnsembleScores:
        wanted = [*EnsembleScores._fields, *outputs[1:]]
        scores, spread, members, *images = session.run(wanted, {name: batch[name] for name in names})
        return EnsembleScores(np.hstack([scores, *(one.reshape(len(one), -1) for one in images)]), spread, members)

    shapes, size = {value.name: value.shape for value in session.get_outputs()}, batch_size_of(session)
    taken = {value.name: tuple(value.shape[1:]) for value in session.get_inputs() if len(value.shape) == _IMAGE_AXES}
    if not shapes.keys() >= {*EnsembleScores._fields}:
        return Evaluator(evaluate, size, images=taken)
    return Evaluator(evaluate, size, num_members=shapes["members"][1], ensemble=ensemble, images=taken)


def batch_size_of(session: Any) -> int:
    """Events per call of a graph: fewer where an event has thousands of numbers, as of images."""
    sizes = [math.prod(size for size in value.shape[1:] if isinstance(size, int)) for value in session.get_inputs()]
    return max(1, min(BATCH_SIZE, _MOST_NUMBERS // max(1, sum(sizes))))


def _mean(scores: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Mean of arrays, of which two are held at a time where they are made one by one."""
    number, total = 0, np.zeros(())
    for one in scores:
        number, total = number + 1, total + one
    return total / number


def mean_evaluator(members: Sequence[Evaluator]) -> Evaluator:
    """Evaluator of an ensemble whose members have evaluators of their own."""

    def ensemble(batch: Mapping[str, NDArray[Any]]) -> EnsembleScores:
        found = [member.evaluate(batch) for member in members]
        stacked = np.stack(found, axis=1)
        return EnsembleScores(_mean(found), stacked.std(axis=1, ddof=1, dtype=np.float64), stacked)

    return Evaluator(
        lambda batch: _mean(member.evaluate(batch) for member in members),
        members[0].batch_size,
        num_members=len(members),
        ensemble=ensemble,
    )
