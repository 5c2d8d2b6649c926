"""Columns in, scores out: the models of all folds in a fast engine, each event scored by the one that never saw it."""

from ntupleml.scoring.conditions import append_condition
from ntupleml.scoring.engines import Engine, model_evaluator, weights_evaluator
from ntupleml.scoring.evaluators import BATCH_SIZE, Evaluator, scores_of_matrix
from ntupleml.scoring.outputs import NO_ANSWER, NO_CLASS, max_score_and_index, score_branch_names
from ntupleml.scoring.scorer import Scorer, load_scorer

__all__ = [
    "BATCH_SIZE",
    "NO_ANSWER",
    "NO_CLASS",
    "Engine",
    "Evaluator",
    "Scorer",
    "append_condition",
    "load_scorer",
    "max_score_and_index",
    "model_evaluator",
    "score_branch_names",
    "scores_of_matrix",
    "weights_evaluator",
]
