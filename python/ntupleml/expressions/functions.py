"""The functions and constants that a formula may use, with the values TTreeFormula gives them.

TFormula's own functions are defined everywhere: ``sqrt(-4)`` is 2, ``log(-1)``, ``acos(2)`` and ``acosh(0)`` are 0,
``exp`` stops at ``exp(700)``. Those of TMath and of the C++ library follow the C library, with NaN and infinity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from ntupleml.expressions.arithmetic import absolute, as_long, power, select, square

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]


class Function(NamedTuple):
    """A function of a formula.

    ``exact`` functions are given integers as they are; all others get float64.
    """

    apply: Callable[..., Any]
    argument_counts: tuple[int, ...] = (1,)
    exact: bool = False


def _clamped_exp(x: Array) -> Array:
    return np.where(x < -700, 0.0, np.exp(np.minimum(x, 700.0)))


def _log_or_zero(x: Array) -> Array:
    return np.where(x > 0, np.log(x), 0.0)


def _log10_or_zero(x: Array) -> Array:
    return np.where(x > 0, np.log10(x), 0.0)


def _within_one(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The function on [-1, 1], and 0 outside."""
    return lambda x: np.where(np.abs(x) > 1, 0.0, function(x))


def _acosh_or_zero(x: Array) -> Array:
    return np.where(x < 1, 0.0, np.arccosh(x))


def _atan2(y: Array, x: Array) -> Array:
    # TMath::ATan2 does not tell +0 from -0 in x.
    at_zero = np.where(y == 0, 0.0, np.where(y > 0, math.pi / 2, -math.pi / 2))
    return np.where(x != 0, np.arctan2(y, x), at_zero)


def _sign(x: Array) -> Array:
    return np.where(x < 0, -1, 1)


# Minima and maxima that keep the side of the comparison on which a NaN stands, as std:: and TMath:: each do.
def _std_min(a: Array, b: Array) -> Array:
    return select(b < a, b, a)


def _std_max(a: Array, b: Array) -> Array:
    return select(a < b, b, a)


def _tmath_min(a: Array, b: Array) -> Array:
    return select(a <= b, a, b)


def _tmath_max(a: Array, b: Array) -> Array:
    return select(a >= b, a, b)


def _range(low: Array, high: Array, x: Array) -> Array:
    return select(x < low, low, select(x > high, high, x))


def _round_half_away(x: Array) -> Array:
    return np.where(np.abs(x) < 2.0**52, np.copysign(np.trunc(np.abs(x) + 0.5), x), x)


def _odd(x: Array) -> Array:
    return as_long(x) & 1


def _even(x: Array) -> Array:
    return 1 - (as_long(x) & 1)


def _gaus(x: Array, mean: Any = 0.0, sigma: Any = 1.0, norm: Any = 0.0) -> Array:
    """``TMath::Gaus``: 1e30 at zero width, and 0 beyond 39 widths, as there."""
    pull = (x - mean) / sigma
    density = np.where(np.abs(pull) > 39, 0.0, np.exp(-0.5 * pull * pull))
    density = np.where(np.asarray(norm) != 0, density / (math.sqrt(2 * math.pi) * sigma), density)
    return np.where(np.asarray(sigma) == 0, 1e30, density)


def _phi_mpi_pi(x: Array) -> Array:
    """``TVector2::Phi_mpi_pi``: an angle in [-pi, pi)."""
    return x - 2 * math.pi * np.floor((x + math.pi) / (2 * math.pi))


def _phi_0_2pi(x: Array) -> Array:
    """``TVector2::Phi_0_2pi``: an angle in [0, 2 pi)."""
    return x - 2 * math.pi * np.floor(x / (2 * math.pi))


def _special(name: str) -> Callable[[Array], Array]:
    """A function of scipy.special, which takes a while to import, for the few that ask for it."""

    def function(x: Array) -> Array:
        from scipy import special

        return np.asarray(getattr(special, name)(x))

    return function


_erf, _erfc, _freq = _special("erf"), _special("erfc"), _special("ndtr")
_gamma, _scipy_ln_gamma = _special("gamma"), _special("gammaln")


def _ln_gamma(x: Array) -> Array:
    """Logarithm of the modulus of the gamma function; infinite at -inf, where SciPy has -inf."""
    return np.where(np.isinf(x), np.inf, _scipy_ln_gamma(x))


def _tmath_gamma(x: Array) -> Array:
    """``TMath::Gamma``: infinite at its poles, where ``tgamma`` is NaN; NaN where e^|x| is too large a number."""
    is_beyond = np.isinf(np.exp(np.abs(x))) & np.isfinite(x)
    return np.where((x <= 0) & (x == np.floor(x)), np.inf, np.where(is_beyond, np.nan, _gamma(x)))


def _constant(value: float) -> Function:
    return Function(lambda: np.float64(value), (0,))


_TWO = (2,)

#: Names that stand for a number; a branch cannot have them.
CONSTANTS: dict[str, int | float] = {"pi": math.pi, "true": 1, "false": 0}

#: What TFormula itself knows, safe everywhere.
_TFORMULA = {
    "abs": Function(absolute, exact=True),
    "acos": Function(_within_one(np.arccos)),
    "acosh": Function(_acosh_or_zero),
    "asin": Function(_within_one(np.arcsin)),
    "asinh": Function(np.arcsinh),
    "atan": Function(np.arctan),
    "atan2": Function(_atan2, _TWO),
    "atanh": Function(_within_one(np.arctanh)),
    "cos": Function(np.cos),
    "cosh": Function(np.cosh),
    "exp": Function(_clamped_exp),
    "fmod": Function(np.fmod, _TWO),
    "int": Function(as_long, exact=True),
    "log": Function(_log_or_zero),
    "log10": Function(_log10_or_zero),
    "max": Function(_std_max, _TWO, exact=True),
    "min": Function(_std_min, _TWO, exact=True),
    "pow": Function(power, _TWO, exact=True),
    "sign": Function(_sign, exact=True),
    "sin": Function(np.sin),
    "sinh": Function(np.sinh),
    "sq": Function(square, exact=True),
    "sqrt": Function(lambda x: np.sqrt(np.abs(x))),
    "tan": Function(np.tan),
    "tanh": Function(np.tanh),
}

