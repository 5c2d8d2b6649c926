"""Testing trained models: each one on the events of the fold that it never saw."""

from ntupleml.testing.confusion import REPRESENTATIONS, confusion_of_model, represent
from ntupleml.testing.confusion_files import confusion_stems, uncertainty_key, write_confusion
from ntupleml.testing.events import HeldOutSample, ScoredEvents, held_out_sample, scored_events
from ntupleml.testing.keras_confusion import keras_confusion_matrices

__all__ = [
    "REPRESENTATIONS",
    "HeldOutSample",
    "ScoredEvents",
    "confusion_of_model",
    "confusion_stems",
    "held_out_sample",
    "keras_confusion_matrices",
    "represent",
    "scored_events",
    "uncertainty_key",
    "write_confusion",
]
