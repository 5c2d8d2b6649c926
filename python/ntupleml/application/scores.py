"""The scores of an ntuple, chunk by chunk."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.application.accepting import NOT_ACCEPTED
from ntupleml.application.needed import branches_to_read, variables_in
from ntupleml.application.selection import EventCounts, among_others, rows_of
from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.events.fold_numbers import fold_numbers
from ntupleml.events.reading import require_same_events
from ntupleml.folds import whole_numbers
from ntupleml.ntuples.rows import ObjectChunk
from ntupleml.ntuples.variables import variable_values
from ntupleml.scoring import NO_ANSWER, NO_CLASS, max_score_and_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.application.plan import Plan
    from ntupleml.ntuples import Chunk, Ntuple

log = logging.getLogger(__name__)


class ScoredChunk(NamedTuple):
    """Scores of consecutive entries."""

    #: First entry, and one past the last.
    start: int
    stop: int
    #: Shape (stop − start,). What tells the events, by the names that friends have for it: integers in the types of
    #: their branches; the entry numbers where there are none.
    identity: dict[str, NDArray[np.integer[Any]]]
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


class ScoredRows(NamedTuple):
    """Scores of the rows of consecutive entries that were scored: events, or objects of events."""

    #: What was read.
    chunk: Chunk
    #: Shape (n_events,). As that of a `ScoredChunk`.
    identity: dict[str, NDArray[np.integer[Any]]]
    #: Shape (n_scored,). Positions of those that were scored among all rows of the chunk.
    rows: NDArray[np.intp]
    #: Shape (n_scored, n_scores), or of each step of a sequence.
    scores: NDArray[np.float32]
    #: Shape (n_scored,). Steps of each row; None where there are none.
    lengths: NDArray[np.int64] | None
    counts: EventCounts
    #: Shape (n_scored, n_scores). Standard deviations over the members of ensembles; None where they are not asked for.
    spread: NDArray[np.float32] | None = None


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
    for scored in scored_rows(plan, ntuple):
        yield ScoredChunk(
            scored.chunk.start, scored.chunk.stop, scored.identity, _new_columns(plan, scored), scored.counts
        )


def scored_rows(plan: Plan, ntuple: Ntuple, more: Sequence[str] = ()) -> Iterator[ScoredRows]:
    """Scores of the rows alone that are scored, with their chunks; otherwise as `scored_chunks`.

    Parameters
    ----------
    more : sequence of str
        Branches that are read beside those that the plan needs, and those of models that score first.
    """
    scorer = RowScorer(plan, ntuple)
    for chunk in ntuple.chunks(list(dict.fromkeys([*scorer.needed, *plan.branches_before, *more]))):
        yield scorer.scored(chunk)
    scorer.finish()


class RowScorer:
    """Scores rows of an ntuple, chunk by chunk, by the models of a plan.

    Attributes
    ----------
    needed : list of str
        Branches that chunks must have.
    """

    def __init__(self, plan: Plan, ntuple: Ntuple) -> None:
        """Take a plan, and an ntuple that is open."""
        self.needed = branches_to_read(plan, ntuple)
        self._plan, self._ntuple = plan, ntuple
        self._where = f"{ntuple.path}: tree '{ntuple.tree_path}'"
        self._counts = _CountsOfNan(variables_in(plan, ntuple))

    def scored(self, chunk: Chunk) -> ScoredRows:
        """Scores of the rows of a chunk that are scored."""
        plan, where = self._plan, self._where
        entries = np.arange(chunk.start, chunk.stop)
        of_events = chunk.event_columns if isinstance(chunk, ObjectChunk) else chunk.columns
        numbers = fold_numbers(plan.fold_rule, of_events, entries, where)
        require_same_events(self._ntuple, plan.fold_rule, of_events, entries, where)
        of_rows = numbers if chunk.objects is None else numbers[chunk.objects.events]
        chosen = _chosen(plan, chunk.columns, self._counts.variables, of_rows, where)
        scores, lengths, spread = _scores(plan, chosen, self._counts, where)
        accepted = 0 if plan.accept is None else int(plan.accept.bits(scores).sum())
        return ScoredRows(
            chunk,
            {
                name: entries if own is None else whole_numbers(of_events[own], f"{where}: branch '{own}'")
                for name, own in plan.identity.items()
            },
            chosen.rows,
            scores,
            lengths,
            chosen.counts._replace(events=chunk.stop - chunk.start, accepted=accepted),
            spread,
        )

    def finish(self) -> None:
        """Say how many events had NaN, and what their scores are."""
        self._counts.warn(self._ntuple.num_entries, self._where)


def _chosen(
    plan: Plan, columns: dict[str, Any], names: Sequence[str], numbers: NDArray[np.int64], where: str
) -> _Chosen:
    """Rows that pass the selection and, where those without are left out, have all inputs."""
    number, selection, scorer = len(numbers), plan.selection, plan.scorer
    rows = np.arange(number)
    if selection.formula is not None:
        rows = np.flatnonzero(selection.formula.passes(columns, number))
    failed, seen = number - len(rows), 0
    if selection.trained is not None:
        is_seen = selection.trained.has(columns, rows, where)
        rows, seen = rows[~is_seen], int(is_seen.sum())
    if failed or seen:
        columns = rows_of(columns, rows)
    variables = {
        name: variable_values(own, columns, len(rows), where, vectors=True)
        for name, own in zip(scorer.variables, names, strict=True)
    }
    missing = scorer.missing(variables, len(rows), where=where) if selection.missing_inputs else None
    counts = EventCounts(number, failed, 0 if missing is None else int(missing.sum()), trained=seen)
    if missing is not None:
        kept = np.flatnonzero(~missing)
        rows, variables = rows[kept], rows_of(variables, kept)
    return _Chosen(rows, numbers[rows], variables, counts)


def _scores(
    plan: Plan, chosen: _Chosen, counts: _CountsOfNan, where: str
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None, NDArray[np.float32] | None]:
    """Scores of the events that were chosen, or of each of their steps with the number of steps of each event.

    With them the spread of the members of ensembles, where the plan has branches for it.

    Events with NaN that the models take as TMVA's Reader does are counted.
    """
    try:
        if plan.scorer.per_step:
            return *plan.scorer.step_scores(chosen.variables, chosen.numbers, where=where), None
        if plan.spread:
            inputs = plan.scorer.read(chosen.variables, len(chosen.numbers), where)
            scores, spread, _ = plan.scorer.ensemble_scores(inputs, chosen.numbers, where=where)
            return scores, None, spread
        scores = plan.scorer.score(chosen.variables, chosen.numbers, where=where)
    except MissingInputError as error:
        raise NtuplemlError(
            f"{error}; or give such events a default_score (e.g. -1) in {plan.where}: by selection: FORMULA, or by "
            "missing_inputs: default"
        ) from None
    if plan.scorer.non_finite == "as Reader":
        counts.add(list(chosen.variables.values()), scores)
    return scores, None, None


def values_of_branches(plan: Plan, scored: ScoredRows) -> list[NDArray[Any]]:
    """Values of the plan's new branches, from the scores of some rows or of their steps."""
    scores, pixels = np.split(scored.scores, [len(plan.scorer.outputs)], axis=1)
    of_classes = max_score_and_index(scores) if plan.max_branches else ()
    spread: list[NDArray[Any]] = [] if scored.spread is None else [*np.ascontiguousarray(scored.spread.T)]
    bits = [] if plan.accept is None else [plan.accept.bits(scores)]
    images = [pixels.reshape(-1, *plan.scorer.image)] if plan.image else []
    return [*np.ascontiguousarray(scores.T), *of_classes, *spread, *images, *bits]


