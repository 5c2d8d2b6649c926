"""The ten confusion matrices of htt-ml, from the events that a model never saw."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.metrics import (
    Measurement,
    Undefined,
    confusion_matrix,
    efficiency,
    efficiency_to_correct,
    predicted_class,
    purity,
    purity_to_correct,
    sums_of_weights,
    with_class_weights,
)
from ntupleml.ntuples import columns_to_matrix, required_branches
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.events import require_finite, require_scores, require_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics import ConfusionMatrix, Matrix
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.sources import ScoreSource
    from ntupleml.testing.tested_events import Reading, TestedEvents

log = logging.getLogger(__name__)

#: Beside the classes in the YAML files.
_UNCERTAINTY_KEY = "uncertainty"


class Representation(NamedTuple):
    """One way to show a confusion matrix.

    Attributes
    ----------
    label : str
        Text of the colour bar.
    explanation : str
        What a cell is.
    function : callable
        From the sums of weights to the matrix.
    class_weights : bool
        Whether events have the class weights of the training, too.
    """

    label: str
    explanation: str
    function: Callable[[ConfusionMatrix], Matrix]
    class_weights: bool


_SUMS = "sums of weights"
_PER_TRUE = "sum of weights per correctly predicted one of the true class"
_OF_TRUE = "shares of the true class"
_PER_PREDICTED = "sum of weights per correctly predicted one of the predicted class"
_OF_PREDICTED = "shares of what is predicted to be a class"

#: By htt-ml's names, which are part of the names of the files.
REPRESENTATIONS = {
    "standard": Representation("Arbitrary unit", _SUMS, sums_of_weights, False),
    "standard_cw": Representation("Arbitrary unit", _SUMS, sums_of_weights, True),
    "efficiency1": Representation("Efficiency", _PER_TRUE, efficiency_to_correct, False),
    "efficiency2": Representation("Efficiency", _OF_TRUE, efficiency, False),
    "efficiency_cw1": Representation("Efficiency", _PER_TRUE, efficiency_to_correct, True),
    "efficiency_cw2": Representation("Efficiency", _OF_TRUE, efficiency, True),
    "purity1": Representation("Purity", _PER_PREDICTED, purity_to_correct, False),
    "purity2": Representation("Purity", _OF_PREDICTED, purity, False),
    "purity_cw1": Representation("Purity", _PER_PREDICTED, purity_to_correct, True),
    "purity_cw2": Representation("Purity", _OF_PREDICTED, purity, True),
}


def confusion_of_model(sample: HeldOutSample, source: ScoreSource, reading: Reading) -> ConfusionMatrix:
    """Confusion matrix of a model on all events that it never saw; memory does not grow with their number.

    Parameters
    ----------
    sample : HeldOutSample
    source : ScoreSource
        Scores of the model.
    reading : Reading
        Its class weights do not count here.

    Raises
    ------
    NtuplemlError
        For a missing file, tree or branch (with the nearest names), a file that the model was trained on, inputs,
        scores or weights that are NaN or infinite.
    """
    total = _no_events(len(reading.classes))
    for index, name in enumerate(reading.classes):
        for scores, weights in _scored_chunks(sample, name, source, reading):
            true = np.full(len(weights), index)
            total += confusion_matrix(true, predicted_class(scores), weights, len(reading.classes))
    log.info("model %d: tested on %d events of %s", sample.model, total.entries.sum(), sample.path)
    return total


def _scored_chunks(
    sample: HeldOutSample, name: str, source: ScoreSource, reading: Reading
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Scores and weights of the events of one class, a bounded number at a time."""
    with open_class_tree(sample.path, name, sample.where) as ntuple:
        where = f"{sample.path}: tree '{name}'"
        source.require_unseen(ntuple)
        branches = [*required_branches(reading.variables, ntuple.branches, where), *source.branches(ntuple)]
        if reading.weight_branch is not None:
            require_weight(ntuple, reading.weight_branch, reading.weight_key)
            branches.append(reading.weight_branch)
        for chunk in ntuple.chunks(list(dict.fromkeys(branches)), reading.entries_per_chunk):
            matrix = columns_to_matrix(chunk.columns, reading.variables, where=where)
            scores = source.score(chunk.columns, matrix, where)
            require_scores(scores, "the scores", chunk, where)
            weights = np.ones(len(scores))
            if reading.weight_branch is not None:
                weights = np.asarray(chunk.columns[reading.weight_branch], dtype=np.float64)
                require_finite(weights, f"the weights in branch '{reading.weight_branch}'", chunk, where)
            yield scores, weights


