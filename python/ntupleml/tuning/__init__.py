"""Search for settings of a training: trials by the driver of all trainings, judged on the events that validate."""

from ntupleml.tuning.search import TuningOptions, tune

__all__ = ["TuningOptions", "tune"]