def _defaults(plan: Plan) -> list[float]:
    """What the new branches hold for rows that are not scored."""
    default = plan.selection.default_score or 0.0
    of_max, of_bits = [default, NO_CLASS] if plan.max_branches else [], [] if plan.accept is None else [NOT_ACCEPTED]
    number = len(plan.scorer.outputs)
    more = (number if plan.spread else 0) + bool(plan.image)
    return [default] * number + of_max + [default] * more + of_bits


def columns_of_rows(plan: Plan, scored: ScoredRows) -> dict[str, NDArray[Any]]:
    """The plan's own branches for all rows of a chunk: those that are not scored have the default."""
    values = zip(plan.branch_names, values_of_branches(plan, scored), _defaults(plan), strict=True)
    return {name: among_others(some, scored.rows, scored.chunk.num_rows, default) for name, some, default in values}


def _new_columns(plan: Plan, scored: ScoredRows) -> dict[str, Any]:
    """The new branches of a chunk: those of models that score first, and those of its own scores."""
    objects = scored.chunk.objects
    columns: dict[str, Any] = {name: scored.chunk.columns[name] for name in plan.branches_before}
    if scored.lengths is not None:
        import awkward as ak

        steps = among_others(scored.lengths, scored.rows, scored.chunk.num_rows, 0)
        values = zip(plan.branch_names, values_of_branches(plan, scored), strict=True)
        return columns | {name: ak.unflatten(some, steps) for name, some in values}
    columns |= columns_of_rows(plan, scored)
    if objects is None:
        return columns
    defaults = [default for one in (*plan.before, plan) for default in _defaults(one)]
    of_all = zip(columns.items(), defaults, strict=True)
    return {name: objects.per_event(column, default) for (name, column), default in of_all}


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