def confusion_of_events(
    events: TestedEvents, method: str, factors: Mapping[str, float] | None = None
) -> ConfusionMatrix:
    """Confusion matrix of a method from events in memory.

    Parameters
    ----------
    events : TestedEvents
    method : str
    factors : mapping of str to float, optional
        Class weights that the weights of the events have already, `Reading.factors`: they are divided out.
    """
    total = confusion_matrix(events.truth, predicted_class(events.scores[method]), events.weights, len(events.classes))
    # A class weight of zero leaves nothing to be divided.
    return with_class_weights(total, [1 / ((factors or {}).get(name, 1.0) or 1.0) for name in events.classes])


def _no_events(size: int) -> ConfusionMatrix:
    empty = np.zeros(0, dtype=np.int64)
    return confusion_matrix(empty, empty, empty, size)


def represent(total: ConfusionMatrix, class_weights: Sequence[float]) -> dict[str, Matrix]:
    """The ten matrices by their names.

    Parameters
    ----------
    total : ConfusionMatrix
    class_weights : sequence of float
        Weight of each class in the training.
    """
    weighted = with_class_weights(total, class_weights)
    return {name: way.function(weighted if way.class_weights else total) for name, way in REPRESENTATIONS.items()}


def confusion_pictures(
    total: ConfusionMatrix,
    classes: Sequence[str],
    class_weights: Sequence[float],
    names: Collection[str] = tuple(REPRESENTATIONS),
) -> list[Picture]:
    """Pictures of the ten matrices, or of some of them, named ``confusion_standard`` and so on.

    Parameters
    ----------
    total : ConfusionMatrix
    classes : sequence of str
    class_weights : sequence of float
        Weight of each class in the training.
    names : collection of str
        Those of `REPRESENTATIONS` that are wanted; efficiencies are the same with class weights and without.
    """
    pictures = []
    for name, matrix in represent(total, class_weights).items():
        if name not in names:
            continue
        way = REPRESENTATIONS[name]
        weights = ", events with class weights" if way.class_weights else ""
        rows = tuple((true, *row) for true, row in zip(classes, matrix, strict=True))
        pictures.append(
            Picture(
                f"confusion_{name}",
                "Confusion matrix, true class along x, class of the largest score along y: "
                f"{way.explanation}{weights}, ± one standard deviation.",
                partial(_draw, matrix, tuple(classes), way.label),
                matrix_content(matrix, classes),
                (Table(("True class", *(f"predicted {one}" for one in classes)), rows),),
            )
        )
    return pictures


def _draw(matrix: Matrix, classes: Sequence[str], label: str, config: PlotConfig) -> Figure:
    from ntupleml.plots.confusion import draw_confusion_matrix

    return draw_confusion_matrix(matrix, classes, label, config)


def matrix_content(matrix: Matrix, classes: Sequence[str]) -> dict[str, Any]:
    """A matrix as plain numbers: the true class, below it the predicted class, below it the value, as htt-ml has it.

    The key `uncertainty` stands beside the classes and has the same layout. An entry that does not exist is a text,
    e.g. `undefined: no events`.
    """
    content: dict[str, Any] = _nested(matrix, classes, lambda entry: entry.value)
    content[uncertainty_key(classes)] = _nested(matrix, classes, lambda entry: entry.uncertainty)
    return content


def uncertainty_key(classes: Sequence[str]) -> str:
    """Key of the uncertainties in the YAML files: `uncertainty`, with underscores while a class is called so.

    Examples
    --------
    >>> uncertainty_key(["signal", "background"])
    'uncertainty'
    """
    key = _UNCERTAINTY_KEY
    while key in classes:
        key += "_"
    return key


def _nested(matrix: Matrix, classes: Sequence[str], number: Callable[[Measurement], float]) -> dict[str, Any]:
    return {
        true: {
            predicted: number(entry) if isinstance(entry, Measurement) else str(entry)
            for predicted, entry in zip(classes, row, strict=True)
        }
        for true, row in zip(classes, matrix, strict=True)
    }


def warn_of_undefined(matrices: Mapping[str, Matrix], classes: Sequence[str], tested: str) -> None:
    """Log one warning that names what is undefined, and why, if anything is."""
    names_by_reason: dict[str, dict[str, None]] = {}
    for name, matrix in matrices.items():
        for true, row in zip(classes, matrix, strict=True):
            for predicted, entry in zip(classes, row, strict=True):
                if isinstance(entry, Undefined):
                    whole = f"true class '{true}'" if "efficiency" in name else f"predicted class '{predicted}'"
                    names_by_reason.setdefault(f"{whole} ({entry.reason})", {})[name] = None
    if names_by_reason:
        text = "; ".join(f"{', '.join(names)} of {reason}" for reason, names in names_by_reason.items())
        log.warning("%s: undefined: %s", tested, text)
