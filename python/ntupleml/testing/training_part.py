"""The events that models were fitted on, found again by the seed and the fold files of their records, and scored."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.loading import TreeRows, checked_chunks, class_trees, fold_files
from ntupleml.datasets.splitting import SPLIT_STREAM, split_events, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.values import InputValues, Rows
from ntupleml.metrics import Undefined
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.scoring import load_scorer
from ntupleml.testing.tested_events import TestedEvents, shares_of_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.scoring import Scorer
    from ntupleml.testing.preparation import Preparation

log = logging.getLogger(__name__)

_ENTRIES_PER_CHUNK = 100_000
#: Events of the training part that are scored, unless told otherwise.
MAX_EVENTS = 200_000
#: Distinguishes the random numbers of the sampling from those of other purposes.
_SAMPLING_STREAM = 8


class Sampling(NamedTuple):
    """A random sample of the training part, in place of all of it."""

    #: Share of the events that are taken, by the index of the class.
    shares: list[float]
    seed: int


class TrainingEvents(NamedTuple):
    """Some events of one class that a model was fitted on: scores, event weights, and the index of the class."""

    scores: NDArray[np.float32]
    weights: NDArray[np.float64]
    class_index: int


def training_trees(training: TrainingConfig, record: TrainingRecord) -> list[ClassTree] | Undefined:
    """Class trees that a model was trained on, in the order of the training.

    Returns
    -------
    list of ClassTree or Undefined
        Undefined where the fold files are no longer those of the training, or are not there.
    """
    try:
        files = fold_files(training, record.fold, bool(record.conditions))
        trees = class_trees(training, files)
    except NtuplemlError as error:
        return Undefined(f"the events of the training cannot be read: {error}")
    uuids = list(dict.fromkeys(tree.uuid for tree in trees))
    if uuids != [dataset.uuid for dataset in record.datasets]:
        return Undefined("the fold files are not those of the training")
    return trees


def training_events(
    record: TrainingRecord,
    trees: Sequence[ClassTree],
    rows_of: Callable[[ClassTree], Iterator[TreeRows]],
    scorer: Scorer,
    condition: str | None = None,
    sampling: Sampling | None = None,
) -> Iterator[TrainingEvents]:
    """Events that a model was fitted on, with its scores, a bounded number at a time.

    A real TMVA draws its training part itself: all events of the model's folds are given then, those of its own test
    part included.

    Parameters
    ----------
    trees : sequence of ClassTree
        From `training_trees`.
    rows_of : callable
        Gives all events of a tree, some at a time.
    scorer : Scorer
        Of this model alone.
    condition : str, optional
        Leave out the events of other conditions (eras).
    sampling : Sampling, optional
        Score a random sample only, whose weights are divided by its share.
    """
    for index, chosen in _chosen_entries(record, trees):
        tree = trees[index]
        if not _is_of(tree, condition):
            continue
        start = 0
        for rows in rows_of(tree):
            stop = start + len(rows.weights)
            mask = chosen(start, stop)
            share = 1.0 if sampling is None else sampling.shares[tree.class_index]
            if sampling is not None and share < 1:
                stream = (sampling.seed, record.fold, index, _SAMPLING_STREAM)
                mask &= uniform_by_entry(np.arange(start, stop), *stream) < share
            kept = np.flatnonzero(mask)
            start = stop
            # The scorer has but this model, which it knows by the fold that it is held out from.
            folds = np.full(len(kept), record.held_out_fold)
            own = scorer.of_condition(tree.file.condition, tree.where)
            if scorer.conditions:  # inputs beside those that were read
                columns = dict(zip(scorer.variables, rows.inputs.batch(kept)["variables"].T, strict=True))
                scores = own.score(columns, folds, where=tree.where)
            else:
                scores = own.score_inputs(rows.inputs, folds, kept, where=tree.where)
            yield TrainingEvents(scores, rows.weights[kept] / share, tree.class_index)


def training_numbers(
    record: TrainingRecord, trees: Sequence[ClassTree], num_classes: int, condition: str | None = None
) -> list[int]:
    """About how many events of each class a model was fitted on; parameters as for `training_events`."""
    share = _training_share(record)
    numbers = [0.0] * num_classes
    for tree in trees:
        if _is_of(tree, condition):
            numbers[tree.class_index] += share * tree.num_entries
    return [math.ceil(number) for number in numbers]


def _is_of(tree: ClassTree, condition: str | None) -> bool:
    return condition is None or tree.file.condition in (None, condition)


def _training_share(record: TrainingRecord) -> float:
    """Share of the events that a model was fitted on; TMVA chooses its own events, so that all count."""
    share = float(record.config.get("train_test_split", 1.0))
    return 1.0 if record.engine == "tmva" else min(share, 1.0)


def _chosen_entries(record: TrainingRecord, trees: Sequence[ClassTree]) -> Iterator[tuple[int, Any]]:
    """For each tree with events: its index, and a function from a range of entries to whether they trained."""
    share = _training_share(record)
    if share >= 1:
        yield from ((index, _everything) for index in range(len(trees)))
    elif record.engine == "keras" and record.config.get("stream"):
        filled = [index for index, tree in enumerate(trees) if tree.num_entries]
        for number, index in enumerate(filled):
            yield index, _streamed((record.seed, record.fold, number, SPLIT_STREAM), share)
    else:
        trained = np.zeros(sum(tree.num_entries for tree in trees), dtype=np.bool_)
        trained[split_events(len(trained), share, record.seed).training] = True
        first = 0
        for index, tree in enumerate(trees):
            yield index, _slice_of(trained[first : first + tree.num_entries])
            first += tree.num_entries


def _everything(start: int, stop: int) -> NDArray[np.bool_]:
    return np.ones(stop - start, dtype=np.bool_)


def _streamed(stream: tuple[int, ...], share: float) -> Any:
    def chosen(start: int, stop: int) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = uniform_by_entry(np.arange(start, stop), *stream) < share
        return kept

    return chosen


def _slice_of(trained: NDArray[np.bool_]) -> Any:
    def chosen(start: int, stop: int) -> NDArray[np.bool_]:
        return trained[start:stop].copy()

    return chosen


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
        inputs = {"inputs": record.inputs, "variables": [] if record.inputs else record.variables}
        config = preparation.training.model_copy(update={**inputs, "event_weights": reading.weight_branch})
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
    other_inputs = preparation.training.inputs is not None
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
