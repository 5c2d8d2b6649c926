"""Efficiency, purity and the shape of the background: whether a score sculpts a variable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.reports.page import Group, Section
from ntupleml.testing.sculpting import sculpting_pictures, sculpting_summary, sculpts, worst_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.reports.material import Material
    from ntupleml.testing.sculpting import SculptingRow

#: Pairs of class and variable that get pictures, of the first method and of each other one; more where the user named
#: spectators.
_SHOWN_FIRST, _SHOWN_OTHERS, _SPECTATORS_FIRST = 3, 2, 6


def section(material: Material) -> Section:
    """An overview of all variables, and pictures of the spectators or else of the worst variables."""
    spectators = material.preparation.testing.spectators
    most = _SPECTATORS_FIRST if spectators else _SHOWN_FIRST
    groups, verdicts = [], []
    for number, method in enumerate(material.methods):
        rows = sculpting_summary(material.events, method, seed=material.seed)
        verdicts.append((f"Sculpts? {method}", sculpts(rows, spectators)))
        shown = _shown(rows, spectators, _SHOWN_OTHERS if number else most)
        pictures = sculpting_pictures(material.events, method, rows, shown=shown, seed=material.seed)
        groups.append(Group(method, (), (), tuple(pictures), method, is_open=number == 0))
    introduction = (
        "Where a selection by the score changes the shape of the background in a variable, a signal looks larger or "
        "smaller there than it is. "
        + (
            f"Shown are the spectators ({', '.join(spectators)})"
            if spectators
            else "Shown are the variables with the largest changes: name those that must not change as spectators in "
            "the testing config"
        )
        + "; testing/sculpting.py shows any variable."
    )
    return Section("efficiency", "Efficiency and shape", introduction, tuple(groups), tuple(verdicts))


def _shown(rows: Sequence[SculptingRow], spectators: Sequence[str], number: int) -> list[SculptingRow]:
    """The worst ones, of the spectators where there are some."""
    return worst_rows([row for row in rows if row.variable in spectators] or rows, number)
