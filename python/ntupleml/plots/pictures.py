"""A picture with the numbers behind it: what every step of the testing stage makes, for files and for the report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Interval, Measurement, Undefined
from ntupleml.metrics.number_texts import grouped
from ntupleml.plots.style import FORMATS, figure_paths, plot_style, save_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig


class Marked(NamedTuple):
    """A number that stands out in its table, such as the best of its row."""

    value: int | float | Measurement | Interval


class Link(NamedTuple):
    """A text that leads to another page."""

    text: str
    #: Relative to the page.
    address: str


#: What a cell of a table may hold.
Cell = str | int | float | Measurement | Interval | Undefined | Marked | Link
#: Parameters of matplotlib that all pictures of the testing stage share; the experiments' own text is too large.
PARAMETERS: dict[str, Any] = {"font.size": 14, "legend.fontsize": 11, "legend.title_fontsize": 12} | dict.fromkeys(
    ("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), 14
)
#: Dots per inch of the report's PNGs: those of the steps' scripts have more.
_PIXELS_PER_INCH = 100
#: What makes the report's pictures fast: glyphs in the PDF are outlines, and linear axes have no minor ticks. No tick
#: is drawn where a text may stand.
_PARAMETERS_OF_REPORTS: dict[str, Any] = {
    "pdf.fonttype": 3,
    "savefig.dpi": _PIXELS_PER_INCH,
    "text.hinting": "none",  # texts have the places that they have in the other formats
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "xtick.top": False,
    "ytick.right": False,
    **dict.fromkeys(("xtick.direction", "ytick.direction"), "out"),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 4),
    **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 2),
}


class Table(NamedTuple):
    """Numbers to read and to copy."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    #: What stands above, where a picture has several tables.
    title: str = ""
    #: Whether it is shown however long it is; else a long one is folded up.
    is_open: bool = False


class Picture(NamedTuple):
    """A figure that can be drawn when it is wanted, and its numbers."""

    #: Part of the names of its files, e.g. ``roc_signal``.
    name: str
    #: One or two sentences: what is shown, and of which events.
    caption: str
    #: Draws it; called with the `plot` block, inside `plot_style`. None where there are numbers alone.
    draw: Callable[[PlotConfig], Figure] | None
    #: Content of the YAML file: plain numbers, lists and texts.
    numbers: dict[str, Any]
    #: The same numbers, or the most important of them, for people.
    tables: tuple[Table, ...] = ()
    #: Those of matplotlib for its files; the report has its own.
    parameters: Mapping[str, Any] = PARAMETERS


def together(
    name: str, caption: str, parts: Mapping[str, Picture], draw: Callable[[PlotConfig], Figure], column: str
) -> Picture:
    """One picture in place of several, with the numbers and tables of all of them.

    Parameters
    ----------
    name, caption
        Of the new picture.
    parts : mapping of str to Picture
        Pictures by what they are of, e.g. the class.
    draw : callable
        Draws all of them, a panel each.
    column : str
        What the pictures are of, e.g. ``Class``: title of the column that tells the rows of their tables apart.
    """
    numbers = {label: part.numbers for label, part in parts.items()}
    return Picture(name, caption, draw, numbers, _merged({label: part.tables for label, part in parts.items()}, column))


def _merged(parts: Mapping[str, tuple[Table, ...]], column: str) -> tuple[Table, ...]:
    """Merge tables with equal columns, under a column that names the part; tables equal in all parts stay one."""
    found: dict[tuple[str, tuple[str, ...]], dict[str, Table]] = {}
    for label, tables in parts.items():
        for table in tables:
            title = table.title.replace(f"'{label}'", "each")
            found.setdefault((title, table.header), {})[label] = table
    merged = []
    for (title, header), by_label in found.items():
        tables = tuple(by_label.values())
        if len(tables) > 1 and all(table == tables[0] for table in tables):
            merged.append(tables[0])
            continue
        rows = tuple((label, *row) for label, table in by_label.items() for row in table.rows)
        merged.append(Table((column, *header), rows, title))
    return tuple(merged)


def picture_paths(stem: str | Path) -> list[Path]:
    """Files that `write_picture` writes for a path without its ending.

    Examples
    --------
    >>> [path.as_posix() for path in picture_paths("example/fold0_roc_signal")]
    ['example/fold0_roc_signal.png', 'example/fold0_roc_signal.pdf', 'example/fold0_roc_signal.yaml']
    """
    return figure_paths(stem, [*FORMATS, "yaml"])


def drawn(picture: Picture, plot: PlotConfig) -> Figure:
    """The figure of a picture in the look of the testing stage, to be shown or saved later."""
    if picture.draw is None:
        raise NtuplemlError(f"'{picture.name}' has numbers alone, and no picture")
    with plot_style(plot, picture.parameters):
        figure = _figure(picture.draw, plot)
        figure.canvas.draw()
        return figure


