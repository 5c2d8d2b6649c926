"""Cells of tables as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.metrics import Interval, Measurement
from ntupleml.metrics.number_texts import count_text, interval_text, measurement_text, number_text
from ntupleml.plots.pictures import Link, Marked

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Cell


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
    if isinstance(cell, Link):
        return cell.text
    if isinstance(cell, Measurement):
        return measurement_text(cell)
    if isinstance(cell, Interval):
        return interval_text(cell)
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return count_text(cell)
    return number_text(cell) if isinstance(cell, float) else str(cell)
