"""Which engine scores a model: the forest kernel, ONNX Runtime, or TMVA's own Reader."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from ntupleml.artifacts import member_models
from ntupleml.errors import NtuplemlError
from ntupleml.forests import Forest
from ntupleml.scoring.evaluators import (
    Evaluator,
    matrix_evaluator,
    mean_evaluator,
    open_session,
    scores_of_matrix,
    session_evaluator,
)
from ntupleml.scoring.forest_engine import forest_evaluator, forest_of_file, tmva_forest_evaluator
from ntupleml.scoring.onnx_files import open_graph
from ntupleml.scoring.outputs import Binary, class_scores
from ntupleml.scoring.tmva_reader import reader_evaluator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.tmva.method import TmvaMethod

log = logging.getLogger(__name__)

#: ``forest``: the kernel, for BDTs and other forests. ``onnx``: ONNX Runtime, for all. ``tmva``: ROOT's own Reader.
Engine = Literal["onnx", "forest", "tmva"]


def model_evaluator(
    model: TrainedModel, engine: Engine | None = None, threads: int = 1, *, with_image: bool = False
) -> Evaluator:
    """Evaluator of a trained model, which gives one score per class.

    Parameters
    ----------
    engine : {"onnx", "forest", "tmva"}, optional
        By default the kernel for forests, ONNX Runtime for everything else. The scores are the same.
    threads : int, default: 1
        Of ONNX Runtime or the kernel.
    with_image : bool, default: False
        Give the pixels of the image that the model has learnt behind the scores.

    Raises
    ------
    NtuplemlError
        If the engine cannot score such a model, or a file of the model cannot be used.
    """
    if with_image:
        return open_graph(model, threads, with_image=True)
    if model.record.ensemble is not None:
        return _ensemble_evaluator(model, engine, threads)
    path = model.files.model
    num_scores = len(model.record.outputs)
    if path.suffix == ".xml" and (path.exists() or engine == "tmva"):
        return _evaluator_of_xml(model, engine, threads)
    if engine == "tmva":
        raise NtuplemlError(
            f"--engine tmva: TMVA's Reader reads weights files (.weights.xml), not '{path}'; leave --engine out"
        )
    forest = None if engine == "onnx" else forest_of_file(path)
    if forest is None:
        if engine == "forest":
            raise _no_forest(path)
        # The graph of TMVA weights that are no longer there gives what the weights did.
        return _per_class(open_graph(model, threads), num_scores, "response" if path.suffix == ".xml" else "second")
    log.info("model %d: %d trees, scored by the forest kernel", model.record.fold, forest.num_trees)
    return _per_class(forest_evaluator(forest, threads, model.record.missing), num_scores, "second")


def _ensemble_evaluator(model: TrainedModel, engine: Engine | None, threads: int) -> Evaluator:
    """The kernel for each forest of an ensemble that is at hand; else the graph with all members."""
    forests = model.method.kind == "boosted_trees"
    if engine == "tmva" or (engine == "forest" and not forests):
        raise NtuplemlError(
            f"--engine {engine}: '{model.files.model}' is an ensemble of '{model.method.name}', which it cannot score; "
            "leave --engine out"
        )
    if forests and engine != "onnx":
        try:
            members = member_models(model)
        except NtuplemlError as error:
            if engine == "forest":
                raise
            log.info("model %d: its ONNX file scores: %s", model.record.fold, error)
        else:
            return mean_evaluator([model_evaluator(one, "forest", threads) for one in members])
    return open_graph(model, threads)


def _evaluator_of_xml(model: TrainedModel, engine: Engine | None, threads: int) -> Evaluator:
    method = weights_of(model)
    _require_classes(method, model)
    if engine == "onnx" and model.weights is None and model.files.onnx.exists():
        evaluator = open_graph(model, threads)
    else:
        evaluator = weights_evaluator(method, engine, threads, model.record.missing)
    return _per_class(evaluator, len(model.record.classes), method.one_value)


def weights_evaluator(
    method: TmvaMethod, engine: Engine | None = None, threads: int = 1, missing: float | None = None
) -> Evaluator:
    """Evaluator of TMVA weights, which gives what TMVA's Reader does.

    Parameters
    ----------
    engine, threads
        As for `model_evaluator`.
    missing : float, optional
        What replaces NaN and infinite inputs, where the training did so.

    Raises
    ------
    NtuplemlError
        If the engine cannot score such a method.
    """
    evaluator = _weights_evaluator(method, engine, threads)
    if missing is None:
        return evaluator
    from ntupleml.preprocessing.missing import fill_missing

    return matrix_evaluator(
        lambda matrix: scores_of_matrix(evaluator, fill_missing(matrix, missing)), evaluator.batch_size
    )


def _weights_evaluator(method: TmvaMethod, engine: Engine | None, threads: int) -> Evaluator:
    if engine == "tmva":
        return reader_evaluator(method)
    # What a regression does to its targets before the training is undone by the graph alone.
    forest = method.body if method.target_transformation is None else None
    if engine != "onnx" and isinstance(forest, Forest):
        log.info("%s: %d trees, scored by the forest kernel", method.path, forest.num_trees)
        return tmva_forest_evaluator(method, forest, threads)
    if engine == "forest":
        raise _no_forest(method.path)
    from ntupleml.onnx_models.tmva_method import tmva_to_onnx

    return session_evaluator(open_session(tmva_to_onnx(method).SerializeToString(), method.path, threads))


def weights_of(model: TrainedModel) -> TmvaMethod:
    """Content of a model's weights file."""
    if model.weights is not None:
        return model.weights
    from ntupleml.tmva.reading import read_weights

    return read_weights(model.files.model)


def _require_classes(method: TmvaMethod, model: TrainedModel) -> None:
    """The weights have to give the scores that the record names, in its order."""
    wanted = model.record.classes
    binary = method.analysis == "Classification" and len(wanted) == 2
    if not binary and list(method.classes) != wanted:
        raise NtuplemlError(
            f"{method.path}: has the classes {', '.join(method.classes) or 'none'}, but {model.files.record} has "
            f"{', '.join(wanted)}; train again"
        )


def _no_forest(path: Path) -> NtuplemlError:
    return NtuplemlError(f"--engine forest: '{path}' is no forest of decision trees (or not there); leave --engine out")


def _per_class(evaluator: Evaluator, num_classes: int, binary: Binary) -> Evaluator:
    def scores(batch: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        return class_scores(evaluator.evaluate(batch), num_classes, binary)

    return evaluator._replace(evaluate=scores)
