"""The inputs of a classifier, by class: distributions, missing values, separation, correlations, event weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.correlations import Correlations, CorrelationSums, correlations, difference
from ntupleml.metrics.measurement import Measurement, Undefined, no_normalisation
from ntupleml.metrics.separation import separation_of_histograms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.histograms import Histogram
    from ntupleml.metrics.input_binning import Binning
    from ntupleml.metrics.input_sums import ClassSums
    from ntupleml.metrics.weight_summary import WeightSummary

#: Bins are taken together until their content is this many times its uncertainty.
_SIGNIFICANCE = 3.0


class Fractions(NamedTuple):
    """Shares of the sum of weights of a class, each with its uncertainty."""

    #: Shape (n_bins,). Of the bins of the histogram.
    bins: NDArray[np.float64]
    uncertainties: NDArray[np.float64]
    #: Of what is beyond their ends, −∞ and +∞ included.
    underflow: Measurement
    overflow: Measurement
    #: Of NaN.
    missing: Measurement
    #: Of default values.
    default: Measurement


class Distribution(NamedTuple):
    """The values of one variable in one class.

    NaN, infinite and default values count in none of the numbers but their own.
    """

    #: All events of the class.
    events: int
    #: Infinite values are in its under- and overflow.
    histogram: Histogram | Undefined
    #: The same as shares of all events.
    fractions: Fractions | Undefined
    mean: Measurement | Undefined
    standard_deviation: Measurement | Undefined
    minimum: float | Undefined
    maximum: float | Undefined
    #: Numbers of events.
    nan: int
    plus_infinity: int
    minus_infinity: int
    #: Numbers of events with default values.
    defaults: dict[float, int]
    #: The commonest value of a continuous variable where it is suspiciously common, and its number of events.
    spike: tuple[float, int] | None
    #: ⟨S²⟩ from the other classes together.
    separation: Measurement | Undefined
    #: What ⟨S²⟩ is on average where the distributions are the same, by the number of events alone.
    by_chance: float | Undefined

    @property
    def missing(self) -> int:
        """Number of events with NaN, infinite or default values."""
        return self.nan + self.plus_infinity + self.minus_infinity + sum(self.defaults.values())

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        content: dict[str, Any] = {
            "events": self.events,
            "nan": self.nan,
            "plus_infinity": self.plus_infinity,
            "minus_infinity": self.minus_infinity,
            "default_values": self.defaults,
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "separation": self.separation,
            "separation_by_chance": self.by_chance,
        }
        if self.spike is not None:
            content["commonest_value"] = {"value": self.spike[0], "events": self.spike[1]}
        if isinstance(self.histogram, Undefined):
            return content | {"histogram": self.histogram}
        return content | {name: part for name, part in self.histogram.plain().items() if name != "edges"}


@dataclass(frozen=True, eq=False)
class InputSummary:
    """What is known about the inputs."""

    classes: list[str]
    variables: list[str]
    #: By variable.
    binnings: dict[str, Binning]
    #: By variable and class.
    distributions: dict[str, dict[str, Distribution]]
    #: By class: within the class, and its difference from the other classes together.
    correlations: dict[str, Correlations]
    differences: dict[str, Correlations]
    #: By class.
    weights: dict[str, WeightSummary]
    #: Share of the events of each class that was looked at, where it is less than 1.
    sampled: dict[str, float]

    def ranking(self) -> list[tuple[str, str, Measurement]]:
        """Variables by their largest separation, with the class that it is of; those without any are left out."""
        best = []
        for name, by_class in self.distributions.items():
            known = [
                (one.separation, label) for label, one in by_class.items() if isinstance(one.separation, Measurement)
            ]
            if known:
                separation, label = max(known, key=lambda item: item[0].value)
                best.append((name, label, separation))
        return sorted(best, key=lambda item: -item[2].value)


def input_summary(
    sums: Mapping[str, ClassSums],
    binnings: Mapping[str, Binning],
    sampled: Mapping[str, float] | None = None,
) -> InputSummary:
    """What the sums over the events of all classes amount to.

    Parameters
    ----------
    sums : mapping of str to ClassSums
        By class.
    binnings : mapping of str to Binning
        By variable, in the order of the sums.
    sampled : mapping of str to float, optional
        Share of the events of each class that was added, where it is less than 1.
    """
    variables, classes = list(binnings), list(sums)
    distributions = {name: _distributions(index, binnings[name], sums) for index, name in enumerate(variables)}
    by_class, differences = {}, {}
    for name, own in sums.items():
        by_class[name] = correlations(own.correlations, variables, own.minimum >= own.maximum)
        others = [one for label, one in sums.items() if label != name]
        rest = sum((one.correlations for one in others), CorrelationSums.empty(len(variables)))
        lowest = np.min([one.minimum for one in others], axis=0) if others else own.minimum
        highest = np.max([one.maximum for one in others], axis=0) if others else own.maximum
        differences[name] = difference(by_class[name], correlations(rest, variables, lowest >= highest))
    weights = {name: one.weights.summary() for name, one in sums.items()}
    return InputSummary(
        classes, variables, dict(binnings), distributions, by_class, differences, weights, dict(sampled or {})
    )


def _distributions(index: int, binning: Binning, sums: Mapping[str, ClassSums]) -> dict[str, Distribution]:
    """Distributions of a variable, by class."""
    contents = {name: _contents(index, one) for name, one in sums.items()}
    return {
        name: _distribution(index, binning, one, contents[name], [contents[label] for label in sums if label != name])
        for name, one in sums.items()
    }


def _contents(index: int, sums: ClassSums) -> NDArray[np.float64]:
    """Σw and Σw² of the bins, under- and overflow, NaN and default values: shape (2, n_bins + 4)."""
    histogram = sums.histogram(index)
    inner = [np.zeros(0), np.zeros(0)] if histogram is None else [histogram.sums, histogram.squares]
    flow = [(0.0, 0.0)] * 2 if histogram is None else [histogram.underflow, histogram.overflow]
    outer = [*flow, sums.nan_weight[index], sums.default_weight[index]]
    return np.array([[*inner[k], *(part[k] for part in outer)] for k in range(2)])


def _distribution(
    index: int,
    binning: Binning,
    sums: ClassSums,
    contents: NDArray[np.float64],
    others: Sequence[NDArray[np.float64]],
) -> Distribution:
    good = sums.weights.events - sums.weights.bad
    histogram = sums.histogram(index)
    mean, deviation = sums.moments.mean_and_deviation(index, binning.centre, binning.scale)
    nothing = Undefined("all values are missing" if good else "no events")
    is_empty = sums.minimum[index] > sums.maximum[index]
    separation, by_chance = _separation(contents, np.sum(others, axis=0) if others else np.zeros_like(contents))
    return Distribution(
        good,
        nothing if histogram is None else histogram,
        _fractions(contents, good),
        mean if not is_empty else nothing,
        deviation if not is_empty else nothing,
        nothing if is_empty else float(sums.minimum[index]),
        nothing if is_empty else float(sums.maximum[index]),
        int(sums.nan[index]),
        int(sums.plus_infinity[index]),
        int(sums.minus_infinity[index]),
        {value: int(sums.defaults[index][value]) for value in binning.defaults},
        None if binning.spike is None else (binning.spike, int(sums.spikes[index])),
        separation,
        by_chance,
    )


def _fractions(contents: NDArray[np.float64], events: int) -> Fractions | Undefined:
    """Shares of the sum of weights, with the variance Σ w² (δ − p)² / (Σ w)² of weighted efficiencies."""
    total, squares = contents.sum(axis=1)
    if undefined := no_normalisation(events, float(total), float(squares)):
        return undefined
    shares = contents[0] / total
    variances = contents[1] * (1 - 2 * shares) + np.square(shares) * squares
    errors = np.sqrt(np.maximum(variances, 0.0)) / total
    outer = [Measurement(float(value), float(error)) for value, error in zip(shares[-4:], errors[-4:], strict=True)]
    return Fractions(shares[:-4], errors[:-4], *outer)


def _separation(
    own: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[Measurement | Undefined, float | Undefined]:
    """⟨S²⟩ of a class against the others, and what it is on average where there is no difference.

    A classifier sees default values, under- and overflow too, so each of these counts as a bin. Sparse bins are
    taken together: where negative weights leave almost nothing, ⟨S²⟩ would be decided by chance.
    """
    totals = own[0].sum(), others[0].sum()
    for contents, name in ((own, "this class"), (others, "the other classes")):
        if not contents[1].any():
            return (Undefined(f"no events of {name}"),) * 2
    if min(totals) > 0:
        occupied = np.count_nonzero(own[1] + others[1])
        own, others = _merged(own, others)
        if occupied > 1 and own.shape[1] == 1:
            return (Undefined("too few events to tell two bins apart"),) * 2
    found = separation_of_histograms((own[0], others[0]), (own[1], others[1]))
    if isinstance(found, Undefined):
        reason = found.reason.replace("signal", "this class's").replace("background", "the other classes'")
        return (Undefined(reason),) * 2
    shares = own[0] / totals[0] + others[0] / totals[1]
    variances = own[1] / totals[0] ** 2 + others[1] / totals[1] ** 2
    counted = shares > 0
    # E[(s − b)²] is the variance where s and b agree; the total is known, which takes one of n bins away.
    correction = 1 - 1 / max(int(np.count_nonzero(counted)), 1)
    return found, float(0.5 * correction * np.sum(variances[counted] / shares[counted]))


def _merged(own: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Neighbouring bins taken together until their content, of both normalised to 1, is known well enough."""
    totals = own[0].sum(), others[0].sum()
    contents = own[0] / totals[0] + others[0] / totals[1]
    variances = own[1] / totals[0] ** 2 + others[1] / totals[1] ** 2
    starts, content, variance = [0], 0.0, 0.0
    for position, (more, spread) in enumerate(zip(contents.tolist(), variances.tolist(), strict=True), start=1):
        content, variance = content + more, variance + spread
        if content > 0 and content**2 >= _SIGNIFICANCE**2 * variance > 0:
            starts.append(position)
            content = variance = 0.0
    if len(starts) > 1:  # what is left over joins the last
        starts.pop()
    return np.add.reduceat(own, starts, axis=1), np.add.reduceat(others, starts, axis=1)
