"""Numbers of an event made from a group of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ntupleml.features.combinations import COMBINATIONS, Event
from ntupleml.features.vectors import Vectors

if TYPE_CHECKING:
    from ntupleml.features.arrays import Array, Arrays


class CombinationMaker(NamedTuple):
    """Makes numbers of an event from the four-vectors of a group; plain data."""

    #: The group.
    of: str
    #: Its raw columns.
    raw: tuple[str, ...]
    #: Names of the combinations, in order.
    columns: tuple[str, ...]
    #: Numbers in the column `type` of the objects that count; none: all.
    types: tuple[int, ...] = ()

    def make(self, arrays: Arrays, raw: Array, filled: Array) -> Array:
        """Combinations of raw columns, rows × length × n, where `filled` (rows × length) says which objects are there.

        Returns
        -------
        array, rows × number of combinations
        """
        mask = filled
        if self.types:
            kind = arrays.column(raw, self.raw.index("type"))
            chosen = [arrays.abs(kind - float(one)) < 0.5 for one in self.types]
            some = chosen[0]
            for one in chosen[1:]:
                some = some | one
            mask = filled & some
        event = Event(arrays, Vectors(arrays, raw, self.raw), mask)
        return arrays.stack([COMBINATIONS[name](event) for name in self.columns])
