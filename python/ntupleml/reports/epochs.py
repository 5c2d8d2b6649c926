"""The page that compares the best epochs of several trainings."""

from __future__ import annotations

import json
import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ntupleml.metrics import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.input_binning import Binning
from ntupleml.plots.cells import cell_text
from ntupleml.plots.epochs import draw_epochs, draw_shares_of_points
from ntupleml.plots.inputs import draw_several_distributions
from ntupleml.plots.pictures import Link, Marked, Picture, Table
from ntupleml.reports.comparison import flat_settings
from ntupleml.reports.page import Section, now, page_of
from ntupleml.reports.page_files import table_as_csv, write_page
from ntupleml.testing.input_summary import summary_of_rows
from ntupleml.testing.roc import roc_overview
from ntupleml.testing.steps import Group
from ntupleml.testing.training_curves import adversary_pictures, loss_pictures
from ntupleml.training.kept_epochs import CRITERIA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ntupleml.config import TestingConfig
    from ntupleml.metrics.point_efficiency import SelectedShare
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.epochs import ComparedEpochs, Epoch, Run

log = logging.getLogger(__name__)

#: Metrics of a history as people call them.
_TITLES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "adversary_loss": "loss of the adversary",
    "adversary_accuracy": "accuracy of the adversary",
    "ks": "K-S sum",
}
#: Metrics of which nobody wants curves.
_NOT_DRAWN = ("seconds",)
_BINS_OF_SCORES = 40


def write_epochs_page(
    compared: ComparedEpochs, testing: TestingConfig, path: Path, folder: Path, *, command: str, overwrite: bool = False
) -> list[Path]:
    """Write the page, its figures, its tables as CSV and all numbers as JSON."""
    tables = {
        "summary": summary_table(compared),
        "epochs": _all_epochs(compared),
        "efficiencies": _all_efficiencies(compared),
        **dict(zip(("settings_varying", "settings_common"), settings_tables(compared.runs), strict=True)),
    }
    texts = {f"{name}.csv": table_as_csv(table) for name, table in tables.items() if table.rows}
    texts["numbers.json"] = json.dumps(_numbers(compared), indent=1, ensure_ascii=False) + "\n"
    page = page_of(f"Epochs of {_listed(_trainings(compared))}", testing.where, _sections(compared, command), now())
    return write_page(page, path, folder, testing.plot, testing.figures, texts=texts, overwrite=overwrite)


def _sections(compared: ComparedEpochs, command: str) -> list[Section]:
    efficiencies = efficiency_table(compared)
    varying, common = settings_tables(compared.runs)
    found = [
        Section(
            "summary",
            "Summary",
            "The best epochs of each run (training and fold) by each criterion, on its validation part; areas under "
            "the ROC curve are of the fold that it never saw. The best of each column is bold.",
            (Group("", tuple(_absent(compared)), (summary_table(compared),)),),
            tuple((run.name, own_verdict(run)) for run in compared.runs),
        ),
        Section(
            "curves",
            "All epochs",
            "Metrics of all runs by epoch, as their records have them; the epochs of the summary are marked.",
            (
                Group("", (), (), tuple(_curves(compared))),
                *(Group(run.name, (), (history_table(run),), is_open=False) for run in compared.runs),
            ),
        ),
    ]
    if efficiencies.rows:
        found.append(_efficiencies(compared, efficiencies))
    found += [
        Section(
            "runs",
            "Runs",
            "Losses, ROC curves and scores of each run, on the fold that it never saw.",
            tuple(_run_group(run, is_open=run is compared.runs[0]) for run in compared.runs),
        ),
        Section(
            "settings",
            "Settings",
            "Of the training configs, by key.",
            (Group("", (), (varying, common), texts=(("Command", command),)),),
        ),
    ]
    return found


def _trainings(compared: ComparedEpochs) -> list[str]:
    return list(dict.fromkeys(run.training for run in compared.runs))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _absent(compared: ComparedEpochs) -> list[str]:
    """Criteria that name no epoch."""
    return [
        f"{name[0].upper()}{name[1:]}: no history has '{criterion.metric}', so it names no epoch."
        for name, criterion in CRITERIA.items()
        if criterion.metric not in compared.metrics
    ]


def epoch_name(run: Run, epoch: int) -> str:
    """E.g. ``with adversary/fold0/epoch 12``."""
    return f"{run.name}/epoch {epoch}"


