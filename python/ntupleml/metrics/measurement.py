"""Small typed results that all metrics share: a number with its uncertainty, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: What is smaller has a square near the end of floating point.
SMALLEST_SUM = 1e-150


class Measurement(NamedTuple):
    """A number and its statistical uncertainty (one standard deviation)."""

    value: float
    uncertainty: float


class Interval(NamedTuple):
    """A number, and how far its interval reaches below and above it."""

    value: float
    down: float
    up: float

    def transformed(self, function: Callable[[float], float]) -> Interval:
        """Value and ends of the interval through a function that rises.

        Examples
        --------
        >>> Interval(0.5, 0.25, 0.25).transformed(lambda share: share**2)
        Interval(value=0.25, down=0.1875, up=0.3125)
        """
        value = function(self.value)
        return Interval(value, value - function(self.value - self.down), function(self.value + self.up) - value)


#: Types of what a file holds as it is.
_PLAIN = {float, int, str, bool, type(None)}


class Undefined(NamedTuple):
    """Stands where a number does not exist, and says why."""

    reason: str

    def __str__(self) -> str:
        """E.g. `undefined: no events`."""
        return f"undefined: {self.reason}"


#: Whether a result can be used as it is, somebody has to look at it, or nothing can be said.
Level = Literal["good", "attention", "unknown"]


class Verdict(NamedTuple):
    """What a result means for the use of a classifier."""

    #: Whether it can be used as it is, somebody has to look at it, or nothing can be said.
    level: Level
    #: One sentence with the numbers that decide.
    text: str
    #: The same without numbers, for those who want no more; None where the text says it as shortly.
    short: str | None = None


def as_plain(result: Any) -> Any:
    """A result of any kind as plain numbers, texts, lists and dictionaries: for a YAML or JSON file.

    What does not exist is the text that says why. A named tuple or dataclass is a dictionary of its fields without
    those that are None; where a file has other names, its method `plain` gives the dictionary.

    Examples
    --------
    >>> as_plain({"a": Measurement(0.5, 0.1), "b": [Undefined("no events"), np.arange(2)]})
    {'a': {'value': 0.5, 'uncertainty': 0.1}, 'b': ['undefined: no events', [0, 1]]}
    """
    if type(result) in _PLAIN:  # nearly all of what is in lists
        return result
    if isinstance(result, Undefined):
        return str(result)
    if isinstance(result, np.ndarray | np.generic):
        return result.tolist()
    if hasattr(result, "plain"):
        return as_plain(result.plain())
    if hasattr(result, "_asdict"):
        result = {name: value for name, value in result._asdict().items() if value is not None}
    elif is_dataclass(result):
        named = {one.name: getattr(result, one.name) for one in fields(result)}
        result = {name: value for name, value in named.items() if value is not None}
    if isinstance(result, Mapping):
        return {key: as_plain(value) for key, value in result.items()}
    return [as_plain(value) for value in result] if isinstance(result, list | tuple) else result


def no_sum_of_weights(weights: NDArray[Any], name: str = "") -> Undefined | None:
    """Why events with these weights cannot be normalised, if so: there are none, or their sum is not positive.

    Parameters
    ----------
    weights : array, shape (n_events,)
    name : str
        Kind of the events, for the reason, e.g. "signal".

    Examples
    --------
    >>> str(no_sum_of_weights(np.array([1.0, -1.0]), "signal"))
    'undefined: sum of signal weights is zero'
    """
    kind = f"{name} " if name else ""
    if not len(weights):
        return Undefined(f"no {kind}events")
    bad = int(np.count_nonzero(~np.isfinite(weights)))
    if bad:
        return Undefined(f"{bad} of {len(weights)} {kind}weights are NaN or infinite")
    values = np.asarray(weights, dtype=np.float64)
    return no_normalisation(len(values), float(values.sum()), float(values @ values), name)


def no_normalisation(entries: int, total: float, squares: float, name: str = "") -> Undefined | None:
    """Why events cannot be normalised, if so, from their number, Σw and Σw²; see `no_sum_of_weights`.

    A sum that differs from zero by no more than rounding is zero: its error is about ε√N Σ|w| ≤ ε N √Σw². So is one
    whose square floating point cannot hold.

    Examples
    --------
    >>> str(no_normalisation(2, -1.0, 5.0))
    'undefined: sum of weights is negative'
    """
    kind = f"{name} " if name else ""
    if not entries:
        return Undefined(f"no {kind}events")
    rounding = np.finfo(np.float64).eps * entries * math.sqrt(squares)
    if abs(total) <= max(rounding, SMALLEST_SUM):
        return Undefined(f"sum of {kind}weights is zero")
    return Undefined(f"sum of {kind}weights is negative") if total < 0 else None


def effective_entries(weights: NDArray[Any]) -> float:
    """Number of events of equal weight that have the same relative uncertainty, (Σw)² / Σw²; 0 without events.

    Examples
    --------
    >>> effective_entries(np.array([2.0, 2.0, 2.0]))
    3.0
    """
    values = np.asarray(weights, dtype=np.float64)
    squares = float(values @ values)
    return float(values.sum()) ** 2 / squares if squares > 0 else 0.0
