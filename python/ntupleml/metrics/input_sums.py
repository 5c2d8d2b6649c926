"""Sums over the events of a class, chunk by chunk, that all numbers about the inputs of a classifier are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.correlations import CorrelationSums
from ntupleml.metrics.histograms import Filling
from ntupleml.metrics.measurement import Measurement, Undefined, no_normalisation
from ntupleml.metrics.weight_summary import WeightSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.histograms import Histogram
    from ntupleml.metrics.input_binning import Binning

#: Events that are worked on at a time.
_BLOCK = 32_768
#: A mean has an uncertainty from this number of events on.
_FEWEST_EVENTS = 2


class MomentSums:
    """Sums of weights times powers of each variable, about its centre and in units of its scale.

    Attributes
    ----------
    powers : array, shape (n_variables, 3)
        Σ w tᵏ for k = 0, 1, 2.
    squares : array, shape (n_variables, 5)
        Σ w² tᵏ for k = 0 to 4.
    events : array, shape (n_variables,)
    """

    def __init__(self, num_variables: int) -> None:
        self.powers = np.zeros((num_variables, 3))
        self.squares = np.zeros((num_variables, 5))
        self.events = np.zeros(num_variables, dtype=np.int64)

    def add(
        self, values: NDArray[np.float64], weights: NDArray[np.float64], present: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Add events, values being 0 where missing; return their Σ w t and Σ w t²."""
        both = np.stack([weights, np.square(weights)], axis=1)
        number: Any = len(weights) if present is None else present.sum(axis=1)
        zeroth = both.sum(axis=0) if present is None else present.astype(np.float64) @ both
        square = np.square(values)
        first, second = values @ both, square @ both
        values = values * square
        third = values @ both[:, 1]
        fourth = np.square(square, out=square) @ both[:, 1]
        self.events += number
        self.powers += np.stack(np.broadcast_arrays(zeroth[..., 0], first[:, 0], second[:, 0]), axis=1)
        self.squares += np.stack(np.broadcast_arrays(zeroth[..., 1], first[:, 1], second[:, 1], third, fourth), axis=1)
        return first[:, 0], second[:, 0]

    def mean_and_deviation(
        self, index: int, centre: float, scale: float
    ) -> tuple[Measurement | Undefined, Measurement | Undefined]:
        """Weighted mean and standard deviation of a variable.

        Notes
        -----
        m = Σ w x / Σ w with variance Σ w² (x − m)² / (Σ w)²; s² = Σ w (x − m)² / Σ w, whose variance is
        Σ w² ((x − m)² − s²)² / (Σ w)², so σ(s) = σ(s²) / 2s: propagation of the statistical uncertainty √Σw² of
        each sum (linear, therefore for many events).
        """
        events, powers, squares = int(self.events[index]), self.powers[index], self.squares[index]
        undefined = no_normalisation(events, float(powers[0]), float(squares[0]))
        if undefined is None and events < _FEWEST_EVENTS:
            undefined = Undefined("one event")
        if undefined is None and not (np.isfinite(powers).all() and np.isfinite(squares).all()):
            undefined = Undefined("the values are too large")
        if undefined is not None:
            return undefined, undefined
        total = float(powers[0])
        mean = float(powers[1]) / total
        # Moments of w² about the mean, from those about the centre.
        about = [
            sum(math.comb(order, k) * float(squares[k]) * (-mean) ** (order - k) for k in range(order + 1))
            for order in range(5)
        ]
        variance = float(powers[2]) / total - mean**2
        value = Measurement(centre + scale * mean, scale * math.sqrt(max(about[2], 0.0)) / total)
        if variance < 0 and -variance > 1e-12 * float(powers[2] / total):
            return value, Undefined("the variance is negative, which negative weights can do")
        deviation = math.sqrt(max(variance, 0.0))
        spread = math.sqrt(max(about[4] - 2 * variance * about[2] + variance**2 * about[0], 0.0)) / total
        error = spread / (2 * deviation) if deviation > 0 else 0.0
        return value, Measurement(scale * deviation, scale * error)


