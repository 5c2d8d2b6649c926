"""Are scores the probabilities of their classes? Reliability curve and calibration error, with event weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.binned_efficiency import ratios
from ntupleml.metrics.brier import no_probabilities, weighted_mean
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, no_sum_of_weights
from ntupleml.metrics.number_texts import measurement_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Bins of the score, of equal width between 0 and 1.
NUM_BINS = 20
#: Expected effective events of either kind that groups of bins need for χ².
_FEWEST_EXPECTED = 5.0
#: Calibration error that matters, beyond what fluctuations make.
LARGE_ERROR = 0.02
#: Chance of "attention" for calibrated scores.
SIGNIFICANT = 0.01


class ReliabilityCurve(NamedTuple):
    """Mean score and share of a class in bins of the score."""

    #: Shape (n_bins + 1,).
    edges: NDArray[np.float64]
    #: Weighted mean score of the events in each bin.
    mean_scores: tuple[float | Undefined, ...]
    #: Weighted share of the class in each bin.
    shares: tuple[Measurement | Undefined, ...]
    #: Shape (n_bins,). Σw of the class and of all others.
    signal: NDArray[np.float64]
    background: NDArray[np.float64]


class Decomposition(NamedTuple):
    """Brier score as a sum: reliability − resolution + uncertainty + within bins."""

    #: Mean squared distance of the share of the class in a bin from the mean score: 0 for a calibrated score.
    reliability: float
    #: Variance of the shares between the bins.
    resolution: float
    #: Variance of the truth, o (1 − o): the Brier score of who knows the share of the class and nothing else.
    uncertainty: float
    #: What varies inside of bins, so that the sum is exact.
    within_bins: float
    #: What statistical fluctuations alone make of the reliability.
    expected_reliability: float


class CalibrationError(NamedTuple):
    """Expected calibration error, the mean distance of share and mean score."""

    value: Measurement
    #: What statistical fluctuations alone make of it for a calibrated score.
    expected: float


class Agreement(NamedTuple):
    """Test of the hypothesis that the scores are the probabilities."""

    chi_square: float
    #: Number of groups of bins.
    degrees_of_freedom: int
    p_value: float


class Calibration(NamedTuple):
    """Calibration of the score of one class."""

    curve: ReliabilityCurve
    #: Mean squared distance of score and truth.
    brier: Measurement
    decomposition: Decomposition
    error: CalibrationError
    agreement: Agreement | Undefined

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "brier_score": self.brier,
            "decomposition": self.decomposition,
            "expected_calibration_error": self.error.value,
            "expected_calibration_error_if_calibrated": self.error.expected,
            "agreement": self.agreement,
            "curve": self.curve,
        }


def bin_edges(scores: NDArray[Any], num_bins: int = NUM_BINS, *, equal_counts: bool = False) -> NDArray[np.float64]:
    """Edges of the bins of a reliability curve.

    Parameters
    ----------
    scores : array, shape (n_events,)
    equal_counts : bool, default: False
        Bins with about equal numbers of events, in place of equal width between 0 and 1.
    """
    if not equal_counts or not len(scores):
        return np.linspace(0, 1, num_bins + 1)
    return np.unique(np.percentile(scores, np.linspace(0, 100, num_bins + 1)).astype(np.float64))


def calibration(
    scores: NDArray[Any],
    is_class: NDArray[np.bool_],
    weights: NDArray[Any],
    edges: Sequence[float] | NDArray[np.float64] | None = None,
) -> Calibration | Undefined:
    """How well the score of a class is its probability.

    Parameters
    ----------
    scores : array, shape (n_events,)
    is_class : array of bool, shape (n_events,)
    weights : array, shape (n_events,)
        Event weights; negative ones count as they are. Scores can only be calibrated for the mixture of classes, with
        the weights, that they were trained for.
    edges : sequence of float, optional
        Of the bins, see `bin_edges`; by default 20 of equal width.

    Returns
    -------
    Calibration or Undefined
        Undefined where the class or the others have no events or no positive sum of weights, or the scores are no
        probabilities.

    Notes
    -----
    With W the sum of weights of a bin, s̄ its mean score, o the share of the class in it, ō that of all events, and
    each mean weighted with W:

    * decomposition: reliability ⟨(s̄ − o)²⟩, resolution ⟨(o − ō)²⟩, uncertainty ō(1 − ō) (Murphy, J. Appl. Meteorol. 12
      (1973) 595). They make up the Brier score of the mean scores; `within_bins` is what is left of that of the scores.
    * calibration error ⟨|s̄ − o|⟩ (Naeini, Cooper, Hauskrecht, AAAI 2015). Its uncertainty is first-order propagation;
      fluctuations make it larger, by ⟨σ⟩√(2/π) for a calibrated score, which `expected` says.
    * agreement: χ² = Σ (Σw(y − s))² / V with the variance that a calibrated score would give, V = Σ w s(1 − s)
      ((1 − s)ρ₁ + s ρ₀), where ρ = Σw²/Σw of the events of the class (1) and of the others (0): for weights of 1 it is
      Σ s(1 − s), that of Spiegelhalter (Stat. Med. 5 (1986) 421). Neighbouring bins are merged until five effective
      events of either kind are expected.
    """
    if reason := _not_calibratable(scores, is_class, weights):
        return reason
    values = np.asarray(scores, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    edges = bin_edges(values) if edges is None else np.asarray(edges, dtype=np.float64)
    bins = _bins(values, edges)
    sums = _BinSums.of(bins, len(edges) - 1, values, is_class, weights)
    shares = ratios(*sums.signal, *sums.background)
    total = sums.signal[0] + sums.background[0]
    curve = ReliabilityCurve(
        edges,
        tuple(
            float(sums.scores[index] / total[index]) if isinstance(share, Measurement) else share
            for index, share in enumerate(shares)
        ),
        tuple(shares),
        sums.signal[0],
        sums.background[0],
    )
    brier = weighted_mean(np.square(values - is_class), weights)
    return Calibration(curve, brier, _decomposition(curve, brier.value), _error(curve), _agreement(sums))


def _not_calibratable(scores: NDArray[Any], is_class: NDArray[np.bool_], weights: NDArray[Any]) -> Undefined | None:
    return (
        no_probabilities(scores)
        or no_sum_of_weights(weights[is_class], "signal")
        or no_sum_of_weights(weights[~is_class], "background")
    )


def _bins(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Bin of each score; what is beyond the edges by rounding is in the outermost bins."""
    number = len(edges) - 1
    if np.allclose(np.diff(edges), 1 / number, rtol=1e-12, atol=0) and edges[0] == 0:
        position = scores * number
        return np.clip(position, 0, number - 1, out=position).astype(np.intp)
    return np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, number - 1)


