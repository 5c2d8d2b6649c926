"""The models of all folds, ready to score: each event by the one that never saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntupleml.errors import MissingInputError
from ntupleml.scoring.engines import model_evaluator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.scoring.engines import Engine
    from ntupleml.scoring.sessions import Evaluator

#: What happens to NaN and infinite inputs: an error; the models replace them; or what TMVA's Reader does with them:
#: −999 for NaN or whatever comes of it, by the analysis of the weights file, and infinities are numbers as any other.
NonFinite = Literal["refused", "replaced", "as Reader"]


class Scorer:
    """Scores events, each by the model for its fold; with the models of all folds, or of those that were loaded.

    Attributes
    ----------
    variables : list of str
        Raw variables that the models take, in order.
    conditions : list of str
        One-hot inputs that follow them; normally empty.
    classes : list of str
        Names of the scores.
    num_folds : int
    event_branch : str or None
        Branch whose value decides the fold; None where the entry number does.
    non_finite : {"refused", "replaced", "as Reader"}
    """

    def __init__(
        self,
        evaluators: Mapping[int, Evaluator],
        *,
        num_folds: int,
        variables: Sequence[str],
        classes: Sequence[str],
        conditions: Sequence[str] = (),
        event_branch: str | None = None,
        non_finite: NonFinite = "refused",
    ) -> None:
        """Take the evaluators by the folds whose events they score."""
        self.variables = list(variables)
        self.conditions = list(conditions)
        self.classes = list(classes)
        self.num_folds = num_folds
        self.event_branch = event_branch
        self.non_finite = non_finite
        self._evaluators = dict(evaluators)

    def score(
        self, matrix: NDArray[np.float32], folds: NDArray[np.integer[Any]], *, where: str = "scoring"
    ) -> NDArray[np.float32]:
        """Scores of events, each by the model that was held out from its fold.

        Parameters
        ----------
        matrix : array of float32, shape (n_events, n_variables + n_conditions)
            Raw inputs, see `ntupleml.ntuples.columns_to_matrix`.
        folds : array of int, shape (n_events,)
            Fold of each event, see `ntupleml.folds.fold_of_events`.
        where : str
            File and tree, for messages.

        Returns
        -------
        array of float32, shape (n_events, n_classes)

        Raises
        ------
        MissingInputError
            If an input is NaN or infinite and the models are not to be given such values.
        ValueError
            If the matrix or the folds are not of the shape or range above, or the model of a fold is not loaded.
        """
        self._check_arguments(matrix, folds)
        self._check_inputs(matrix, where)
        scores = np.empty((len(matrix), len(self.classes)), dtype=np.float32)
        for fold in range(self.num_folds):
            self._score_fold(fold, np.flatnonzero(folds == fold), matrix, scores)
        return scores

    def missing(self, matrix: NDArray[np.float32]) -> NDArray[np.bool_] | None:
        """Which events have inputs that the models cannot be given: NaN, and infinite ones but for TMVA's methods.

        Returns
        -------
        array of bool, shape (n_events,), or None
            None where there are none.
        """
        if self.non_finite == "replaced":
            return None
        bad = np.isnan(matrix) if self.non_finite == "as Reader" else ~np.isfinite(matrix)
        missing = np.asarray(bad.any(axis=1))
        return missing if missing.any() else None

    def _score_fold(
        self, fold: int, events: NDArray[np.intp], matrix: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> None:
        if not len(events):
            return
        if fold not in self._evaluators:
            raise ValueError(f"events of fold {fold}, but the model that scores them is not loaded")
        evaluate, batch_size = self._evaluators[fold]
        for start in range(0, len(events), batch_size):
            batch = events[start : start + batch_size]
            scores[batch] = evaluate(matrix[batch])

    def _check_arguments(self, matrix: NDArray[np.float32], folds: NDArray[np.integer[Any]]) -> None:
        num_inputs = len(self.variables) + len(self.conditions)
        if matrix.ndim != 2 or matrix.shape[1] != num_inputs or matrix.dtype != np.float32:
            raise ValueError(f"inputs of shape {matrix.shape}, {matrix.dtype}; (n_events, {num_inputs}) float32 needed")
        if folds.shape != (len(matrix),):
            raise ValueError(f"folds of shape {folds.shape} for {len(matrix)} events")
        if len(folds) and (folds.min() < 0 or folds.max() >= self.num_folds):
            raise ValueError(f"folds from {folds.min()} to {folds.max()}, but there are {self.num_folds}")

    def _check_inputs(self, matrix: NDArray[np.float32], where: str) -> None:
        if self.non_finite != "refused" or np.isfinite(matrix).all():
            return
        counts = np.count_nonzero(~np.isfinite(matrix), axis=0)
        first = int(np.flatnonzero(counts)[0])
        others = np.count_nonzero(counts) - 1
        more = f" (and {others} more variables)" if others else ""
        raise MissingInputError(
            f"{where}: variable '{self.variables[first]}' is NaN or infinite in {counts[first]} of {len(matrix)} "
            f"events{more}; the models were trained without such values; cut them away, or train with "
            "missing: {value: …} in the training config"
        )


def load_scorer(models: Sequence[TrainedModel], *, engine: Engine | None = None, threads: int = 1) -> Scorer:
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

    Raises
    ------
    NtuplemlError
        If a file is not that of its record (damaged, of another training, changed since), or the engine cannot score
        such models.
    """
    first = models[0].record
    return Scorer(
        {model.record.held_out_fold: model_evaluator(model, engine, threads) for model in models},
        num_folds=first.num_folds,
        variables=first.variables,
        classes=first.classes,
        conditions=first.conditions,
        event_branch=first.event_branch,
        non_finite=_non_finite(models),
    )


def _non_finite(models: Sequence[TrainedModel]) -> NonFinite:
    if all(model.record.missing is not None for model in models):
        return "replaced"
    as_reader = all(model.files.model.suffix == ".xml" for model in models)
    return "as Reader" if as_reader else "refused"
