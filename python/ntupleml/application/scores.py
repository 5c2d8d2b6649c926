"""The scores of an ntuple, chunk by chunk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.application.inputs import branches_to_read, variables_in
from ntupleml.application.selection import EventCounts, among_others, rows_of
from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.events.reading import require_same_events
from ntupleml.folds import event_numbers
from ntupleml.ntuples.rows import ObjectChunk
from ntupleml.ntuples.variables import variable_values
from ntupleml.scoring import NO_ANSWER, NO_CLASS, max_score_and_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.application.plan import Plan
    from ntupleml.ntuples import Ntuple
    from ntupleml.ntuples.rows import ObjectsOfEvents

log = logging.getLogger(__name__)


class ScoredChunk(NamedTuple):
    """Scores of consecutive entries."""

    #: First entry, and one past the last.
    start: int
    stop: int
    #: Shape (stop − start,). Values of the event branch, in its own type if that is an integer; the entry numbers where
    #: there is none.
    events: NDArray[np.integer[Any]]
    #: Shape (stop − start,). New branches; lists of any length (awkward) of models that score each step of a sequence,
    #: and where rows are objects.
    columns: dict[str, Any]
    counts: EventCounts = EventCounts()


class _Chosen(NamedTuple):
    """Rows of a chunk that the models score: their positions, event numbers, variables; how many the others are."""

    rows: NDArray[np.intp]
    numbers: NDArray[np.int64]
    variables: dict[str, Any]
    counts: EventCounts


def scored_chunks(plan: Plan, ntuple: Ntuple) -> Iterator[ScoredChunk]:
    """Score an ntuple from its first entry to its last, each event by the model that never saw its fold.

    Events that the plan's selection leaves out get its default score, and −1 for the index of the largest; empty lists
    where the models score each step of a sequence. Where rows are objects, each event gets a list as long as its
    collection; objects that are no rows get the default, too.
    Events with NaN in a variable, where the models take them, are counted, in one warning at the end.

    Parameters
    ----------
    ntuple : Ntuple
        Opened by `open_input`.
    """
    where = f"{ntuple.path}: tree '{ntuple.tree_path}'"
    variables = variables_in(plan, ntuple)
    counts = _CountsOfNan(variables)
    for chunk in ntuple.chunks(branches_to_read(plan, ntuple)):
        start, stop, columns = chunk
        events = np.arange(start, stop)
        numbers = events
        objects = chunk.objects if isinstance(chunk, ObjectChunk) else None
        of_events = chunk.event_columns if isinstance(chunk, ObjectChunk) else columns
        if plan.event_branch is not None:
            events = of_events[plan.event_branch]
            numbers = event_numbers(events, f"{where}: branch '{plan.event_branch}'")
            for copy in ntuple.copies_in_friends(plan.event_branch):
                require_same_events(numbers, of_events[copy], np.arange(start, stop), copy, where)
        of_rows = numbers if objects is None else numbers[objects.events]
        chosen = _chosen(plan, columns, counts.variables, of_rows, where)
        scores, lengths = _scores(plan, chosen, counts, where)
        yield ScoredChunk(
            start,
            stop,
            events if events.dtype.kind in "iu" else numbers,
            _new_columns(plan, scores, lengths, chosen.rows, len(of_rows), objects),
            chosen.counts._replace(events=stop - start),
        )
    counts.warn(ntuple.num_entries, where)


def _chosen(
    plan: Plan, columns: dict[str, Any], names: Sequence[str], numbers: NDArray[np.int64], where: str
) -> _Chosen:
    """Rows that pass the selection and, where those without are left out, have all inputs."""
    number, selection, scorer = len(numbers), plan.selection, plan.scorer
    rows = np.arange(number)
    if selection.formula is not None:
        rows = np.flatnonzero(selection.formula.passes(columns, number))
    failed = number - len(rows)
    if failed:
        columns = rows_of(columns, rows)
    variables = {
        name: variable_values(own, columns, len(rows), where, vectors=True)
        for name, own in zip(scorer.variables, names, strict=True)
    }
    missing = scorer.missing(variables, len(rows), where=where) if selection.missing_inputs else None
    counts = EventCounts(number, failed, 0 if missing is None else int(missing.sum()))
    if missing is not None:
        kept = np.flatnonzero(~missing)
        rows, variables = rows[kept], rows_of(variables, kept)
    return _Chosen(rows, numbers[rows], variables, counts)


def _scores(
    plan: Plan, chosen: _Chosen, counts: _CountsOfNan, where: str
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Scores of the events that were chosen, or of each of their steps with the number of steps of each event.

    Events with NaN that the models take as TMVA's Reader does are counted.
    """
    try:
        if plan.scorer.per_step:
            return plan.scorer.step_scores(chosen.variables, chosen.numbers, where=where)
        scores = plan.scorer.score(chosen.variables, chosen.numbers, where=where)
    except MissingInputError as error:
        raise NtuplemlError(
            f"{error}; or give such events a default_score (e.g. -1) in {plan.where}: by selection: FORMULA, or by "
            "missing_inputs: default"
        ) from None
    if plan.scorer.non_finite == "as Reader":
        counts.add(list(chosen.variables.values()), scores)
    return scores, None


