"""From the numbers of slices to an answer: whether a score sculpts the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ntupleml.metrics.divergence import Divergence
from ntupleml.metrics.measurement import Undefined, Verdict
from ntupleml.metrics.sculpting import kolmogorov_factor
from ntupleml.metrics.two_samples import TwoSampleTest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.metrics.sculpting import Sculpting, SliceShape

#: Changes of the shape that matter: distance of the distribution functions, and divergence in bits. A distribution
#: that rises or falls linearly by 40% about its middle has both.
LARGE_DISTANCE, LARGE_DIVERGENCE = 0.1, 0.01
#: Chance of "attention" for any of the results that are judged together where nothing is sculpted.
SIGNIFICANT = 0.01


class Judged(NamedTuple):
    """One test of one slice.

    Attributes
    ----------
    size : float
        Its result in units of what matters.
    p_value : float
    shape : SliceShape
    """

    size: float
    p_value: float
    shape: SliceShape


def sculpting_verdict(result: Sculpting | Undefined, class_name: str, variable: str, num_results: int = 1) -> Verdict:
    """Whether the score of a class sculpts the background in a variable.

    Parameters
    ----------
    result : Sculpting or Undefined
    class_name, variable : str
        What the result is of.
    num_results : int, default: 1
        Number of results that are judged together, for whose tests the significance is corrected.

    Notes
    -----
    "attention" where in any slice the Kolmogorov-Smirnov distance is at least 0.1, or the Jensen-Shannon divergence at
    least 0.01 bits, *and* its p-value, times the number of all tests (Bonferroni), is below 0.01. So neither the tiny
    effects that a large sample shows nor the fluctuations of a small one are called sculpting. "unknown" where there
    are so few events that a distance of 0.1 would not be significant.
    """
    of_what = f"the score of '{class_name}' and the background in '{variable}'"
    if isinstance(result, Undefined):
        return Verdict("unknown", f"{of_what}: {result}")
    tests = list(_tests(result))
    if not tests:
        return Verdict("unknown", f"{of_what}: no slice of the score could be compared with the others")
    limit = SIGNIFICANT / (len(tests) * num_results)
    found = [one for one in tests if one.size >= 1 and one.p_value < limit]
    if found:
        worst = max(found, key=lambda one: one.size).shape
        return Verdict(
            "attention",
            f"the score of '{class_name}' sculpts the background in '{variable}': {_numbers(worst, result)}",
        )
    worst = max(tests, key=lambda one: one.size).shape
    smallest = _detectable_distance(result, limit)
    if smallest > LARGE_DISTANCE:
        return Verdict(
            "unknown",
            f"too few background events to tell whether the score of '{class_name}' sculpts '{variable}': only "
            f"distances above {smallest:.2g} would be significant; {_numbers(worst, result)}",
        )
    numbers = _numbers(worst, result)
    return Verdict("good", f"the score of '{class_name}' hardly sculpts the background in '{variable}': {numbers}")


def worst_first(results: Sequence[Sculpting | Undefined]) -> list[int]:
    """Positions of results in the order of their largest effects that are significant on their own; undefined last."""

    def effect(position: int) -> float:
        result = results[position]
        if isinstance(result, Undefined):
            return -1.0
        tests = list(_tests(result))
        return max((one.size for one in tests if one.p_value < SIGNIFICANT / len(tests)), default=0.0)

    return sorted(range(len(results)), key=lambda position: -effect(position))


def _tests(result: Sculpting) -> Iterator[Judged]:
    for shape in result.slices:
        distance, divergence = shape.kolmogorov_smirnov, shape.jensen_shannon
        if isinstance(distance, TwoSampleTest):
            yield Judged(distance.statistic / LARGE_DISTANCE, distance.p_value, shape)
        if isinstance(divergence, Divergence):
            yield Judged(divergence.value.value / LARGE_DIVERGENCE, divergence.p_value, shape)


def _detectable_distance(result: Sculpting, limit: float) -> float:
    """Smallest distance that would be significant in the slice with the fewest entries."""
    from scipy.special import kolmogi

    entries = [
        shape.effective_entries for shape in result.slices if isinstance(shape.kolmogorov_smirnov, TwoSampleTest)
    ]
    smallest = min(entries, default=0.0)
    others = sum(entries) - smallest
    return float(kolmogi(limit)) / kolmogorov_factor(smallest, others) if smallest and others else 1.0


def _numbers(shape: SliceShape, result: Sculpting) -> str:
    """The numbers that decide, for a sentence."""
    low, high = (100 * share for share in shape.shares)
    texts = []
    if isinstance(shape.kolmogorov_smirnov, TwoSampleTest):
        distance = shape.kolmogorov_smirnov
        texts.append(f"Kolmogorov-Smirnov distance {distance.statistic:.3f} ({p_text(distance.p_value)})")
    if isinstance(shape.jensen_shannon, Divergence):
        divergence = shape.jensen_shannon
        value, uncertainty = divergence.value
        texts.append(f"Jensen-Shannon divergence {value:.4f} ± {uncertainty:.4f} bits ({p_text(divergence.p_value)})")
    text = f"between {low:.0f} and {high:.0f} % of the background by score, {', '.join(texts)}"
    if not isinstance(result.distance_correlation, Undefined):
        value, uncertainty = result.distance_correlation.squared
        text += f"; squared distance correlation {value:.3f} ± {uncertainty:.3f}"
    return text


def p_text(p_value: float) -> str:
    """A p-value for people.

    Examples
    --------
    >>> p_text(0.0123), p_text(0.0)
    ('p = 0.012', 'p < 1e-300')
    """
    return "p < 1e-300" if p_value < 1e-300 else f"p = {p_value:.2g}"
