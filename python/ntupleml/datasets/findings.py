"""What is odd about the events of a process, told by its cause: the cut, the event numbers or the weights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ntupleml.datasets.records import NumberRange
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.datasets.inputs import Process
    from ntupleml.datasets.records import WeightSums

log = logging.getLogger(__name__)

#: Events of one number from which on the branch is hardly one of event numbers.
_EVENTS_PER_NUMBER = 100


def check_not_empty(process: Process, sums: Sequence[WeightSums], event_branch: str | None) -> None:
    """Refuse a process without events in a fold.

    Parameters
    ----------
    sums : sequence of WeightSums
        What was read and kept for each fold.
    """
    for fold, fold_sums in enumerate(sums):
        if fold_sums.events_kept == 0:
            where = f"processes.{process.name}: no event is left in fold {fold}"
            if fold_sums.events_read == 0:
                raise NtuplemlError(f"{where}: {_why_none_was_read(process, sums, event_branch)}")
            raise NtuplemlError(
                f"{where}: {fold_sums.events_read} read from {len(process.files)} file(s), none passes the cut "
                f"'{process.cut.text}'"
            )


def _why_none_was_read(process: Process, sums: Sequence[WeightSums], event_branch: str | None) -> str:
    events, numbers = _of_all_folds(sums)
    events_read = f"all {events:,} events" if events > 1 else "its one event"
    if event_branch is None:
        return f"{events_read} of {len(process.files)} file(s) are too few for {len(sums)} folds"
    remedy = "choose another event_branch, or leave it out so that the entry number decides"
    if numbers.smallest == numbers.largest:
        return f"branch '{event_branch}' is {numbers.smallest} in {events_read}; {remedy}"
    return (
        f"none of the numbers {numbers.smallest} to {numbers.largest} of branch '{event_branch}' in {events_read} "
        f"belongs to it (number modulo {len(sums)}); {remedy}"
    )


def warn_of_findings(process: Process, sums: Sequence[WeightSums], event_branch: str | None) -> None:
    """Log what a training would refuse or be misled by: no positive sum of weights, one number for many events.

    Parameters as for `check_not_empty`.
    """
    useless = [fold for fold, fold_sums in enumerate(sums) if not fold_sums.sum > 0]
    if useless:
        log.warning(
            "processes.%s: the weights '%s' sum to %s in fold %s; a class without a positive sum cannot be trained",
            process.name,
            process.weight.text,
            ", ".join(f"{sums[fold].sum:.6g}" for fold in useless),
            ", ".join(map(str, useless)),
        )
    events, numbers = _of_all_folds(sums)
    if event_branch is not None and events >= _EVENTS_PER_NUMBER * numbers.most_different:
        log.warning(
            "processes.%s: event_branch '%s' has not more than %d different numbers in %s events; those of one number "
            "all go to one fold, so check that it numbers the events",
            process.name,
            event_branch,
            numbers.most_different,
            f"{events:,}",
        )


def _of_all_folds(sums: Sequence[WeightSums]) -> tuple[int, NumberRange]:
    """Number of events read, and the range of their numbers."""
    numbers = NumberRange()
    for fold_sums in sums:
        numbers.add_range(fold_sums.numbers)
    return sum(fold_sums.events_read for fold_sums in sums), numbers
