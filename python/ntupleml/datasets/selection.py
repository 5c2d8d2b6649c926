"""Which events of a chunk are kept, in which fold, and with which weight."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.folds import event_numbers, fold_of_events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.datasets.inputs import InputFile, Process
    from ntupleml.ntuples import Chunk


class Selected(NamedTuple):
    """Events of one fold in a chunk."""

    #: Event numbers (or entry numbers) of the fold, before the cut.
    numbers: NDArray[np.int64]
    #: Positions in the chunk of the events kept.
    rows: NDArray[np.intp]
    #: Shape (len(rows),).
    weights: NDArray[np.float32]


def select(chunk: Chunk, process: Process, file: InputFile, event_branch: str | None, num_folds: int) -> list[Selected]:
    """Apply cut and weight of a process to a chunk of one of its files.

    Parameters
    ----------
    chunk : Chunk
        With the branches of the formulas, the event number and its copies in friends.
    event_branch : str or None
        Without it, the entry number in the file decides the fold.

    Returns
    -------
    list of Selected
        One for each fold. An event is kept where the cut is not zero, for any element of a vector, as in ROOT.

    Raises
    ------
    NtuplemlError
        If event numbers have lost their parity, a friend's differ from the file's, or the weight has several
        values per event.
    """
    number = chunk.num_rows
    if event_branch is None:
        events = chunk.entries
    else:
        events = event_numbers(chunk.columns[event_branch], f"branch '{event_branch}' of {file.path}")
        _check_friends(chunk, file, event_branch, events)
    folds = fold_of_events(events, num_folds)
    kept = process.cut.passes(chunk.columns, number)
    weights = process.weight.per_event(chunk.columns, number)
    selected = []
    for fold in range(num_folds):
        in_fold = folds == fold
        rows = np.flatnonzero(in_fold & kept)
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite, and that is reported
            selected.append(Selected(events[in_fold], rows, weights.take(rows).astype(np.float32)))
    return selected


def _check_friends(chunk: Chunk, file: InputFile, event_branch: str, events: NDArray[np.int64]) -> None:
    for name in file.event_copies:
        own = event_numbers(chunk.columns[name], f"branch '{name}' of a friend of {file.path}")
        different = np.flatnonzero(own != events)
        if len(different):
            row = int(different[0])
            raise NtuplemlError(
                f"{file.path}: entry {chunk.entries[row]} has {event_branch} {events[row]}, but {own[row]} in the "
                f"friend '{name.split('.')[0]}'; the friend was made from another file, make it anew"
            )