class _BinSums(NamedTuple):
    """Sums in bins: Σw and Σw² of the class and of the others, Σws, and what χ² needs."""

    signal: tuple[NDArray[np.float64], NDArray[np.float64]]
    background: tuple[NDArray[np.float64], NDArray[np.float64]]
    scores: NDArray[np.float64]
    expected_signal: NDArray[np.float64]
    expected_background: NDArray[np.float64]
    variance: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        bins: NDArray[np.intp],
        number: int,
        scores: NDArray[np.float64],
        is_class: NDArray[np.bool_],
        weights: NDArray[np.float64],
    ) -> _BinSums:
        def sums(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(bins, amounts, minlength=number).astype(np.float64)

        squares = np.square(weights)
        kinds = bins + number * is_class
        both = [np.bincount(kinds, amounts, minlength=2 * number).reshape(2, -1) for amounts in (weights, squares)]
        # Σw² / Σw: the weight of an effective event of either kind.
        of_background, of_signal = both[1].sum(axis=1) / both[0].sum(axis=1)
        weighted = weights * scores
        first = sums(weighted)
        weighted *= scores
        second = sums(weighted)
        weighted *= scores
        third = sums(weighted)
        total = both[0].sum(axis=0)
        # Σ w s (1 − s)² and Σ w s² (1 − s).
        variance = of_signal * (first - 2 * second + third) + of_background * (second - third)
        return cls(
            (both[0][1], both[1][1]),
            (both[0][0], both[1][0]),
            first,
            first / of_signal,
            (total - first) / of_background,
            variance,
        )


def _known(curve: ReliabilityCurve) -> tuple[NDArray[np.float64], ...]:
    """Share of the weights, mean score, share of the class and its uncertainty, of the bins that have them."""
    rows = [
        (signal + background, score, *share)
        for signal, background, score, share in zip(
            curve.signal, curve.background, curve.mean_scores, curve.shares, strict=True
        )
        if isinstance(share, Measurement) and not isinstance(score, Undefined)
    ]
    sums, scores, shares, uncertainties = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return sums / sums.sum(), scores, shares, uncertainties


def _decomposition(curve: ReliabilityCurve, brier: float) -> Decomposition:
    fractions, scores, shares, uncertainties = _known(curve)
    mean = float(fractions @ shares)
    reliability = float(fractions @ np.square(scores - shares))
    resolution = float(fractions @ np.square(shares - mean))
    uncertainty = mean * (1 - mean)
    left = brier - (reliability - resolution + uncertainty)
    return Decomposition(reliability, resolution, uncertainty, left, float(fractions @ np.square(uncertainties)))


def _error(curve: ReliabilityCurve) -> CalibrationError:
    fractions, scores, shares, uncertainties = _known(curve)
    value = float(fractions @ np.abs(scores - shares))
    spread = math.sqrt(float(np.square(fractions) @ np.square(uncertainties)))
    return CalibrationError(Measurement(value, spread), float(fractions @ uncertainties) * math.sqrt(2 / math.pi))


def _agreement(sums: _BinSums) -> Agreement | Undefined:
    from scipy.special import chdtrc

    groups: list[tuple[float, float]] = []
    started = np.zeros(4)
    each = np.stack(
        [sums.expected_signal, sums.expected_background, sums.signal[0] - sums.scores, sums.variance], axis=1
    )
    for one in each:
        started += one
        if min(started[:2]) >= _FEWEST_EXPECTED and started[3] > 0:
            groups.append((started[2], started[3]))
            started = np.zeros(4)
    if not groups:
        return Undefined("too few effective events for one bin")
    # What is left belongs to the last group.
    groups[-1] = (groups[-1][0] + started[2], groups[-1][1] + started[3])
    statistic = float(sum(difference**2 / variance for difference, variance in groups))
    return Agreement(statistic, len(groups), float(chdtrc(len(groups), statistic)))


def calibration_verdict(results: Mapping[str, Calibration | Undefined], mixture: str = "") -> Verdict:
    """Whether the scores of all classes are probabilities.

    Parameters
    ----------
    results : mapping of str to Calibration or Undefined
        By class.
    mixture : str
        Which weights the events have, for the sentence.

    Notes
    -----
    "attention" where for any class the calibration error, less what fluctuations make of it, is at least 0.02 *and* the
    p-value of the agreement, times the number of classes (Bonferroni), is below 0.01; "unknown" where fluctuations are
    so large that such an error would be hidden, or nothing is defined.
    """
    known = {name: one for name, one in results.items() if isinstance(one, Calibration)}
    suffix = f" ({mixture})" if mixture else ""
    if not known:
        reason = next((str(one) for one in results.values() if isinstance(one, Undefined)), "no classes")
        return Verdict("unknown", f"calibration{suffix}: {reason}", "No class has a calibration.")
    name, worst = max(known.items(), key=lambda item: _excess(item[1]))
    bad = {one: found for one, found in known.items() if _is_bad(found, len(known))}
    if bad:
        name, worst = max(bad.items(), key=lambda item: _excess(item[1]))
        return Verdict(
            "attention",
            f"the scores are not the probabilities of the classes{suffix}: of '{name}', {_numbers(worst)}",
            "Scores are not probabilities: they order events, but do not count them.",
        )
    if any(isinstance(one.agreement, Undefined) or one.error.expected > LARGE_ERROR for one in known.values()):
        return Verdict(
            "unknown",
            f"too few events to judge the calibration{suffix}: of '{name}', {_numbers(worst)}",
            "There are too few events to say whether scores are probabilities.",
        )
    text = f"the scores are calibrated{suffix}: worst is '{name}', where {_numbers(worst)}"
    return Verdict("good", text, "Scores can be taken as probabilities.")


def _excess(one: Calibration) -> float:
    return one.error.value.value - one.error.expected


def _is_bad(one: Calibration, tests: int) -> bool:
    significant = isinstance(one.agreement, Agreement) and one.agreement.p_value * tests < SIGNIFICANT
    return significant and _excess(one) >= LARGE_ERROR


def _numbers(one: Calibration) -> str:
    text = f"the mean distance of score and probability is {measurement_text(one.error.value)}"
    text += f" ({one.error.expected:.4f} would be fluctuations"
    if isinstance(one.agreement, Agreement):
        text += f"; χ² = {one.agreement.chi_square:.1f} for {one.agreement.degrees_of_freedom} degrees of freedom"
    return f"{text})"
