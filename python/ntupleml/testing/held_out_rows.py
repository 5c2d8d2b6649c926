"""Raw inputs of some events that a model never saw, for comparisons of the forms that a model has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.events.evaluation import missing_events, read_inputs
from ntupleml.events.groups import groups_of
from ntupleml.events.reading import branches_to_read
from ntupleml.events.values import InputValues, joined
from ntupleml.scoring.conditions import one_hot
from ntupleml.testing.events import held_out_sample, require_unseen

if TYPE_CHECKING:
    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig


def held_out_rows(training: TrainingConfig, record: TrainingRecord, num_events: int, where: str) -> InputValues:
    """First events of each class in the fold that a model never saw, of all conditions that it was trained with.

    Parameters
    ----------
    record : TrainingRecord
        That of the model.
    num_events : int
        Largest number of events.

    Returns
    -------
    InputValues
        Raw, conditions behind the variables. Events with NaN or infinite inputs are among them only where the model
        replaces such values.

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
    present = [part for part in parts if len(part)]
    return joined(present) if present else InputValues({}, 0)


def _rows_of_class(
    training: TrainingConfig, record: TrainingRecord, condition: str | None, name: str, number: int, where: str
) -> InputValues:
    sample = held_out_sample(training, record.fold, condition, where)
    with sample.open(name) as ntuple:
        require_unseen(ntuple, sample, record)
        place = f"{sample.path}: tree '{name}'"
        constants = one_hot(record.conditions, condition, place)
        groups = [group._replace(constants=constants) for group in groups_of(record.groups)]
        chunk = next(iter(ntuple.chunks(branches_to_read(ntuple, groups), number)), None)
        if chunk is None:
            return InputValues({}, 0)
        bad = np.zeros(chunk.num_rows, np.bool_)
        if record.missing is None:
            for group in groups:
                bad |= missing_events(group, chunk.columns, chunk.num_rows, place, group.needed)
        columns = {name: values[~bad] for name, values in chunk.columns.items()}
        return read_inputs(groups, columns, int(np.count_nonzero(~bad)), place)
