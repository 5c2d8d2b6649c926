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
from ntupleml.metrics.histograms import Histogram, add_histograms, histogram
from ntupleml.metrics.measurement import (
    Interval,
    Measurement,
    Undefined,
    Verdict,
    as_plain,
    effective_entries,
    no_sum_of_weights,
)
from ntupleml.metrics.performance import (
    BACKGROUND_EFFICIENCIES,
    ClassPerformance,
    Performance,
    performance,
)
from ntupleml.metrics.roc import RocCurve, RocPoints, auc_influences, roc_against_rest, roc_curve, roc_of_pair
from ntupleml.metrics.separation import separation, separation_of_histograms

__all__ = [
    "BACKGROUND_EFFICIENCIES",
    "ClassPerformance",
    "ConfusionMatrix",
    "Histogram",
    "Interval",
    "Matrix",
    "Measurement",
    "Performance",
    "RocCurve",
    "RocPoints",
    "Undefined",
    "Verdict",
    "add_histograms",
    "as_plain",
    "auc_influences",
    "confusion_matrix",
    "effective_entries",
    "efficiency",
    "efficiency_to_correct",
    "histogram",
    "no_sum_of_weights",
    "performance",
    "predicted_class",
    "purity",
    "purity_to_correct",
    "roc_against_rest",
    "roc_curve",
    "roc_of_pair",
    "separation",
    "separation_of_histograms",
    "sums_of_weights",
    "with_class_weights",
]