#: Functions of the C library that TFormula does not know itself and calls.
_C_LIBRARY = {
    "cbrt": Function(np.cbrt),
    "ceil": Function(np.ceil),
    "copysign": Function(np.copysign, _TWO),
    "erf": Function(_erf),
    "erfc": Function(_erfc),
    "exp2": Function(np.exp2),
    "expm1": Function(np.expm1),
    "fabs": Function(absolute, exact=True),
    "floor": Function(np.floor),
    "fmax": Function(np.fmax, _TWO),
    "fmin": Function(np.fmin, _TWO),
    "hypot": Function(np.hypot, _TWO),
    "isinf": Function(np.isinf),
    "isnan": Function(np.isnan),
    "lgamma": Function(_ln_gamma),
    "log1p": Function(np.log1p),
    "log2": Function(np.log2),
    "rint": Function(np.rint),
    "round": Function(_round_half_away),
    "tgamma": Function(_gamma),
    "trunc": Function(np.trunc),
}

#: The functions of <cmath> under their C++ names, which do not share TFormula's safety.
_STANDARD = {
    **_C_LIBRARY,
    "abs": Function(absolute, exact=True),
    "acos": Function(np.arccos),
    "acosh": Function(np.arccosh),
    "asin": Function(np.arcsin),
    "asinh": Function(np.arcsinh),
    "atan": Function(np.arctan),
    "atan2": Function(np.arctan2, _TWO),
    "atanh": Function(np.arctanh),
    "cos": Function(np.cos),
    "cosh": Function(np.cosh),
    "exp": Function(np.exp),
    "fmod": Function(np.fmod, _TWO),
    "isfinite": Function(np.isfinite),
    "log": Function(np.log),
    "log10": Function(np.log10),
    "max": Function(_std_max, _TWO, exact=True),
    "min": Function(_std_min, _TWO, exact=True),
    "pow": Function(power, _TWO, exact=True),
    "sin": Function(np.sin),
    "sinh": Function(np.sinh),
    "sqrt": Function(np.sqrt),
    "tan": Function(np.tan),
    "tanh": Function(np.tanh),
}

_TMATH = {
    "ACos": Function(np.arccos),
    "ACosH": Function(np.arccosh),
    "ASin": Function(np.arcsin),
    "ASinH": Function(np.arcsinh),
    "ATan": Function(np.arctan),
    "ATan2": Function(_atan2, _TWO),
    "ATanH": Function(np.arctanh),
    "Abs": Function(absolute, exact=True),
    "Ceil": Function(np.ceil),
    "CeilNint": Function(lambda x: as_long(np.ceil(x))),
    "Cos": Function(np.cos),
    "CosH": Function(np.cosh),
    "DegToRad": _constant(math.pi / 180),
    "E": _constant(math.e),
    "Erf": Function(_erf),
    "Erfc": Function(_erfc),
    "Even": Function(_even, exact=True),
    "Exp": Function(np.exp),
    "Finite": Function(np.isfinite),
    "Floor": Function(np.floor),
    "FloorNint": Function(lambda x: as_long(np.floor(x))),
    "Freq": Function(_freq),
    "Gamma": Function(_tmath_gamma),
    "Gaus": Function(_gaus, (1, 2, 3, 4)),
    "Hypot": Function(np.hypot, _TWO),
    "Infinity": _constant(math.inf),
    "InvPi": _constant(1 / math.pi),
    "IsNaN": Function(np.isnan),
    "LnGamma": Function(_ln_gamma),
    "Ln10": _constant(math.log(10)),
    "Log": Function(np.log),
    "Log10": Function(np.log10),
    "Log2": Function(np.log2),
    "LogE": _constant(math.log10(math.e)),
    "Max": Function(_tmath_max, _TWO, exact=True),
    "Min": Function(_tmath_min, _TWO, exact=True),
    "Nint": Function(lambda x: as_long(np.rint(x))),
    "Odd": Function(_odd, exact=True),
    "Pi": _constant(math.pi),
    "PiOver2": _constant(math.pi / 2),
    "PiOver4": _constant(math.pi / 4),
    "Power": Function(power, _TWO, exact=True),
    "QuietNaN": _constant(math.nan),
    "RadToDeg": _constant(180 / math.pi),
    "Range": Function(_range, (3,), exact=True),
    "Sign": Function(np.copysign, _TWO),
    "Sin": Function(np.sin),
    "SinH": Function(np.sinh),
    "Sq": Function(square, exact=True),
    "Sqrt": Function(np.sqrt),
    "Sqrt2": _constant(math.sqrt(2)),
    "Tan": Function(np.tan),
    "TanH": Function(np.tanh),
    "TwoPi": _constant(2 * math.pi),
}

#: Every function that a formula may call, by the name it is called with.
FUNCTIONS: dict[str, Function] = {
    **_TFORMULA,
    **_C_LIBRARY,
    **{f"std::{name}": function for name, function in _STANDARD.items()},
    **{f"TMath::{name}": function for name, function in _TMATH.items()},
    "TVector2::Phi_0_2pi": Function(_phi_0_2pi),
    "TVector2::Phi_mpi_pi": Function(_phi_mpi_pi),
}
