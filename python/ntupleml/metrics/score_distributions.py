"""Distributions of a score: normalised, to compare their shapes, and stacked, to compare simulation with data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.histograms import Histogram, add_histograms
from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.two_samples import TwoSampleTest, chi_square, no_total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Bins of a score, as in TMVA's pictures.
NUM_BINS = 40
#: Where data and simulation differ by a larger factor, the weights of the simulation are arbitrary.
LARGEST_DEVIATION = 2.0
#: Of probabilities in single precision.
_ROUNDING = 1e-6


class Density(NamedTuple):
    """Distribution of a score, normalised to an integral of 1."""

    #: Shape (n_bins + 1,).
    edges: NDArray[np.float64]
    #: Shape (n_bins,).
    values: NDArray[np.float64]
    uncertainties: NDArray[np.float64]


class ScoreStack(NamedTuple):
    """Sums of weights of all true classes in bins of a score, and recorded data where there are some."""

    classes: dict[str, Histogram]
    #: Their sum.
    total: Histogram
    data: Histogram | Undefined
    #: Shape (n_bins,). Data over the total, with the uncertainty of the data; masked by `ratio_known`.
    ratio: NDArray[np.float64]
    ratio_uncertainties: NDArray[np.float64]
    #: Shape (n_bins,). Relative uncertainty of the total; masked by `ratio_known`.
    band: NDArray[np.float64]
    #: Shape (n_bins,). Where the total is positive.
    ratio_known: NDArray[np.bool_]
    #: Data over simulation in all bins together.
    normalisation: Measurement | Undefined
    #: χ² of the shapes of data and simulation.
    shape: TwoSampleTest | Undefined
    #: What the simulation is multiplied with in a picture: the normalisation, where it is further from 1 than a factor
    #: `LARGEST_DEVIATION`, so that the weights are not numbers of events; else 1. All other numbers are without it.
    scale: float = 1.0
    #: Shape (n_bins,). Bins in which data are not looked at; None where nothing is blinded.
    blinded: NDArray[np.bool_] | None = None

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        simulation = {"classes": self.classes, "total": self.total, "data": self.data}
        if isinstance(self.data, Undefined):
            return simulation
        undefined = Undefined("the sum of weights of the simulation is not positive")
        ratios = zip(self.ratio.tolist(), self.ratio_uncertainties.tolist(), self.ratio_known, strict=True)
        return {
            **simulation,
            "data_over_simulation": [Measurement(*pair) if known else undefined for *pair, known in ratios],
            "normalisation": self.normalisation,
            "shape": self.shape,
            **({} if self.blinded is None else {"blinded": self.blinded}),
        }


def score_edges(samples: Sequence[NDArray[Any]], num_bins: int = NUM_BINS) -> NDArray[np.float64]:
    """Edges of equidistant bins of a score: from 0 to 1 for probabilities, else from the smallest to the largest score.

    Parameters
    ----------
    samples : sequence of arrays of any shape
        Finite scores.

    Examples
    --------
    >>> score_edges([np.array([0.1, 0.3])], 2), score_edges([np.array([-1.0, 3.0])], 2)
    (array([0. , 0.5, 1. ]), array([-1.,  1.,  3.]))
    """
    filled = [sample for sample in samples if sample.size]
    low = min((float(sample.min()) for sample in filled), default=0.0)
    high = max((float(sample.max()) for sample in filled), default=1.0)
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        low, high = min(low, 0.0), max(high, 1.0)
    elif low == high:
        # Wide enough for the edges to differ, however large the score is.
        low, high = low - max(0.5, abs(low) / 2), high + max(0.5, abs(high) / 2)
    edges: NDArray[np.float64] = np.linspace(low, high, num_bins + 1)
    return edges


def visible_factor(one: Histogram, total: Histogram) -> int:
    """Factor 1, 2, 5, 10, … that makes a small class visible beside the sum of all.

    It is the largest of these with which no bin of the class is higher than half of the highest bin of the sum.

    Examples
    --------
    >>> edges, nothing = np.arange(3.0), np.zeros(2)
    >>> small, large = (Histogram(edges, np.array(sums), nothing) for sums in ([1.0, 2.0], [900.0, 5.0]))
    >>> visible_factor(small, large)
    200
    """
    highest, highest_of_all = float(one.sums.max(initial=0.0)), float(total.sums.max(initial=0.0))
    if highest <= 0 or highest_of_all < 2 * highest:
        return 1
    factor = 0.5 * highest_of_all / highest
    power: int = 10 ** math.floor(math.log10(factor))
    return int(max(step for step in (1, 2, 5) if step * power <= factor)) * power


def logarithmic_edges(scores: NDArray[Any], num_bins: int = NUM_BINS) -> NDArray[np.float64] | None:
    """Edges of bins of a probability, from 10⁻⁵ to 1 in equal factors; none for other scores.

    Examples
    --------
    >>> logarithmic_edges(np.array([0.2, 0.9]), 5)
    array([1.e-05, 1.e-04, 1.e-03, 1.e-02, 1.e-01, 1.e+00])
    """
    if not len(scores) or scores.min() < -_ROUNDING or scores.max() > 1 + _ROUNDING:
        return None
    edges: NDArray[np.float64] = np.geomspace(1e-5, 1.0, num_bins + 1)
    return edges


def density(one: Histogram) -> Density | Undefined:
    """Distribution of the events of a histogram, normalised with its under- and overflow to 1.

    Notes
    -----
    The variance of the share p of a bin is Σw²(δ − p)² / (Σw)², where δ is 1 for the events in the bin.
    """
    if undefined := no_total(one):
        return undefined
    total = float(one.sums.sum()) + one.underflow[0] + one.overflow[0]
    total_squares = float(one.squares.sum()) + one.underflow[1] + one.overflow[1]
    shares = one.sums / total
    outside = np.maximum(total_squares - one.squares, 0)  # rounding
    uncertainties = np.sqrt((1 - shares) ** 2 * one.squares + shares**2 * outside) / total
    widths = np.diff(one.edges)
    return Density(one.edges, shares / widths, uncertainties / widths)


def score_stack(
    classes: Mapping[str, Histogram], data: Histogram | Undefined, blinded: NDArray[np.bool_] | None = None
) -> ScoreStack:
    """Stack the true classes, and compare them with recorded data.

    Parameters
    ----------
    classes : mapping of str to Histogram
        Sums of weights of each true class, of the same edges.
    blinded : array of bool, shape (n_bins,), optional
        Bins in which data are not looked at: there they are 0, without a ratio, and neither data nor simulation count
        in normalisation and test.

    Notes
    -----
    Uncertainties are √Σw², for unit weights √N. Those of the ratio are of the data alone: those of the simulation are
    the band. The test of the shapes is `chi_square`, whatever the normalisation.
    """
    names = list(classes)
    total = classes[names[0]]
    for name in names[1:]:
        total = add_histograms(total, classes[name])
    known = total.sums > 0
    divisor = np.where(known, total.sums, 1.0)
    empty = np.zeros(len(divisor))
    if isinstance(data, Undefined):
        return ScoreStack(dict(classes), total, data, empty, empty, total.uncertainties / divisor, known, data, data)
    opened = total
    if blinded is not None:
        data, opened, known = _without(data, blinded), _without(total, blinded), known & ~blinded
    normalisation = _normalisation(opened, data)
    return ScoreStack(
        dict(classes),
        total,
        data,
        data.sums / divisor,
        data.uncertainties / divisor,
        total.uncertainties / divisor,
        known,
        normalisation,
        chi_square(data, opened),
        _scale(normalisation),
        blinded,
    )


def _without(one: Histogram, blinded: NDArray[np.bool_]) -> Histogram:
    return one._replace(sums=np.where(blinded, 0.0, one.sums), squares=np.where(blinded, 0.0, one.squares))


def sum_of_weights(one: Histogram) -> Measurement:
    """Σw ± √Σw² of all events of a histogram, under- and overflow included."""
    return Measurement(
        float(one.sums.sum()) + one.underflow[0] + one.overflow[0],
        (float(one.squares.sum()) + one.underflow[1] + one.overflow[1]) ** 0.5,
    )


def _normalisation(total: Histogram, data: Histogram) -> Measurement | Undefined:
    """Ratio of two independent sums, with the uncertainties of both."""
    if undefined := no_total(total):
        return Undefined(f"simulation: {undefined.reason}")
    above, below = sum_of_weights(data), sum_of_weights(total)
    ratio = above.value / below.value
    return Measurement(ratio, float(np.hypot(above.uncertainty, ratio * below.uncertainty)) / below.value)


def _scale(normalisation: Measurement | Undefined) -> float:
    if isinstance(normalisation, Undefined) or normalisation.value <= 0:
        return 1.0
    ratio = normalisation.value
    return ratio if max(ratio, 1 / ratio) > LARGEST_DEVIATION else 1.0
