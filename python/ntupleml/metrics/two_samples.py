"""Do two samples of weighted events come from one distribution? Kolmogorov-Smirnov and χ² tests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined, effective_entries, no_sum_of_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.histograms import Histogram

#: Effective entries that a bin must be expected to have of each sample for the χ² distribution to hold: what
#: Gagunashvili and ROOT recommend for weighted events.
SMALLEST_BIN = 10.0
#: Entries from which the limit of Kolmogorov's distribution is taken: the exact one costs 1 ms per 1,000 entries.
_ENTRIES_OF_LIMIT = 3_000
#: Effective entries that a sample with weights of both signs must have for the Kolmogorov-Smirnov p-value: with fewer,
#: its sum of weights may nearly vanish by chance.
_FEWEST_OF_BOTH_SIGNS = 10.0


class TwoSampleTest(NamedTuple):
    """Result of a test of the hypothesis that two samples have the same distribution."""

    #: Largest distance D of the distribution functions, or χ².
    statistic: float
    #: Chance of a statistic at least as large where the hypothesis is true.
    p_value: float
    #: Of χ²; None for Kolmogorov-Smirnov.
    degrees_of_freedom: int | None = None


def kolmogorov_smirnov(
    first: NDArray[Any], first_weights: NDArray[Any] | None, second: NDArray[Any], second_weights: NDArray[Any] | None
) -> TwoSampleTest | Undefined:
    """Weighted two-sample Kolmogorov-Smirnov test.

    Parameters
    ----------
    first, second : array, shape (n_first,) and (n_second,)
        Values of the two samples, in any order.
    first_weights, second_weights : array, same shapes, or None
        Event weights; None for weights of 1.

    Returns
    -------
    TwoSampleTest or Undefined
        Undefined where a sample has no event, a NaN value or weight, or a sum of weights that is not positive, and
        where both have so few effective entries that nothing can be said.

    Notes
    -----
    D = max |F₁(x) − F₂(x)| over the values that occur, with F(x) = Σ_{xᵢ ≤ x} wᵢ / Σ wᵢ. The p-value is that of the
    one-sample distribution for n₁n₂ / (n₁ + n₂) entries, rounded, with effective entries n = (Σw)² / Σw²: for weights
    of 1, what `scipy.stats.ks_2samp` calls asymptotic. From 3,000 entries on it is that of Kolmogorov's limit for
    √n D + 1/(6√n), the first term of the expansion of Pelz and Good (J. R. Stat. Soc. B 38 (1976) 152), which is less
    than 10⁻⁴ away from it.

    Exact for many events whose weights do not depend on the value. Where they do, F(x) fluctuates somewhat
    differently than the effective entries of the whole sample say. Equal values make the p-value too large, as in
    every such test.

    Negative weights count as they are in F(x), which then may step back or leave the range from 0 to 1, and in the
    effective entries, which they lessen: the p-value stays right as long as they occur alike everywhere.

    Examples
    --------
    >>> result = kolmogorov_smirnov(np.array([0.1, 0.2, 0.3]), None, np.array([0.25, 0.4, 0.5]), None)
    >>> round(result.statistic, 6)
    0.666667
    """
    values = [np.asarray(first), np.asarray(second)]
    weights = [
        np.ones(len(sample)) if given is None else np.asarray(given, dtype=np.float64)
        for sample, given in zip(values, (first_weights, second_weights), strict=True)
    ]
    for sample, of_sample, name in zip(values, weights, ("first", "second"), strict=True):
        if reason := no_sum_of_weights(of_sample):
            return Undefined(f"{name} sample: {reason.reason}")
        bad = int(np.count_nonzero(np.isnan(sample)))
        if bad:
            return Undefined(f"{name} sample: {bad} of {len(sample)} values are NaN")
    entries = [effective_entries(of_sample) for of_sample in weights]
    for name, of_sample, number in zip(("first", "second"), weights, entries, strict=True):
        if number < _FEWEST_OF_BOTH_SIGNS and of_sample.min() < 0:
            return Undefined(f"{name} sample: only {number:.2g} effective events, with weights of both signs")
    # The inner rounding lets weights of 0.1 give what weights of 1 do, also for half a number of entries.
    compared = round(round(entries[0] * entries[1] / (entries[0] + entries[1]), 6))
    if compared < 1:
        return Undefined(f"only {entries[0]:.2g} and {entries[1]:.2g} effective events to compare")
    distance = largest_distance(values, weights)
    return TwoSampleTest(distance, min(max(_chance_of_distance(distance, compared), 0.0), 1.0))


def _chance_of_distance(distance: float, entries: int) -> float:
    """Chance that so many entries are at least this far from their distribution."""
    if entries < _ENTRIES_OF_LIMIT:
        from scipy.stats import kstwo  # takes most of a second to import

        return float(kstwo.sf(distance, entries))
    from scipy.special import kolmogorov

    root = math.sqrt(entries)
    return float(kolmogorov(root * distance + 1 / (6 * root)))


def critical_distance(level: float, first_entries: float, second_entries: float) -> float:
    """Kolmogorov-Smirnov distance above which two samples are said to differ.

    Parameters
    ----------
    level : float
        Chance to say so of two samples from one distribution.
    first_entries, second_entries : float
        Effective entries (Σw)² / Σw² of the samples.

    Notes
    -----
    c(α) √((n₁ + n₂) / (n₁ n₂)) with c(α) = √(−½ ln(α / 2)), the first term of Kolmogorov's distribution.

    Examples
    --------
    >>> round(critical_distance(0.05, 100, 300), 4)
    0.1568
    """
    return math.sqrt(-0.5 * math.log(level / 2) * (1 / first_entries + 1 / second_entries))


def largest_distance(values: Sequence[NDArray[Any]], weights: Sequence[NDArray[np.float64]]) -> float:
    """Kolmogorov-Smirnov distance max |F₁(x) − F₂(x)| of two samples whose weights have positive sums."""
    pooled = np.concatenate(values)
    order = np.argsort(pooled)
    pooled = pooled[order]
    # Equal values are passed together.
    last = np.flatnonzero(np.append(pooled[1:] != pooled[:-1], True))
    is_first = order < len(values[0])
    ordered = np.concatenate(weights)[order]
    first, second = (np.cumsum(np.where(chosen, ordered, 0.0))[last] for chosen in (is_first, ~is_first))
    return float(np.max(np.abs(first / first[-1] - second / second[-1])))


def chi_square(first: Histogram, second: Histogram) -> TwoSampleTest | Undefined:
    """χ² test of the shapes of two weighted histograms of the same edges, whatever their normalisations.

    Under- and overflow count as part of the outermost bins.

    Parameters
    ----------
    first, second : Histogram
        Of different events.

    Returns
    -------
    TwoSampleTest or Undefined
        Undefined where the sum of a histogram is not positive, and where there are too few effective entries for two
        bins.

    Notes
    -----
    χ² = Σ (W₁ w₂ − W₂ w₁)² / (W₁² s₂² + W₂² s₁²) over the bins with sums of weights w, sums of their squares s² and
    totals W: the comparison of two weighted histograms of Gagunashvili (arXiv:physics/0605123), ROOT's
    TH1::Chi2Test with the option "WW", with one degree of freedom less than bins.

    The χ² distribution holds for bins with enough entries. Neighbouring bins are therefore merged until each can be
    expected, from both histograms together, to have ten effective entries of either histogram: the effective entries
    (Σw)² / Σw² of the histogram times the share of the bin. Empty bins merge with their neighbours and so do not
    count. Where no bin needs to be merged, the result is ROOT's.

    Negative weights count as they are, and their squares in the variances.
    """
    if not np.array_equal(first.edges, second.edges):
        raise ValueError("histograms of different edges cannot be compared")
    for one, name in ((first, "first"), (second, "second")):
        if undefined := no_total(one):
            return Undefined(f"{name} histogram: {undefined.reason}")
    contents = [_with_flow(one) for one in (first, second)]
    totals = [float(sums.sum()) for sums, _ in contents]
    entries = [float(sums.sum()) ** 2 / float(squares.sum()) for sums, squares in contents]
    # The share that each bin has if the hypothesis is true, each histogram counting by its effective entries.
    shares = sum(
        number * sums / total for number, total, (sums, _) in zip(entries, totals, contents, strict=True)
    ) / sum(entries)
    starts = _merged(np.asarray(shares), SMALLEST_BIN / min(entries))
    if len(starts) < 2:
        return Undefined(
            f"fewer than two bins have enough entries (effective entries of the histograms: {entries[0]:.3g} and "
            f"{entries[1]:.3g})"
        )
    (w1, s1), (w2, s2) = ([np.add.reduceat(array, starts) for array in content] for content in contents)
    difference = w2 / totals[1] - w1 / totals[0]
    statistic = float(np.sum(difference**2 / (s1 / totals[0] ** 2 + s2 / totals[1] ** 2)))
    from scipy.special import chdtrc

    freedom = len(starts) - 1
    return TwoSampleTest(statistic, float(chdtrc(freedom, statistic)), freedom)


def no_total(one: Histogram) -> Undefined | None:
    """Why a histogram cannot be normalised, if so; a sum that differs from zero by no more than rounding is zero."""
    sums, squares = _with_flow(one)
    total, size = float(sums.sum()), math.sqrt(float(squares.sum()))
    if size == 0:
        return Undefined("no events with a weight")
    if abs(total) <= np.finfo(np.float64).eps * len(sums) * size:
        return Undefined("sum of weights is zero")
    return Undefined("sum of weights is negative") if total < 0 else None


def _with_flow(one: Histogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums and squares of the bins, under- and overflow in the outermost ones."""
    sums, squares = one.sums.copy(), one.squares.copy()
    for position, (value, variance) in ((0, one.underflow), (-1, one.overflow)):
        sums[position] += value
        squares[position] += variance
    return sums, squares


