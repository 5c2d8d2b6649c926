"""Numbers that say how good a classifier is: functions of scores, truth and weights, with uncertainties."""

from ntupleml.metrics.confusion import (
    ConfusionMatrix,
    Matrix,
    confusion_matrix,
    efficiency,
    efficiency_to_correct,
    predicted_class,
    purity,
    purity_to_correct,
    sums_of_weights,
    with_class_weights,
)
from ntupleml.metrics.measurement import Measurement, Undefined

__all__ = [
    "ConfusionMatrix",
    "Matrix",
    "Measurement",
    "Undefined",
    "confusion_matrix",
    "efficiency",
    "efficiency_to_correct",
    "predicted_class",
    "purity",
    "purity_to_correct",
    "sums_of_weights",
    "with_class_weights",
]
