"""The training curves, from the records of the models."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.training import draw_loss
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

_NETWORK = "keras"
#: Rows of a table of losses; the files have all.
_MOST_ROWS = 50


def training_curves(material: Material) -> Answer:
    """Losses of all models of all methods, and how the trainings ended."""
    groups = []
    rows: list[tuple[Cell, ...]] = []
    for method in material.methods:
        records = material.records(method)
        rows += [_row(method, record) for record in records]
        pictures = loss_pictures(records)
        if pictures:
            groups.append(Group(method, (), (), tuple(pictures), method))
    header = ("Method", "Model", "Engine", "Fitted on", "Validated with", "Steps", "Best", "Loss", "Validation loss")
    trainings = [Group("", (), (Table(header, tuple(rows)),))] if rows else []
    return Answer(_INTRODUCTION, (*trainings, *groups))


_INTRODUCTION = (
    "The loss of each epoch (networks) or round (boosted trees), as the records of the models have it; validation is "
    "with events of the training folds that were not fitted on."
)


def loss_pictures(records: Sequence[TrainingRecord], name: str = "loss") -> list[Picture]:
    """A picture per model whose record has the losses."""
    return [
        _picture(record, f"{name}_model{record.fold}")
        for record in records
        if record.history.get("loss") and len(record.history.get("val_loss", [])) == len(record.history["loss"])
    ]


def _picture(record: TrainingRecord, name: str) -> Picture:
    step = "epoch" if record.engine == _NETWORK else "round"
    history = record.history

    metrics = [one for one in history if len(history[one]) == len(history["loss"])]
    numbers: dict[str, Any] = {"best": record.best_epoch, "history": history}
    steps = len(history["loss"])
    every = max(1, math.ceil(steps / _MOST_ROWS))
    shown = sorted({*range(0, steps, every), steps - 1, (record.best_epoch or 1) - 1} & set(range(steps)))
    rows = tuple((number + 1, *(history[one][number] for one in metrics)) for number in shown)
    best = f"; the best {step} is {record.best_epoch}" if record.best_epoch else ""
    caption = f"{record.method}: loss of model {record.fold} in {steps} {step}s{best}."
    title = f"Some of the {steps} {step}s" if every > 1 else ""
    draw = partial(draw_loss, history, record.best_epoch, step=step)
    return Picture(name, caption, draw, numbers, (Table((step, *metrics), rows, title),))


def _row(method: str, record: TrainingRecord) -> tuple[Cell, ...]:
    split = record.split
    step = (record.best_epoch or record.epochs or 1) - 1
    losses = [
        values[step] if len(values) > step else "–"
        for values in (record.history.get("loss", []), record.history.get("val_loss", []))
    ]
    return (
        method,
        record.fold,
        record.engine,
        split.training if split else "–",
        split.validation if split else "–",
        record.epochs or "–",
        record.best_epoch or "–",
        *losses,
    )