def _merged(shares: NDArray[np.float64], smallest: float) -> list[int]:
    """First bins of groups of neighbouring bins, each of which has at least the smallest share."""
    starts, share = [0], 0.0
    for index, one in enumerate(shares.tolist()):
        if share >= smallest:
            starts.append(index)
            share = 0.0
        share += one
    if share < smallest and len(starts) > 1:  # the rest belongs to the last group
        starts.pop()
    return starts


def combined_p_value(tests: Iterable[TwoSampleTest | Undefined]) -> float | Undefined:
    """The smallest p-value of several independent tests, corrected for their number.

    Parameters
    ----------
    tests : iterable of TwoSampleTest or Undefined
        Those that are undefined do not count.

    Notes
    -----
    1 − (1 − p)ⁿ for the smallest p of n tests (Šidák, J. Am. Stat. Assoc. 62 (1967) 626): the chance that at least
    one of n independent tests has a p-value this small if all hypotheses are true. Positively correlated tests make it
    too large, which is the safe side.

    Examples
    --------
    >>> combined_p_value([TwoSampleTest(0.1, 0.5), TwoSampleTest(0.2, 0.2)])
    0.36
    """
    p_values = [test.p_value for test in tests if not isinstance(test, Undefined)]
    return corrected_p_value(min(p_values), len(p_values)) if p_values else Undefined("no test could be made")


def corrected_p_value(p_value: float, number: int) -> float:
    """The smallest of a number of p-values, corrected for their number; see `combined_p_value`.

    Examples
    --------
    >>> corrected_p_value(0.001, 1), round(corrected_p_value(0.001, 10), 6)
    (0.001, 0.009955)
    """
    # log1p and expm1 keep small p-values that 1 − p would round away.
    return 1.0 if p_value >= 1 else -math.expm1(number * math.log1p(-p_value))


def corrected_level(level: float, number: int) -> float:
    """Level for each of several tests, so that all together reject with this chance; see `combined_p_value`.

    Examples
    --------
    >>> round(corrected_level(0.05, 1), 6), round(corrected_level(0.05, 9), 6)
    (0.05, 0.005683)
    """
    return -math.expm1(math.log1p(-level) / number)


def p_text(p_value: float) -> str:
    """A p-value for people.

    Examples
    --------
    >>> p_text(0.0123), p_text(0.0)
    ('p = 0.012', 'p < 1e-300')
    """
    return "p < 1e-300" if p_value < 1e-300 else f"p = {p_value:.2g}"
