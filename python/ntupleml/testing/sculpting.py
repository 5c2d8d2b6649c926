"""The step that shows efficiency, purity and the shape of the background against variables: from configs to files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ntupleml.testing.preparation import tested_events
from ntupleml.testing.sculpting_pictures import sculpting_pictures
from ntupleml.testing.sculpting_summary import (
    OVERVIEW,
    SculptingRow,
    file_names,
    sculpting_summary,
    sculpts,
    worst_rows,
)
from ntupleml.testing.steps import write_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ntupleml.plots.pictures import Picture
    from ntupleml.testing.preparation import Preparation

__all__ = [
    "SculptingRow",
    "reading_variables",
    "sculpting_files",
    "sculpting_names",
    "sculpting_pictures",
    "sculpting_summary",
    "sculpts",
    "shown_variables",
    "worst_rows",
]


def shown_variables(preparation: Preparation, wanted: Iterable[str] = ()) -> list[str]:
    """Variables that the step shows: those that are wanted, else the spectators, else the inputs.

    Parameters
    ----------
    preparation : Preparation
    wanted : iterable of str
        Any branches of the fold files, or formulas of them; see `reading_variables`.
    """
    names = list(dict.fromkeys(wanted))
    return names or list(dict.fromkeys(preparation.testing.spectators)) or list(preparation.training.variables)


def reading_variables(preparation: Preparation, wanted: Iterable[str]) -> Preparation:
    """The preparation, with some more branches or formulas read beside the inputs and spectators."""
    reading = preparation.reading
    known = [*reading.variables, *reading.spectators]
    more = [name for name in dict.fromkeys(wanted) if name not in known]
    return replace(preparation, reading=replace(reading, spectators=[*reading.spectators, *more]))


def sculpting_names(preparation: Preparation, variables: Sequence[str]) -> list[str]:
    """Names of the pictures that `sculpting_pictures` makes of all classes and some variables."""
    files = file_names(variables)
    return [
        OVERVIEW,
        *(
            f"{kind}_{class_name}_{files[variable]}"
            for variable in variables
            for class_name in preparation.training.classes
            for kind in ("efficiency", "shape")
        ),
    ]


def sculpting_files(
    preparation: Preparation, variables: Sequence[str] = (), *, overwrite: bool = False
) -> tuple[list[Path], list[SculptingRow]]:
    """Read the events, and write the pictures of some variables; see `write_step`.

    Parameters
    ----------
    preparation : Preparation
    variables : sequence of str
        Branches of the fold files or formulas; by default the spectators, or else the inputs.
    overwrite : bool, default: False

    Returns
    -------
    list of Path, list of SculptingRow
        The files, and what is in them.

    Raises
    ------
    NtuplemlError
        For variables that the fold files do not have, and as `write_step`.
    """
    shown = shown_variables(preparation, variables)
    preparation = reading_variables(preparation, shown)
    rows: list[SculptingRow] = []
    seed = preparation.testing.seed

    def make() -> list[Picture]:
        events = tested_events(preparation)
        rows.extend(sculpting_summary(events, None, shown, seed=seed))
        return sculpting_pictures(events, None, rows, seed=seed)

    paths = write_step(preparation, sculpting_names(preparation, shown), make, overwrite=overwrite)
    return paths, rows
