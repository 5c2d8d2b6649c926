"""The events that the models of one method were fitted on, scored by these models: the other side of overtraining."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics import Undefined
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.scoring import load_scorer
from ntupleml.testing.tested_events import TestedEvents, shares_of_classes
from ntupleml.testing.training_part import Sampling, training_events, training_numbers, training_trees

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.artifacts import TrainedModel
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.training_part import TrainingEvents

log = logging.getLogger(__name__)

#: Events of the training part that are scored, unless told otherwise.
MAX_EVENTS = 200_000


@files_kept_open()
def training_part(preparation: Preparation, method: str, max_events: int | None = None) -> TestedEvents | Undefined:
    """Events that the chosen models of a method were fitted on, each with the scores of the model that saw it.

    With several models an event may be there several times, once for each model that was fitted on it. A real TMVA
    chooses its training part itself: all events of the model's folds are given then.

    Parameters
    ----------
    preparation : Preparation
    method : str
    max_events : int, optional
        About how many events are scored, by default 200,000; of more, a random sample, as evenly from the classes as
        their numbers allow, and weighted up. The seed is that of the testing config.

    Returns
    -------
    TestedEvents or Undefined
        With no variables. Undefined where the fold files are no longer those of the training, and for a model of
        another program, of which nothing is recorded.

    Raises
    ------
    NtuplemlError
        For weights that are missing, NaN or infinite.
    """
    trained = preparation.trained.get(method)
    if not trained:
        return Undefined(f"'{method}' is a model of another program; which events it was fitted on is not recorded")
    trees = []
    for model in trained:
        found = training_trees(preparation.training, model.record)
        if isinstance(found, Undefined):
            log.warning("%s: no numbers of its training part: %s", model.files.model, found)
            return found
        trees.append(found)
    classes = preparation.reading.classes
    numbers = [
        training_numbers(model.record, of_model, len(classes), preparation.condition)
        for model, of_model in zip(trained, trees, strict=True)
    ]
    shares = shares_of_classes([sum(of_class) for of_class in zip(*numbers, strict=True)], max_events or MAX_EVENTS)
    sampling = Sampling(shares, preparation.reading.seed)
    parts = [
        (part, model.record.fold)
        for model, of_model in zip(trained, trees, strict=True)
        for part in _of_model(preparation, model, of_model, sampling)
    ]
    sampled = {name: share for name, share in zip(classes, shares, strict=True) if share < 1}
    return _joined(parts, method, preparation, sampled)


def _of_model(
    preparation: Preparation, model: TrainedModel, trees: Sequence[ClassTree], sampling: Sampling
) -> Iterator[TrainingEvents]:
    return training_events(
        preparation.training,
        model.record,
        trees,
        load_scorer([model]),
        preparation.reading.weight_branch,
        preparation.condition,
        sampling,
    )


def _joined(
    parts: Sequence[tuple[TrainingEvents, int]], method: str, preparation: Preparation, sampled: dict[str, float]
) -> TestedEvents:
    classes, factors = preparation.reading.classes, preparation.reading.factors
    lengths = [len(part.weights) for part, _ in parts]
    total = sum(lengths)
    scores, weights = np.empty((total, len(classes)), np.float32), np.empty(total)
    start = 0
    for (part, _), length in zip(parts, lengths, strict=True):
        scores[start : start + length] = part.scores
        weights[start : start + length] = part.weights * factors.get(classes[part.class_index], 1.0)
        start += length
    truth = np.repeat(np.array([part.class_index for part, _ in parts], np.int64), lengths)
    models = np.repeat(np.array([model for _, model in parts], np.int64), lengths)
    return TestedEvents(
        classes, {method: scores}, truth, weights, models, [], np.empty((total, 0), np.float32), sampled, {}
    )
