"""Expected significance of a selection, by four formulas with their uncertainties.

All are functions of the sums of weights S and B of the selected signal and background events, and of their variances
Σw². Their uncertainties are those of the simulated samples, propagated to first order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import SMALLEST_SUM, Measurement, Undefined

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Below this, the two functions under the root are summed up as series; above, nothing of them cancels badly.
_SERIES_LIMIT = 0.1
#: Enough terms for all digits at the limit.
_SERIES_TERMS = 16
#: A sum of weights that is smaller than this part of its uncertainty is a rounding error.
_ROUNDING = 1e-9
#: Why a significance does not exist, by the codes of `SignificanceCurve`; 0 stands for one that exists.
REASONS = (
    "",
    "no background",
    "sum of background weights is negative",
    "sum of signal weights is negative",
    "no signal and no background",
    "sums of weights are NaN or infinite",
)


class Yields(NamedTuple):
    """Sums of weights of selected events, of one selection or of many.

    Attributes
    ----------
    signal, background : float or array
        Σw.
    signal_variance, background_variance : float or array
        Σw² of the same events.
    """

    signal: Any
    signal_variance: Any
    background: Any
    background_variance: Any


class SignificanceCurve(NamedTuple):
    """One formula for many selections."""

    #: Of the shape of the yields; 0 where the significance does not exist.
    values: NDArray[np.float64]
    uncertainties: NDArray[np.float64]
    #: 0 where it exists, else the position of the reason in `REASONS`.
    reasons: NDArray[np.int8]

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Where the significance exists."""
        exists: NDArray[np.bool_] = self.reasons == 0
        return exists

    def at(self, index: int) -> Measurement | Undefined:
        """One of a one-dimensional curve."""
        if self.reasons[index]:
            return Undefined(REASONS[self.reasons[index]])
        return Measurement(float(self.values[index]), float(self.uncertainties[index]))

    def plain(self) -> dict[str, list[float | str]]:
        """Lists of a one-dimensional curve, with the text of the reason in place of a value that does not exist."""
        texts = [str(Undefined(reason)) for reason in REASONS]
        results = {"value": self.values.tolist(), "uncertainty": self.uncertainties.tolist()}
        for index in np.flatnonzero(self.reasons):
            for numbers in results.values():
                numbers[index] = texts[self.reasons[index]]
        return results


class Formula(NamedTuple):
    """A formula of a significance Z."""

    #: ``value_and_slopes(signal, background)``: Z, ∂Z/∂S and ∂Z/∂B of arrays where Z exists.
    value_and_slopes: Callable[[Any, Any], tuple[Any, Any, Any]]
    #: What it adds to the background; the sum must be positive.
    regularisation: float = 0.0
    #: Whether it exists only where there is background, or a regularisation.
    needs_background: bool = True


def significance_formulas(b_reg: float = 10.0, background_uncertainty: float = 0.0) -> dict[str, Formula]:
    """The four formulas by their names: ``asimov``, ``ams``, ``s_over_sqrt_b`` and ``s_over_sqrt_s_plus_b``.

    Parameters
    ----------
    b_reg : float, default: 10
        Regularisation of the approximate median significance, added to the background.
    background_uncertainty : float, default: 0
        Relative systematic uncertainty of the background in the Asimov significance.
    """
    return {
        "asimov": Formula(lambda signal, background: _asimov(signal, background, background_uncertainty)),
        "ams": Formula(lambda signal, background: _asimov(signal, background + b_reg, 0.0), b_reg),
        "s_over_sqrt_b": Formula(_signal_over_root_background),
        "s_over_sqrt_s_plus_b": Formula(_signal_over_root_total, needs_background=False),
    }


def asimov_significance(yields: Yields, background_uncertainty: float = 0.0) -> Measurement | Undefined:
    r"""Median significance that an experiment with S and B expects to find for the signal.

    Parameters
    ----------
    yields : Yields
        Of one selection.
    background_uncertainty : float, default: 0
        Relative systematic uncertainty r of the background, σ_b = r B.

    Notes
    -----
    G. Cowan, "Discovery sensitivity for a counting experiment with background uncertainty" (2012), Eq. 20,

    .. math:: Z^2 = 2 \left[ (s+b) \ln\frac{(s+b)(b+\sigma_b^2)}{b^2+(s+b)\sigma_b^2}
              - \frac{b^2}{\sigma_b^2} \ln\left(1 + \frac{\sigma_b^2 s}{b(b+\sigma_b^2)}\right) \right],

    and for σ_b = 0 its limit 2 [(s + b) ln(1 + s/b) − s] (Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, Eq. 97).
    The number of simulated background events does not enter σ_b: it makes the result uncertain, not the experiment
    less sensitive. Undefined where B is not positive or S is negative.

    Examples
    --------
    >>> result = asimov_significance(Yields(10.0, 1.0, 100.0, 4.0))
    >>> round(result.value, 3), round(result.uncertainty, 3)
    (0.984, 0.097)
    """
    return _one(yields, significance_formulas(background_uncertainty=background_uncertainty)["asimov"])


