"""Where the objects of slots come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.features.slots import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ntupleml.config.slots import SlotsGroupConfig, SlotTypeConfig
    from ntupleml.events.groups import Objects


class SlotSource(NamedTuple):
    """Where the objects of some slots come from: formulas, or a column of fixed shape."""

    name: str
    number: int
    #: Formulas of pT, η and φ; none for one that is 0. Empty for a column.
    formulas: tuple[str | None, ...] = ()
    #: Which objects are taken, and in which order.
    objects: Objects | None = None
    column: str = ""
    #: Where pT, η and φ stand in the column, and which is the first of its objects.
    places: tuple[int | None, ...] = ()
    first: int = 0
    #: Whether all types are in that column.
    shared: bool = False

    @property
    def needed(self) -> list[str]:
        """All formulas that are evaluated."""
        if self.column:
            return [self.column]
        more = () if self.objects is None else (self.objects.selection, self.objects.sort)
        return list(dict.fromkeys(one for one in (*self.formulas, *more) if one is not None))


def slot_sources(group: SlotsGroupConfig, objects_of: Callable[[SlotTypeConfig], Objects]) -> tuple[SlotSource, ...]:
    """Sources of all types of a group."""
    sources, first = [], 0
    for name, one in group.slots.items():
        if one.objects is not None:
            sources.append(SlotSource(name, one.number, tuple(one.objects), objects_of(one)))
            continue
        places = tuple(one.columns or group.columns or range(len(COLUMNS)))
        if group.column is not None:
            source = SlotSource(name, one.number, column=group.column, places=places, first=first, shared=True)
        else:
            source = SlotSource(name, one.number, column=one.column or "", places=places)
        sources.append(source)
        first += one.number
    return tuple(sources)


def described_slots(sources: Sequence[SlotSource]) -> dict[str, Any]:
    """Sources as a config describes them."""
    slots: dict[str, Any] = {}
    for source in sources:
        slots[source.name] = {"number": source.number}
        if source.objects is not None:
            given = {key: getattr(source.objects, key) for key in ("selection", "sort", "ascending")}
            slots[source.name] |= {"objects": list(source.formulas), **{key: one for key, one in given.items() if one}}
        elif not source.shared:
            slots[source.name] |= {"column": source.column, "columns": list(source.places)}
    shared = {"column": sources[0].column, "columns": list(sources[0].places)} if sources[0].shared else {}
    return {"slots": slots, **shared}
