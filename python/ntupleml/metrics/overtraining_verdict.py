"""What the comparison of training part and unseen events means: overtrained, not overtrained, or not to be told."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.metrics.measurement import Measurement, Undefined, Verdict
from ntupleml.metrics.sculpting_verdict import p_text
from ntupleml.metrics.two_samples import TwoSampleTest, corrected_p_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ntupleml.metrics.overtraining import ClassOvertraining

#: Difference of the areas that a user allows unless the testing config says otherwise.
ALLOWED_AUC = 0.02
#: Standard deviations, after correction for the number of areas, from which a difference is no accident.
SIGNIFICANT_SIGMA = 3.0
#: The same for the distributions: p-value of the hypothesis that they agree, corrected for the number of tests.
SIGNIFICANT_P_VALUE = 0.01
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
        return Verdict("attention", f"{'; '.join(parts)}.")
    known = {name: value for name, value in average.items() if isinstance(value, Measurement)}
    if not known:
        reasons = [value.reason for value in average.values() if isinstance(value, Undefined)]
        return Verdict(
            "unknown", f"Whether it is overtrained cannot be told: {reasons[0] if reasons else 'no events'}."
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
    return f"{value.value:.4f} ± {value.uncertainty:.4f}"