def approximate_median_significance(yields: Yields, b_reg: float = 10.0) -> Measurement | Undefined:
    """AMS = √(2 [(S + B + b_reg) ln(1 + S / (B + b_reg)) − S]).

    Notes
    -----
    C. Adam-Bourdarios et al., "The Higgs boson machine learning challenge", PMLR 42 (2015) 19, where b_reg = 10
    keeps selections with nearly no background from being chosen.
    """
    return _one(yields, significance_formulas(b_reg=b_reg)["ams"])


def signal_over_root_background(yields: Yields) -> Measurement | Undefined:
    """S / √B, the limit of the Asimov significance for S ≪ B."""
    return _one(yields, significance_formulas()["s_over_sqrt_b"])


def signal_over_root_total(yields: Yields) -> Measurement | Undefined:
    """S / √(S + B), the inverse of the relative statistical uncertainty of a measured signal."""
    return _one(yields, significance_formulas()["s_over_sqrt_s_plus_b"])


def _one(yields: Yields, formula: Formula) -> Measurement | Undefined:
    return significance_curve(Yields(*(np.atleast_1d(part) for part in yields)), formula).at(0)


def significance_curve(yields: Yields, formula: Formula) -> SignificanceCurve:
    """A formula for many selections at once.

    Parameters
    ----------
    yields : Yields
        Arrays of the same shape.

    Notes
    -----
    Variance (∂Z/∂S)² V_S + (∂Z/∂B)² V_B.
    """
    signal, signal_variance, background, background_variance = (np.asarray(part, np.float64) for part in yields)
    # What a sum of positive and negative weights leaves by rounding is zero.
    signal = _without_rounding(signal, signal_variance)
    background = _without_rounding(background, background_variance)
    reasons = np.zeros(signal.shape, dtype=np.int8)
    reasons[signal + background <= 0] = REASONS.index("no signal and no background")
    if formula.needs_background:
        reasons[background + formula.regularisation <= 0] = REASONS.index("no background")
    reasons[signal < 0] = REASONS.index("sum of signal weights is negative")
    reasons[background < 0] = REASONS.index("sum of background weights is negative")
    known = np.isfinite(signal + background + signal_variance + background_variance)
    reasons[~known] = REASONS.index("sums of weights are NaN or infinite")
    exists = reasons == 0
    values, uncertainties = np.zeros(signal.shape), np.zeros(signal.shape)
    value, by_signal, by_background = formula.value_and_slopes(signal[exists], background[exists])
    values[exists] = value
    uncertainties[exists] = np.hypot(
        by_signal * np.sqrt(signal_variance[exists]), by_background * np.sqrt(background_variance[exists])
    )
    return SignificanceCurve(values, uncertainties, reasons)


def _without_rounding(sums: NDArray[np.float64], variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of weights, zero where they are no more than a rounding error."""
    return np.where(np.abs(sums) <= np.maximum(_ROUNDING * np.sqrt(variances), SMALLEST_SUM), 0.0, sums)


def _asimov(signal: Any, background: Any, relative: float) -> tuple[Any, Any, Any]:
    """Asimov significance and its derivatives by S and, at constant relative uncertainty, by B.

    With x = s/b, t = σ²/b, D = 1 + t(1 + x), p = x/D and q = tx/(1 + t), the bracket of the formula is
    b x² [u(p) / (D (1 + t)) + t v(q) / (1 + t)²], where u and v are as below: nothing cancels and nothing is divided
    by σ, so that small s/b and σ → 0 keep all digits.
    """
    ratio = signal / background
    spread = relative**2 * background
    larger = 1 + spread * (1 + ratio)
    small = ratio / larger
    rest = spread * ratio / (1 + spread)
    curvature = _u(small) / (larger * (1 + spread)) + spread * _v(rest) / (1 + spread) ** 2
    root = np.sqrt(2 * background * curvature)
    by_signal = (1 - small * _v(small)) / (larger * root)
    by_background = -ratio * (_v(small) / larger**2 + spread / (larger * (1 + spread))) / root
    return ratio * root, by_signal, by_background


def _u(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """((1 + z) ln(1 + z) − z) / z² = Σ (−z)ⁿ / ((n + 1)(n + 2))."""
    return _series_or(z, lambda large: ((1 + large) * np.log1p(large) / large - 1) / large, lambda n: (n + 1) * (n + 2))


def _v(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """(z − ln(1 + z)) / z² = Σ (−z)ⁿ / (n + 2)."""
    return _series_or(z, lambda large: (1 - np.log1p(large) / large) / large, lambda n: n + 2)


def _series_or(
    z: NDArray[np.float64], exact: Callable[[Any], Any], denominator: Callable[[int], int]
) -> NDArray[np.float64]:
    terms = [(-1) ** n / denominator(n) for n in range(_SERIES_TERMS)]
    result = np.polynomial.polynomial.polyval(np.minimum(z, _SERIES_LIMIT), terms)
    large = z > _SERIES_LIMIT
    result[large] = exact(z[large])
    return np.asarray(result, dtype=np.float64)


def _signal_over_root_background(signal: Any, background: Any) -> tuple[Any, Any, Any]:
    root = np.sqrt(background)
    return signal / root, 1 / root, -signal / (2 * background * root)


def _signal_over_root_total(signal: Any, background: Any) -> tuple[Any, Any, Any]:
    total = signal + background
    root = np.sqrt(total)
    return signal / root, (signal / 2 + background) / (total * root), -signal / (2 * total * root)
