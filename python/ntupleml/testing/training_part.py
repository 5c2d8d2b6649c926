"""The events that models were fitted on, as tested events."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.datasets.loading import TreeRows, checked_chunks
from ntupleml.events.values import InputValues, Rows
from ntupleml.metrics import Undefined
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.scoring import load_scorer
from ntupleml.scoring.training_rows import (
    Sampling,
    TrainingEvents,
    training_events,
    training_numbers,
    training_trees,
)
from ntupleml.testing.tested_events import TestedEvents, shares_of_classes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.testing.preparation import Preparation

log = logging.getLogger(__name__)

_ENTRIES_PER_CHUNK = 100_000
#: Events of the training part that are scored, unless told otherwise.
MAX_EVENTS = 200_000


@files_kept_open()
def training_part(
    preparation: Preparation, method: str, max_events: int | None = None, tested: TestedEvents | None = None
) -> TestedEvents | Undefined:
    """Events that the chosen models of a method were fitted on, each with the scores of the model that saw it.

    With several models an event may be there several times, once for each model that was fitted on it. A real TMVA
    chooses its training part itself: all events of the model's folds are given then.

    Parameters
    ----------
    max_events : int, optional
        About how many events are scored, by default 200,000; of more, a random sample, as evenly from the classes as
        their numbers allow, and weighted up. The seed is that of the testing config.
    tested : TestedEvents, optional
        Held-out events of all models: those of one are what others were fitted on, and need not be read again.

    Returns
    -------
    TestedEvents or Undefined
        With no variables. Undefined where the fold files are no longer those of the training, and for a model of
        another program, of which nothing is recorded.
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
        for part in training_events(
            model.record,
            of_model,
            partial(_rows, preparation, tested, model.record),
            load_scorer([model]),
            preparation.condition,
            sampling,
        )
    ]
    sampled = {name: share for name, share in zip(classes, shares, strict=True) if share < 1}
    return _joined(parts, method, preparation, sampled)


def _rows(
    preparation: Preparation, tested: TestedEvents | None, record: TrainingRecord, tree: ClassTree
) -> Iterator[TreeRows]:
    """Events of a tree, from memory if they are there, else from the file."""
    reading = preparation.reading
    where = slice(0, 0) if tested is None else _in_memory(preparation, tested, tree)
    if tested is None or where.stop - where.start != tree.num_entries:
        # what takes a matrix was trained on the numbers of all groups
        update = {**record.keys_of_inputs, "event_weights": reading.weight_branch}
        config = preparation.training.model_copy(update=update)
        yield from checked_chunks(tree, config, _ENTRIES_PER_CHUNK)
        return
    matrix, weights = tested.values[where, : len(reading.variables)], tested.weights[where]
    for start in range(0, len(weights), _ENTRIES_PER_CHUNK):
        rows = slice(start, start + _ENTRIES_PER_CHUNK)
        values = Rows(matrix[rows], tuple(reading.variables))
        number = len(values.values)
        yield TreeRows(InputValues({"variables": values}, number), weights[rows], np.empty((number, 0), np.float32))


def _in_memory(preparation: Preparation, tested: TestedEvents, tree: ClassTree) -> slice:
    """Where the events of a tree are among the tested ones, which are in the order of the files; else nowhere."""
    models = [sample.model for sample in preparation.samples if sample.path == tree.file.path]
    training = preparation.training
    other_inputs = training.inputs is not None or training.parameters is not None
    if tested.sampled or preparation.reading.factors or other_inputs or not models:
        return slice(0, 0)
    chosen = np.flatnonzero((tested.models == models[0]) & (tested.truth == tree.class_index))
    return slice(int(chosen[0]), int(chosen[-1]) + 1) if len(chosen) else slice(0, 0)


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
