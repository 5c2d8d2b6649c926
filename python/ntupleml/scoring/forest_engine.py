"""Forests as evaluators: the kernel of `ntupleml.forests`, behind what TMVA does to its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.preprocessing.missing import fill_missing
from ntupleml.scoring.evaluators import (
    BATCH_SIZE,
    Evaluator,
    matrix_evaluator,
    open_session,
    scores_of_matrix,
    session_evaluator,
)
from ntupleml.scoring.outputs import NO_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.forests import Forest
    from ntupleml.tmva.method import TmvaMethod

#: Events per call of the kernel, which divides them into blocks of its own.
_BATCH_SIZE = 50_000


def forest_of_file(path: Path) -> Forest | None:
    """The forest in a file of XGBoost, LightGBM or ours; None where it holds another kind of model, or is not there."""
    if not path.exists():
        return None
    if path.suffix == ".json":
        from ntupleml.forests.xgboost import forest_of_xgboost
        from ntupleml.forests.xgboost_file import read_xgboost

        return forest_of_xgboost(read_xgboost(path), str(path))
    if path.suffix == ".npz":
        from ntupleml.forests.files import load_forest

        return load_forest(path)
    if path.suffix == ".txt":
        from ntupleml.forests.lightgbm import forest_of_lightgbm, read_lightgbm

        return forest_of_lightgbm(read_lightgbm(path), str(path))
    return None


def forest_evaluator(forest: Forest, threads: int, missing: float | None = None) -> Evaluator:
    """Evaluator of a forest.

    Parameters
    ----------
    missing : float, optional
        What replaces NaN and infinite inputs, where the training did so.
    """
    from ntupleml.forests.kernel import evaluate, prepare

    prepared = prepare(forest)

    def scores(matrix: NDArray[np.float32]) -> NDArray[Any]:
        return evaluate(prepared, fill_missing(matrix, missing), threads)

    return matrix_evaluator(scores, _BATCH_SIZE)


def tmva_forest_evaluator(method: TmvaMethod, forest: Forest, threads: int) -> Evaluator:
    """Evaluator of a BDT of TMVA: its variable transformations as a graph in ONNX Runtime, then the kernel.

    Events that TMVA's Reader has no answer to get −999, as from the method's ONNX graph.
    """
    trees = forest_evaluator(forest, threads)
    transform = _transformation(method, threads)

    def scores(matrix: NDArray[np.float32]) -> NDArray[Any]:
        transformed = transform(matrix)
        answers = scores_of_matrix(trees, transformed)
        if method.answers_lost:
            answers[np.isnan(transformed).any(axis=1)] = NO_ANSWER
        return answers

    return matrix_evaluator(scores, _BATCH_SIZE)


def _transformation(method: TmvaMethod, threads: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """From the variables to what the trees see."""
    if not method.transformations:
        return lambda matrix: matrix
    transformations = session_evaluator(open_session(_transformation_graph(method), method.path, threads))

    def transform(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        transformed = np.empty_like(matrix)
        for start in range(0, len(matrix), BATCH_SIZE):
            block = slice(start, start + BATCH_SIZE)
            transformed[block] = scores_of_matrix(transformations, matrix[block])
        return transformed

    return transform


def _transformation_graph(method: TmvaMethod) -> bytes:
    """The same as a graph."""
    from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.onnx_models.tmva_transformations import transformation_nodes

    names = [variable.full_name for variable in method.variables]
    graph = GraphBuilder()
    value = transformation_nodes(graph, INPUT, method.transformations, np.float32)
    graph.add("Identity", value, output=OUTPUT)
    model = contract_model(graph, {INPUT: GraphInput(names)}, {OUTPUT: names}, classes=[], kind="tmva_transformations")
    content: bytes = model.SerializeToString()
    return content
