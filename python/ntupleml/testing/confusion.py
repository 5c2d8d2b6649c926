"""The ten confusion matrices of htt-ml, from the events that a model never saw."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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
from ntupleml.plots.confusion import FILE_PARAMETERS, draw_confusion_matrix
from ntupleml.plots.pictures import PARAMETERS, Picture, Table
from ntupleml.testing.scored_parts import scored_parts
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ntupleml.metrics import ConfusionMatrix, Matrix
    from ntupleml.testing.material import Material
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: Beside the classes in the YAML files.
_UNCERTAINTY_KEY = "uncertainty"


class Representation(NamedTuple):
    """One way to show a confusion matrix."""

    #: Text of the colour bar; empty for sums of weights.
    label: str
    #: What a cell is.
    explanation: str
    #: From the sums of weights to the matrix.
    function: Callable[[ConfusionMatrix], Matrix]
    #: Whether events have the class weights of the training, too.
    class_weights: bool


_SUMS = "sums of weights"
_PER_TRUE = "sum of weights per correctly predicted one of the true class"
_OF_TRUE = "shares of the true class"
_PER_PREDICTED = "sum of weights per correctly predicted one of the predicted class"
_OF_PREDICTED = "shares of what is predicted to be a class"

#: By htt-ml's names, which are part of the names of the files.
REPRESENTATIONS = {
    "standard": Representation("", _SUMS, sums_of_weights, False),
    "standard_cw": Representation("Sum of weights, with class weights", _SUMS, sums_of_weights, True),
    "efficiency1": Representation("Efficiency", _PER_TRUE, efficiency_to_correct, False),
    "efficiency2": Representation("Efficiency", _OF_TRUE, efficiency, False),
    "efficiency_cw1": Representation("Efficiency", _PER_TRUE, efficiency_to_correct, True),
    "efficiency_cw2": Representation("Efficiency", _OF_TRUE, efficiency, True),
    "purity1": Representation("Purity", _PER_PREDICTED, purity_to_correct, False),
    "purity2": Representation("Purity", _OF_PREDICTED, purity, False),
    "purity_cw1": Representation("Purity", _PER_PREDICTED, purity_to_correct, True),
    "purity_cw2": Representation("Purity", _OF_PREDICTED, purity, True),
}


#: Shown of every method on a page; the first method has the others, too.
_MAIN = ("standard", "efficiency2", "purity2")
_INTRODUCTION = (
    "An event is predicted to be of the class with the largest score. Efficiencies are shares of a true class, "
    "purities of what is predicted to be a class."
)


def confusion_matrices(material: Material) -> Answer:
    """The ten matrices of every method.

    On a page they are of the events in memory. Else they are of all events, however many there are.
    """
    material.announce(f"confusion_{name}" for name in REPRESENTATIONS)
    class_weights, included = material.class_weights
    factors = [class_weights.get(name, 1.0) for name in material.classes]
    found: dict[str, ConfusionMatrix] = {}
    groups = []
    for number, method in enumerate(material.methods if material.for_page else material.preparation.methods):
        if material.for_page:
            found[method] = confusion_of_events(material.events, method, class_weights if included else {})
        else:
            found[method] = confusion_of_all(material.preparation, method)
        pictures = confusion_pictures(found[method], material.classes, factors, as_files=not material.for_page)
        if not material.for_page:
            groups.append(Group(method, (), (), tuple(pictures), method))
            _warn_of_undefined(represent(found[method], factors), material.classes, material.preparation.fold)
            continue
        if all(factor == 1 for factor in factors):  # those with class weights would be the same
            pictures = [picture for picture in pictures if "_cw" not in picture.name]
        main = tuple(one for one in pictures if one.name.removeprefix("confusion_") in _MAIN)
        groups.append(Group(method, (), (), main, method, is_open=number == 0))
        if number == 0:
            others = tuple(one for one in pictures if one not in main)
            groups.append(Group(f"{method}: other forms", (), (), others, method, is_open=False))
    return Answer(_INTRODUCTION, tuple(groups), numbers=found)


def confusion_of_all(preparation: Preparation, method: str) -> ConfusionMatrix:
    """Confusion matrix of a method on all events that its models never saw; memory does not grow with their number.

    Class weights do not count.
    """
    size = len(preparation.reading.classes)
    nothing = np.zeros(0, dtype=np.int64)
    total = confusion_matrix(nothing, nothing, nothing, size)
    reading = replace(preparation.reading, factors={})
    for sample in preparation.samples:
        source = next(one for one in preparation.sources[sample.model] if one.method == method)
        before = total.entries.sum()
        for part in scored_parts(sample, [source], reading):
            true = np.full(len(part.weights), part.class_index)
            total += confusion_matrix(true, predicted_class(part.scores[method]), part.weights, size)
        log.info("model %d: tested on %d events of %s", sample.model, total.entries.sum() - before, sample.path)
    return total


def confusion_of_events(
    events: TestedEvents, method: str, factors: Mapping[str, float] | None = None
) -> ConfusionMatrix:
    """Confusion matrix of a method from events in memory.

    Parameters
    ----------
    factors : mapping of str to float, optional
        Class weights that the weights of the events have already, `Reading.factors`: they are divided out.
    """
    total = confusion_matrix(events.truth, predicted_class(events.scores[method]), events.weights, len(events.classes))
    # A class weight of zero leaves nothing to be divided.
    return with_class_weights(total, [1 / ((factors or {}).get(name, 1.0) or 1.0) for name in events.classes])


def represent(total: ConfusionMatrix, class_weights: Sequence[float]) -> dict[str, Matrix]:
    """The ten matrices by their names.

    Parameters
    ----------
    class_weights : sequence of float
        Weight of each class in the training.
    """
    weighted = with_class_weights(total, class_weights)
    return {name: way.function(weighted if way.class_weights else total) for name, way in REPRESENTATIONS.items()}


def confusion_pictures(
    total: ConfusionMatrix,
    classes: Sequence[str],
    class_weights: Sequence[float],
    *,
    as_files: bool = False,
) -> list[Picture]:
    """Pictures of the ten matrices, named ``confusion_standard`` and so on.

    Parameters
    ----------
    class_weights : sequence of float
        Weight of each class in the training.
    as_files : bool, default: False
        In the experiments' own size of text, as htt-ml's files.
    """
    pictures = []
    for name, matrix in represent(total, class_weights).items():
        way = REPRESENTATIONS[name]
        weights = ", events with class weights" if way.class_weights else ""
        rows = tuple((true, *row) for true, row in zip(classes, matrix, strict=True))
        pictures.append(
            Picture(
                f"confusion_{name}",
                "Confusion matrix: rows are true classes, columns the class of the largest score; "
                f"{way.explanation}{weights}, ± one standard deviation.",
                partial(draw_confusion_matrix, matrix, tuple(classes), way.label),
                matrix_content(matrix, classes),
                (Table(("True class", *(f"predicted {one}" for one in classes)), rows),),
                FILE_PARAMETERS if as_files else PARAMETERS,
            )
        )
    return pictures


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


def _warn_of_undefined(matrices: Mapping[str, Matrix], classes: Sequence[str], fold: str) -> None:
    """Log one warning that names what is undefined, and why, if anything is."""
    tested = "all models" if fold == "all" else f"model {fold}"
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
