"""The ten confusion matrices of htt-ml, from the events that a model never saw."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics import (
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
from ntupleml.testing.events import scored_events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.metrics import ConfusionMatrix, Matrix
    from ntupleml.scoring import Scorer
    from ntupleml.testing.events import HeldOutSample

log = logging.getLogger(__name__)


class Representation(NamedTuple):
    """One way to show a confusion matrix.

    Attributes
    ----------
    label : str
        Text of the colour bar.
    function : callable
        From the sums of weights to the matrix.
    class_weights : bool
        Whether events have the class weights of the training, too.
    """

    label: str
    function: Callable[[ConfusionMatrix], Matrix]
    class_weights: bool


#: By htt-ml's names, which are part of the names of the files.
REPRESENTATIONS = {
    "standard": Representation("Arbitrary unit", sums_of_weights, False),
    "standard_cw": Representation("Arbitrary unit", sums_of_weights, True),
    "efficiency1": Representation("Efficiency", efficiency_to_correct, False),
    "efficiency2": Representation("Efficiency", efficiency, False),
    "efficiency_cw1": Representation("Efficiency", efficiency_to_correct, True),
    "efficiency_cw2": Representation("Efficiency", efficiency, True),
    "purity1": Representation("Purity", purity_to_correct, False),
    "purity2": Representation("Purity", purity, False),
    "purity_cw1": Representation("Purity", purity_to_correct, True),
    "purity_cw2": Representation("Purity", purity, True),
}


def confusion_of_model(
    sample: HeldOutSample,
    scorer: Scorer,
    record: TrainingRecord,
    weight_branch: str | None,
    entries_per_chunk: int | None = None,
    *,
    weight_key: str = "weight_branch",
) -> ConfusionMatrix:
    """Confusion matrix of a model on the events that it never saw.

    Parameters and errors are those of `scored_events`. Memory does not grow with the number of events.
    """
    size = len(scorer.classes)
    empty = np.zeros(0, dtype=np.int64)
    total = confusion_matrix(empty, empty, empty, size)
    for index, class_name in enumerate(scorer.classes):
        chunks = scored_events(
            sample, class_name, scorer, record, weight_branch, entries_per_chunk, weight_key=weight_key
        )
        for events in chunks:
            true = np.full(len(events.weights), index)
            total += confusion_matrix(true, predicted_class(events.scores), events.weights, size)
    log.info("model %d: tested on %d events of %s", sample.model, total.entries.sum(), sample.path)
    return total


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


def warn_of_undefined(matrices: Mapping[str, Matrix], classes: Sequence[str], model: int) -> None:
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
        log.warning("model %d: undefined: %s", model, text)
