"""Is a classifier overtrained? Its scores for the events that it was fitted on against those for unseen events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.histograms import histogram
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.overtraining_verdict import ALLOWED_AUC, verdict_on
from ntupleml.metrics.roc import RocCurve, roc_against_rest
from ntupleml.metrics.two_samples import (
    TwoSampleTest,
    chi_square,
    combined_p_value,
    kolmogorov_smirnov,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class ScoredSample(NamedTuple):
    """Events with the scores of one method.

    Attributes
    ----------
    scores : array, shape (n_events, n_classes)
    truth : array of int, shape (n_events,)
        Index of the true class.
    weights : array of float64, shape (n_events,)
    models : array of int, shape (n_events,)
        Index of the model that scored the event.
    """

    scores: NDArray[Any]
    truth: NDArray[np.int64]
    weights: NDArray[np.float64]
    models: NDArray[np.int64]


class ShapeTests(NamedTuple):
    """Tests of the hypothesis that a score is distributed alike in training part and unseen events of a true class."""

    kolmogorov_smirnov: TwoSampleTest | Undefined
    chi_square: TwoSampleTest | Undefined

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for a YAML or JSON file."""
        return {
            name: str(test) if isinstance(test, Undefined) else test.to_dict() for name, test in self._asdict().items()
        }


class ClassOvertraining(NamedTuple):
    """Score of one class by one model, training part against unseen events.

    Attributes
    ----------
    training_auc, test_auc : Measurement or Undefined
        Area of the class against the rest.
    difference : Measurement or Undefined
        The first less the second.
    shapes : dict of str to ShapeTests
        By true class.
    """

    training_auc: Measurement | Undefined
    test_auc: Measurement | Undefined
    difference: Measurement | Undefined
    shapes: dict[str, ShapeTests]

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for a YAML or JSON file."""
        return {
            "training_auc": as_plain(self.training_auc),
            "test_auc": as_plain(self.test_auc),
            "difference": as_plain(self.difference),
            "by_true_class": {name: tests.to_dict() for name, tests in self.shapes.items()},
        }


class Overtraining(NamedTuple):
    """Training part against unseen events for all models of a method.

    Attributes
    ----------
    models : dict of int to dict of str to ClassOvertraining
        By model and class.
    average : dict of str to Measurement or Undefined
        Difference of the areas by class, mean of the models.
    verdict : Verdict
    """

    models: dict[int, dict[str, ClassOvertraining]]
    average: dict[str, Measurement | Undefined]
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for a YAML or JSON file."""
        return {
            "verdict": {"level": self.verdict.level, "text": self.verdict.text},
            "average_difference": {name: as_plain(value) for name, value in self.average.items()},
            "models": {
                model: {name: result.to_dict() for name, result in classes.items()}
                for model, classes in self.models.items()
            },
        }

    def p_values(self, score: str, true_class: str) -> tuple[float | Undefined, float | Undefined]:
        """K-S and χ² p-value of one score and true class, all models together (the smallest, corrected)."""
        tests = [classes[score].shapes[true_class] for classes in self.models.values()]
        return (
            combined_p_value(one.kolmogorov_smirnov for one in tests),
            combined_p_value(one.chi_square for one in tests),
        )


def no_overtraining(reason: Undefined) -> Overtraining:
    """Result where there is no training part to compare with."""
    return Overtraining({}, {}, Verdict("unknown", f"Whether it is overtrained cannot be told: {reason.reason}."))


