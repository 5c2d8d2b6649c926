"""The events that a model is tested on: which file they are in, and their scores and weights in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets import read_fold_record
from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.hypotheses import hypotheses_of_file
from ntupleml.datasets.loading import FoldFile
from ntupleml.datasets.records import require_one_build
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.folds import held_out_fold
from ntupleml.scoring import NO_ANSWER

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.artifacts.origins import Origin
    from ntupleml.config import TestingConfig, TrainingConfig
    from ntupleml.datasets.hypotheses import Hypotheses
    from ntupleml.folds import FoldRule
    from ntupleml.ntuples import Chunk, Ntuple


class HeldOutSample(NamedTuple):
    """What one model is tested on."""

    #: Index of the model.
    model: int
    #: The fold that it never saw.
    fold: int
    #: Fold file of that fold.
    path: str
    #: Condition (era) of the file, for models with conditions.
    condition: str | None
    #: Config and key that name the file, for messages.
    where: str
    #: Gives the parameters of the training to classes that have none.
    hypotheses: Hypotheses | None = None

    def open(self, name: str) -> AbstractContextManager[Ntuple]:
        """Open the tree of a class."""
        return open_class_tree(self.path, name, self.where, self.hypotheses)


def held_out_sample(training: TrainingConfig, model: int, condition: str | None, where: str) -> HeldOutSample:
    """Fold file that a model is tested on.

    Parameters
    ----------
    model : int
        Index of the model.
    condition : str or None
        Condition (era) to test.
    """
    if condition is not None and condition not in training.conditions:
        if not training.conditions:
            raise NtuplemlError(f"{where}: has no conditions (eras), but '{condition}' is asked for; leave it out")
        raise NtuplemlError(f"{where}: no condition '{condition}'{did_you_mean(condition, training.conditions)}")
    if condition is None and training.datasets is None:
        names = ", ".join(f"'{name}'" for name in training.conditions)
        raise NtuplemlError(f"{where}: its datasets belong to conditions (eras); give --era with one of {names}")
    require_one_build(training.datasets_of(condition))
    fold = held_out_fold(model, training.num_folds)
    key = f"datasets[{fold}]" if condition is None else f"conditions.{condition}.datasets[{fold}]"
    file = FoldFile(training.datasets_of(condition)[fold], fold, condition)
    hypotheses = hypotheses_of_file(training, file)
    return HeldOutSample(model, fold, file.path, condition, f"{where}: {key}", hypotheses)


def weights_of(
    training: TrainingConfig, testing: TestingConfig, training_path: str | Path, testing_path: str | Path
) -> tuple[str | None, str]:
    """Branch of the event weights, None for weights of 1; and the config and key that name it, for messages."""
    if testing.weight_branch:
        return testing.weight_branch, f"{testing_path}: weight_branch"
    return training.event_weights, f"{training_path}: event_weights"


def require_unseen(ntuple: Ntuple, sample: HeldOutSample, record: TrainingRecord) -> None:
    """Refuse a file that holds, or may hold, events that the model was trained on."""
    _refuse_training_file(ntuple, sample, record)
    require_same_division(ntuple, sample, record)


def _refuse_training_file(ntuple: Ntuple, sample: HeldOutSample, record: TrainingRecord) -> None:
    """A fold file is recognised by its ROOT UUID, whatever it is called now."""
    for dataset in record.datasets:
        if dataset.uuid == ntuple.uuid:
            raise NtuplemlError(
                f"{sample.path}: model {sample.model} was trained on this file (as {dataset.path}, fold "
                f"{dataset.fold}), so it cannot be tested on it; list the datasets in the order of the training"
            )


def require_same_division(ntuple: Ntuple, sample: HeldOutSample, record: TrainingRecord | Origin) -> None:
    """Refuse a file of another fold, or of folds divided otherwise, with events that the model may have seen."""
    found = read_fold_record(sample.path, ntuple.uuid)
    if found is None:  # a file of another program
        return
    if (found.fold, found.num_folds) != (sample.fold, record.num_folds):
        raise NtuplemlError(
            f"{sample.where}: {sample.path} is fold {found.fold} of {found.num_folds}, but fold {sample.fold} of "
            f"{record.num_folds} is the one that model {sample.model} never saw; list the fold files in their order"
        )
    if record.folds_recorded and not found.fold_rule.decides_as(record.fold_rule):
        raise NtuplemlError(
            f"{sample.where}: the events of {sample.path} were divided by {_divider(found.fold_rule)}, those that "
            f"model {sample.model} was trained on by {_divider(record.fold_rule)}; train anew"
        )


def _divider(rule: FoldRule) -> str:
    return rule.what.removeprefix("the ")


def require_weight(ntuple: Ntuple, weight_branch: str, weight_key: str) -> None:
    """Check that a tree has the branch of the weights, with one number per event."""
    ntuple.require([weight_branch], weight_key)
    if ntuple.branches[weight_branch].kind != "scalar":
        raise NtuplemlError(
            f"{weight_key}: branch '{weight_branch}' in tree '{ntuple.tree_path}' of {ntuple.path} has several values "
            "per event; one is needed"
        )


def require_finite(values: NDArray[Any], what: str, chunk: Chunk, where: str) -> None:
    """Refuse numbers of a chunk that are NaN or infinite.

    Raises
    ------
    NtuplemlError
        Naming the entries.
    """
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise NtuplemlError(
            f"{where}: {what} are NaN or infinite in {len(bad)} of the entries {chunk.start} to {chunk.stop - 1}, "
            f"the first in entry {chunk.start + bad[0]}; fix them or cut these events away"
        )


def require_scores(scores: NDArray[np.float32], what: str, chunk: Chunk, where: str) -> None:
    """Refuse scores of a chunk that are NaN or infinite, or stand for no answer (−999 of TMVA's methods, for NaN).

    As one more number among the scores, −999 would be a class, a bin and a background efficiency.

    Parameters
    ----------
    scores : array of float32, shape (n_events, n_classes)
    what : str
        Whose scores they are.
    """
    require_finite(scores.sum(axis=1), what, chunk, where)
    bad = np.flatnonzero((scores == NO_ANSWER).all(axis=1))
    if len(bad):
        raise NtuplemlError(
            f"{where}: {what} are {NO_ANSWER:.0f}, no answer, in {len(bad)} of the entries {chunk.start} to "
            f"{chunk.stop - 1}, the first in entry {chunk.start + bad[0]}: a variable is NaN; cut these events away, "
            "or train with missing: {value: …} in the training config"
        )