def _by_main_loss(compared: ComparedEpochs) -> list[tuple[Run, Epoch]]:
    """All best epochs, those of the smallest main loss first."""
    pairs = [(run, epoch) for run in compared.runs for epoch in run.epochs.values()]

    def key(pair: tuple[Run, Epoch]) -> float:
        loss = pair[0].value(CRITERIA["main loss"].metric, pair[1].number)
        return float("inf") if isinstance(loss, Undefined) else loss

    return sorted(pairs, key=key)


def summary_table(compared: ComparedEpochs) -> Table:
    """A row per best epoch: why it is one, its metrics and areas."""
    metrics = [
        (name, metric, largest)
        for name, metric, largest in (
            ("Main loss", "val_loss", False),
            ("Accuracy", "val_accuracy", True),
            ("K-S sum", "ks", False),
            ("Adversary loss", "val_adversary_loss", True),
            ("Adversary accuracy", "val_adversary_accuracy", False),
        )
        if metric in compared.metrics
    ]
    pairs = _by_main_loss(compared)
    columns: list[list[Cell]] = [
        _marked([run.value(metric, epoch.number) for run, epoch in pairs], largest=largest)
        for _, metric, largest in metrics
    ]
    columns += [_marked([_area(epoch, name) for _, epoch in pairs], largest=True) for name in ("", compared.signal)]
    columns += [
        _marked([_share(epoch, field) for _, epoch in pairs], largest=field == "signal")
        for field in ("signal", "all_backgrounds")
    ]
    rows = tuple(
        (run.name, epoch.number, _reasons(run, epoch), *cells)
        for (run, epoch), *cells in zip(pairs, *columns, strict=True)
    )
    header = (
        "Run",
        "Epoch",
        "Best by",
        *(name for name, *_ in metrics),
        "AUC",
        f"AUC of {compared.signal}",
        "Efficiency",
        "False positives",
    )
    return Table(header, rows, is_open=True)


def _reasons(run: Run, epoch: Epoch) -> str:
    own = ["the model"] if epoch.number == run.own_epoch else []
    return _listed([*epoch.reasons, *own])


def _area(epoch: Epoch, name: str) -> Measurement | Undefined:
    """Area of a class against the rest; without a name the average of all."""
    if isinstance(epoch.rocs, Undefined):
        return epoch.rocs
    if not name:
        return epoch.rocs.average_auc
    one = epoch.rocs.against_rest.get(name, Undefined(f"no class '{name}'"))
    return one if isinstance(one, Undefined) else one.auc


def _share(epoch: Epoch, field: Literal["signal", "all_backgrounds"]) -> Measurement | Undefined:
    """Share of the signal, or of all other classes, that is predicted to be signal."""
    if isinstance(epoch.efficiency, Undefined):
        return epoch.efficiency
    found = epoch.efficiency.signal if field == "signal" else epoch.efficiency.all_backgrounds
    return found.share


def _marked(cells: Sequence[Cell], *, largest: bool) -> list[Cell]:
    """The same with the best of them marked, where there are several."""
    values = {place: _number(cell) for place, cell in enumerate(cells) if _number(cell) is not None}
    known = [value for value in values.values() if value is not None]
    if len(known) < 2:
        return list(cells)
    best = max(known) if largest else min(known)
    return [
        Marked(cell) if values.get(place) == best and not isinstance(cell, str | Undefined | Marked | Link) else cell
        for place, cell in enumerate(cells)
    ]


def _number(cell: Cell) -> float | None:
    value = cell.value if isinstance(cell, Measurement) else cell
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def own_verdict(run: Run) -> Verdict:
    """Whether the epoch that the model has is among the best."""
    epoch = run.epochs[run.own_epoch]
    if epoch.reasons:
        return Verdict("good", f"the model has epoch {epoch.number}, among the best by {_listed(epoch.reasons)}")
    others = _listed([f"{one.number} ({_listed(one.reasons)})" for one in run.epochs.values() if one.reasons])
    return Verdict("attention", f"the model has epoch {epoch.number}; the best are {others or 'not known'}")


def _curves(compared: ComparedEpochs) -> list[Picture]:
    """A picture per metric that is judged, of all runs."""
    wanted = [name for name in compared.metrics if name.startswith(("val_", "ks")) and name not in _NOT_DRAWN]
    marks = {run.name: list(run.epochs) for run in compared.runs}
    pictures = []
    for metric in wanted:
        curves = {run.name: run.record.history[metric] for run in compared.runs if run.record.history.get(metric)}
        title = metric_title(metric)
        numbers = {"metric": metric, "curves": curves, "marked": {name: marks[name] for name in curves}}
        caption = f"{title[0].upper()}{title[1:]} of all runs; markers: epochs of the summary."
        pictures.append(Picture(f"epochs_{metric}", caption, partial(draw_epochs, curves, marks, title), numbers))
    return pictures


