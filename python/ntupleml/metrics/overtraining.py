"""Is a classifier overtrained? Its scores for the events that it was fitted on against those for unseen events."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.histograms import histogram
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.roc import RocCurve, roc_against_rest
from ntupleml.metrics.two_samples import (
    TwoSampleTest,
    chi_square,
    combined_p_value,
    corrected_p_value,
    kolmogorov_smirnov,
    p_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray


#: Difference of the areas that a user allows unless the testing config says otherwise.
ALLOWED_AUC = 0.02
#: Standard deviations, after correction for the number of areas, from which a difference is no accident.
SIGNIFICANT_SIGMA = 3.0
#: The same for the distributions: p-value of the hypothesis that they agree, corrected for the number of tests.
SIGNIFICANT_P_VALUE = 0.01
#: Standard deviations of a one-sided limit of 95 %.
_LIMIT_SIGMA = 1.645


class ScoredSample(NamedTuple):
    """Events with the scores of one method."""

    #: Shape (n_events, n_classes).
    scores: NDArray[Any]
    #: Shape (n_events,). Index of the true class.
    truth: NDArray[np.int64]
    #: Shape (n_events,).
    weights: NDArray[np.float64]
    #: Shape (n_events,). Index of the model that scored the event.
    models: NDArray[np.int64]


class ShapeTests(NamedTuple):
    """Tests of the hypothesis that a score is distributed alike in training part and unseen events of a true class."""

    kolmogorov_smirnov: TwoSampleTest | Undefined
    chi_square: TwoSampleTest | Undefined


class ClassOvertraining(NamedTuple):
    """Score of one class by one model, training part against unseen events."""

    #: Area of the class against the rest.
    training_auc: Measurement | Undefined
    test_auc: Measurement | Undefined
    #: The first less the second.
    difference: Measurement | Undefined
    #: By true class.
    shapes: dict[str, ShapeTests]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"by_true_class" if name == "shapes" else name: one for name, one in self._asdict().items()}


class Overtraining(NamedTuple):
    """Training part against unseen events for all models of a method."""

    #: By model and class.
    models: dict[int, dict[str, ClassOvertraining]]
    #: Difference of the areas by class, mean of the models.
    average: dict[str, Measurement | Undefined]
    verdict: Verdict

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"verdict": self.verdict, "average_difference": self.average, "models": self.models}

    def p_values(self, score: str, true_class: str) -> tuple[float | Undefined, float | Undefined]:
        """K-S and χ² p-value of one score and true class, all models together (the smallest, corrected)."""
        tests = [classes[score].shapes[true_class] for classes in self.models.values()]
        return (
            combined_p_value(one.kolmogorov_smirnov for one in tests),
            combined_p_value(one.chi_square for one in tests),
        )


_NO_PART = "There is nothing to compare with the events of the training."


def no_overtraining(reason: Undefined) -> Overtraining:
    """Result where there is no training part to compare with."""
    return Overtraining(
        {}, {}, Verdict("unknown", f"Whether it is overtrained cannot be told: {reason.reason}.", _NO_PART)
    )


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


class _Gap(NamedTuple):
    """By how much the area of a class is larger on the training part, and what it is of."""

    what: str
    difference: Measurement

    @property
    def p_value(self) -> float:
        """Chance of a difference as large where there is none."""
        value, uncertainty = self.difference
        if uncertainty == 0:
            return 0.0 if value > 0 else 1.0
        return 0.5 * math.erfc(value / uncertainty / math.sqrt(2))


class _Shape(NamedTuple):
    """The tests of one distribution, and what it is of."""

    what: str
    distance: float
    p_values: list[float]


def verdict_on(
    models: Mapping[int, Mapping[str, ClassOvertraining]],
    average: Mapping[str, Measurement | Undefined],
    allowed: float = ALLOWED_AUC,
) -> Verdict:
    """Whether a classifier is overtrained by more than is allowed.

    Parameters
    ----------
    models : mapping
        By model and class.
    average : mapping
        Difference of the areas by class, mean of the models.
    allowed : float
        By how much an area may be smaller on held-out events than on those of the training.

    Notes
    -----
    Nearly every useful model does better on the events that it was fitted on, and a large sample shows it. What counts
    is what it costs: "attention" asks for an area that is smaller on held-out events by more than `allowed`, and by
    more than `SIGNIFICANT_SIGMA` standard deviations after correction (Šidák) for the number of areas compared: each
    class by each model and, of several models, by their average. Distributions that differ are mentioned, no more.

    "good" asks for samples that would have shown it: for each class, a difference of `allowed` on the average of the
    models is excluded with 95 % confidence. Else it is "unknown".
    """
    gaps, shapes = list(_gaps(models, average)), list(_shapes(models))
    significant = _significant(gaps)
    costly = [gap for gap in significant if gap.difference.value > allowed]
    if costly:
        largest = max(costly, key=lambda gap: gap.difference.value)
        text = f"It is overtrained: AUC {largest.what} is lower on held-out events than on those of the training by "
        parts = [f"{text}{_text(largest.difference)}, and {allowed:g} is allowed", *_text_of_shapes(shapes)]
        return Verdict("attention", f"{'; '.join(parts)}.", "It does worse on events that it was not trained on.")
    known = {name: value for name, value in average.items() if isinstance(value, Measurement)}
    if not known:
        reasons = [value.reason for value in average.values() if isinstance(value, Undefined)]
        return Verdict(
            "unknown", f"Whether it is overtrained cannot be told: {reasons[0] if reasons else 'no events'}.", _NO_PART
        )
    # Areas that are smaller on the training part by chance do not make a small sample a large one.
    limits = {name: max(value.value, 0.0) + _LIMIT_SIGMA * value.uncertainty for name, value in known.items()}
    weakest, largest_seen = (max(by, key=lambda name: by[name]) for by in (limits, known))
    seen = f"95 % confidence; the largest seen is {_text(known[largest_seen])} for '{largest_seen}'"
    if limits[weakest] > allowed:
        return Verdict(
            "unknown",
            f"There are too few events to tell whether it costs more than the {allowed:g} of AUC that is allowed: on "
            f"held-out events AUC may be lower by up to {limits[weakest]:.3f} for '{weakest}' ({seen}).",
            "It does a little worse on other events; how much it costs needs more of them."
            if significant
            else "Nothing points to overtraining, but only more events could rule it out.",
        )
    opening = "Overtraining costs little" if significant else "It is not overtrained"
    texts = [
        f"{opening}: AUC is lower on held-out events by no more than {limits[weakest]:.4f} for any class ({seen}), and "
        f"{allowed:g} is allowed",
        *_text_of_shapes(shapes),
        *(
            f"of '{name}' nothing is known ({value.reason})"
            for name, value in average.items()
            if isinstance(value, Undefined)
        ),
    ]
    plain = "Training events look a little better, at no cost." if significant else "It does as well on other events."
    return Verdict("good", f"{'; '.join(texts)}.", plain)


def _gaps(
    models: Mapping[int, Mapping[str, ClassOvertraining]], average: Mapping[str, Measurement | Undefined]
) -> Iterator[_Gap]:
    """The areas of each class by each model and, of several models, their averages."""
    for model, classes in models.items():
        for name, result in classes.items():
            if isinstance(result.difference, Measurement):
                yield _Gap(f"of '{name}' by model {model}", result.difference)
    if len(models) > 1:
        for name, value in average.items():
            if isinstance(value, Measurement):
                yield _Gap(f"of '{name}' on average of {len(models)} models", value)


def _shapes(models: Mapping[int, Mapping[str, ClassOvertraining]]) -> Iterator[_Shape]:
    for model, classes in models.items():
        for name, result in classes.items():
            for true_class, (distance, chi) in result.shapes.items():
                if isinstance(distance, TwoSampleTest):
                    p_values = [test.p_value for test in (distance, chi) if isinstance(test, TwoSampleTest)]
                    what = f"the score of '{name}' for true '{true_class}' by model {model}"
                    yield _Shape(what, distance.statistic, p_values)


def _significant(gaps: Sequence[_Gap]) -> list[_Gap]:
    """Those that are no accident."""
    largest_p_value = 0.5 * math.erfc(SIGNIFICANT_SIGMA / math.sqrt(2))
    return [gap for gap in gaps if corrected_p_value(gap.p_value, len(gaps)) < largest_p_value]


def _text_of_shapes(shapes: Sequence[_Shape]) -> Iterator[str]:
    """That the distributions agree, or how far they are apart."""
    if not shapes:
        return
    number = sum(len(shape.p_values) for shape in shapes)
    p_value = corrected_p_value(min(min(shape.p_values) for shape in shapes), number)
    if p_value >= SIGNIFICANT_P_VALUE:
        yield f"the scores are distributed alike (smallest p-value of {number} tests, corrected: {p_value:.2g})"
        return
    differing = [shape for shape in shapes if corrected_p_value(min(shape.p_values), number) < SIGNIFICANT_P_VALUE]
    largest = max(differing, key=lambda shape: shape.distance)
    yield (
        f"distributions differ significantly ({p_text(p_value)} after correction for {number} tests), most "
        f"{largest.what}, by a K-S distance of {largest.distance:.3f}"
    )


def _text(value: Measurement) -> str:
    return measurement_text(value)
