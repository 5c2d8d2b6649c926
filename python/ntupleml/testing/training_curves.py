"""The training curves, from the records of the models."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from ntupleml.metrics.members import over_members
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.training import draw_adversary, draw_loss
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

#: Rows of a table of losses; the files have all.
_MOST_ROWS = 50
#: Beginnings of what a history has of an adversary.
_OF_ADVERSARY = ("adversary_", "val_adversary_", "ks")


def training_curves(material: Material) -> Answer:
    """Losses of all models of all methods, and how the trainings ended."""
    groups = []
    rows: list[tuple[Cell, ...]] = []
    for method in material.methods:
        records = material.records(method)
        rows += [_row(method, record) for record in records]
        pictures = [*loss_pictures(records), *adversary_pictures(records)]
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


def adversary_pictures(records: Sequence[TrainingRecord], name: str = "adversary") -> list[Picture]:
    """A picture per model that was trained against an adversary."""
    return [
        _adversary_picture(record, f"{name}_model{record.fold}")
        for record in records
        if record.history.get("adversary_loss")
    ]


def _adversary_picture(record: TrainingRecord, name: str) -> Picture:
    history = {key: values for key, values in record.history.items() if key.startswith(_OF_ADVERSARY)}
    best = record.best_epoch
    distance = f"; at the best epoch their sum is {history['ks'][best - 1]:.3f}" if best and history.get("ks") else ""
    of_sample = f", and distances of the scores between data and simulation{distance}" if history.get("ks") else ""
    caption = f"{record.method}: the adversary of model {record.fold}: its losses and accuracies{of_sample}."
    limit = (record.config.get("adversary") or {}).get("ks_limit")
    draw = partial(draw_adversary, history, best, ks_limit=limit)
    numbers: dict[str, Any] = {"best": best, "history": history}
    return Picture(name, caption, draw, numbers, (_table(history, best, "epoch"),))


def _picture(record: TrainingRecord, name: str) -> Picture:
    step, history, members = record.step, record.history, record.histories_of_members
    numbers: dict[str, Any] = {"best": record.best_epoch, "history": history}
    if record.ensemble is not None:
        numbers["members"] = {member.seed: member.history for member in record.ensemble.members}
    steps = len(history["loss"])
    best = f"; the best {step} is {record.best_epoch}" if record.best_epoch else ""
    of_members = f": the mean of {len(members)} members, which are thin lines" if members else ""
    caption = f"{record.method}: loss of model {record.fold} in {steps} {step}s{best}{of_members}."
    draw = partial(draw_loss, history, record.best_epoch, step=step, members=members)
    own = {key: values for key, values in history.items() if not key.startswith(_OF_ADVERSARY)}
    return Picture(name, caption, draw, numbers, (_table(own, record.best_epoch, step),))


def _table(history: Mapping[str, Sequence[float]], best: int | None, step: str) -> Table:
    """Rows of some epochs: at equal distances, the last and the best."""
    steps = len(next(iter(history.values())))
    metrics = [one for one in history if len(history[one]) == steps]
    every = max(1, math.ceil(steps / _MOST_ROWS))
    shown = sorted({*range(0, steps, every), steps - 1, (best or 1) - 1} & set(range(steps)))
    rows = tuple((number + 1, *(history[one][number] for one in metrics)) for number in shown)
    return Table((step, *metrics), rows, f"Some of the {steps} {step}s" if every > 1 else "")


def _row(method: str, record: TrainingRecord) -> tuple[Cell, ...]:
    split = record.split
    step = (record.best_epoch or record.epochs or 1) - 1
    losses: list[Cell] = [
        values[step] if len(values) > step else "–"
        for values in (record.history.get("loss", []), record.history.get("val_loss", []))
    ]
    if record.ensemble is not None:
        metrics = [member.metrics for member in record.ensemble.members]
        losses = [over_members([one[name] for one in metrics if name in one]).mean for name in ("loss", "val_loss")]
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
