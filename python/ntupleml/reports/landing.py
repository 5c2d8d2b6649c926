"""A page for a folder with many trainings: how good each method is, and links to the reports."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from ntupleml.artifacts import read_record
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement
from ntupleml.plots.pictures import Link, Table
from ntupleml.reports.page import Section, now, page_of, render
from ntupleml.testing.steps import Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ntupleml.metrics import Undefined, Verdict
    from ntupleml.plots.pictures import Cell

log = logging.getLogger(__name__)

#: In the folder of each report: what this page says of it.
SUMMARY = "summary.json"
_NO_REPORT = "none yet"


class _Training(NamedTuple):
    """Methods that are trained in one folder, by name, with the date of the last model of each."""

    folder: Path
    methods: dict[str, str]


def summary_text(
    title: str, created: str, areas: Mapping[str, Measurement | Undefined], verdicts: list[tuple[str, Verdict]]
) -> str:
    """What a report says of its training, as JSON for the page of all trainings.

    Parameters
    ----------
    areas : mapping of str to Measurement or Undefined
        Average area under the ROC curve by method; empty where no classes are learnt.
    """
    content = {
        "title": title,
        "created": created,
        "auc": {name: area._asdict() for name, area in areas.items()},
        "attention": [f"{name}: {verdict.text}" for name, verdict in verdicts if verdict.level == "attention"],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def write_landing_page(folder: Path, output: Path | None = None, *, overwrite: bool = False) -> tuple[Path, int]:
    """Write the page of all trainings in a folder and the folders below.

    Parameters
    ----------
    output : Path, optional
        The page, by default ``index.html`` in the folder; links are relative to it.

    Returns
    -------
    Path, int
        The page, and the number of trainings.

    Raises
    ------
    NtuplemlError
        If there is no such folder, it holds no training, or the page exists and must not be overwritten.
    """
    page = output or folder / "index.html"
    if not folder.is_dir():
        raise NtuplemlError(f"{folder}: no such folder")
    if page.exists() and not overwrite:
        raise NtuplemlError(f"{page}: exists already; give --overwrite to replace it")
    trainings = list(_trainings(folder))
    if not trainings:
        raise NtuplemlError(f"{folder}: no training in it or below; the records are called fold0_METHOD_training.json")
    rows = [row for one in trainings for row in _rows(one, folder, page.parent)]
    header = ("Training", "Method", "Trained", "AUC", "Checks that ask for a look", "Report")
    table = Table(header, tuple(rows), is_open=True)
    introduction = (
        "The area under the ROC curve is the average of the classes on events that the models never saw, from the last "
        "report of each training. Click on a column to sort."
    )
    section = Section("trainings", "Trainings", introduction, (Group("", (), (table,)),))
    text = render(page_of(f"Trainings in {folder.resolve().name}", str(folder), (section,), now()), {})
    with replace_file(page, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page, len(trainings)


def _trainings(folder: Path) -> Iterator[_Training]:
    """By folder; records that cannot be read are left out with a warning."""
    found: dict[Path, dict[str, str]] = {}
    for path in sorted(folder.rglob("fold*_training.json")):
        try:
            record = read_record(path)
        except NtuplemlError as error:
            log.warning("left out: %s", error)
            continue
        methods = found.setdefault(path.parent, {})
        methods[record.method] = max(methods.get(record.method, ""), record.created[:16].replace("T", " "))
    for parent, methods in found.items():
        yield _Training(parent, methods)


def _rows(training: _Training, folder: Path, page_folder: Path) -> Iterator[tuple[Cell, ...]]:
    name = training.folder.relative_to(folder).as_posix()
    report, content = _report_of(training.folder)
    title = str(content.get("title", "")) or (training.folder.resolve().name if name == "." else name)
    for method, date in training.methods.items():
        area = content.get("auc", {}).get(method)
        attention = [text for text in content.get("attention", []) if method in str(text).split(":")[0]]
        is_measured = isinstance(area, dict) and {"value", "uncertainty"} <= area.keys()
        link: Cell = _NO_REPORT
        if report is not None:
            address = quote(Path(os.path.relpath(report, page_folder)).as_posix())
            link = Link(str(content.get("created", report.name)), address)
        yield (
            f"{title} ({name})" if title != name and name != "." else title,
            method,
            date,
            Measurement(float(area["value"]), float(area["uncertainty"])) if is_measured else "–",
            len(attention) if is_measured else "–",
            link,
        )


def _report_of(folder: Path) -> tuple[Path | None, dict[str, Any]]:
    """The newest report of a training and what it says; none where there is none."""
    summaries = sorted(folder.glob(f"*/{SUMMARY}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in summaries:
        page = path.parent.with_suffix(".html")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            log.warning("left out: %s: %s", path, error)
            continue
        if page.exists() and isinstance(content, dict) and isinstance(content.get("auc"), dict):
            return page, content
    return None, {}
