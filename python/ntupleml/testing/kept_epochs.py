"""Scorers of single epochs of a network: of the epoch that the model has, and of those whose weights were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.artifacts import file_of_model, load_keras_model
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.metrics import Undefined
from ntupleml.scoring.evaluators import open_session, session_evaluator
from ntupleml.scoring.scorer import load_scorer, scorer_of
from ntupleml.training.kept_epochs import epochs_path, read_epochs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel, TrainingRecord
    from ntupleml.scoring import Scorer


def epoch_of_model(record: TrainingRecord) -> int:
    """Epoch (from 1) whose weights the model has: the best, or the last where nobody looked for the best."""
    return record.best_epoch or record.epochs


def scorers_of_epochs(model: TrainedModel, epochs: Sequence[int]) -> dict[int, Scorer | Undefined]:
    """Scorers by epoch; undefined where the weights were not kept. Imports TensorFlow where any were.

    Raises
    ------
    NtuplemlError
        If the kept weights are not those of this network.
    """
    own, path = epoch_of_model(model.record), epochs_path(model.files.model)
    kept = read_epochs(path) if path.exists() else {}
    network = load_keras_model(model.files.model) if any(epoch in kept and epoch != own for epoch in epochs) else None
    found: dict[int, Scorer | Undefined] = {}
    for epoch in epochs:
        if epoch == own:
            found[epoch] = load_scorer([model])
        elif epoch in kept:
            found[epoch] = _scorer(model, network, kept[epoch], f"{path}: epoch {epoch}")
        else:
            found[epoch] = Undefined("weights not kept; model: keep_epochs: true keeps those of the best epochs")
    return found


def _scorer(model: TrainedModel, network: Any, weights: list[NDArray[Any]], where: str) -> Scorer:
    from ntupleml.onnx_models.convert import graph_of_record

    try:
        network.set_weights(weights)
    except ValueError as error:
        raise NtuplemlError(f"{where}: not of the network in {model.files.model}: {one_line(error)}") from error
    assert model.files.preprocessing is not None
    graph, _ = graph_of_record(file_of_model(network, where), model.files.preprocessing, model.record)
    evaluator = session_evaluator(open_session(graph.SerializeToString(), where, 1))
    return scorer_of([model], {model.record.held_out_fold: evaluator})
