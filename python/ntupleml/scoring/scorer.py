"""Scores for events, each by the model that never saw it: from the columns of an ntuple, whatever the models take."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.events.evaluation import missing_events, read_group, read_inputs
from ntupleml.events.groups import groups_of
from ntupleml.expressions.messages import hint_for_elements
from ntupleml.folds import BY_ENTRY, FoldRule, fold_of_events
from ntupleml.scoring.conditions import one_hot
from ntupleml.scoring.engines import model_evaluator
from ntupleml.scoring.evaluators import EnsembleScores, StepScores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues, Some
    from ntupleml.scoring.engines import Engine
    from ntupleml.scoring.evaluators import Evaluator

#: What happens to NaN and infinite inputs: an error; the models replace them; or what TMVA's Reader does with them:
#: −999 for NaN or whatever comes of it, by the analysis of the weights file, and infinities are numbers as any other.
NonFinite = Literal["refused", "replaced", "as Reader"]


class Scorer:
    """Scores events, each by the model that never saw it; some folds may be without a model.

    Attributes
    ----------
    groups : list of InputGroup
        What the models take.
    variables : list of str
        Formulas that the groups need, each once.
    outputs : list of str
        Names of the scores.
    num_folds : int
        1 where one model scores all events.
    conditions : list of str
        Conditions (eras) that the models were trained with, whose inputs are constants of a group.
    fold_rule : FoldRule
        What decides the fold.
    non_finite : {"refused", "replaced", "as Reader"}
    takes_event : bool
        Whether the event number is an input of the models.
    image : tuple of int
        Shape of an image whose pixels the models give behind the scores; empty for none.
    per_step : bool
        Whether the models give scores for each step of a sequence: by `step_scores`, not by `score`.
    num_members : int
        How many trainings each model is the mean of; more than 1 of ensembles, of which `ensemble_scores` gives more
        than `score`.
    """

    def __init__(
        self,
        evaluators: Mapping[int, Evaluator],
        groups: Sequence[InputGroup],
        *,
        num_folds: int,
        outputs: Sequence[str],
        conditions: Sequence[str] = (),
        fold_rule: FoldRule = BY_ENTRY,
        event_input: str | None = None,
        non_finite: NonFinite = "refused",
        finite: Collection[str] | None = None,
        image: tuple[int, ...] = (),
    ) -> None:
        """Take the evaluators by the folds whose events they score.

        Parameters
        ----------
        event_input : str, optional
            Name by which the models take the event numbers.
        non_finite : {"refused", "replaced", "as Reader"}
        finite : collection of str, optional
            For models of other programs the variables of which NaN and infinite values are refused, whose scores have
            to be finite, too. By default all variables, or none, as `non_finite` says.
        """
        self.groups = list(groups)
        self.variables = list(dict.fromkeys(name for group in self.groups for name in group.needed))
        self.outputs = list(outputs)
        self.image = image
        self.num_folds = num_folds
        self.conditions = list(conditions)
        self.fold_rule = fold_rule
        self.non_finite = non_finite
        self.takes_event = event_input is not None
        self._event_input = event_input
        self._finite = None if finite is None else list(finite)
        self._evaluators = dict(evaluators)
        self.per_step = any(evaluator.per_step for evaluator in self._evaluators.values())
        self.num_members = max((evaluator.num_members for evaluator in self._evaluators.values()), default=1)

    def of_condition(self, condition: str | None, where: str) -> Scorer:
        """The scorer for events of a condition (era).

        Raises
        ------
        NtuplemlError
            If the models have conditions and none or an unknown one is given, or the other way round.
        """
        constants = one_hot(self.conditions, condition, where)
        if not constants:
            return self
        (group,) = self.groups
        return Scorer(
            self._evaluators,
            [group._replace(constants=constants)],
            num_folds=self.num_folds,
            outputs=self.outputs,
            conditions=self.conditions,
            fold_rule=self.fold_rule,
            non_finite=self.non_finite,
        )

    def score(
        self, columns: Mapping[str, Any], events: NDArray[np.integer[Any]], *, where: str = "scoring"
    ) -> NDArray[np.float32]:
        """Scores of events.

        Parameters
        ----------
        columns : mapping of str to array
            Branches that the variables need. A variable that is among them by its own text is taken from there.
        events : array of int, shape (n_events,)
            Event numbers (hashes, or entry numbers), which decide the fold; its index will do.

        Returns
        -------
        array of float32, shape (n_events, n_outputs)
            With the pixels of an image behind, where the models give one.

        Raises
        ------
        NtuplemlError
            If a value cannot be given to the models (`MissingInputError` where it is NaN or infinite), or a score of a
            model of another program is not finite.
        ValueError
            If the model of a fold is not loaded.
        """
        return self.score_inputs(self.read(columns, len(events), where), events, where=where)

    def score_inputs(
        self,
        inputs: InputValues,
        events: NDArray[np.integer[Any]],
        rows: NDArray[np.intp] | None = None,
        *,
        where: str = "scoring",
    ) -> NDArray[np.float32]:
        """Scores of events whose inputs are read already, or of some rows of them; otherwise as `score`."""
        scores = np.empty((len(events), self._width), dtype=np.float32)
        for batch, found in self._evaluated(inputs, events, rows, where):
            scores[batch] = found
        self._require_finite(scores, np.arange(len(events)), len(events), where)
        return scores

    @property
    def _width(self) -> int:
        """Numbers that the models give of an event: scores, and the pixels of an image."""
        return len(self.outputs) + (math.prod(self.image) if self.image else 0)

    def ensemble_scores(
        self,
        inputs: InputValues,
        events: NDArray[np.integer[Any]],
        rows: NDArray[np.intp] | None = None,
        *,
        where: str = "scoring",
    ) -> EnsembleScores:
        """Scores of events with the spread and the scores of the members of ensembles, float32; as `score_inputs`.

        Raises
        ------
        NtuplemlError
            If the models are no ensembles; and as `score`.
        """
        if self.num_members == 1:
            raise NtuplemlError(f"{where}: the models are no ensembles, so there is no spread of members")
        shape = (len(events), len(self.outputs))
        found = EnsembleScores(
            np.empty((shape[0], self._width), np.float32),
            np.empty(shape, np.float32),
            np.empty((shape[0], self.num_members, shape[1]), np.float32),
        )
        for evaluator, batch, arrays in self._arrays(inputs, events, rows, where):
            assert evaluator.ensemble is not None
            for values, some in zip(found, evaluator.ensemble(arrays), strict=True):
                values[batch] = some
        return found

    def step_scores(
        self, columns: Mapping[str, Any], events: NDArray[np.integer[Any]], *, where: str = "scoring"
    ) -> StepScores:
        """Scores of events for each step, float32; otherwise as `score`."""
        lengths = np.zeros(len(events), dtype=np.int64)
        owners, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(self.outputs)), dtype=np.float32)]
        for batch, found in self._evaluated(self.read(columns, len(events), where), events, None, where):
            lengths[batch] = found.lengths
            owners.append(np.repeat(np.arange(len(events))[batch], found.lengths))
            rows.append(found.rows.astype(np.float32))
        order = np.argsort(np.concatenate(owners), kind="stable")
        scores = StepScores(np.concatenate(rows)[order], lengths)
        self._require_finite(scores.rows, np.repeat(np.arange(len(events)), lengths), len(events), where)
        return scores

    def missing(
        self, columns: Mapping[str, Any], num_events: int, *, where: str = "scoring"
    ) -> NDArray[np.bool_] | None:
        """Which events have inputs that the models cannot be given: NaN, and infinite ones but for TMVA's methods.

        Returns
        -------
        array of bool, shape (n_events,), or None
            None where there are none.
        """
        if self._finite is None and self.non_finite == "replaced":
            return None
        missing = np.zeros(num_events, np.bool_)
        for group in self.groups:
            if self._finite is not None:
                missing |= missing_events(group, columns, num_events, where, self._finite)
            elif self.non_finite == "as Reader":
                missing |= np.isnan(read_inputs([group], columns, num_events, where).batch()[group.name]).any(axis=1)
            else:
                for found in read_group(group, columns, num_events, where).missing():
                    missing[found.rows] = True
        return missing if missing.any() else None

    def read(self, columns: Mapping[str, Any], number: int, where: str) -> InputValues:
        """What the models take of some events; otherwise as `score`."""
        return read_inputs(self.groups, columns, number, where, finite=self._finite or ())

    def _evaluated(
        self, inputs: InputValues, events: NDArray[np.integer[Any]], rows: NDArray[np.intp] | None, where: str
    ) -> Iterator[tuple[Some, Any]]:
        """Batches of events, and what the models of their folds give."""
        for evaluator, batch, arrays in self._arrays(inputs, events, rows, where):
            yield batch, evaluator.evaluate(arrays)

    def _arrays(
        self, inputs: InputValues, events: NDArray[np.integer[Any]], rows: NDArray[np.intp] | None, where: str
    ) -> Iterator[tuple[Evaluator, Some, dict[str, Any]]]:
        """Batches of events with the model for each, and what that takes."""
        for evaluator in self._evaluators.values():
            _require_shapes(inputs, evaluator.images or {}, where)
        if self._finite is None and self.non_finite == "refused":
            _require_finite_inputs(inputs, where)
        for fold, batch in self._batches(events):
            arrays = inputs.batch(batch if rows is None else rows[batch])
            if self._event_input is not None:
                arrays[self._event_input] = events[batch]
            yield self._evaluators[fold], batch, arrays

    def _batches(self, events: NDArray[np.integer[Any]]) -> Iterator[tuple[int, Some]]:
        """Fold by fold its events; ranges, which need no copy, where all events are of one."""
        folds = None if self.num_folds == 1 else fold_of_events(events, self.num_folds)
        for fold in range(self.num_folds):
            chosen = None if folds is None else np.flatnonzero(folds == fold)
            number = len(events) if chosen is None else len(chosen)
            if number and fold not in self._evaluators:
                raise ValueError(f"events of fold {fold}, but the model that scores them is not loaded")
            size = self._evaluators[fold].batch_size if number else 1
            for start in range(0, number, size):
                batch = slice(start, start + size)
                yield fold, batch if chosen is None else chosen[batch]

    def _require_finite(self, rows: NDArray[Any], owners: NDArray[np.int64], number: int, where: str) -> None:
        """Check rows of scores of a model of another program, which belong to some of a number of events."""
        if self._finite is None:
            return
        bad = np.unique(owners[~np.isfinite(rows).all(axis=1)])
        if len(bad):
            raise NtuplemlError(
                f"{where}: the model gives scores that are NaN or infinite for {len(bad)} of {number} events; cut "
                "away the events with unusual inputs, or say what the model is given in their place"
            )


def _require_shapes(values: InputValues, images: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuse images of other shapes than those that a model takes."""
    for name, wanted in images.items():
        found = tuple(getattr(values.groups.get(name), "row_shape", wanted))
        if found != wanted:
            shapes = [" × ".join(map(str, shape)) for shape in (found, wanted)]
            raise NtuplemlError(
                f"{where}: input '{name}': images of {shapes[0]} pixels and channels, but the models take {shapes[1]}; "
                "make them as those of the training"
            )


