"""Does a cut on the score change the shape of the background in a variable? Slices of the score, and their shapes."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.distance_correlation import LARGEST_SAMPLE, distance_correlation, distances, weighted_sample
from ntupleml.metrics.divergence import Divergence, divergence, no_total
from ntupleml.metrics.measurement import Undefined, Verdict, no_sum_of_weights
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.two_samples import TwoSampleTest, p_text
from ntupleml.metrics.variable_bins import Sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.distance_correlation import DistanceCorrelation, Distances, WeightedSample
    from ntupleml.metrics.variable_bins import VariableBins

#: Slices of the score, with about equal shares of the background.
NUM_SLICES = 5
#: Events from which the borders of the slices are read off; taken at equal distances.
_SAMPLE = 100_000
#: Bins of the Jensen-Shannon divergence, and the effective entries that the smallest slice has in them on average.
_MOST_BINS, _ENTRIES_PER_BIN = 20, 10
#: With fewer effective entries, the Kolmogorov-Smirnov p-value of weights of both signs would be too small.
_FEWEST_ENTRIES = 10
#: Changes of the shape that matter: distance of the distribution functions, and divergence in bits. A distribution
#: that rises or falls linearly by 40% about its middle has both.
LARGE_DISTANCE, LARGE_DIVERGENCE = 0.1, 0.01
#: Chance of "attention" for any of the results that are judged together where nothing is sculpted.
SIGNIFICANT = 0.01


class ScoreSlices(NamedTuple):
    """Slices of a score."""

    #: Shape (n_slices + 1,). The first and last are the smallest and largest score of the background.
    edges: NDArray[np.float64]
    #: Shape (n_events,). Slice of each background event, from the smallest scores on; n_slices for other events.
    of_event: NDArray[np.intp]
    #: Range of each slice as shares of the background, e.g. (0.8, 1.0), where it is ordered by the score.
    shares: tuple[tuple[float, float], ...]

    @property
    def number(self) -> int:
        """Number of slices."""
        return len(self.shares)


class SliceShape(NamedTuple):
    """How the shape of the background in one slice of the score differs from that in all others."""

    #: Range of the score.
    scores: tuple[float, float]
    #: The same as shares of the background.
    shares: tuple[float, float]
    effective_entries: float
    kolmogorov_smirnov: TwoSampleTest | Undefined
    jensen_shannon: Divergence | Undefined

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"shares_of_background" if name == "shares" else name: one for name, one in self._asdict().items()}


class Sculpting(NamedTuple):
    """What a score does to the shape of the background in one variable."""

    #: By rising score.
    slices: tuple[SliceShape, ...]
    #: Of score and variable.
    distance_correlation: DistanceCorrelation | Undefined
    #: Background events without a finite value, which do not count.
    missing: int

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"events_missing" if name == "missing" else name: one for name, one in self._asdict().items()}


def score_slices(
    scores: NDArray[Any], is_background: NDArray[np.bool_], weights: NDArray[np.float64], number: int = NUM_SLICES
) -> ScoreSlices | Undefined:
    """Slices of the score with about equal shares of the background.

    Parameters
    ----------
    scores : array, shape (n_events,)
    is_background : array of bool, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Shares are those of Σ|w|, which negative weights do not make ambiguous; more than 100,000 events are sampled
        for this. Equal scores are in the same slice, so that there may be fewer slices, of other shares.

    Returns
    -------
    ScoreSlices or Undefined
        Undefined where there is no background, its sum of weights is not positive or its scores are all equal.
    """
    positions = np.flatnonzero(is_background)
    if reason := no_sum_of_weights(weights[positions], "background"):
        return reason
    sample = positions[:: max(1, math.ceil(len(positions) / _SAMPLE))]
    order = sample[np.argsort(scores[sample], kind="stable")]
    ordered = scores[order]
    cumulated = np.cumsum(np.abs(weights[order]))
    wanted = np.arange(1, number) / number * cumulated[-1]
    inner = np.unique(ordered[np.minimum(np.searchsorted(cumulated, wanted, side="right"), len(order) - 1)])
    inner = inner[inner > ordered[0]]
    if not len(inner):
        # One score may have nearly all events.
        inner = np.unique(ordered[ordered > ordered[0]])[:1]
    if not len(inner):
        return Undefined(f"the score of all background events is {float(ordered[0]):.6g}")
    index = np.zeros(len(scores), dtype=np.intp)
    for edge in inner:
        index += scores >= edge
    index[~is_background] = len(inner) + 1
    below = np.concatenate([[0.0], cumulated])[np.searchsorted(ordered, inner)] / cumulated[-1]
    borders = [0.0, *below.tolist(), 1.0]
    of_background = scores[positions]
    edges = np.concatenate([[of_background.min()], inner, [of_background.max()]]).astype(np.float64)
    return ScoreSlices(edges, index, tuple(itertools.pairwise(borders)))


def slice_shapes(slices: ScoreSlices, filled: Sums) -> tuple[SliceShape, ...]:
    """Tests of the shape of the background in each slice against that in all other slices.

    Parameters
    ----------
    filled : Sums
        By slice, in many bins with about equal numbers of events, of `quantile_bins`; negative weights as they are.

    Notes
    -----
    Slice and rest have no event in common, so that the tests are those of two independent samples. Kolmogorov-Smirnov:
    D = max |F₁ − F₂| at the borders of the bins (of all values, where there are fewer than bins); bins make it somewhat
    smaller, never larger. Its p-value is that of Kolmogorov's distribution with the effective entries, see
    `kolmogorov_factor`. For Jensen-Shannon see `divergence`.
    """
    rest = Sums(*(array.sum(axis=0) - array for array in filled))
    tests = _kolmogorov_smirnov(filled, rest)
    entries = [_entries(*one) for one in zip(*filled, strict=True)]
    groups = _groups(filled.squares.sum(axis=0), entries)
    shapes = []
    for number, shares in enumerate(slices.shares):
        compared = [Sums(*(np.add.reduceat(array[number], groups) for array in sample)) for sample in (filled, rest)]
        shapes.append(
            SliceShape(
                (float(slices.edges[number]), float(slices.edges[number + 1])),
                shares,
                entries[number],
                tests[number],
                divergence(*compared),
            )
        )
    return tuple(shapes)


def _entries(sums: NDArray[np.float64], squares: NDArray[np.float64]) -> float:
    total = float(squares.sum())
    return float(sums.sum()) ** 2 / total if total > 0 else 0.0


def _kolmogorov_smirnov(filled: Sums, rest: Sums) -> list[TwoSampleTest | Undefined]:
    from scipy.special import kolmogorov

    results: list[TwoSampleTest | Undefined] = []
    for sums, squares, rest_sums, rest_squares in zip(*filled, *rest, strict=True):
        if reason := no_total(sums, squares):
            results.append(Undefined(f"slice: {reason.reason}"))
            continue
        if reason := no_total(rest_sums, rest_squares):
            results.append(Undefined(f"other slices: {reason.reason}"))
            continue
        entries, others = _entries(sums, squares), _entries(rest_sums, rest_squares)
        if min(entries, others) < _FEWEST_ENTRIES:
            name = "slice" if entries < others else "other slices"
            results.append(Undefined(f"{name}: only {min(entries, others):.3g} effective entries"))
            continue
        distance = np.max(np.abs(np.cumsum(sums) / sums.sum() - np.cumsum(rest_sums) / rest_sums.sum()))
        p_value = float(kolmogorov(distance * kolmogorov_factor(entries, others)))
        results.append(TwoSampleTest(float(distance), p_value))
    return results


def kolmogorov_factor(entries: float, others: float) -> float:
    """Factor by which a distance is multiplied for Kolmogorov's limiting distribution to hold for few entries too.

    √n + 0.12 + 0.11/√n for n = n₁n₂ / (n₁ + n₂) effective entries (Stephens, J. R. Stat. Soc. B 32 (1970) 115).
    """
    root = math.sqrt(entries * others / (entries + others))
    return root + 0.12 + 0.11 / root


def _groups(contents: NDArray[np.float64], entries: list[float]) -> NDArray[np.intp]:
    """First bins of groups with about equal contents, so few that the smallest slice has entries in them."""
    number = min(max(int(min(entries) / _ENTRIES_PER_BIN), 2), _MOST_BINS)
    total = float(contents.sum())
    if not total > 0:
        return np.array([0])
    middle = (np.cumsum(contents) - 0.5 * contents) / total
    return np.unique(np.minimum((middle * number).astype(np.intp), number - 1), return_index=True)[1]


class SlicedScore(NamedTuple):
    """A score of the background, ready to be compared with many variables."""

    slices: ScoreSlices
    #: Background events for the distance correlation.
    sample: WeightedSample
    #: Shape (n_sample,).
    scores: NDArray[Any]
    #: Those between the sample's scores.
    distances: Distances | Undefined


def sliced_score(
    scores: NDArray[Any],
    is_background: NDArray[np.bool_],
    weights: NDArray[np.float64],
    seed: int = 0,
    largest_sample: int = LARGEST_SAMPLE,
) -> SlicedScore | Undefined:
    """Slice a score, and draw the sample of the background for the distance correlation.

    Parameters
    ----------
    scores : array, shape (n_events,)
    is_background : array of bool, shape (n_events,)
    weights : array of float64, shape (n_events,)
        Event weights, negative ones as they are.
    seed : int, default: 0
        Of the sample.
    largest_sample : int, default: 2000
        Background events that the distance correlation takes; its time grows with their square.

    Returns
    -------
    SlicedScore or Undefined
        Undefined as `score_slices`.
    """
    slices = score_slices(scores, is_background, weights)
    if isinstance(slices, Undefined):
        return slices
    positions = np.flatnonzero(is_background)
    sample = weighted_sample(positions, weights[positions], seed, largest_sample)
    of_sample = scores[sample.positions]
    return SlicedScore(slices, sample, of_sample, distances(of_sample, sample.weights))


def sculpting(
    score: SlicedScore,
    values: NDArray[Any],
    bins: VariableBins,
    filled: Sums,
) -> Sculpting:
    """What a score does to the shape of the background in a variable.

    Parameters
    ----------
    values : array, shape (n_events,)
        The variable, of the same events; those with NaN or infinite values do not count.
    bins : VariableBins
        Of these values, by `quantile_bins`.
    filled : Sums
        By slice and bin.
    """
    missing = score.slices.of_event[bins.of_event == bins.number] if bins.missing else np.zeros(0, np.intp)
    return Sculpting(
        slice_shapes(score.slices, filled),
        _distance_correlation(score, values[score.sample.positions]),
        int(np.count_nonzero(missing < score.slices.number)),
    )


def _distance_correlation(score: SlicedScore, values: NDArray[Any]) -> DistanceCorrelation | Undefined:
    known = np.isfinite(values)
    of_score = score.distances
    weights = score.sample.weights
    if not known.all():
        weights = weights[known]
        of_score = distances(score.scores[known], weights)
    if isinstance(of_score, Undefined):
        return Undefined(f"score: {of_score.reason}")
    of_variable = distances(values[known], weights)
    if isinstance(of_variable, Undefined):
        return Undefined(f"variable: {of_variable.reason}")
    return distance_correlation(of_score, of_variable)


class Judged(NamedTuple):
    """One test of one slice."""

    #: Its result in units of what matters.
    size: float
    p_value: float
    shape: SliceShape


def sculpting_verdict(result: Sculpting | Undefined, class_name: str, variable: str, num_results: int = 1) -> Verdict:
    """Whether the score of a class sculpts the background in a variable.

    Parameters
    ----------
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
            f"A cut on the score of '{class_name}' changes the shape of the background in '{variable}'.",
        )
    worst = max(tests, key=lambda one: one.size).shape
    smallest = _detectable_distance(result, limit)
    if smallest > LARGE_DISTANCE:
        return Verdict(
            "unknown",
            f"too few background events to tell whether the score of '{class_name}' sculpts '{variable}': only "
            f"distances above {smallest:.2g} would be significant; {_numbers(worst, result)}",
            f"There are too few events to see a change of shape in '{variable}'.",
        )
    numbers = _numbers(worst, result)
    text = f"the score of '{class_name}' hardly sculpts the background in '{variable}': {numbers}"
    return Verdict("good", text, "Cuts on the scores leave the shape of the background as it is.")


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
        value = measurement_text(divergence.value)
        texts.append(f"Jensen-Shannon divergence {value} bits ({p_text(divergence.p_value)})")
    text = f"between {low:.0f} and {high:.0f} % of the background by score, {', '.join(texts)}"
    if not isinstance(result.distance_correlation, Undefined):
        text += f"; squared distance correlation {measurement_text(result.distance_correlation.squared)}"
    return text
