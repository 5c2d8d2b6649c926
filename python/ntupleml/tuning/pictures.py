"""Pictures of a search: how trials came along, which settings matter, and which go with good values."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ntupleml.plots.importance import draw_importance
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.tuning import draw_history, draw_parallel_coordinates

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Cell
    from ntupleml.tuning.results import StudyResult

#: Rows of the table of the best trials.
_MOST_ROWS = 10


def pictures_of(result: StudyResult) -> list[Picture]:
    """History, parallel coordinates and, where it can be computed, importance."""
    complete = result.complete
    values = {trial.number: trial.value for trial in complete if trial.value is not None}
    others = {state: [one.number for one in result.trials if one.state == state] for state in ("pruned", "failed")}
    counts = ", ".join(f"{len(numbers)} {state}" for state, numbers in others.items() if numbers)
    pictures = [
        Picture(
            "history",
            f"{result.objective} of each of the {len(complete)} complete trials, and the best so far"
            f"{f'; {counts}' if counts else ''}.",
            partial(draw_history, values, result.objective, maximise=result.maximise),
            {"objective": result.objective, "values": values, **others},
            (_best_trials(result),),
        ),
        Picture(
            "parallel_coordinates",
            f"Settings of the complete trials, a line each, coloured by {result.objective}; good ones are on top.",
            partial(
                draw_parallel_coordinates,
                [trial.settings for trial in complete],
                list(values.values()),
                result.objective,
                maximise=result.maximise,
                logarithmic=result.logarithmic,
            ),
            {"trials": [{"value": trial.value, **trial.settings} for trial in complete]},
        ),
    ]
    if result.importance:
        label = f"share of the variance of {result.objective}"
        pictures.insert(
            1,
            Picture(
                "importance",
                f"Share of each setting in the variance of {result.objective} over the complete trials (fANOVA).",
                partial(draw_importance, result.importance, label=label),
                {"importance": result.importance},
                (Table(("Setting", "Share"), tuple(result.importance.items())),),
            ),
        )
    return pictures


def _best_trials(result: StudyResult) -> Table:
    """The best trials, the best first."""
    ranked = sorted(result.complete, key=lambda trial: (trial.value or 0.0) * (-1 if result.maximise else 1))
    keys = list(dict.fromkeys(key for trial in ranked for key in trial.settings))
    rows: list[tuple[Cell, ...]] = [
        (trial.number, trial.value or 0.0, *(trial.settings.get(key, "–") for key in keys))
        for trial in ranked[:_MOST_ROWS]
    ]
    return Table(("Trial", result.objective, *keys), tuple(rows), "The best trials")
