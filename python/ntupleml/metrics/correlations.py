"""Weighted correlation coefficients of all pairs of variables, summed up chunk by chunk, with uncertainties."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import SMALLEST_SUM, Measurement, Undefined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Beyond one by more than rounding: only negative weights do that.
_LARGEST = 1 + 1e-9
#: Fisher's z needs more than three events.
_FEWEST_EVENTS = 3.0
#: A variance that is this small beside the mean square is rounding.
_ROUNDING = 1e-13


class Correlations(NamedTuple):
    """Correlation coefficients of all pairs of some variables, or differences of such."""

    variables: tuple[str, ...]
    #: Shape (n_variables, n_variables). NaN where undefined.
    coefficients: NDArray[np.float64]
    uncertainties: NDArray[np.float64]
    #: Why a coefficient is undefined, by its row and column.
    reasons: dict[tuple[int, int], str]

    def of(self, row: int, column: int) -> Measurement | Undefined:
        """One of them."""
        if (row, column) in self.reasons:
            return Undefined(self.reasons[row, column])
        return Measurement(float(self.coefficients[row, column]), float(self.uncertainties[row, column]))

    def pairs(self) -> list[tuple[str, str, Measurement]]:
        """All pairs of different variables whose coefficient is defined, the largest in size first."""
        rows, columns = np.triu_indices(len(self.variables), 1)
        values, errors = self.coefficients[rows, columns], self.uncertainties[rows, columns]
        order = np.argsort(-np.abs(values), kind="stable")
        return [
            (self.variables[rows[k]], self.variables[columns[k]], Measurement(float(values[k]), float(errors[k])))
            for k in order
            if not math.isnan(values[k])
        ]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "variables": list(self.variables),
            "coefficients": self._plain(self.coefficients),
            "uncertainties": self._plain(self.uncertainties),
        }

    def _plain(self, numbers: NDArray[np.float64]) -> list[list[float | str]]:
        rows: list[list[float | str]] = np.round(numbers, 6).tolist()
        for (row, column), reason in self.reasons.items():
            rows[row][column] = str(Undefined(reason))
        return rows


@dataclass
class CorrelationSums:
    """Sums over the events that have both variables of a pair; matrices of shape (n_variables, n_variables)."""

    #: Σw and Σw².
    weights: NDArray[np.float64]
    squares: NDArray[np.float64]
    #: Σ w x_i and Σ w x_i², over the events that have x_j too.
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    #: Σ w x_i x_j.
    products: NDArray[np.float64]
    #: Number of events.
    events: NDArray[np.float64]

    @classmethod
    def empty(cls, num_variables: int) -> CorrelationSums:
        """Without events."""
        return cls(*(np.zeros((num_variables, num_variables)) for _ in range(6)))

    def __add__(self, other: CorrelationSums) -> CorrelationSums:
        """Those of the events of both."""
        return CorrelationSums(
            self.weights + other.weights,
            self.squares + other.squares,
            self.first + other.first,
            self.second + other.second,
            self.products + other.products,
            self.events + other.events,
        )

    def add(
        self,
        values: NDArray[np.float64],
        weights: NDArray[np.float64],
        present: NDArray[np.bool_] | None,
        moments: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> None:
        """Add events.

        Parameters
        ----------
        values : array, shape (n_variables, n_events)
            About their centre, and of the order of 1; 0 where missing.
        weights : array, shape (n_events,)
        present : array of bool, shape (n_variables, n_events), or None
            Where there is a value; None for everywhere.
        moments : two arrays of shape (n_variables,), optional
            Σ w x and Σ w x² of these events, where they are known.
        """
        weighted = values * weights
        self.products += weighted @ values.T
        if present is None:
            first = weighted.sum(axis=1) if moments is None else moments[0]
            second = np.einsum("ij,ij->i", weighted, values) if moments is None else moments[1]
            self.weights += weights.sum()
            self.squares += weights @ weights
            self.events += len(weights)
            self.first += first[:, np.newaxis]
            self.second += second[:, np.newaxis]
            return
        is_there = present.astype(np.float64)
        self.weights += (is_there * weights) @ is_there.T
        self.squares += (is_there * np.square(weights)) @ is_there.T
        self.events += is_there @ is_there.T
        self.first += weighted @ is_there.T
        self.second += (weighted * values) @ is_there.T


def correlations(
    sums: CorrelationSums, variables: Sequence[str], constant: NDArray[np.bool_] | None = None
) -> Correlations:
    """Pearson's correlation coefficients of weighted events, for all pairs of variables.

    Parameters
    ----------
    constant : array of bool, shape (n_variables,), optional
        Variables that are known to have one value only.

    Notes
    -----
    ρ = cov(x, y) / √(cov(x, x) cov(y, y)) with cov(x, y) = Σ w (x − x̄)(y − ȳ) / Σ w and weighted means, over the
    events that have both (pairwise). The uncertainty is Fisher's, with the effective number of events
    n = (Σw)² / Σw² in place of their number: σ(artanh ρ) = 1 / √(n − 3), so σ(ρ) = (1 − ρ²) / √(n − 3)
    (R. A. Fisher, Metron 1 (1921) 3). It holds for distributions that are about normal.
    """
    reasons: dict[tuple[int, int], str] = {}

    def undefined(where: NDArray[np.bool_], reason: str) -> None:
        for row, column in np.argwhere(where):
            reasons.setdefault((int(row), int(column)), reason)

    rounding = np.finfo(np.float64).eps * sums.events * np.sqrt(np.maximum(sums.squares, 0))
    undefined(sums.events == 0, "no events that have both")
    undefined(np.abs(sums.weights) <= np.maximum(rounding, SMALLEST_SUM), "sum of weights is zero")
    undefined(sums.weights < 0, "sum of weights is negative")
    known = np.ones(len(variables), dtype=np.bool_) if constant is None else ~constant
    undefined(~np.logical_and.outer(known, known), "a variable is constant")
    with np.errstate(all="ignore"):  # what is undefined is replaced below
        mean, square = sums.first / sums.weights, sums.second / sums.weights
        variance = square - np.square(mean)
        flat = variance <= _ROUNDING * np.abs(square)
        covariance = sums.products / sums.weights - mean * mean.T
        coefficients = covariance / np.sqrt(variance * variance.T)
        effective = np.square(sums.weights) / sums.squares
        errors = (1 - np.square(np.clip(coefficients, -1, 1))) / np.sqrt(effective - _FEWEST_EVENTS)
    undefined(flat | flat.T, "a variance is not positive")
    undefined(effective <= _FEWEST_EVENTS, "no more than three effective events")
    undefined(np.abs(coefficients) > _LARGEST, "beyond 1, which negative weights can do")
    undefined(~np.isfinite(coefficients + errors), "the values are too large")
    for row, column in reasons:
        coefficients[row, column] = errors[row, column] = np.nan
    return Correlations(tuple(variables), np.clip(coefficients, -1, 1), errors, reasons)


def difference(first: Correlations, second: Correlations) -> Correlations:
    """Differences of the coefficients of two independent samples, first minus second."""
    return Correlations(
        first.variables,
        first.coefficients - second.coefficients,
        np.hypot(first.uncertainties, second.uncertainties),
        second.reasons | first.reasons,
    )
