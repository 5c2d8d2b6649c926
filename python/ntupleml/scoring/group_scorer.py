"""Scores by models that take several named inputs: the counterpart of `Scorer` for anything but one matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import missing_events, read_inputs
from ntupleml.folds import fold_of_events

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues, Some
    from ntupleml.scoring.scorer import NonFinite


class GroupEvaluator(NamedTuple):
    """A model ready to score.

    Attributes
    ----------
    evaluate : callable
        Takes arrays by name: for each group of variables an array of shape (n_events, n_columns), for objects
        (n_events, n_objects, n_columns) and their number as `{name}_length`; and the event numbers, int64, under the
        name that the scorer has for them. Gives the scores, shape (n_events, n_scores), or `StepScores`.
    batch_size : int
        Number of events per call at which it is fastest.
    per_step : bool
        Whether the scores are `StepScores`.
    """

    evaluate: Callable[[Mapping[str, NDArray[Any]]], Any]
    batch_size: int
    per_step: bool = False


class StepScores(NamedTuple):
    """Scores for each step of a sequence.

    Attributes
    ----------
    rows : array of float, shape (n_steps, n_scores)
        Those of all events, one after the other.
    lengths : array of int64, shape (n_events,)
        Number of steps of each event.
    """

    rows: NDArray[Any]
    lengths: NDArray[np.int64]


class GroupScorer:
    """Scores events from the columns of an ntuple, each by the model for its fold.

    Attributes
    ----------
    variables : list of str
        Raw variables that the models take, each once.
    groups : list of InputGroup
    classes : list of str
        Names of the scores.
    num_folds : int
        1 where one model scores all events.
    conditions : list of str
        Empty: inputs of conditions (eras) are constants of the groups.
    non_finite : str
        As of `Scorer`; "replaced" where the models deal with some such values.
    event_branch : str or None
        Branch whose value decides the fold; None where the entry number does.
    takes_event : bool
        Whether the event number is an input of the models.
    per_step : bool
        Whether the models give scores for each step of a sequence: by `step_scores`, not by `score`.
    """

    def __init__(
        self,
        evaluators: Mapping[int, GroupEvaluator],
        groups: Sequence[InputGroup],
        *,
        num_folds: int,
        classes: Sequence[str],
        event_branch: str | None = None,
        event_input: str | None = None,
        any_value: bool | Collection[str] = False,
    ) -> None:
        """Take the evaluators by the folds whose events they score.

        Parameters
        ----------
        evaluators : mapping of int to GroupEvaluator
        groups : sequence of InputGroup
        num_folds : int
        classes : sequence of str
        event_branch : str, optional
        event_input : str, optional
            Name by which the models take the event numbers.
        any_value : bool or collection of str
            Variables whose NaN and infinite values the models deal with; True for all.
        """
        self.groups = list(groups)
        self.variables = list(dict.fromkeys(name for group in self.groups for name in group.needed))
        self.classes = list(classes)
        self.num_folds = num_folds
        self.conditions: list[str] = []
        self.non_finite: NonFinite = "replaced" if any_value else "refused"
        self.event_branch = event_branch
        self.takes_event = event_input is not None
        self._event_input = event_input
        allowed = set(self.variables) if any_value is True else set(any_value or ())
        self._finite = [name for name in self.variables if name not in allowed]
        self._evaluators = dict(evaluators)
        self.per_step = any(evaluator.per_step for evaluator in self._evaluators.values())

    def score(
        self, columns: Mapping[str, Any], events: NDArray[np.int64], *, where: str = "scoring"
    ) -> NDArray[np.float32]:
        """Scores of consecutive entries.

        Parameters
        ----------
        columns : mapping of str to array
            Branches that the variables need.
        events : array of int64, shape (n_events,)
            Event numbers (or entry numbers).
        where : str
            File and tree, for messages.

        Returns
        -------
        array of float32, shape (n_events, n_classes)

        Raises
        ------
        NtuplemlError
            If a value cannot be given to the models (`MissingInputError` where it is NaN or infinite), or a score is
            not finite.
        """
        scores = np.empty((len(events), len(self.classes)), dtype=np.float32)
        for batch, found in self._evaluated(columns, events, where):
            scores[batch] = found
        self._require_finite(scores, np.arange(len(events)), len(events), where)
        return scores

    def missing(
        self, columns: Mapping[str, Any], num_events: int, *, where: str = "scoring"
    ) -> NDArray[np.bool_] | None:
        """Which events have inputs that the models cannot be given; None where there are none. See `score`."""
        missing = np.zeros(num_events, np.bool_)
        for group in self.groups:
            missing |= missing_events(group, columns, num_events, where, self._finite)
        return missing if missing.any() else None

    def step_scores(
        self, columns: Mapping[str, Any], events: NDArray[np.int64], *, where: str = "scoring"
    ) -> StepScores:
        """Scores of consecutive entries for each step, float32; otherwise as `score`."""
        lengths = np.zeros(len(events), dtype=np.int64)
        owners, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(self.classes)), dtype=np.float32)]
        for batch, found in self._evaluated(columns, events, where):
            lengths[batch] = found.lengths
            owners.append(np.repeat(np.arange(len(events))[batch], found.lengths))
            rows.append(found.rows.astype(np.float32))
        order = np.argsort(np.concatenate(owners), kind="stable")
        scores = StepScores(np.concatenate(rows)[order], lengths)
        self._require_finite(scores.rows, np.repeat(np.arange(len(events)), lengths), len(events), where)
        return scores

    def _evaluated(
        self, columns: Mapping[str, Any], events: NDArray[np.int64], where: str
    ) -> Iterator[tuple[Some, Any]]:
        """Batches of events, and what the models of their folds give."""
        values = read_inputs(self.groups, columns, len(events), where, finite=self._finite)
        for fold, evaluator in self._evaluators.items():
            for batch in self._batches(events, fold, evaluator.batch_size):
                yield batch, evaluator.evaluate(self._arrays(values, events, batch))

    def _batches(self, events: NDArray[np.int64], fold: int, size: int) -> Iterator[Some]:
        """The events of a fold; ranges, which need no copy, where all events are of one."""
        if self.num_folds == 1:
            yield from (slice(start, start + size) for start in range(0, len(events), size))
            return
        chosen = np.flatnonzero(fold_of_events(events, self.num_folds) == fold)
        yield from (chosen[start : start + size] for start in range(0, len(chosen), size))

    def _arrays(self, values: InputValues, events: NDArray[np.int64], batch: Some) -> dict[str, NDArray[Any]]:
        arrays = values.batch(batch)
        if self._event_input is not None:
            arrays[self._event_input] = events[batch]
        return arrays

    def _require_finite(self, rows: NDArray[Any], owners: NDArray[np.int64], number: int, where: str) -> None:
        """Check rows of scores, which belong to some of a number of events."""
        bad = np.unique(owners[~np.isfinite(rows).all(axis=1)])
        if len(bad):
            raise NtuplemlError(
                f"{where}: the model gives scores that are NaN or infinite for {len(bad)} of {number} events; cut "
                "away the events with unusual inputs, or say what the model is given in their place"
            )