def _figure(draw: Callable[[PlotConfig], Figure], plot: PlotConfig) -> Figure:
    """A figure whose powers of ten (1e12) stand left of the x axis, since the label is on the right.

    Numbers at its axes have thin spaces.
    """
    from matplotlib.ticker import ScalarFormatter

    class Grouped(ScalarFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            text = super().__call__(x, pos)
            return grouped(text) if text.isascii() else text

    figure = draw(plot)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if type(formatter) is ScalarFormatter:
                formatter.__class__ = Grouped
        power = axes.xaxis.get_offset_text()
        power.set_horizontalalignment("left")
        power.set_x(0)
    return figure


def write_picture(picture: Picture, stem: str | Path, plot: PlotConfig, *, overwrite: bool = False) -> list[Path]:
    """Draw a picture and write it as PNG and PDF, and its numbers as YAML.

    Parameters
    ----------
    stem : path
        Path without its ending.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten, or cannot be written.
    """
    paths: list[Path] = []
    if picture.draw is not None:
        with plot_style(plot, picture.parameters):
            paths = save_figure(_figure(picture.draw, plot), stem, overwrite=overwrite)
    return [*paths, write_numbers(picture.numbers, figure_paths(stem, ["yaml"])[0], overwrite=overwrite)]


def write_picture_and_svg(
    picture: Picture,
    stem: str | Path,
    plot: PlotConfig,
    prefix: str,
    *,
    overwrite: bool = False,
    formats: Sequence[str] = (),
) -> tuple[list[Path], str]:
    """Draw a picture once, write it and its numbers, and give it as an SVG element for a page.

    Glyphs in a PDF are outlines (Type 3), which takes a tenth of the time of subsets of TrueType fonts; a PNG has
    fewer pixels than that of `write_picture`.

    Parameters
    ----------
    picture, stem, plot, overwrite
        As for `write_picture`.
    prefix : str
        Of the ids in the element; unique on the page.
    formats : sequence of {'svg', 'png', 'pdf'}
        What the picture is written as; by default not at all, the numbers alone.

    Returns
    -------
    list of Path, str
        The files written, and the element.
    """
    from ntupleml.plots.recording import record
    from ntupleml.plots.svg import inline_svg, prepare_for_pages, svg_document, write_svg

    parameters = PARAMETERS | _PARAMETERS_OF_REPORTS
    assert picture.draw is not None
    with plot_style(plot, parameters):
        figure = _figure(picture.draw, plot)
        prepare_for_pages(figure)
        figure = record(figure, _PIXELS_PER_INCH)
        box = figure.bbox_inches.frozen()
        others = [one for one in formats if one != "svg"]
        paths = save_figure(figure, stem, others, overwrite=overwrite, box=box)
        document = svg_document(figure, box)
        element = inline_svg(document, prefix, picture.caption, str(figure.get_label()))
    if "svg" in formats:
        paths.append(write_svg(document, figure_paths(stem, ["svg"])[0], overwrite=overwrite))
    return [*paths, write_numbers(picture.numbers, figure_paths(stem, ["yaml"])[0], overwrite=overwrite)], element


def write_numbers(numbers: Mapping[str, Any], path: Path, *, overwrite: bool = False) -> Path:
    """Write numbers as YAML, the innermost lists and blocks on one line each.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, or cannot be written.
    """
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # libyaml's is ten times faster
    lists: list[str] = []
    content = _without_lists(dict(numbers), lists)
    with replace_file(path, overwrite=overwrite) as temporary:
        text = yaml.dump(
            content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
        )
        text = _MARK.sub(lambda match: lists[int(match[1])], text)
        temporary.write_text(text, encoding="utf-8")
    return path


#: Stands for a list while the rest is written.
_MARK = re.compile(r"ntupleml-list-(\d+)-")
#: Lists from this length on are written by us, which takes a tenth of the time, so many numbers on a line.
_LONG_LIST, _NUMBERS_PER_LINE = 8, 5


def _without_lists(content: Any, lists: list[str]) -> Any:
    """The same with a mark in place of each long list of numbers, whose text is appended to the lists."""
    if isinstance(content, dict):
        return {key: _without_lists(value, lists) for key, value in content.items()}
    if not isinstance(content, list):
        return content
    if len(content) < _LONG_LIST or not {*map(type, content)} <= {float, int}:
        return [_without_lists(value, lists) for value in content]
    texts = [_yaml_number(value) for value in content]
    lines = [", ".join(texts[start : start + _NUMBERS_PER_LINE]) for start in range(0, len(texts), _NUMBERS_PER_LINE)]
    lists.append("[" + ",\n  ".join(lines) + "]")
    return f"ntupleml-list-{len(lists) - 1}-"


def _yaml_number(value: float) -> str:
    """As YAML 1.1 wants it: a mantissa has a point."""
    text = repr(value)
    if "e" in text and "." not in text:
        return text.replace("e", ".0e", 1)
    return _NOT_FINITE.get(text, text)


_NOT_FINITE = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
