"""What the event weights of a class amount to: their sum, the negative ones, and how many events they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray


class WeightSummary(NamedTuple):
    """The event weights of a class."""

    #: All, those with NaN or infinite weights included.
    events: int
    #: Events whose weight is NaN or infinite; they count nowhere else.
    bad: int
    #: Σw ± √Σw².
    total: Measurement
    #: Share of the events whose weight is negative.
    negative_events: float
    #: Their share of Σ|w|.
    negative_weight: float
    #: (Σw)² / Σw².
    effective_events: float
    #: Largest |w| over the mean |w|.
    largest_to_mean: float
    #: Share of the largest event in Σw², the variance of all sums.
    largest_share: float

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        return {
            "events": self.events,
            "events_with_bad_weights": self.bad,
            "sum_of_weights": self.total,
            "negative_share_of_events": self.negative_events,
            "negative_share_of_weight": self.negative_weight,
            "effective_events": self.effective_events,
            "largest_over_mean": self.largest_to_mean,
            "largest_share_of_variance": self.largest_share,
        }


@dataclass
class WeightSums:
    """Sums over the weights of a class, chunk by chunk."""

    events: int = 0
    bad: int = 0
    total: float = 0.0
    squares: float = 0.0
    absolute: float = 0.0
    negative: float = 0.0
    negative_events: int = 0
    largest: float = 0.0

    def add(self, weights: NDArray[np.float64]) -> None:
        """Count more events; those whose weight is NaN or infinite only as such."""
        good = weights[np.isfinite(weights)]
        self.events += len(weights)
        self.bad += len(weights) - len(good)
        if not len(good):
            return
        total, absolute = float(good.sum()), float(np.abs(good).sum())
        self.total += total
        self.squares += float(good @ good)
        self.absolute += absolute
        self.negative += 0.5 * (absolute - total)
        self.negative_events += int(np.count_nonzero(good < 0))
        self.largest = max(self.largest, float(good.max()), -float(good.min()))

    def summary(self) -> WeightSummary:
        """What they amount to; shares of nothing are 0."""
        good = self.events - self.bad
        has_weight = self.absolute > 0
        return WeightSummary(
            self.events,
            self.bad,
            Measurement(self.total, math.sqrt(self.squares)),
            self.negative_events / good if good else 0.0,
            max(self.negative / self.absolute, 0.0) if self.negative_events and has_weight else 0.0,
            self.total**2 / self.squares if self.squares > 0 else 0.0,
            self.largest * good / self.absolute if has_weight else 0.0,
            self.largest**2 / self.squares if self.squares > 0 else 0.0,
        )
