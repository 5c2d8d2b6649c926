"""Raw inputs of some events that a model never saw, for comparisons of the forms that a model has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.ntuples import columns_to_matrix, required_branches
from ntupleml.scoring import append_condition
from ntupleml.testing.events import held_out_sample, require_unseen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig


def held_out_rows(training: TrainingConfig, record: TrainingRecord, num_events: int, where: str) -> NDArray[np.float32]:
    """First events of each class in the fold that a model never saw, of all conditions that it was trained with.

    Parameters
    ----------
    record : TrainingRecord
        That of the model.
    num_events : int
        Largest number of events.

    Returns
    -------
    array of float32, shape (n_events, n_variables + n_conditions)
        Events with NaN or infinite variables are among them only where the model replaces such values.

    Raises
    ------
    NtuplemlError
        For a missing file, tree or branch, or a file with events that the model was trained on.
    """
    conditions: list[str | None] = [*record.conditions] or [None]
    share = max(num_events // (len(conditions) * len(training.classes)), 1)
    parts = [
        _rows_of_class(training, record, condition, name, share, where)
        for condition in conditions
        for name in training.classes
    ]
    return np.concatenate(parts)[:num_events]


def _rows_of_class(
    training: TrainingConfig, record: TrainingRecord, condition: str | None, name: str, number: int, where: str
) -> NDArray[np.float32]:
    sample = held_out_sample(training, record.fold, condition, where)
    with open_class_tree(sample.path, name, sample.where) as ntuple:
        require_unseen(ntuple, sample, record)
        place = f"{sample.path}: tree '{name}'"
        branches = required_branches(record.variables, ntuple.branches, place)
        chunk = next(iter(ntuple.chunks(branches, number)), None)
        if chunk is None:
            return np.empty((0, len(record.variables) + len(record.conditions)), np.float32)
        rows = columns_to_matrix(chunk.columns, record.variables, where=place)
    if record.missing is None:
        rows = rows[np.isfinite(rows).all(axis=1)]
    return append_condition(rows, record.conditions, condition, place)
