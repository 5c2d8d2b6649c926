"""The page that shows the inputs of several files side by side."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from ntupleml.metrics import Verdict, as_plain
from ntupleml.metrics.number_texts import count_text, measurement_text
from ntupleml.plots.pictures import Table
from ntupleml.reports.page import Section, now, page_of
from ntupleml.reports.page_files import table_as_csv, write_page
from ntupleml.testing.compared_files import point_text
from ntupleml.testing.inputs import overview_table, variables_pictures
from ntupleml.testing.steps import Group

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.config import TestingConfig
    from ntupleml.metrics.inputs import InputSummary
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.compared_files import ComparedFiles

#: Standard deviations from which a difference is worth a look.
_REMARKABLE = 3.0
_THERE = "X"
#: Names in one sentence.
_MOST_NAMES = 5


def write_files_page(
    compared: ComparedFiles, testing: TestingConfig, path: Path, folder: Path, *, command: str, overwrite: bool = False
) -> list[Path]:
    """Write the page, its figures, its tables as CSV and all numbers as JSON."""
    tables = {"rows": _all_rows(compared), "points": points_table(compared), "columns": columns_table(compared)}
    texts = {f"{name}.csv": table_as_csv(table) for name, table in tables.items() if table.rows}
    texts["numbers.json"] = json.dumps(_numbers(compared), indent=1, ensure_ascii=False) + "\n"
    names = ", ".join(file.name for file in compared.files)
    rows = sum(file.rows for file in compared.files)
    page = page_of(f"Inputs of {names}", f"{count_text(rows)} rows", _sections(compared, command), now())
    return write_page(page, path, folder, testing.plot, testing.figures, texts=texts, overwrite=overwrite)


def _sections(compared: ComparedFiles, command: str) -> list[Section]:
    sections = [_overview(compared)]
    several = {name: summary for name in compared.classes if len((summary := compared.of_class(name)).classes) > 1}
    if several:
        sections.append(
            Section(
                "classes",
                "Files side by side",
                "Each class that several files have, each file normalised to 1, in bins that all files share. The "
                "separation ⟨S²⟩ of a file is that from the others together.",
                tuple(_group(name, summary, "file", f"class_{name}") for name, summary in several.items()),
                tuple((name, difference_verdict(summary)) for name, summary in several.items()),
            )
        )
    if points := _points_side_by_side(compared):
        sections.append(
            Section(
                "points",
                "Points side by side",
                f"Each point ({', '.join(compared.points)}) that several files have, as above.",
                tuple(points),
            )
        )
    sections += [
        Section(
            "files",
            "Each file",
            "The classes of each file, each normalised to 1, and the points of classes that have several.",
            tuple(group for file in compared.files for group in _groups_of_file(compared, file.name)),
        ),
        Section(
            "columns",
            "Columns",
            f"{_THERE}: the file has this column.",
            (Group("", (), (columns_table(compared),), texts=(("Command", command),)),),
        ),
    ]
    return sections


def _overview(compared: ComparedFiles) -> Section:
    files = Table(
        ("Name", "Files", "Rows", "Columns", "Weights"),
        tuple(
            (file.name, ", ".join(file.paths), file.rows, len(file.columns), ", ".join(file.weights))
            for file in compared.files
        ),
    )
    points = points_table(compared)
    tables = [files, rows_table(compared), sums_table(compared), *([points] if points.rows else [])]
    introduction = f"{len(compared.files)} files, {len(compared.classes)} classes, {len(compared.variables)} variables."
    return Section("overview", "Overview", introduction, (Group("", tuple(_lacking(compared)), tuple(tables)),))


def _lacking(compared: ComparedFiles) -> list[str]:
    """Variables that are columns of some files only."""
    notes = []
    everywhere = {name for file in compared.files for name in file.columns}
    for file in compared.files:
        missing = [name for name in compared.variables if name in everywhere and name not in file.columns]
        if missing:
            notes.append(f"{file.name} has no {', '.join(missing)}: missing (NaN) in all of its rows.")
    return notes


def rows_table(compared: ComparedFiles) -> Table:
    """Rows of each file, by class with their share."""
    rows: list[tuple[Cell, ...]] = []
    for file in compared.files:
        numbers = [compared.weights(file.name, name) for name in compared.classes]
        total = sum(one.events for one in numbers if one is not None)
        texts = ["–" if one is None else _with_share(one.events, total) for one in numbers]
        rows.append((file.name, total, *texts))
    return Table(("Name", "Rows", *compared.classes), tuple(rows), "Rows of each class")


def _with_share(number: int, total: int) -> str:
    return f"{count_text(number)} ({100 * number / total:.1f} %)" if total else "0"


def sums_table(compared: ComparedFiles) -> Table:
    """Sums of weights of each file, by class."""
    rows: list[tuple[Cell, ...]] = []
    for file in compared.files:
        found = [compared.weights(file.name, name) for name in compared.classes]
        rows.append((file.name, *("–" if one is None else one.total for one in found)))
    return Table(("Name", *compared.classes), tuple(rows), "Sums of weights")


def _all_rows(compared: ComparedFiles) -> Table:
    """Rows and sums of weights one below the other, for the CSV."""
    rows: list[tuple[Cell, ...]] = []
    for (file, name), sums in compared.sums.items():
        one = sums.weights.summary()
        rows.append((file, name, one.events, one.total))
    return Table(("Name", "Class", "Rows", "Sum of weights"), tuple(rows))


def points_table(compared: ComparedFiles) -> Table:
    """Rows of each point of each class, and their share of the file."""
    totals: Counter[str] = Counter()
    for (name, _), sums in compared.sums.items():
        totals[name] += sums.weights.events
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, of, *point, sums.weights.events, sums.weights.events / totals[name])
        for (name, of, point), sums in sorted(compared.of_points.items(), key=lambda item: item[0])
    )
    header = ("Name", "Class", *compared.points, "Rows", "Fraction of the file")
    return Table(header, rows, "Points")


def columns_table(compared: ComparedFiles) -> Table:
    """Which file has which column."""
    names = sorted({name for file in compared.files for name in file.columns})
    rows = []
    for name in names:
        types = dict.fromkeys(file.columns[name] for file in compared.files if name in file.columns)
        rows.append((name, ", ".join(types), *(_THERE if name in file.columns else "" for file in compared.files)))
    return Table(("Column", "Type", *(file.name for file in compared.files)), tuple(rows), is_open=True)


def _group(title: str, summary: InputSummary, of: str, name: str, *, is_open: bool = True) -> Group:
    pictures = variables_pictures(summary, name, of, "rows")
    return Group(title, (), (overview_table(summary, of),), tuple(pictures), is_open=is_open)


def _points_side_by_side(compared: ComparedFiles) -> list[Group]:
    groups = []
    for name in compared.classes:
        for point in compared.points_of(name):
            summary = compared.of_point(name, point)
            if len(summary.classes) > 1 and _has_several_points(compared, name):
                text = point_text(point)
                groups.append(
                    _group(
                        f"{name}: {text}", summary, "file", f"point_{name}_{'_'.join(text.split(', '))}", is_open=False
                    )
                )
    return groups


def _has_several_points(compared: ComparedFiles, class_name: str) -> bool:
    """Backgrounds have one, which is the class itself."""
    return len(compared.points_of(class_name)) > 1


def _groups_of_file(compared: ComparedFiles, file: str) -> list[Group]:
    is_open = len(compared.files) == 1
    summary = compared.of_file(file)
    groups = [_group(file, summary, "class", f"file_{file}", is_open=is_open)]
    for name in summary.classes:
        if len(compared.points_of(name, file)) > 1:
            points = compared.points_of_file(file, name)
            groups.append(_group(f"{file}: points of {name}", points, "point", f"points_{file}_{name}", is_open=False))
    return groups


def difference_verdict(summary: InputSummary) -> Verdict:
    """Whether the files differ by more than their statistical uncertainties, in variables that all of them have."""
    ranked = [
        (variable, label, found, summary.distributions[variable][label].by_chance)
        for variable, label, found in summary.ranking()
        if not any(one.missing == one.events for one in summary.distributions[variable].values())
    ]
    remarkable = [
        (variable, label, found)
        for variable, label, found, chance in ranked
        if isinstance(chance, float) and found.value - chance > _REMARKABLE * found.uncertainty
    ]
    if not ranked:
        return Verdict("unknown", "no variable can be compared")
    if not remarkable:
        return Verdict("good", f"no variable differs by more than {_REMARKABLE:g} standard deviations")
    variable, label, found = remarkable[0]
    text = f"'{variable}' differs most: {label} from the rest by ⟨S²⟩ = {measurement_text(found)}"
    others = ", ".join(f"'{name}'" for name, *_ in remarkable[1 : 1 + _MOST_NAMES])
    more = " and others" if len(remarkable) > 1 + _MOST_NAMES else ""
    return Verdict("attention", f"{text}; so do {others}{more}" if others else text)


def _numbers(compared: ComparedFiles) -> dict[str, Any]:
    """All numbers of the page but the distributions, which the YAML files of the pictures have."""
    return {
        "files": {
            file.name: {
                "paths": file.paths,
                "rows": file.rows,
                "columns": file.columns,
                "classes": {
                    name: as_plain(sums.weights.summary())
                    for (of, name), sums in compared.sums.items()
                    if of == file.name
                },
                "points": [
                    {
                        "class": name,
                        **dict(zip(compared.points, point, strict=True)),
                        **as_plain(sums.weights.summary()),
                    }
                    for (of, name, point), sums in compared.of_points.items()
                    if of == file.name
                ],
            }
            for file in compared.files
        },
        "variables": compared.variables,
        "separation": {
            name: [
                {"variable": variable, "file": label, "separation": as_plain(found)}
                for variable, label, found in compared.of_class(name).ranking()
            ]
            for name in compared.classes
        },
    }
