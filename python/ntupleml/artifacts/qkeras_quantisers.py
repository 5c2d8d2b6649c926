"""Quantisers of QKeras as a file names them, by a text such as ``quantized_bits(10,5,alpha=1)`` or as settings."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_TEXT = 200
#: Widest numbers that are read, so that all sums of a network fit.
_MOST_BITS, _MOST_INTEGER = 32, 24
_CALL = re.compile(r"\s*(quantized_\w+)\s*(?:\((.*)\)\s*)?", re.DOTALL)
_NAMES = {
    "quantized_bits": ("bits", "integer", "symmetric", "keep_negative", "alpha", "use_stochastic_rounding"),
    "quantized_relu": ("bits", "integer", "use_sigmoid", "negative_slope", "use_stochastic_rounding"),
}
_DEFAULTS = {"bits": 8, "integer": 0, "keep_negative": True, "negative_slope": 0.0, "qnoise_factor": 1.0}
#: Settings that change nothing once the network is trained, or nothing where they have this value.
_WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "alpha": (None, 1),
    "use_stochastic_rounding": (False, None),
    "use_sigmoid": (False, None),
    "qnoise_factor": (1,),
    "scale_axis": (None,),
    "relu_upper_bound": (None,),
    "is_quantized_clip": (True,),
    "use_ste": (True, False),
    "use_variables": (True, False, None),
}
_TRAINING_ONLY = ("var_name",)
_KEYS = {"class_name", "config", "module", "registered_name", "__passive_serialization__"}


class QkerasQuantiser(NamedTuple):
    """Fixed-point numbers that saturate, ties to even."""

    sign: int
    integer: int
    fraction: int
    #: Whether the most negative number is left out.
    symmetric: bool = False
    #: Below 0 values are divided by 2^slope before they are rounded, and saturate at −2^(integer − slope).
    slope: int | None = None


def read_quantiser(value: Any, *, of_kernel: bool = False) -> QkerasQuantiser:
    """Read a quantiser; nothing in it is run.

    Parameters
    ----------
    value : str or dict
        The text that QKeras takes, or ``{"class_name": …, "config": {…}}``.
    of_kernel : bool
        Whether it rounds a kernel: there QKeras takes a scale from the weights where none is given.

    Raises
    ------
    ValueError
        With the reason, where it is none of the two that are read or its settings are not.
    """
    name, settings = _of_text(value) if isinstance(value, str) else _of_config(value)
    known = {*_NAMES[name], *_WITHOUT_EFFECT, *_TRAINING_ONLY}
    for key, one in settings.items():
        if key not in known:
            raise ValueError(f"'{name}' has the setting '{key[:50]}', which is not read")
        if key in _WITHOUT_EFFECT and not _is_among(one, _WITHOUT_EFFECT[key]):
            raise ValueError(f"'{name}' has {key}={str(one)[:50]}, which is not read{_ADVICE.get(key, '')}")
    if of_kernel and name == "quantized_bits" and settings.get("alpha") is None:
        raise ValueError(f"'{name}' of a kernel has no alpha{_ADVICE['alpha']}")
    given = {**_DEFAULTS, **settings}
    bits, integer = _whole(given["bits"], 1, _MOST_BITS), _whole(given["integer"], -_MOST_INTEGER, _MOST_INTEGER)
    if name == "quantized_relu":
        return _relu(bits, integer, given["negative_slope"])
    sign = int(_flag(given["keep_negative"]))
    if bits - sign < 1:
        raise ValueError(f"'{name}' has {bits} bits, which makes signs of numbers; more are read")
    return QkerasQuantiser(sign, integer, bits - sign - integer, bool(_flag(given.get("symmetric", False))))


_ADVICE = {"alpha": "; only alpha=1 is, with which the scale is not taken from the weights"}


def _relu(bits: int, integer: int, slope: Any) -> QkerasQuantiser:
    if isinstance(slope, bool) or not isinstance(slope, int | float) or not 0 <= slope < 1:
        raise ValueError(f"negative_slope={str(slope)[:50]} is no slope from 0 to 1")
    if not slope:
        return QkerasQuantiser(0, integer, bits - integer)
    exponent = -math.log2(slope)
    if not exponent.is_integer() or exponent > bits - 1:
        raise ValueError(f"negative_slope={slope} is no power of two that {bits} bits can show")
    return QkerasQuantiser(1, integer, bits - 1 - integer, slope=int(exponent))


def _of_text(text: str) -> tuple[str, dict[str, Any]]:
    match = _CALL.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None or match[1] not in _NAMES:
        raise ValueError(f"'{text[:50]}' is no quantiser that is read: {' and '.join(_NAMES)} are")
    name = match[1]
    settings: dict[str, Any] = {}
    parts = [part.strip() for part in (match[2] or "").split(",")] if (match[2] or "").strip() else []
    named = False
    for number, part in enumerate(parts):
        key, equals, one = part.partition("=")
        if equals:
            named = True
        else:
            if named or number >= len(_NAMES[name]):
                raise ValueError(f"'{text[:50]}' has too many numbers, or one behind a named one")
            key, one = _NAMES[name][number], part
        key = key.strip()
        if key in settings:
            raise ValueError(f"'{text[:50]}' has {key[:50]} twice")
        settings[key] = _literal(one.strip())
    return name, settings


def _literal(text: str) -> Any:
    """A number, flag, None or quoted word."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    if re.fullmatch(r"[-+]?\d{1,9}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\d{1,20}\.\d{0,30}|\.\d{1,30}|\d{1,20})([eE][-+]?\d{1,3})?", text):
        return float(text)
    if re.fullmatch(r"'\w*'|\"\w*\"", text):
        return text[1:-1]
    raise ValueError(f"'{text[:50]}' is neither number, flag nor word")


def _of_config(value: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(value, dict) or value.get("class_name") not in _NAMES:
        shown = value.get("class_name") if isinstance(value, dict) else value
        raise ValueError(f"'{str(shown)[:50]}' is no quantiser that is read: {' and '.join(_NAMES)} are")
    settings = value.get("config")
    if not isinstance(settings, dict) or value.keys() - _KEYS:
        raise ValueError(f"'{value['class_name']}' has no settings, or unknown keys")
    return str(value["class_name"]), settings


def _is_among(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(value is one or (not isinstance(value, str) and one is not None and value == one) for one in allowed)


def _whole(value: Any, low: int, high: int) -> int:
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if not is_whole or not low <= value <= high:
        raise ValueError(f"{str(value)[:50]} is no whole number from {low} to {high}")
    return int(value)


def _flag(value: Any) -> bool:
    if value not in (True, False):  # QKeras also writes 0 and 1
        raise ValueError(f"{str(value)[:50]} is neither true nor false")
    return bool(value)
