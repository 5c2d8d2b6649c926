"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ntupleml.metrics import Interval, Measurement
from ntupleml.plots.pictures import Marked

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Cell

#: Numbers of more digits before or zeros after the decimal point are written with a power of ten.
_MOST_DIGITS, _MOST_DECIMALS = 9, 6
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def cell_text(cell: Cell) -> str:
    """A cell of a table as text: two digits of an uncertainty, four of a number without one.

    Examples
    --------
    >>> from ntupleml.metrics import Undefined
    >>> cell_text(Measurement(0.81234, 0.00123)), cell_text(0.123456), cell_text(Undefined("no events"))
    ('0.8123 ± 0.0012', '0.1235', 'undefined: no events')
    >>> cell_text(Interval(0.11333, 0.01437, 0.01551))
    '0.113 −0.014 +0.016'
    """
    if isinstance(cell, Marked):
        cell = cell.value
    if isinstance(cell, Measurement):
        return measurement_text(cell)
    if isinstance(cell, Interval):
        return interval_text(cell)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return _number(cell)
    return str(cell)


def measurement_text(measurement: Measurement) -> str:
    """Value and uncertainty, rounded to two digits of the uncertainty.

    Examples
    --------
    >>> measurement_text(Measurement(12345.6, 78.9)), measurement_text(Measurement(4.99e-12, 7.1e-14))
    ('12346 ± 79', '(4.990 ± 0.071) × 10⁻¹²')
    """
    value, uncertainty = measurement
    return _rounded(value, uncertainty).replace("-", "−")


def interval_text(interval: Interval) -> str:
    """Value and how far its interval reaches, rounded to two digits of the shorter side that is not 0."""
    value, down, up = interval
    sides = [one for one in (down, up) if one > 0 and math.isfinite(one)]
    if not sides or not math.isfinite(value):
        return f"{_number(value)} −{_number(down)} +{_number(up)}"
    decimals = max(1 - math.floor(math.log10(min(sides))), 0)
    if decimals > _MOST_DECIMALS:
        return f"{_number(value)} −{down:.2g} +{up:.2g}"
    return f"{value:.{decimals}f} −{down:.{decimals}f} +{up:.{decimals}f}"


def _rounded(value: float, uncertainty: float) -> str:
    if not (math.isfinite(value) and math.isfinite(uncertainty)) or uncertainty <= 0:
        return f"{_number(value)} ± {_number(uncertainty)}"
    largest = math.floor(math.log10(max(abs(value), uncertainty)))
    decimals = 1 - math.floor(math.log10(uncertainty))
    if largest >= _MOST_DIGITS or (decimals > _MOST_DECIMALS and largest < -1):
        scale = 10.0**largest
        decimals = max(decimals + largest, 0)
        return (
            f"({value / scale:.{decimals}f} ± {uncertainty / scale:.{decimals}f}) × 10{str(largest).translate(_RAISED)}"
        )
    decimals = max(decimals, 0)
    return f"{value:.{decimals}f} ± {uncertainty:.{decimals}f}"


def _number(value: float) -> str:
    """Four significant digits or all before the decimal point, with a power of ten where that is shorter."""
    if 1000 <= abs(value) < 10.0**_MOST_DIGITS:
        return f"{value:.0f}".replace("-", "−")
    text = f"{value:.4g}"
    mantissa, mark, exponent = text.partition("e")
    text = f"{mantissa} × 10{str(int(exponent)).translate(_RAISED)}" if mark else text
    return text.replace("-", "−")
