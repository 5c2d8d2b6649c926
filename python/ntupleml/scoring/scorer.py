"""The models of all folds, ready to score: each event by the one that never saw it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import record_hash
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.folds import scoring_model
from ntupleml.scoring.onnx_files import onnx_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel, TrainingRecord

log = logging.getLogger(__name__)

#: Events per call of ONNX Runtime: so few that the results of the layers stay in the processor's cache. Batches of
#: 10,000 take up to 1.8 times longer (one hidden layer of 1000), a million rows at once several times.
BATCH_SIZE = 2_000


class Scorer:
    """Scores events with the models of all folds, or of those that were loaded.

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
    """

    def __init__(self, sessions: Sequence[Any], records: Sequence[TrainingRecord]) -> None:
        first = records[0]
        self.variables = list(first.variables)
        self.conditions = list(first.conditions)
        self.classes = list(first.classes)
        self.num_folds = first.num_folds
        self.event_branch = first.event_branch
        self._sessions = {record.fold: session for record, session in zip(records, sessions, strict=True)}
        self._replaces_missing = all(record.missing is not None for record in records)

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
        NtuplemlError
            If an input is NaN or infinite and the models were not trained to replace such values.
        ValueError
            If the matrix or the folds are not of the shape or range above, or the model of a fold is not loaded.
        """
        self._check_arguments(matrix, folds)
        self._check_inputs(matrix, where)
        scores = np.empty((len(matrix), len(self.classes)), dtype=np.float32)
        for fold in range(self.num_folds):
            events = np.flatnonzero(folds == fold)
            model = scoring_model(fold, self.num_folds)
            if len(events) and model not in self._sessions:
                raise ValueError(f"events of fold {fold}, but model {model} is not loaded")
            for start in range(0, len(events), BATCH_SIZE):
                batch = events[start : start + BATCH_SIZE]
                scores[batch] = self._sessions[model].run(["scores"], {"variables": matrix[batch]})[0]
        return scores

    def _check_arguments(self, matrix: NDArray[np.float32], folds: NDArray[np.integer[Any]]) -> None:
        num_inputs = len(self.variables) + len(self.conditions)
        if matrix.ndim != 2 or matrix.shape[1] != num_inputs or matrix.dtype != np.float32:
            raise ValueError(f"inputs of shape {matrix.shape}, {matrix.dtype}; (n_events, {num_inputs}) float32 needed")
        if folds.shape != (len(matrix),):
            raise ValueError(f"folds of shape {folds.shape} for {len(matrix)} events")
        if len(folds) and (folds.min() < 0 or folds.max() >= self.num_folds):
            raise ValueError(f"folds from {folds.min()} to {folds.max()}, but there are {self.num_folds}")

    def _check_inputs(self, matrix: NDArray[np.float32], where: str) -> None:
        if self._replaces_missing or np.isfinite(matrix).all():
            return
        counts = np.count_nonzero(~np.isfinite(matrix), axis=0)
        first = int(np.flatnonzero(counts)[0])
        others = np.count_nonzero(counts) - 1
        more = f" (and {others} more variables)" if others else ""
        raise NtuplemlError(
            f"{where}: variable '{self.variables[first]}' is NaN or infinite in {counts[first]} of {len(matrix)} "
            f"events{more}; the models were trained without such values; cut them away, or train with "
            "missing: {value: …} in the training config"
        )


def load_scorer(models: Sequence[TrainedModel], *, threads: int = 1) -> Scorer:
    """Open models for scoring, without TensorFlow.

    Where the ONNX file of a model is not there, it is made once from the Keras model (which imports TensorFlow).

    Parameters
    ----------
    models : sequence of TrainedModel
        From `ntupleml.artifacts.models_by_fold`, of one training.
    threads : int, default: 1
        Threads of ONNX Runtime. More than one scores large networks sooner, at a higher total cost.

    Raises
    ------
    NtuplemlError
        If a file is not the ONNX graph of its record: damaged, of another training, changed since.
    """
    return Scorer([_session(model, threads) for model in models], [model.record for model in models])


def _session(model: TrainedModel, threads: int) -> Any:
    import onnxruntime

    graph = onnx_graph(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings about the hardware say nothing to a user
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise NtuplemlError(f"{model.files.onnx}: not an ONNX graph, or damaged: {one_line(error)}") from error
    _check_metadata(session, model)
    return session


def _check_metadata(session: Any, model: TrainedModel) -> None:
    """Refuse a graph that is not the one its record describes."""
    path, record = model.files.onnx, model.record
    text = session.get_modelmeta().custom_metadata_map.get("ntupleml")
    try:
        description = json.loads(text or "null")
    except ValueError:
        description = None
    if not isinstance(description, dict):
        raise NtuplemlError(f"{path}: not written by ntupleml: it has no description of its inputs; train again")
    for key, found, wanted in (
        ("variables", description.get("variables"), {"variables": [*record.variables, *record.conditions]}),
        ("classes", description.get("classes"), record.classes),
        ("missing", description.get("missing"), record.missing),
        ("record_hash", description.get("record_hash"), record_hash(record)),
    ):
        if found != wanted:
            raise NtuplemlError(
                f"{path}: is not of the training that {model.files.record} records: {key} is {found}, not {wanted}; "
                "delete it, and it is made anew from the Keras model"
            )
    shapes = [(value.name, value.shape[1:]) for value in (*session.get_inputs(), *session.get_outputs())]
    if shapes != [
        ("variables", [len(record.variables) + len(record.conditions)]),
        ("scores", [len(record.classes)]),
    ]:
        raise NtuplemlError(f"{path}: damaged: its inputs and outputs are {shapes}; delete it, and it is made anew")
