"""Testing trained models: each one on the events of the fold that it never saw."""

from ntupleml.testing.comparison import Comparison, MethodResult, compare_methods, comparison_of_methods
from ntupleml.testing.comparison_files import comparison_content, comparison_table, write_comparison
from ntupleml.testing.confusion import REPRESENTATIONS, confusion_of_model, represent
from ntupleml.testing.confusion_files import confusion_stems, uncertainty_key, write_confusion
from ntupleml.testing.confusion_matrices import confusion_matrices
from ntupleml.testing.events import HeldOutSample, ScoredEvents, held_out_sample, scored_events

__all__ = [
    "REPRESENTATIONS",
    "Comparison",
    "HeldOutSample",
    "MethodResult",
    "ScoredEvents",
    "compare_methods",
    "comparison_content",
    "comparison_of_methods",
    "comparison_table",
    "confusion_matrices",
    "confusion_of_model",
    "confusion_stems",
    "held_out_sample",
    "represent",
    "scored_events",
    "uncertainty_key",
    "write_comparison",
    "write_confusion",
]
