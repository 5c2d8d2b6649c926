"""Small typed results that all metrics share: a number with its uncertainty, or the reason why there is none."""

from __future__ import annotations

from typing import NamedTuple


class Measurement(NamedTuple):
    """A number and its statistical uncertainty (one standard deviation)."""

    value: float
    uncertainty: float


class Undefined(NamedTuple):
    """Stands where a number does not exist, and says why."""

    reason: str

    def __str__(self) -> str:
        """E.g. `undefined: no events`."""
        return f"undefined: {self.reason}"
