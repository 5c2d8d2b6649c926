"""A page and the folder of its files: every picture drawn once, as SVG on the page and as files beside it."""

from __future__ import annotations

import csv
import gc
import io
import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.pictures import Marked, write_picture_and_svg
from ntupleml.reports.page import Drawn, Page, pictures_of, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ntupleml.config import PlotConfig
    from ntupleml.plots.pictures import Cell, Table

log = logging.getLogger(__name__)

#: Pictures whose garbage is collected together.
_PICTURES_PER_COLLECTION = 100


def page_and_folder(output: Path | None, default: Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """The page, and the folder of its files: its name without the ending.

    Raises
    ------
    NtuplemlError
        If the name is not that of a page, or there are results already that must not be overwritten.
    """
    if output is not None and output.suffix.lower() not in (".html", ".htm"):
        raise NtuplemlError(f"--output {output}: a page is written; give it a name that ends with .html")
    page = default if output is None else output
    folder = page.with_suffix("")
    if not overwrite:
        if page.exists():
            raise NtuplemlError(f"{page}: exists already; give --overwrite to replace it")
        if folder.is_dir() and any(folder.iterdir()):
            raise NtuplemlError(f"{folder}: holds files already; give --overwrite to replace those of the report")
    return page, folder


def name_of_files(_method: str | None, name: str) -> str:
    """Name of a picture's files: names of classes may hold anything."""
    return re.sub(r"[^\w.+-]", "_", name)


def write_page(
    page: Page,
    path: Path,
    folder: Path,
    plot: PlotConfig,
    formats: Sequence[str],
    *,
    file_name: Callable[[str | None, str], str] = name_of_files,
    texts: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Draw the pictures of a page and write it with all its files, or, if anything fails, none.

    Parameters
    ----------
    formats : sequence of {'svg', 'png', 'pdf'}
        What the pictures are written as; their numbers always are.
    file_name : callable
        Name of a picture's files without ending, from the method of its group and its own name.
    texts : mapping of str to str, optional
        Further files in the folder, by their names.

    Returns
    -------
    list of Path
        The files, the page first.
    """
    drawn: dict[tuple[str, int, int], Drawn] = {}
    paths = [path]
    wanted = [(section, *found) for section in page.sections for found in pictures_of(section)]
    with all_or_none():
        with _rare_garbage_collection() as collect:
            for section, index, number, group, picture in wanted:
                stem = folder / file_name(group.method, picture.name)
                prefix = f"p{len(drawn)}"
                written, element = write_picture_and_svg(
                    picture, stem, plot, prefix, overwrite=overwrite, formats=formats
                )
                paths += written
                drawn[(section.anchor, index, number)] = Drawn(element, (f"{folder.name}/{stem.name}",))
                if len(drawn) % _PICTURES_PER_COLLECTION == 0:
                    collect()
        for name, text in (texts or {}).items():
            paths.append(folder / name)
            with replace_file(paths[-1], overwrite=overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
        with replace_file(path, overwrite=overwrite) as temporary:
            temporary.write_text(render(page, drawn), encoding="utf-8")
    log.info("%s: %d pictures, and their files in %s", path, len(drawn), folder)
    return paths


@contextmanager
def _rare_garbage_collection() -> Iterator[Callable[[], object]]:
    """Collect the garbage of figures only when asked to: Python alone would spend a third of the time on it."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()  # what is there already is not looked at
    try:
        yield gc.collect
    finally:
        gc.freeze()  # together: what is there is old, and looked at when Python next looks at everything
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def table_as_csv(table: Table) -> str:
    """A table as CSV, numbers in full precision; uncertainties stand in columns of their own.

    Examples
    --------
    >>> from ntupleml.plots.pictures import Table
    >>> print(table_as_csv(Table(("class", "AUC"), (("a", Measurement(0.5, 0.25)), ("b", 1)))), end="")
    class,AUC,AUC uncertainty
    a,0.5,0.25
    b,1,
    """
    rows = [[one.value if isinstance(one, Marked) else one for one in row] for row in table.rows]
    measured = [any(isinstance(row[column], Measurement) for row in rows) for column in range(len(table.header))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_spread(table.header, measured, lambda name: (name, f"{name} uncertainty")))
    writer.writerows(_spread(row, measured, _value_and_uncertainty) for row in rows)
    return text.getvalue()


def _spread(row: Sequence[Cell], measured: Sequence[bool], of: Callable[[Cell], tuple[Cell, Cell]]) -> list[Cell]:
    return [one for cell, both in zip(row, measured, strict=True) for one in of(cell)[: 1 + both]]


def _value_and_uncertainty(cell: Cell) -> tuple[Cell, Cell]:
    if isinstance(cell, Measurement):
        return float(cell.value), float(cell.uncertainty)
    return ("" if isinstance(cell, Undefined) else cell), ""
