"""The events that a model was fitted on or validated with, found again by the seed and the fold files of its record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.parameters import ParametersConfig
from ntupleml.config.reweight import ReweightConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.datasets.reweighting import reweighted
from ntupleml.datasets.splitting import SPLIT_STREAM, split_events, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.values import InputValues, Rows
from ntupleml.features.images import missing_energy_of
from ntupleml.metrics import Undefined
from ntupleml.targets import TARGET_IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree, TreeRows
    from ntupleml.scoring.scorer import Scorer

#: Distinguishes the random numbers of the sampling from those of other purposes.
_SAMPLING_STREAM = 8


class Sampling(NamedTuple):
    """A random sample of the training part, in place of all of it."""

    #: Share of the events that are taken, by the index of the class.
    shares: list[float]
    seed: int


class TrainingEvents(NamedTuple):
    """Some events of one class of a training: scores, event weights, index of the class, and values to be learnt."""

    scores: NDArray[np.float32]
    weights: NDArray[np.float64]
    class_index: int
    values: NDArray[np.float32]


def training_trees(training: TrainingConfig, record: TrainingRecord) -> list[ClassTree] | Undefined:
    """Class trees that a model was trained on, in the order of the training.

    Returns
    -------
    list of ClassTree or Undefined
        Undefined where the fold files are no longer those of the training, or are not there.
    """
    parameters, changed = record.config.get("parameters"), record.config.get("reweight")
    as_trained = {
        "seed": record.seed,
        "data_seed": record.config.get("data_seed"),
        "selections": record.config.get("selections", {}),
        "equal_numbers": record.config.get("equal_numbers", False),
        "reweight": ReweightConfig.model_validate(changed) if changed and changed["resample"] else None,
        "exclude_trained_by": record.config.get("exclude_trained_by", []),
        "parameters": None if parameters is None else ParametersConfig.model_validate(parameters),
    }
    training = training.model_copy(update=as_trained)
    try:
        files = fold_files(training, record.fold, bool(record.conditions))
        # the rows that trained, with the weights of the events
        trees = [tree._replace(factors=None) for tree in reweighted(training, class_trees(training, files))]
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
    *,
    validating: bool = False,
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
    validating : bool, default: False
        Give those that validated the training, in place of those that it was fitted on.
    """
    for index, chosen in _chosen_entries(record, trees):
        tree = trees[index]
        if not _is_of(tree, condition):
            continue
        start = 0
        for rows in rows_of(tree):
            stop = start + len(rows.weights)
            mask = chosen(start, stop) ^ validating
            share = 1.0 if sampling is None else sampling.shares[tree.class_index]
            if sampling is not None and share < 1:
                stream = (sampling.seed, record.fold, index, _SAMPLING_STREAM)
                mask &= uniform_by_entry(np.arange(start, stop), *stream) < share
            kept = np.flatnonzero(mask)
            start = stop
            # The scorer has but this model, which it knows by the fold that it is held out from.
            folds = np.full(len(kept), record.held_out_fold)
            own = scorer.of_condition(tree.file.condition, tree.where)
            inputs = rows.inputs
            if scorer.conditions:  # inputs beside those that were read
                matrix = inputs.batch()["variables"]
                constants = np.tile(np.array(own.groups[0].constants, matrix.dtype), (len(matrix), 1))
                both = Rows(np.concatenate([matrix, constants], axis=1), own.groups[0].variables)
                inputs = InputValues({"variables": both}, len(matrix))
            scores = own.score_inputs(inputs, folds, kept, where=tree.where)
            values = rows.values[kept]
            if record.target.image is not None:
                images = inputs.groups[TARGET_IMAGE].take(kept)[..., 0]
                components = missing_energy_of(images, record.target.image.source.phi_range)
                values = np.concatenate([components, values], axis=1, dtype=np.float32)
            yield TrainingEvents(scores, rows.weights[kept] / share, tree.class_index, values)


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
    share, splits = _share_of_split(record), len(record.split_seeds)
    return share if splits == 1 else 1.0 - (1.0 - share) ** splits


def _share_of_split(record: TrainingRecord) -> float:
    share = float(record.config.get("train_test_split", 1.0))
    return 1.0 if record.engine == "tmva" else min(share, 1.0)


def _chosen_entries(record: TrainingRecord, trees: Sequence[ClassTree]) -> Iterator[tuple[int, Any]]:
    """For each tree with events: its index, and a function from a range of entries to whether they trained.

    Of an ensemble whose members drew events of their own, all events that any of them was fitted on.
    """
    share, seeds = _share_of_split(record), record.split_seeds
    if share >= 1:
        yield from ((index, _everything) for index in range(len(trees)))
    elif record.engine == "keras" and record.config.get("stream"):
        filled = [index for index, tree in enumerate(trees) if tree.num_entries]
        for number, index in enumerate(filled):
            yield index, _streamed([(seed, record.fold, number, SPLIT_STREAM) for seed in seeds], share)
    else:
        trained = np.zeros(sum(tree.num_entries for tree in trees), dtype=np.bool_)
        for seed in seeds:
            trained[split_events(len(trained), share, seed).training] = True
        first = 0
        for index, tree in enumerate(trees):
            yield index, _slice_of(trained[first : first + tree.num_entries])
            first += tree.num_entries


def _everything(start: int, stop: int) -> NDArray[np.bool_]:
    return np.ones(stop - start, dtype=np.bool_)


def _streamed(streams: Sequence[tuple[int, ...]], share: float) -> Any:
    def chosen(start: int, stop: int) -> NDArray[np.bool_]:
        entries = np.arange(start, stop)
        drawn: NDArray[np.float64] = np.min([uniform_by_entry(entries, *stream) for stream in streams], axis=0)
        return drawn < share

    return chosen


def _slice_of(trained: NDArray[np.bool_]) -> Any:
    def chosen(start: int, stop: int) -> NDArray[np.bool_]:
        return trained[start:stop].copy()

    return chosen
