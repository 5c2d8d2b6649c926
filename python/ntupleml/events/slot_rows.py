"""From the columns of a source to slots: a fixed number of objects of each type, one array per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.values import ObjectRows, Rows
from ntupleml.expressions.instances import starts_of
from ntupleml.features.slots import COLUMNS
from ntupleml.ntuples.variables import as_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.events.joining import Flat, Select
    from ntupleml.events.slot_sources import SlotSource

#: Places of pT, η and φ in most columns, which are taken as they are: whole rows are copied faster than columns.
_IN_ORDER = (0, 1, 2)


def slot_rows(
    group: InputGroup,
    number: int,
    evaluate: Callable[[Sequence[str]], Flat],
    array_of: Callable[[str], NDArray[Any]],
    select: Select,
    where: str,
) -> Rows:
    """Slots of all rows, shape (number, slots, 3); 0 where no object is, what is NaN or infinite stays.

    Parameters
    ----------
    number : int
        Of rows.
    evaluate : callable
        Gives the values of formulas.
    array_of : callable
        Gives a column of fixed shape.
    select : callable
        Chooses among objects by their selection, order and number.

    Raises
    ------
    NtuplemlError
        For a column of another shape.
    """
    if all(source.shared and source.places == _IN_ORDER for source in group.slots):
        whole = group.slots[-1]._replace(first=0, number=group.num_slots)
        objects = _objects_of(whole, array_of(whole.column), where)
        with np.errstate(over="ignore"):
            return Rows(np.ascontiguousarray(objects[:, :, : len(_IN_ORDER)], group.dtype), ())
    values = np.zeros((number, group.num_slots, len(COLUMNS)), group.dtype)
    start = 0
    for source in group.slots:
        slots = values[:, start : start + source.number]
        start += source.number
        if source.column:
            _fill_from_column(slots, source, _objects_of(source, array_of(source.column), where))
        else:
            _fill_from_formulas(slots, source, evaluate(source.needed), select)
    return Rows(values, ())


def _fill_from_formulas(slots: NDArray[Any], source: SlotSource, flat: Flat, select: Select) -> None:
    assert source.objects is not None
    order, counts, _ = select(flat, source.objects, None)
    given = [index for index, one in enumerate(source.formulas) if one is not None]
    values = as_matrix(
        [flat.values[source.formulas[index] or ""] for index in given], int(counts.sum()), slots.dtype, order=order
    )
    rows = ObjectRows(values, starts_of(counts), counts, source.objects, ())
    slots[:, :, given] = rows.take(slice(None))


def _objects_of(source: SlotSource, column: NDArray[Any], where: str) -> NDArray[Any]:
    """Objects of a source in its column, shape (number, number of slots, numbers)."""
    shape = column.shape[1:]
    if column.ndim == 2:
        column = column[:, np.newaxis]
    last = source.first + source.number
    most = max(place for place in source.places if place is not None)
    if column.ndim != 3 or column.shape[1] < last or column.shape[2] <= most:
        found = " × ".join(map(str, shape)) or "one number"
        raise NtuplemlError(
            f"{where}: '{source.column}' is {found} per event, but the slots of '{source.name}' take objects "
            f"{source.first} to {last - 1} and numbers up to place {most}; an array of at least {last} × {most + 1} is "
            "needed"
        )
    return column[:, source.first : last]


def _fill_from_column(slots: NDArray[Any], source: SlotSource, objects: NDArray[Any]) -> None:
    for index, place in enumerate(source.places):
        if place is not None:
            with np.errstate(over="ignore"):
                slots[:, :, index] = objects[:, :, place]
