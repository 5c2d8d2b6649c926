"""Response, bias, resolution and tails of estimators of a value, each with its uncertainty, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.bayesian_efficiency import bayesian_efficiency
from ntupleml.metrics.estimates import (
    Estimate,
    central_width,
    core,
    derivative,
    mean,
    measured,
    quantiles,
    standard_deviation,
)
from ntupleml.metrics.measurement import Interval, Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.variable_bins import rows_of_bins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.variable_bins import VariableBins

#: Widths of residuals: how they are called in files.
WIDTHS = ("standard_deviation", "central_width", "core_width")
#: Of what is corrected for the response.
CORRECTED = tuple(f"corrected_{name}" for name in WIDTHS)
#: Standard deviations of the core beyond which tails are counted, and the shares of a normal distribution there.
TAILS = {deviations: math.erfc(deviations / math.sqrt(2)) for deviations in (2, 3)}


class Sample(NamedTuple):
    """An estimator of one quantity for some events."""

    #: Shape (n_events,).
    prediction: NDArray[np.float64]
    truth: NDArray[np.float64]
    #: Shape (n_events,). Whether prediction and truth exist; other events are left out.
    known: NDArray[np.bool_]
    #: Prediction and size of the truth that the response is of, shape (n_events,) each; None for an angle, say, which
    #: has none.
    scale: tuple[NDArray[np.float64], NDArray[np.float64]] | None

    def chosen(self, rows: NDArray[np.integer]) -> Sample:
        """Some of the events."""
        scale = None if self.scale is None else (self.scale[0][rows], self.scale[1][rows])
        return Sample(self.prediction[rows], self.truth[rows], self.known[rows], scale)


class Quality(NamedTuple):
    """How good an estimator is in some events."""

    #: Events that count, and those without a truth or a prediction.
    entries: int
    left_out: int
    #: Events whose truth is zero, which have no ratio of prediction and truth.
    without_ratio: int
    #: By name: those of `estimates`.
    numbers: dict[str, Measurement | Undefined]
    #: Share of the events beyond 2 and 3 standard deviations of the core.
    tails: dict[int, Interval | Undefined]


class Compared(NamedTuple):
    """Several estimators of the same quantity in the same events."""

    qualities: dict[str, Quality]
    #: By estimator, then by reference, then by width: 1 less the ratio of the widths; positive where it is narrower.
    improvements: dict[str, dict[str, dict[str, Measurement | Undefined]]]


def sample_of_values(prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> Sample:
    """An estimator of a value; events with a number that is not finite are left out."""
    own, true = np.asarray(prediction, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    return Sample(own, true, np.isfinite(own) & np.isfinite(true), (own, true))


def estimates(sample: Sample, weights: NDArray[np.float64]) -> dict[str, Estimate | Undefined]:
    """All numbers of an estimator, with the influence of each event.

    Parameters
    ----------
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.

    Returns
    -------
    dict of str to Estimate or Undefined
        `response`, `mean_response`, `median_response`, `bias`, `core_mean`, `WIDTHS` and `CORRECTED`.

    Notes
    -----
    With p the predictions, t the truth and r = p − t:

    * response R = Σwp / Σwt: of the means, which small truths do not spoil. The mean and the median of p/t stand beside
      it; events with t = 0 have no ratio.
    * bias: mean of r. Widths: standard deviation of r, half of the range of its central 68 %, and the width of a normal
      distribution that is fitted to the core (`core`).
    * corrected widths: those of p/R − t. The uncertainty of R, and its correlation with the width, are in theirs.
    """
    inside = sample.known
    own = weights[inside]
    names = ("response", "mean_response", "median_response", "bias", "core_mean", *WIDTHS, *CORRECTED)
    if undefined := no_sum_of_weights(own):
        return dict.fromkeys(names, undefined)
    prediction, truth = sample.prediction[inside], sample.truth[inside]
    scale = None if sample.scale is None else (sample.scale[0][inside], sample.scale[1][inside])
    found = _responses(scale, own)
    residuals, response = prediction - truth, found["response"]
    found["bias"] = mean(residuals, own)
    fitted = core(residuals, own)
    found["core_mean"] = fitted if isinstance(fitted, Undefined) else fitted.mean
    for name, corrected in zip(WIDTHS, CORRECTED, strict=True):
        found[name] = _width(name, residuals, own)
        found[corrected] = _corrected(name, prediction, truth, own, response)
    return {name: one if isinstance(one, Undefined) else one.among(inside) for name, one in found.items()}


def _responses(
    scale: tuple[NDArray[np.float64], NDArray[np.float64]] | None, weights: NDArray[np.float64]
) -> dict[str, Estimate | Undefined]:
    if scale is None:
        return dict.fromkeys(("response", "mean_response", "median_response"), Undefined("it has no response"))
    prediction, truth = scale
    size = mean(truth, weights)
    found: dict[str, Estimate | Undefined] = {"response": Undefined("the mean of the truth is zero")}
    if abs(size.value) > np.finfo(np.float64).eps * float(np.abs(truth).max()):
        found["response"] = mean(prediction, weights).over(size)
    not_zero = truth != 0
    own = weights[not_zero]
    if undefined := no_sum_of_weights(own):
        none = Undefined("the truth is zero in all events") if not len(own) else undefined
        return found | dict.fromkeys(("mean_response", "median_response"), none)
    ratios = prediction[not_zero] / truth[not_zero]
    middle = quantiles(ratios, own, (0.5,))
    found["mean_response"] = mean(ratios, own).among(not_zero)
    found["median_response"] = middle if isinstance(middle, Undefined) else middle[0].among(not_zero)
    return found


def _width(name: str, values: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate | Undefined:
    if name == "standard_deviation":
        return standard_deviation(values, weights)
    if name == "central_width":
        return central_width(values, weights)
    found = core(values, weights)
    return found if isinstance(found, Undefined) else found.width


def _corrected(
    name: str,
    prediction: NDArray[np.float64],
    truth: NDArray[np.float64],
    weights: NDArray[np.float64],
    response: Estimate | Undefined,
) -> Estimate | Undefined:
    if isinstance(response, Undefined):
        return response
    if response.value <= 0:
        return Undefined("the response is not positive")

    def width(scale: float) -> Estimate | Undefined:
        return _width(name, prediction / scale - truth, weights)

    found = width(response.value)
    if isinstance(found, Undefined):
        return found
    slope = derivative(width, response.measurement)
    return Estimate(found.value, found.influences + slope * response.influences)


def _tails(
    sample: Sample, weights: NDArray[np.float64], found: Mapping[str, Estimate | Undefined]
) -> dict[int, Interval | Undefined]:
    """Shares of the events far from the core; where it has no width, none are known."""
    centre, width = found["core_mean"], found["core_width"]
    for one in (centre, width):
        if isinstance(one, Undefined):
            return dict.fromkeys(TAILS, one)
    assert isinstance(centre, Estimate)
    assert isinstance(width, Estimate)
    residuals, own = (sample.prediction - sample.truth)[sample.known], weights[sample.known]
    distances = np.abs(residuals - centre.value) / width.value
    return {deviations: bayesian_efficiency(distances > deviations, own) for deviations in TAILS}


def compared(samples: Mapping[str, Sample], weights: NDArray[np.float64], references: Sequence[str] = ()) -> Compared:
    """Numbers of estimators of the same events, and how much narrower each is than the references.

    Parameters
    ----------
    samples : mapping of str to Sample
        By name.
    references : sequence of str
        Those that the others are compared with.

    Notes
    -----
    The uncertainty of an improvement 1 − a/b is that of the ratio, by the influences of each event on both widths: so
    what both have in common, since they are of the same events, does not count.
    """
    found = {name: estimates(sample, weights) for name, sample in samples.items()}
    improvements = {
        name: {
            reference: {width: _improvement(own[width], found[reference][width]) for width in (*WIDTHS, *CORRECTED)}
            for reference in references
            if reference in found
        }
        for name, own in found.items()
        if name not in references
    }
    qualities = {name: _quality(samples[name], weights, own) for name, own in found.items()}
    return Compared(qualities, improvements)


def _quality(sample: Sample, weights: NDArray[np.float64], found: Mapping[str, Estimate | Undefined]) -> Quality:
    entries = int(np.count_nonzero(sample.known))
    zero = 0 if sample.scale is None else int(np.count_nonzero(sample.known & (sample.scale[1] == 0)))
    numbers = {name: measured(one) for name, one in found.items()}
    return Quality(entries, len(sample.known) - entries, zero, numbers, _tails(sample, weights, found))


def _improvement(own: Estimate | Undefined, reference: Estimate | Undefined) -> Measurement | Undefined:
    for one in (own, reference):
        if isinstance(one, Undefined):
            return one
    assert not isinstance(own, Undefined)
    assert not isinstance(reference, Undefined)
    if reference.value <= 0:
        return Undefined("the width of the reference is zero")
    ratio = own.over(reference).measurement
    return Measurement(1 - ratio.value, ratio.uncertainty)


def compared_in_bins(
    samples: Mapping[str, Sample], weights: NDArray[np.float64], bins: VariableBins, references: Sequence[str] = ()
) -> list[Compared]:
    """`compared` in each bin of a variable."""
    return [
        compared({name: sample.chosen(rows) for name, sample in samples.items()}, weights[rows], references)
        for rows in rows_of_bins(bins)
    ]


def narrowest(found: Compared, references: Sequence[str], width: str) -> str | None:
    """The reference with the smallest width, None where none has one."""
    known: dict[str, float] = {}
    for name in references:
        one = found.qualities[name].numbers[width] if name in found.qualities else Undefined("")
        if isinstance(one, Measurement):
            known[name] = one.value
    smallest: Callable[[str], float] = known.__getitem__
    return min(known, key=smallest) if known else None
