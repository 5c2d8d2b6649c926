"""What the comparison of training part and unseen events means: overtrained, not overtrained, or not to be told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.metrics.measurement import Measurement, Undefined, Verdict
from ntupleml.metrics.two_samples import TwoSampleTest, corrected_p_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ntupleml.metrics.overtraining import ClassOvertraining

#: What an area must be better by on the training part to matter at all, and by how many standard deviations, after
#: correction for the number of areas, to be no accident.
NEGLIGIBLE_AUC, SIGNIFICANT_SIGMA = 0.005, 3.0
#: The same for the distributions: the share of events that are displaced (K-S distance), and the p-value of the
#: hypothesis that they agree, after correction for the number of tests.
NEGLIGIBLE_DISTANCE, SIGNIFICANT_P_VALUE = 0.02, 0.01
#: A difference of the areas that must be excluded (95 % confidence) before a classifier is called good.
EXCLUDED_AUC = 0.02
#: Standard deviations of a one-sided limit of 95 %.
_LIMIT_SIGMA = 1.645


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
    models: Mapping[int, Mapping[str, ClassOvertraining]], average: Mapping[str, Measurement | Undefined]
) -> Verdict:
    """Whether a classifier is overtrained.

    Parameters
    ----------
    models : mapping
        By model and class.
    average : mapping
        Difference of the areas by class, mean of the models.

    Notes
    -----
    "attention" asks for a difference that is both significant and not negligible, so that a large sample does not cry
    wolf for a tiny difference:

    * an area that is larger on the training part by more than `NEGLIGIBLE_AUC`, and by more than `SIGNIFICANT_SIGMA`
      standard deviations after correction (Šidák) for the number of areas compared: each class by each model and, of
      several models, by their average; or
    * a distribution with a K-S distance of more than `NEGLIGIBLE_DISTANCE` whose K-S or χ² p-value is below
      `SIGNIFICANT_P_VALUE` after correction for the number of all tests.

    "good" asks in addition for samples that would have shown it: for each class, a difference of `EXCLUDED_AUC` on
    the average of the models is excluded with 95 % confidence. Else it is "unknown".
    """
    gaps, shapes = list(_gaps(models, average)), list(_shapes(models))
    alarms = [text for text in (_alarm_of_gaps(gaps), _alarm_of_shapes(shapes)) if text]
    if alarms:
        return Verdict("attention", f"It may be overtrained: {'; and '.join(alarms)}.")
    known = {name: value for name, value in average.items() if isinstance(value, Measurement)}
    if not known:
        reasons = [value.reason for value in average.values() if isinstance(value, Undefined)]
        return Verdict(
            "unknown", f"Whether it is overtrained cannot be told: {reasons[0] if reasons else 'no events'}."
        )
    # Areas that are smaller on the training part by chance do not make a small sample a large one.
    limits = {name: max(value.value, 0.0) + _LIMIT_SIGMA * value.uncertainty for name, value in known.items()}
    weakest, largest = (max(by, key=lambda name: by[name]) for by in (limits, known))
    seen = f"the largest seen is {_text(known[largest])} for '{largest}'"
    if limits[weakest] > EXCLUDED_AUC:
        return Verdict(
            "unknown",
            "There is no sign of overtraining, but there are too few events to tell: AUC may be larger on the training "
            f"part by up to {limits[weakest]:.3f} for '{weakest}' (95 % confidence; {seen}).",
        )
    texts = [
        f"It is not overtrained: AUC is larger on the training part by no more than {limits[weakest]:.4f} for any "
        f"class (95 % confidence; {seen})",
        *_text_of_shapes(shapes),
        *(
            f"of '{name}' nothing is known ({value.reason})"
            for name, value in average.items()
            if isinstance(value, Undefined)
        ),
    ]
    return Verdict("good", f"{'; '.join(texts)}.")


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


def _alarm_of_gaps(gaps: Sequence[_Gap]) -> str:
    largest_p_value = 0.5 * math.erfc(SIGNIFICANT_SIGMA / math.sqrt(2))
    found = [
        gap
        for gap in gaps
        if gap.difference.value > NEGLIGIBLE_AUC and corrected_p_value(gap.p_value, len(gaps)) < largest_p_value
    ]
    if not found:
        return ""
    largest = max(found, key=lambda gap: gap.difference.value)
    return f"AUC {largest.what} is larger on the training part by {_text(largest.difference)}"


def _alarm_of_shapes(shapes: Sequence[_Shape]) -> str:
    number = sum(len(shape.p_values) for shape in shapes)
    found = [
        shape
        for shape in shapes
        if shape.distance > NEGLIGIBLE_DISTANCE and corrected_p_value(min(shape.p_values), number) < SIGNIFICANT_P_VALUE
    ]
    if not found:
        return ""
    largest = max(found, key=lambda shape: shape.distance)
    p_value = corrected_p_value(min(largest.p_values), number)
    return (
        f"{largest.what} is distributed differently on the training part (K-S distance {largest.distance:.3f}, "
        f"p = {p_value:.2g} after correction for {number} tests)"
    )


def _text_of_shapes(shapes: Sequence[_Shape]) -> Iterator[str]:
    """That the distributions agree, or differ by little."""
    if not shapes:
        return
    number = sum(len(shape.p_values) for shape in shapes)
    p_value = corrected_p_value(min(min(shape.p_values) for shape in shapes), number)
    if p_value >= SIGNIFICANT_P_VALUE:
        yield f"the scores are distributed alike (smallest p-value of {number} tests, corrected: {p_value:.2g})"
    else:
        largest = max(
            shape.distance for shape in shapes if corrected_p_value(min(shape.p_values), number) < SIGNIFICANT_P_VALUE
        )
        yield (
            f"distributions differ significantly (p = {p_value:.2g} after correction for {number} tests), but by a K-S "
            f"distance of no more than {largest:.3f}, which is negligible"
        )


def _text(value: Measurement) -> str:
    return f"{value.value:.4f} ± {value.uncertainty:.4f}"