def _require_finite_inputs(values: InputValues, where: str) -> None:
    """Refuse what a model that was trained without such values cannot be given."""
    found = [(name, missing) for name, group in values.groups.items() for missing in group.missing()]
    if not found:
        return
    (name, first), *others = found
    place = where if name == "variables" else f"{where}: input '{name}'"
    unit = "events" if first.total == len(values) else "values"
    more = f" (and {len(others)} more variables)" if others else ""
    raise MissingInputError(
        f"{place}: variable '{first.variable}' is NaN or infinite in {first.number} of {first.total} {unit}{more}; the "
        "models were trained without such values; cut them away, or train with missing: {value: …} in the training "
        f"config{hint_for_elements(first.variable)}"
    )


def load_scorer(
    models: Sequence[TrainedModel], *, engine: Engine | None = None, threads: int = 1, with_image: bool = False
) -> Scorer:
    """Open models for scoring, without TensorFlow.

    Where the ONNX file of a Keras model is not there, it is made once (which imports TensorFlow).

    Parameters
    ----------
    models : sequence of TrainedModel
        From `ntupleml.artifacts.models_by_fold`, of one training.
    engine : {"onnx", "forest", "tmva"}, optional
        By default the kernel for forests, ONNX Runtime for everything else. The scores are the same.
    threads : int, default: 1
        Threads of the engine. More than one scores large models sooner, at a higher total cost.
    with_image : bool, default: False
        Give the image that the models have learnt behind the scores.

    Raises
    ------
    NtuplemlError
        If a file is not that of its record (damaged, of another training, changed since), or the engine cannot score
        such models.
    """
    evaluators = {
        model.record.held_out_fold: model_evaluator(model, engine, threads, with_image=with_image) for model in models
    }
    return scorer_of(models, evaluators, with_image=with_image)


def scorer_of(
    models: Sequence[TrainedModel], evaluators: Mapping[int, Evaluator], *, with_image: bool = False
) -> Scorer:
    """Scorer of models that are opened, by the folds whose events they score."""
    first = models[0].record
    image = first.target.image if with_image else None
    return Scorer(
        evaluators,
        groups_of(first.groups, first.missing),
        num_folds=first.num_folds,
        outputs=first.outputs,
        conditions=first.conditions,
        fold_rule=first.fold_rule,
        non_finite=_non_finite(models),
        image=() if image is None else image.bins,
    )


def _non_finite(models: Sequence[TrainedModel]) -> NonFinite:
    if all(model.record.missing is not None for model in models):
        return "replaced"
    as_reader = all(model.files.model.suffix == ".xml" for model in models)
    return "as Reader" if as_reader else "refused"
