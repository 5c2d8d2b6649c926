"""Mean Taylor coefficients of a score: which inputs, and which of their combinations, a network's answer depends on."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_normalisation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

#: Highest order of derivatives that is offered.
LARGEST_ORDER = 3


def taylor_terms(num_inputs: int, order: int) -> list[tuple[int, ...]]:
    """Indices of the inputs of each term: all of first order, then the upper triangle of the second, and so on.

    Parameters
    ----------
    order : int
        Highest order.

    Examples
    --------
    >>> taylor_terms(2, 2)
    [(0,), (1,), (0, 0), (0, 1), (1, 1)]
    """
    return [term for length in range(1, order + 1) for term in combinations_with_replacement(range(num_inputs), length)]


def taylor_factor(term: Iterable[int]) -> float:
    """Factor between a derivative and the coefficient of its term in the Taylor polynomial.

    Derivatives that differ only in the order of the inputs are equal and counted once: the factor is one over the
    product of the factorials of how often each input occurs, ½ for ∂²f/∂x².

    Examples
    --------
    >>> [taylor_factor(term) for term in [(0,), (0, 0), (0, 1), (0, 0, 1)]]
    [1.0, 0.5, 1.0, 0.5]
    """
    return 1.0 / math.prod(math.factorial(count) for count in Counter(term).values())


@dataclass(frozen=True, eq=False)
class DerivativeSums:
    """What events contribute to mean derivatives; sums of several samples are added with `+`."""

    #: Number of events.
    events: int
    #: Σw and Σw².
    weights: float
    weights_squared: float
    #: Shape (n_terms,). Σwd, with the derivative d or its modulus.
    sums: NDArray[np.float64]
    #: Shape (n_terms,). Σw²d and Σw²d².
    linear: NDArray[np.float64]
    quadratic: NDArray[np.float64]
    #: Shape (n_terms,). Σw²dD, with D = Σd over the terms.
    with_total: NDArray[np.float64]
    #: Σw²D².
    total_squared: float
    #: Shape (n_terms,). Number of events whose derivative is NaN or infinite; they are in none of the sums.
    not_finite: NDArray[np.int64]

    def __add__(self, other: DerivativeSums) -> DerivativeSums:
        """Sums of the events of both samples."""
        return DerivativeSums(
            self.events + other.events,
            self.weights + other.weights,
            self.weights_squared + other.weights_squared,
            self.sums + other.sums,
            self.linear + other.linear,
            self.quadratic + other.quadratic,
            self.with_total + other.with_total,
            self.total_squared + other.total_squared,
            self.not_finite + other.not_finite,
        )


def derivative_sums(
    derivatives: NDArray[Any], weights: NDArray[np.float64], *, absolute: bool = True
) -> DerivativeSums:
    """Sum up the derivatives of some events.

    Parameters
    ----------
    derivatives : array, shape (n_events, n_terms)
    weights : array, shape (n_events,)
        Event weights, negative ones as they are.
    absolute : bool, default: True
        Whether to sum up the modulus of the derivatives.
    """
    convert = np.abs if absolute else np.positive
    values: NDArray[np.float64] = convert(derivatives, dtype=np.float64)
    sums = _weighted_sums(values, weights)
    not_finite = np.zeros(values.shape[1], dtype=np.int64)
    if not np.isfinite(sums.sums).all():
        finite = np.isfinite(values)
        sums = _weighted_sums(np.where(finite, values, 0.0), weights)
        not_finite = np.count_nonzero(~finite, axis=0)
    return replace(sums, not_finite=not_finite)


def _weighted_sums(values: NDArray[np.float64], weights: NDArray[np.float64]) -> DerivativeSums:
    squares = np.square(weights)
    with np.errstate(invalid="ignore"):  # what is not finite is treated by the caller
        total = values.sum(axis=1)
        # Not by BLAS, whose threads cost more here than they save.
        sums, linear, with_total = np.einsum("se,et->st", [weights, squares, squares * total], values)
        quadratic = np.einsum("e,et,et->t", squares, values, values)
        total_squared = float(squares @ np.square(total))
    return DerivativeSums(
        len(values),
        float(weights.sum()),
        float(squares.sum()),
        sums,
        linear,
        quadratic,
        with_total,
        total_squared,
        np.zeros(values.shape[1], dtype=np.int64),
    )


def taylor_coefficients(sums: DerivativeSums, terms: Sequence[tuple[int, ...]]) -> list[Measurement | Undefined]:
    """Mean Taylor coefficient of each term.

    Parameters
    ----------
    terms : sequence of tuple of int
        As `taylor_terms` has them.

    Returns
    -------
    list of Measurement or Undefined
        Undefined where there are fewer than two events, their sum of weights is not positive, or a derivative is not
        finite.

    Notes
    -----
    ⟨t⟩ = c Σw|d| / Σw with the factor c of the term, S. Wunsch, R. Friese, R. Wolf, G. Quast, arXiv:1803.08782.
    The variance is that of a weighted mean, N/(N−1) c² Σw²(|d| − ⟨|d|⟩)² / (Σw)².
    """
    if problem := _no_mean(sums):
        return [problem] * len(terms)
    means = sums.sums / sums.weights
    variances = sums.quadratic - 2 * means * sums.linear + np.square(means) * sums.weights_squared
    uncertainties = _roots(variances, sums.events) / sums.weights
    factors = [taylor_factor(term) for term in terms]
    return [
        Measurement(factor * float(mean), factor * float(uncertainty)) if not lost else _not_finite(lost, sums.events)
        for factor, mean, uncertainty, lost in zip(factors, means, uncertainties, sums.not_finite, strict=True)
    ]


def normalised_coefficients(sums: DerivativeSums) -> list[Measurement | Undefined]:
    """Share of each first-order coefficient in their sum.

    Parameters
    ----------
    sums : DerivativeSums
        Of first derivatives alone.

    Returns
    -------
    list of Measurement or Undefined
        As for `taylor_coefficients`; undefined also where the sum of the coefficients is not positive.

    Notes
    -----
    r = Σwd / ΣwD with D = Σd over the inputs; its variance N/(N−1) Σw²(d − rD)² / (ΣwD)² knows that d is part of D.
    """
    problem = _no_mean(sums)
    if problem is None and sums.not_finite.any():
        problem = _not_finite(int(sums.not_finite.max()), sums.events)
    total = float(sums.sums.sum())
    if problem is None and total <= 0:
        problem = Undefined("the sum of the coefficients is not positive")
    if problem is not None:
        return [problem] * len(sums.sums)
    shares = sums.sums / total
    variances = sums.quadratic - 2 * shares * sums.with_total + np.square(shares) * sums.total_squared
    uncertainties = _roots(variances, sums.events) / total
    return [Measurement(float(share), float(sigma)) for share, sigma in zip(shares, uncertainties, strict=True)]


def _no_mean(sums: DerivativeSums) -> Undefined | None:
    """Why the events have no mean, or one without a known uncertainty."""
    if sums.events < 2:
        return Undefined("only one event" if sums.events else "no events")
    if not math.isfinite(sums.weights):
        return Undefined("a weight is NaN or infinite")
    return no_normalisation(sums.events, sums.weights, sums.weights_squared)


def _not_finite(number: int, events: int) -> Undefined:
    return Undefined(f"the derivative is NaN or infinite in {number} of {events} events")


def _roots(variances: NDArray[np.float64], events: int) -> NDArray[np.float64]:
    """Roots of sums of squares about a mean of the same events; rounding may make them negative."""
    roots: NDArray[np.float64] = np.sqrt(np.maximum(variances, 0.0) * events / (events - 1))
    return roots


class RankedTerm(NamedTuple):
    """A term of the Taylor polynomial, by the names of its inputs, and its mean coefficient."""

    variables: tuple[str, ...]
    coefficient: Measurement | Undefined

    @property
    def label(self) -> str:
        """Names with commas, e.g. ``x, y``."""
        return ", ".join(self.variables)

    @property
    def order(self) -> int:
        """Order of the derivative."""
        return len(self.variables)


class TaylorRanking(NamedTuple):
    """Terms by falling coefficient; equal ones by falling label, as htt-ml has them; undefined ones last."""

    terms: tuple[RankedTerm, ...]
    #: Number of events.
    events: int

    def of_order(self, order: int) -> TaylorRanking:
        """The terms of one order, ranked among themselves."""
        return TaylorRanking(tuple(term for term in self.terms if term.order == order), self.events)

    def to_list(self) -> list[dict[str, Any]]:
        """Variables, score and uncertainty of each term, for a YAML or JSON file.

        Of what is undefined the score is a text that says why, and there is no uncertainty.
        """
        return [_plain_term(term) for term in self.terms]

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {"events": self.events, "ranking": self.to_list()}


def _plain_term(term: RankedTerm) -> dict[str, Any]:
    variables, coefficient = list(term.variables), term.coefficient
    if isinstance(coefficient, Undefined):
        return {"variables": variables, "score": str(coefficient)}
    return {"variables": variables, "score": coefficient.value, "uncertainty": coefficient.uncertainty}


def taylor_ranking(sums: DerivativeSums, inputs: Sequence[str], order: int) -> TaylorRanking:
    """Rank the terms of a Taylor polynomial by their mean coefficients.

    Parameters
    ----------
    sums : DerivativeSums
        Of the derivatives of `taylor_terms(len(inputs), order)`.
    inputs : sequence of str
        Names of the inputs.
    """
    indices = taylor_terms(len(inputs), order)
    terms = [
        RankedTerm(tuple(inputs[index] for index in term), coefficient)
        for term, coefficient in zip(indices, taylor_coefficients(sums, indices), strict=True)
    ]
    return TaylorRanking(tuple(sorted(terms, key=_rank, reverse=True)), sums.events)


def _rank(term: RankedTerm) -> tuple[bool, float, str]:
    if isinstance(term.coefficient, Undefined):
        return False, 0.0, term.label
    return True, term.coefficient.value, term.label


class TaylorMatrix(NamedTuple):
    """Coefficients of first order by class and input."""

    #: By class, in the order of the inputs.
    rows: dict[str, tuple[Measurement | Undefined, ...]]
    inputs: tuple[str, ...]
    #: Whether each row is divided by its sum.
    normalised: bool

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {name: dict(zip(self.inputs, row, strict=True)) for name, row in self.rows.items()}


def taylor_matrix(sums: dict[str, DerivativeSums], inputs: Sequence[str], *, normalised: bool = False) -> TaylorMatrix:
    """Coefficients of first order of several classes.

    Parameters
    ----------
    sums : dict of str to DerivativeSums
        Of first derivatives alone, by class.
    normalised : bool, default: False
        Whether to divide each row by its sum.
    """
    terms = taylor_terms(len(inputs), 1)
    rows = {
        name: tuple(normalised_coefficients(one) if normalised else taylor_coefficients(one, terms))
        for name, one in sums.items()
    }
    return TaylorMatrix(rows, tuple(inputs), normalised)
