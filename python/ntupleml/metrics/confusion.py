"""Weighted confusion matrices with uncertainties, summed over chunks of events, and the ratios made from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_normalisation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Row = true class, column = predicted class.
Matrix: TypeAlias = "tuple[tuple[Measurement | Undefined, ...], ...]"


@dataclass(frozen=True)
class ConfusionMatrix:
    """Sums over the events of each true class (row) that are predicted to be of each class (column).

    Matrices of chunks of events are added with ``+``.
    """

    #: Shape (n_classes, n_classes). Number of events.
    entries: NDArray[np.int64]
    #: Shape (n_classes, n_classes). Σw, C_ij of the formulas below.
    sums: NDArray[np.float64]
    #: Shape (n_classes, n_classes). Σw², the variance V_ij of Σw.
    squares: NDArray[np.float64]

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Matrix of the events of both."""
        return ConfusionMatrix(self.entries + other.entries, self.sums + other.sums, self.squares + other.squares)

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"entries": self.entries, "sums_of_weights": self.sums, "uncertainties": np.sqrt(self.squares)}


def predicted_class(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Class of the largest score of each event; of equal ones the first.

    Parameters
    ----------
    scores : array of float, shape (n_events, n_classes)
        Scores without NaN.

    Examples
    --------
    >>> predicted_class(np.array([[0.2, 0.8], [0.5, 0.5]]))
    array([1, 0])
    """
    largest: NDArray[np.int64] = np.argmax(scores, axis=1)
    return largest


def confusion_matrix(
    true: NDArray[Any], predicted: NDArray[Any], weights: NDArray[Any], num_classes: int
) -> ConfusionMatrix:
    """Sums of weights by true and predicted class.

    Parameters
    ----------
    true, predicted : array of int, shape (n_events,)
        Index of the class, from 0 to ``num_classes`` − 1.
    weights : array, shape (n_events,)
        Finite event weights of any number type; negative ones count as they are.

    Examples
    --------
    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2.0, 1.0, -1.0]), 2).sums
    array([[ 2.,  1.],
           [ 0., -1.]])
    """
    cell = np.asarray(true, dtype=np.int64) * num_classes + predicted
    weights = np.asarray(weights, dtype=np.float64)

    def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(cell, values, minlength=num_classes**2).reshape(num_classes, num_classes)
        return total.astype(np.float64)  # integers where there are no events at all

    entries = np.bincount(cell, minlength=num_classes**2).reshape(num_classes, num_classes)
    return ConfusionMatrix(entries.astype(np.int64), sums(weights), sums(weights**2))


def with_class_weights(matrix: ConfusionMatrix, class_weights: Sequence[float] | NDArray[Any]) -> ConfusionMatrix:
    """The matrix where each event of true class i also has weight ``class_weights[i]``."""
    factors = np.asarray(class_weights, dtype=np.float64)[:, np.newaxis]
    return ConfusionMatrix(matrix.entries, matrix.sums * factors, matrix.squares * factors**2)


def sums_of_weights(matrix: ConfusionMatrix) -> Matrix:
    """C_ij = Σw with uncertainty √Σw²; a class without events has sums of 0 ± 0."""
    return _as_matrix(lambda i, j: Measurement(float(matrix.sums[i, j]), float(np.sqrt(matrix.squares[i, j]))), matrix)


def efficiency(matrix: ConfusionMatrix) -> Matrix:
    """Share of true class i that is predicted to be class j: C_ij / Σ_k C_ik; rows sum to 1.

    Notes
    -----
    Variance of a ratio whose numerator is part of its denominator, Σw²(δ − p)² / (Σw)², where p is the ratio and
    δ is 1 for the events in the numerator and 0 for the others, as ROOT's TEfficiency has it for weighted events
    (normal approximation). Undefined where no event is of class i, or their sum of weights is not positive.
    """
    return _as_matrix(lambda i, j: _share(matrix, (i, j), np.s_[i, :]), matrix)


def purity(matrix: ConfusionMatrix) -> Matrix:
    """Share of true class i in what is predicted to be class j: C_ij / Σ_k C_kj; columns sum to 1.

    Notes
    -----
    Variance as for `efficiency`, over the events predicted to be class j.
    """
    return _as_matrix(lambda i, j: _share(matrix, (i, j), np.s_[:, j]), matrix)


def efficiency_to_correct(matrix: ConfusionMatrix) -> Matrix:
    """Events of true class i in class j per correctly predicted one: C_ij / C_ii.

    Notes
    -----
    Numerator and denominator are sums over different events, so the variance is (V_ij + r² V_ii) / C_ii², where r
    is the ratio; on the diagonal the ratio is 1 without uncertainty. Undefined where no event of class i is
    predicted correctly, or their sum of weights is not positive.
    """
    return _as_matrix(lambda i, j: _ratio(matrix, (i, j), (i, i)), matrix)


def purity_to_correct(matrix: ConfusionMatrix) -> Matrix:
    """Events of true class i in class j per correctly predicted one there: C_ij / C_jj.

    Notes
    -----
    Variance as for `efficiency_to_correct`: (V_ij + r² V_jj) / C_jj².
    """
    return _as_matrix(lambda i, j: _ratio(matrix, (i, j), (j, j)), matrix)


def _as_matrix(entry: Callable[[int, int], Measurement | Undefined], matrix: ConfusionMatrix) -> Matrix:
    size = range(len(matrix.sums))
    return tuple(tuple(entry(i, j) for j in size) for i in size)


def _share(matrix: ConfusionMatrix, cell: tuple[int, int], whole: Any) -> Measurement | Undefined:
    total = float(matrix.sums[whole].sum())
    total_squares = float(matrix.squares[whole].sum())
    if undefined := no_normalisation(int(matrix.entries[whole].sum()), total, total_squares):
        return undefined
    value = float(matrix.sums[cell]) / total
    inside = float(matrix.squares[cell])
    outside = max(total_squares - inside, 0.0)  # rounding
    return Measurement(value, math.hypot(math.sqrt(inside) * (1 - value), math.sqrt(outside) * value) / total)


def _ratio(matrix: ConfusionMatrix, cell: tuple[int, int], correct: tuple[int, int]) -> Measurement | Undefined:
    total = float(matrix.sums[correct])
    total_squares = float(matrix.squares[correct])
    if undefined := no_normalisation(int(matrix.entries[correct]), total, total_squares):
        return undefined
    if cell == correct:
        return Measurement(1.0, 0.0)
    value = float(matrix.sums[cell]) / total
    uncertainty = math.hypot(math.sqrt(matrix.squares[cell]), math.sqrt(total_squares) * value) / total
    return Measurement(value, uncertainty)