def overtraining(
    test: ScoredSample,
    training: ScoredSample,
    classes: Sequence[str],
    edges: Mapping[str, NDArray[np.float64]],
    test_areas: Mapping[int, Mapping[str, Measurement | Undefined]] | None = None,
    allowed: float = ALLOWED_AUC,
) -> Overtraining:
    """Compare the scores of the events that models were fitted on with those of events that they never saw.

    Parameters
    ----------
    test, training : ScoredSample
        Unseen events, and those of the training; the models are compared one by one.
    classes : sequence of str
        By the columns of the scores.
    edges : mapping of str to array
        Edges of the bins of the χ² test, by class of the score.
    test_areas : mapping of int to mapping of str to Measurement or Undefined, optional
        Areas of the unseen events by model and class, where they are known already.
    allowed : float
        By how much an area may be smaller on unseen events before the verdict calls attention.

    Notes
    -----
    Training part and unseen events of one model are different events, so their uncertainties add in squares. Of
    several models, one's training part holds events that another has not seen, and the scores of one event depend on
    each other; both make corrections and the uncertainty of the average too large rather than too small.
    """
    models = {
        int(model): _of_model(
            _chosen(test, test.models == model),
            _chosen(training, training.models == model),
            classes,
            edges,
            (test_areas or {}).get(int(model), {}),
        )
        for model in np.unique(np.concatenate([test.models, training.models]))
    }
    average = {name: _mean([results[name].difference for results in models.values()]) for name in classes}
    return Overtraining(models, average, verdict_on(models, average, allowed))


def _chosen(sample: ScoredSample, events: NDArray[np.bool_]) -> ScoredSample:
    if events.all():  # one model: no copy
        return sample
    return ScoredSample(sample.scores[events], sample.truth[events], sample.weights[events], sample.models[events])


def _of_model(
    test: ScoredSample,
    training: ScoredSample,
    classes: Sequence[str],
    edges: Mapping[str, NDArray[np.float64]],
    test_areas: Mapping[str, Measurement | Undefined],
) -> dict[str, ClassOvertraining]:
    shapes: dict[str, dict[str, ShapeTests]] = {name: {} for name in classes}
    for true_index, true_class in enumerate(classes):
        of_test, of_training = (np.flatnonzero(sample.truth == true_index) for sample in (test, training))
        test_scores, test_weights = test.scores[of_test].T, test.weights[of_test]
        training_scores, training_weights = training.scores[of_training].T, training.weights[of_training]
        for name, first, second in zip(classes, training_scores, test_scores, strict=True):
            shapes[name][true_class] = ShapeTests(
                _explained(kolmogorov_smirnov(first, training_weights, second, test_weights)),
                _explained(
                    chi_square(
                        histogram(first, training_weights, edges[name]), histogram(second, test_weights, edges[name])
                    )
                ),
            )
    results = {}
    for index, name in enumerate(classes):
        on_training = _area(training, index)
        on_test = test_areas[name] if name in test_areas else _area(test, index)
        results[name] = ClassOvertraining(on_training, on_test, _difference(on_training, on_test), shapes[name])
    return results


def _explained(test: TwoSampleTest | Undefined) -> TwoSampleTest | Undefined:
    """The first sample is the training part, the second are the unseen events."""
    if not isinstance(test, Undefined):
        return test
    reason = test.reason
    for kind in ("sample", "histogram"):
        reason = reason.replace(f"first {kind}", "training part").replace(f"second {kind}", "unseen events")
    return Undefined(reason)


def _area(sample: ScoredSample, index: int) -> Measurement | Undefined:
    curve = roc_against_rest(sample.scores, sample.truth, index, sample.weights)
    return curve.auc if isinstance(curve, RocCurve) else curve


def _difference(training: Measurement | Undefined, test: Measurement | Undefined) -> Measurement | Undefined:
    for area, name in ((training, "training part"), (test, "unseen events")):
        if isinstance(area, Undefined):
            return Undefined(f"{name}: {area.reason}")
    assert isinstance(training, Measurement)
    assert isinstance(test, Measurement)
    return Measurement(training.value - test.value, math.hypot(training.uncertainty, test.uncertainty))


def _mean(differences: Sequence[Measurement | Undefined]) -> Measurement | Undefined:
    known = [one for one in differences if isinstance(one, Measurement)]
    if not known:
        return next((one for one in differences if isinstance(one, Undefined)), Undefined("no events"))
    values, uncertainties = zip(*known, strict=True)
    return Measurement(sum(values) / len(known), math.hypot(*uncertainties) / len(known))