def metric_title(metric: str) -> str:
    """Metric of a history as people call it.

    Examples
    --------
    >>> metric_title("val_adversary_loss"), metric_title("ks_qcd")
    ('validation loss of the adversary', 'K-S distance of qcd')
    """
    if metric.startswith("ks_"):
        return f"K-S distance of {metric.removeprefix('ks_')}"
    name = metric.removeprefix("val_")
    title = _TITLES.get(name, name.replace("_", " "))
    return title if name == metric else f"validation {title}"


def history_table(run: Run) -> Table:
    """All metrics of all epochs of a run, the best by each criterion marked."""
    history = run.record.history
    best = {one.metric: one.sign < 0 for one in reversed(CRITERIA.values()) if one.metric in history}
    columns: list[Sequence[Cell]] = [
        _marked(list(values), largest=best[name]) if name in best else list(values) for name, values in history.items()
    ]
    length = max(map(len, columns), default=0)
    filled = [[*column, *[Undefined("no value")] * (length - len(column))] for column in columns]
    rows = tuple((epoch, *cells) for epoch, *cells in zip(range(1, length + 1), *filled, strict=True))
    return Table(("Epoch", *history), rows, f"Values of all epochs of {run.name}", is_open=True)


def _all_epochs(compared: ComparedEpochs) -> Table:
    """All metrics of all epochs of all runs, for the CSV."""
    rows = tuple(
        (run.name, epoch, *(run.value(metric, epoch) for metric in compared.metrics))
        for run in compared.runs
        for epoch in range(1, max(map(len, run.record.history.values()), default=0) + 1)
    )
    return Table(("Run", "Epoch", *compared.metrics), rows)


def _tested(compared: ComparedEpochs) -> list[tuple[Run, Epoch]]:
    """Epochs with efficiencies, in the order of the summary."""
    return [pair for pair in _by_main_loss(compared) if not isinstance(pair[1].efficiency, Undefined)]


def efficiency_table(compared: ComparedEpochs) -> Table:
    """Share of the signal that is predicted to be signal: a row per point, a column per epoch, the best marked."""
    pairs = [
        (run, epoch, epoch.efficiency.points)
        for run, epoch in _tested(compared)
        if not isinstance(epoch.efficiency, Undefined)
    ]
    points = sorted({point for *_, shares in pairs for point in shares})
    rows = []
    for point in points:
        found = [shares[point].share if point in shares else Undefined("no events") for *_, shares in pairs]
        rows.append((*point, *_marked(found, largest=True)))
    header = (*compared.points, *(epoch_name(run, epoch.number) for run, epoch, _ in pairs))
    return Table(header, tuple(rows), is_open=True)


def _all_efficiencies(compared: ComparedEpochs) -> Table:
    """All efficiencies one below the other, for the CSV."""
    rows = [
        (run.name, epoch.number, *point, one.entries, one.selected, one.share, *_interval(one))
        for run, epoch in _tested(compared)
        if not isinstance(epoch.efficiency, Undefined)
        for point, one in epoch.efficiency.points.items()
    ]
    return Table(
        ("Run", "Epoch", *compared.points, "Events", "Selected", "Efficiency", "Lower end", "Upper end"), tuple(rows)
    )


def _interval(one: SelectedShare) -> tuple[Cell, Cell]:
    return (one.interval, one.interval) if isinstance(one.interval, Undefined) else one.interval


def _efficiencies(compared: ComparedEpochs, table: Table) -> Section:
    pictures = tuple(_shares_picture(compared, run) for run in compared.runs if run.events is not None)
    wins = Counter(
        name for row in table.rows for name, cell in zip(table.header, row, strict=True) if isinstance(cell, Marked)
    )
    notes = tuple(f"{name}: the best of {number} points of {len(table.rows)}." for name, number in wins.most_common(1))
    return Section(
        "efficiencies",
        "Signal efficiencies",
        f"Share of the events of {compared.signal} whose largest score is that of {compared.signal}, by weights, with "
        "the statistical uncertainty; the best of each point is bold.",
        (Group("", notes, (table,), pictures),),
    )


def _shares_picture(compared: ComparedEpochs, run: Run) -> Picture:
    shares = {
        f"epoch {number}": one.efficiency.points
        for number, one in run.epochs.items()
        if not isinstance(one.efficiency, Undefined)
    }
    caption = (
        f"{run.name}: share of {compared.signal} that is predicted to be {compared.signal}, by "
        f"{_listed(compared.points)}, with 68% intervals (Wilson)."
    )
    draw = partial(draw_shares_of_points, shares, compared.points, compared.signal)
    numbers = {
        f"epoch {number}": as_plain(one.efficiency)
        for number, one in run.epochs.items()
        if not isinstance(one.efficiency, Undefined)
    }
    return Picture(f"{run.name}_efficiencies", caption, draw, numbers)


