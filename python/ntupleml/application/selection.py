"""Events that are not scored: their selection, their values in place of scores, their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.datasets.excluding import EXCLUDE, trained_keys
from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse
from ntupleml.ntuples.variables import branches_of_formula

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import NDArray

    from ntupleml.application.plan import Plan
    from ntupleml.config import ApplicationConfig, RowsConfig
    from ntupleml.datasets.excluding import TrainedKeys
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
    #: Rows that other trainings saw are left out, too; None where it does not matter.
    trained: TrainedKeys | None = None

    def branches(self, ntuple: Ntuple) -> list[str]:
        """Columns that the formula and the keys need, checked to be there."""
        of_formula = [] if self.formula is None else branches_of_formula(self.formula, ntuple)
        return of_formula if self.trained is None else [*of_formula, *self.trained.branches(ntuple)]

    def as_key(self) -> dict[str, Any]:
        """What tells a selection from others, empty where all events are scored."""
        if self.default_score is None:
            return {}
        formula = None if self.formula is None else self.formula.text
        key = {"selection": formula, "missing_inputs": self.missing_inputs, "default_score": self.default_score}
        return key if self.trained is None else {**key, EXCLUDE: self.trained.checksums}


class EventCounts(NamedTuple):
    """Numbers of events."""

    #: All that were looked at.
    events: int = 0
    #: Those that fail the selection.
    failed: int = 0
    #: Of those that are left, those whose inputs are missing.
    missing: int = 0
    #: Those whose score reaches the threshold.
    accepted: int = 0
    #: Of those that pass the selection, those that other trainings saw.
    trained: int = 0

    def plus(self, other: EventCounts) -> EventCounts:
        """Sum of two."""
        return EventCounts(*(one + two for one, two in zip(self, other, strict=True)))

    def as_text(self, plan: Plan) -> str:
        """Ending of a line on how many events were not scored, and how many accepted; empty where all are scored."""
        accepted = "" if plan.accept is None else f"; {self.accepted:,} are accepted"
        return self._left_out(plan.selection) + accepted

    def _left_out(self, selection: Selection) -> str:
        parts = []
        if selection.formula is not None:
            parts.append(f"{self.failed:,} fail the selection")
        if selection.trained is not None:
            parts.append(f"{self.trained:,} are of the trainings in {EXCLUDE}")
        if selection.missing_inputs:
            parts.append(f"{self.missing:,} have missing inputs")
        parts = [", ".join(parts[:-1]), *parts[-1:]] if len(parts) > 2 else parts
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
    of_rows = rows is not None and rows.selection is not None
    leaves_out = formula is not None or config.missing_inputs == "default" or bool(config.exclude_trained_by) or of_rows
    if config.default_score is not None and not leaves_out:
        raise NtuplemlError(
            f"{where}: default_score: no event would get it; add selection: FORMULA or missing_inputs: default, or "
            "leave it out"
        )
    trained = trained_keys(config.exclude_trained_by, where)
    return Selection(formula, config.missing_inputs == "default", config.default_score, trained)


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
