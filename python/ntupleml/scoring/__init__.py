"""Columns in, scores out: ONNX Runtime sessions of all folds, each event scored by the model that never saw it."""

from ntupleml.scoring.conditions import append_condition
from ntupleml.scoring.outputs import max_score_and_index, score_branch_names
from ntupleml.scoring.scorer import BATCH_SIZE, Scorer, load_scorer

__all__ = [
    "BATCH_SIZE",
    "Scorer",
    "append_condition",
    "load_scorer",
    "max_score_and_index",
    "score_branch_names",
]
