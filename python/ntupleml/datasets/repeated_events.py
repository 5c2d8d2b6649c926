"""How many events come more than once, by the numbers that tell them, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Hashes that are held, 8 bytes each; of more events a share is looked at.
MOST_HELD = 4_000_000
#: Bits of a hash by which that share is chosen: others than those that decide folds.
_SHIFT = 40


class Repeated(NamedTuple):
    """How many events come again."""

    #: Events that an earlier one repeats; an estimate where `share` is above 1.
    number: int
    #: One event in so many was looked at.
    share: int


class RepeatedEvents:
    """Events that come again, taken chunk by chunk.

    Of many events a share is looked at, chosen by their hashes: an event and its copies are looked at together.

    Attributes
    ----------
    share : int
        One event in so many is looked at; a power of two.
    """

    def __init__(self) -> None:
        self.share = 1
        self._held = [np.empty(0, np.int64)]
        self._number = 0

    def add(self, hashes: NDArray[np.int64]) -> None:
        """Take in some events.

        Parameters
        ----------
        hashes : array of int64, shape (n_events,)
            From `ntupleml.folds.hashed_numbers`.
        """
        self._held.append(self._chosen(hashes))
        self._number += len(self._held[-1])
        while self._number > MOST_HELD:
            self._thin(2 * self.share)

    def add_others(self, other: RepeatedEvents) -> None:
        """Take over other events."""
        self._thin(max(self.share, other.share))
        self.add(np.concatenate(other._held))

    def _chosen(self, hashes: NDArray[np.int64]) -> NDArray[np.int64]:
        return hashes if self.share == 1 else hashes[(hashes >> _SHIFT) & (self.share - 1) == 0]

    def _thin(self, share: int) -> None:
        if share > self.share:
            self.share = share
            self._held = [self._chosen(np.concatenate(self._held))]
            self._number = len(self._held[0])

    def count(self) -> Repeated:
        """How many of the events so far come again."""
        held = np.sort(np.concatenate(self._held))
        return Repeated(self.share * int(np.count_nonzero(held[1:] == held[:-1])), self.share)
