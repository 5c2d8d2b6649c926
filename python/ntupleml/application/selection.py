"""Events of an ntuple that are not scored: which, what they get in place of scores, and how many they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from ntupleml.config import ApplicationConfig, RowsConfig
    from ntupleml.expressions import Expression
    from ntupleml.ntuples import Ntuple


class Selection(NamedTuple):
    """Which events are scored."""

    #: Events that fail it are not; None where all are.
    formula: Expression | None = None
    #: Whether events whose inputs the models cannot be given are left out, too; else they are an error.
    missing_inputs: bool = False
    #: What the branches of events that are left out hold; None where there are none.
    default_score: float | None = None

    def branches(self, ntuple: Ntuple) -> list[str]:
        """Columns that the formula needs, checked to be there."""
        if self.formula is None:
            return []
        lengths = {name: one.length for name, one in ntuple.branches.items() if one.length is not None}
        try:
            self.formula.check_branches(ntuple.branches)
            self.formula.check_elements(lengths)
        except NtuplemlError as error:
            raise NtuplemlError(f"{ntuple.path}: tree '{ntuple.tree_path}': {error}") from None
        return sorted(self.formula.columns)

    def as_key(self) -> dict[str, Any]:
        """What tells a selection from others, empty where all events are scored."""
        if self.default_score is None:
            return {}
        formula = None if self.formula is None else self.formula.text
        return {"selection": formula, "missing_inputs": self.missing_inputs, "default_score": self.default_score}


class EventCounts(NamedTuple):
    """Numbers of events."""

    #: All that were looked at.
    events: int = 0
    #: Those that fail the selection.
    failed: int = 0
    #: Of the others, those whose inputs are missing.
    missing: int = 0

    def plus(self, other: EventCounts) -> EventCounts:
        """Sum of two."""
        return EventCounts(*(one + two for one, two in zip(self, other, strict=True)))

    def as_text(self, selection: Selection) -> str:
        """Ending of a line on how many events were not scored; empty where all are."""
        parts = []
        if selection.formula is not None:
            parts.append(f"{self.failed:,} fail the selection")
        if selection.missing_inputs:
            parts.append(f"{self.missing:,} have missing inputs")
        return f"; {' and '.join(parts)}, with {selection.default_score:g} for a score" if parts else ""


def selection_of(config: ApplicationConfig | None, rows: RowsConfig | None, where: str) -> Selection:
    """Selection that an application config asks for."""
    if rows is not None and rows.selection is not None and (config is None or config.default_score is None):
        raise NtuplemlError(
            f"{where}: default_score: is missing; objects that fail the dataset config's rows.selection get it, e.g. "
            "default_score: -1"
        )
    if config is None:
        return Selection()
    formula = None if config.selection is None else parse(config.selection, f"{where}: selection")
    leaves_out = formula is not None or config.missing_inputs == "default" or (rows is not None and rows.selection)
    if config.default_score is not None and not leaves_out:
        raise NtuplemlError(
            f"{where}: default_score: no event would get it; add selection: FORMULA or missing_inputs: default, or "
            "leave it out"
        )
    return Selection(formula, config.missing_inputs == "default", config.default_score)


def rows_of(columns: Mapping[str, Any], rows: NDArray[np.intp]) -> dict[str, Any]:
    """Some events of columns, flat or jagged."""
    return {name: values[rows] for name, values in columns.items()}


def among_others(values: NDArray[Any], rows: NDArray[np.intp], number: int, default: float) -> NDArray[Any]:
    """Values of some of `number` events, and a default for the others."""
    if len(rows) == number:
        return values
    everything = np.full((number, *values.shape[1:]), default, values.dtype)
    everything[rows] = values
    return everything
