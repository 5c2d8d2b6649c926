"""Numbers as people read them: as many digits as the uncertainty gives meaning, and thin spaces between thousands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ntupleml.metrics.measurement import Interval, Measurement

#: Narrow space at which no line is broken.
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
#: Numbers of more digits before or zeros after the decimal point are written with a power of ten.
_MOST_DIGITS, _MOST_DECIMALS = 9, 6
#: Numbers of fewer digits have no spaces.
_FEWEST_GROUPED = 5
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def grouped(text: str) -> str:
    r"""The text of a number with thin spaces between thousands, and with a minus sign in place of a hyphen.

    Examples
    --------
    >>> grouped("20000"), grouped("-1234567.25"), grouped("2017"), grouped("nan")
    ('20\u202f000', '−1\u202f234\u202f567.25', '2017', 'nan')
    """
    sign = "−" if text.startswith("-") else ""
    whole, point, rest = text.removeprefix("-").partition(".")
    if whole.isdigit() and len(whole) >= _FEWEST_GROUPED:
        whole = f"{int(whole):,}".replace(",", THIN_SPACE)
    return f"{sign}{whole}{point}{rest}"


def count_text(number: int) -> str:
    r"""A number of events or other things.

    Examples
    --------
    >>> count_text(20000), count_text(1234)
    ('20\u202f000', '1234')
    """
    return grouped(str(int(number)))


def number_text(value: float, digits: int = 4) -> str:
    r"""A few significant digits or all before the decimal point, with a power of ten where that is shorter.

    Examples
    --------
    >>> number_text(0.123456), number_text(20000.0), number_text(-1.52e-7, digits=2)
    ('0.1235', '20\u202f000', '−1.5 × 10⁻⁷')
    """
    if 1000 <= abs(value) < 10.0**_MOST_DIGITS:
        return grouped(f"{value:.0f}")
    mantissa, mark, exponent = f"{value:.{digits}g}".partition("e")
    return grouped(mantissa) + (f" × 10{str(int(exponent)).translate(_RAISED)}" if mark else "")


def measurement_text(measurement: Measurement) -> str:
    r"""Value and uncertainty, rounded to two digits of the uncertainty; the value alone where that is not known.

    Examples
    --------
    >>> from ntupleml.metrics.measurement import Measurement
    >>> measurement_text(Measurement(11423.57, 71.14)), measurement_text(Measurement(4.99e-12, 7.1e-14))
    ('11\u202f424 ± 71', '(4.990 ± 0.071) × 10⁻¹²')
    """
    value, uncertainty, power = _rounded(*measurement)
    if not uncertainty:
        return value
    text = f"{value} ± {uncertainty}"
    return f"({text}) × {power}" if power else text


def in_two_lines(measurement: Measurement) -> tuple[str, str]:
    r"""Texts of a value and, with the plus-minus sign, of its uncertainty, which is empty where it is not known.

    Examples
    --------
    >>> from ntupleml.metrics.measurement import Measurement
    >>> in_two_lines(Measurement(11423.57, 71.14)), in_two_lines(Measurement(1.0, 0.0))
    (('11\u202f424', '± 71'), ('1', ''))
    """
    value, uncertainty, power = _rounded(*measurement)
    end = f" × {power}" if power else ""
    return f"{value}{end}", f"± {uncertainty}{end}" if uncertainty else ""


def _rounded(value: float, uncertainty: float) -> tuple[str, str, str]:
    """Texts of value and uncertainty, and of the power of ten that both are multiplied with."""
    if not (math.isfinite(value) and math.isfinite(uncertainty)) or uncertainty <= 0:
        return number_text(value), "", ""
    largest = math.floor(math.log10(max(abs(value), uncertainty)))
    decimals = 1 - math.floor(math.log10(uncertainty))
    if round(uncertainty, decimals) >= 10.0 ** (2 - decimals):  # 0.0996 is 0.10
        decimals -= 1
    power = ""
    if largest >= _MOST_DIGITS or (decimals > _MOST_DECIMALS and largest < -1):
        scale = 10.0**largest
        value, uncertainty, decimals = value / scale, uncertainty / scale, decimals + largest
        power = f"10{str(largest).translate(_RAISED)}"
    decimals = max(decimals, 0)
    return grouped(f"{value:.{decimals}f}"), grouped(f"{uncertainty:.{decimals}f}"), power


def interval_text(interval: Interval) -> str:
    """Value and how far its interval reaches, rounded to two digits of the shorter side that is not 0.

    Examples
    --------
    >>> from ntupleml.metrics.measurement import Interval
    >>> interval_text(Interval(0.11333, 0.01437, 0.01551))
    '0.113 −0.014 +0.016'
    """
    value, down, up = interval
    sides = [one for one in (down, up) if one > 0 and math.isfinite(one)]
    if not sides or not math.isfinite(value):
        return f"{number_text(value)} −{number_text(down)} +{number_text(up)}"
    decimals = max(1 - math.floor(math.log10(min(sides))), 0)
    if decimals > _MOST_DECIMALS:
        return f"{number_text(value)} −{down:.2g} +{up:.2g}"
    parts = [grouped(f"{one:.{decimals}f}") for one in (value, down, up)]
    return f"{parts[0]} −{parts[1]} +{parts[2]}"