def _run_group(run: Run, *, is_open: bool) -> Group:
    """Losses, ROC curves of all its epochs, and the scores of each."""
    pictures = [
        *loss_pictures([run.record], f"{run.name}_loss"),
        *adversary_pictures([run.record], f"{run.name}_adversary"),
    ]
    if run.events is not None:
        rocs = {f"epoch {one.number}": one.rocs for one in run.epochs.values() if not isinstance(one.rocs, Undefined)}
        picture = roc_overview(run.events, rocs)
        pictures.append(picture._replace(name=f"{run.name}_{picture.name}"))
        pictures += [_scores_picture(run, epoch) for epoch in run.events.scores]
    left = [f"epoch {one.number}: {one.rocs.reason}" for one in run.epochs.values() if isinstance(one.rocs, Undefined)]
    notes = (f"Without scores: {'; '.join(left)}.",) if left else ()
    return Group(run.name, notes, (), tuple(pictures), is_open=is_open)


def _scores_picture(run: Run, epoch: str) -> Picture:
    """Scores of each class, one panel per score."""
    assert run.events is not None
    events = run.events
    names = [f"score of {name}" for name in events.classes]
    binnings = {name: Binning(np.linspace(0, 1, _BINS_OF_SCORES + 1)) for name in names}
    summary = summary_of_rows(events.scores[epoch], events.truth, events.weights, events, names, binnings)
    shown = {name: (binnings[name], summary.distributions[name]) for name in names}
    numbers = {
        name: {label: as_plain(one) for label, one in by_class.items()}
        for name, by_class in summary.distributions.items()
    }
    caption = f"{run.name}, {epoch}: scores of each class, normalised to 1, on the fold that the model never saw."
    draw = partial(draw_several_distributions, shown)
    return Picture(f"{run.name}_scores_{epoch.replace(' ', '')}", caption, draw, numbers)


def settings_tables(runs: Sequence[Run]) -> tuple[Table, Table]:
    """Keys of the training configs that vary, with a row per training, and those that all have in common."""
    configs = {run.training: flat_settings(run.record.config) for run in runs}
    keys = list(dict.fromkeys(key for config in configs.values() for key in config))
    first = next(iter(configs.values()))
    same = [key for key in keys if all(key in one and one[key] == first.get(key) for one in configs.values())]
    vary = [key for key in keys if key not in same]
    rows = tuple((name, *(one.get(key, "not there") for key in vary)) for name, one in configs.items())
    varying = Table(("Training", *vary), rows if vary else (), "Settings that vary" if vary else "No setting varies")
    return varying, Table(("Name", "Value"), tuple((key, first[key]) for key in same), "Common settings")


def _numbers(compared: ComparedEpochs) -> dict[str, Any]:
    """All numbers of the page."""
    return {
        "signal": compared.signal,
        "points": compared.points,
        "runs": {
            run.name: {
                "training": run.training,
                "fold": run.record.fold,
                "epoch_of_model": run.own_epoch,
                "best_epochs": {str(one.number): _plain_epoch(one) for one in run.epochs.values()},
                "history": run.record.history,
            }
            for run in compared.runs
        },
    }


def _plain_epoch(epoch: Epoch) -> dict[str, Any]:
    rocs: Any = str(epoch.rocs)
    if not isinstance(epoch.rocs, Undefined):
        rocs = {
            name: as_plain(one if isinstance(one, Undefined) else one.auc)
            for name, one in epoch.rocs.against_rest.items()
        }
        rocs = {"average": as_plain(epoch.rocs.average_auc), **rocs}
    return {"best_by": list(epoch.reasons), "auc": rocs, "efficiencies": as_plain(epoch.efficiency)}


def log_best(compared: ComparedEpochs) -> None:
    """A line of the log for each criterion: the best epoch of all runs."""
    for name, (metric, sign) in CRITERIA.items():
        found = [
            (value, run.name, epoch)
            for run in compared.runs
            for epoch, value in enumerate(run.record.history.get(metric, ()), start=1)
            if np.isfinite(value)
        ]
        if found:
            value, run_name, epoch = max(found) if sign < 0 else min(found)
            log.info("%s: %s, epoch %d: %s", name, run_name, epoch, cell_text(value))