class ClassSums:
    """Sums over the events of one class.

    Attributes
    ----------
    minimum, maximum : array of float64, shape (n_variables,)
        +∞ and −∞ without events.
    nan, plus_infinity, minus_infinity, spikes : array of int64, shape (n_variables,)
        Numbers of events.
    defaults : list of dict of float to int
        Numbers of events with default values, by variable.
    nan_weight, default_weight : array of float64, shape (n_variables, 2)
        Σw and Σw² of these.
    """

    def __init__(self, binnings: Sequence[Binning]) -> None:
        number = len(binnings)
        self.binnings = list(binnings)
        self._fillings = [None if one.edges is None else Filling(one.edges) for one in binnings]
        self.moments = MomentSums(number)
        self.correlations = CorrelationSums.empty(number)
        self.weights = WeightSums()
        self.minimum, self.maximum = np.full(number, np.inf), np.full(number, -np.inf)
        self.nan, self.plus_infinity, self.minus_infinity, self.spikes = np.zeros((4, number), dtype=np.int64)
        self.defaults = [dict.fromkeys(one.defaults, 0) for one in binnings]
        self.nan_weight, self.default_weight = np.zeros((2, number, 2))
        self._centres = np.array([[one.centre] for one in binnings])
        self._scales = np.array([[one.scale] for one in binnings])

    def add(self, values: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Add events.

        Parameters
        ----------
        values : array of float32, shape (n_events, n_variables)
        weights : array of float64, shape (n_events,)
            Events whose weight is NaN or infinite are only counted.
        """
        self.weights.add(weights)
        good = np.isfinite(weights)
        if not good.all():
            values, weights = values[good], weights[good]
        for start in range(0, len(weights), _BLOCK):
            block = slice(start, start + _BLOCK)
            self._add(np.array(values[block].T, order="C"), weights[block])

    def histogram(self, index: int) -> Histogram | None:
        """Distribution of a variable; None where the binning has no edges."""
        filling = self._fillings[index]
        return None if filling is None else filling.histogram()

    def _add(self, columns: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Add a block of events, one row per variable; the array is changed."""
        present = np.isfinite(columns)
        is_complete = bool(present.all())
        if not is_complete:
            self._count_missing(columns, weights, present)
        for index, binning in enumerate(self.binnings):
            values = columns[index]
            if binning.defaults and self._count_defaults(index, values, weights):
                is_complete = False
                present[index] &= ~np.isnan(values)
            if binning.spike is not None:
                self.spikes[index] += np.count_nonzero(values == np.float32(binning.spike))
            if (filling := self._fillings[index]) is not None:
                filling.add(values, weights)
        low = columns if is_complete else np.where(present, columns, np.float32(np.inf))
        high = columns if is_complete else np.where(present, columns, np.float32(-np.inf))
        np.minimum(self.minimum, low.min(axis=1), out=self.minimum)
        np.maximum(self.maximum, high.max(axis=1), out=self.maximum)
        with np.errstate(over="ignore", invalid="ignore"):  # said of the results
            scaled = (columns - self._centres) / self._scales
            if not is_complete:
                scaled[~present] = 0.0
            known = None if is_complete else present
            moments = self.moments.add(scaled, weights, known)
            self.correlations.add(scaled, weights, known, moments)

    def _count_missing(
        self, columns: NDArray[np.float32], weights: NDArray[np.float64], present: NDArray[np.bool_]
    ) -> None:
        for index in np.flatnonzero(~present.all(axis=1)):
            values = columns[index]
            is_nan = np.isnan(values)
            self.nan[index] += np.count_nonzero(is_nan)
            self.plus_infinity[index] += np.count_nonzero(values == np.inf)
            self.minus_infinity[index] += np.count_nonzero(values == -np.inf)
            self.nan_weight[index] += _sums(weights[is_nan])

    def _count_defaults(self, index: int, values: NDArray[np.float32], weights: NDArray[np.float64]) -> bool:
        """Count default values, and replace them by NaN; return whether there are any."""
        number = 0
        for default in self.binnings[index].defaults:
            chosen = values == np.float32(default)
            found = int(np.count_nonzero(chosen))
            if found:
                self.defaults[index][default] += found
                self.default_weight[index] += _sums(weights[chosen])
                values[chosen] = np.nan
            number += found
        return number > 0


def _sums(weights: NDArray[np.float64]) -> tuple[float, float]:
    return float(weights.sum()), float(weights @ weights)