def _new_columns(
    plan: Plan,
    scores: NDArray[np.float32],
    lengths: NDArray[np.int64] | None,
    rows: NDArray[np.intp],
    number: int,
    objects: ObjectsOfEvents | None,
) -> dict[str, Any]:
    """The new branches of a chunk from the scores of some of its rows, or of their steps."""
    values = [*np.ascontiguousarray(scores.T), *(max_score_and_index(scores) if plan.max_branches else ())]
    if lengths is not None:
        import awkward as ak

        steps = among_others(lengths, rows, number, 0)
        return {name: ak.unflatten(some, steps) for name, some in zip(plan.branch_names, values, strict=True)}
    defaults = [plan.selection.default_score or 0.0] * len(values)
    if plan.max_branches:
        defaults[-1] = NO_CLASS
    columns = {}
    for name, some, default in zip(plan.branch_names, values, defaults, strict=True):
        column = among_others(some, rows, number, default)
        columns[name] = column if objects is None else objects.per_event(column, default)
    return columns


class _CountsOfNan:
    """Numbers of events with NaN in each variable and in any, and of those that have no answer for it."""

    def __init__(self, variables: list[str]) -> None:
        self.variables = variables
        self.by_variable = np.zeros(len(variables), dtype=np.int64)
        self.any = self.unanswered = 0

    def add(self, columns: Sequence[NDArray[Any]], scores: NDArray[np.float32]) -> None:
        """Count some events."""
        is_nan = np.array([np.isnan(values) for values in columns])
        affected = is_nan.any(axis=0)
        if affected.any():
            self.by_variable += is_nan.sum(axis=1)
            self.any += int(np.count_nonzero(affected))
            self.unanswered += int(np.count_nonzero((scores[affected] == NO_ANSWER).all(axis=1)))

    def warn(self, entries: int, where: str) -> None:
        """Say in one line how many there are, and what their scores are."""
        if not self.any:
            return
        first = int(np.flatnonzero(self.by_variable)[0])
        others = np.count_nonzero(self.by_variable) - 1
        answered = "what TMVA's Reader makes of NaN"
        scores = f"{NO_ANSWER:.0f}, as from TMVA's Reader" if self.unanswered else answered
        if 0 < self.unanswered < self.any:
            scores += f", for {self.unanswered:,}, and {answered} for the others"
        log.warning(
            "%s: %s of %s events have NaN in a variable ('%s' in %s%s); their scores are %s",
            where,
            f"{self.any:,}",
            f"{entries:,}",
            self.variables[first],
            f"{self.by_variable[first]:,}",
            f", and {others} more variables" if others else "",
            scores,
        )
