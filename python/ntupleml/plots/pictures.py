"""A picture with the numbers behind it: what every step of the testing stage makes, for files and for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.style import FORMATS, figure_paths, plot_style, save_figure, visible_box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig

#: What a cell of a table may hold.
Cell = str | int | float | Measurement | Undefined
#: Parameters of matplotlib that all pictures of the testing stage share; the experiments' own text is too large.
PARAMETERS: dict[str, Any] = {"font.size": 14, "legend.fontsize": 11} | dict.fromkeys(
    ("axes.labelsize", "xtick.labelsize", "ytick.labelsize"), 14
)


class Table(NamedTuple):
    """Numbers to read and to copy.

    Attributes
    ----------
    header : tuple of str
    rows : tuple of tuples of str, int, float, Measurement or Undefined
    title : str
        What stands above, where a picture has several tables.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""


class Picture(NamedTuple):
    """A figure that can be drawn when it is wanted, and its numbers.

    Attributes
    ----------
    name : str
        Part of the names of its files, e.g. ``roc_signal``.
    caption : str
        One or two sentences: what is shown, and of which events.
    draw : callable
        Draws it; called with the `plot` block, inside `plot_style`.
    numbers : dict
        Content of the YAML file: plain numbers, lists and texts.
    tables : tuple of Table
        The same numbers, or the most important of them, for people.
    """

    name: str
    caption: str
    draw: Callable[[PlotConfig], Figure]
    numbers: dict[str, Any]
    tables: tuple[Table, ...] = ()


def picture_paths(stem: str | Path) -> list[Path]:
    """Files that `write_picture` writes for a path without its ending.

    Examples
    --------
    >>> [path.as_posix() for path in picture_paths("example/fold0_roc_signal")]
    ['example/fold0_roc_signal.png', 'example/fold0_roc_signal.pdf', 'example/fold0_roc_signal.yaml']
    """
    return figure_paths(stem, [*FORMATS, "yaml"])


def refuse_existing_pictures(stems: Iterable[str | Path], *, overwrite: bool) -> None:
    """Check, before anything is computed, that no picture would be overwritten unasked.

    Raises
    ------
    NtuplemlError
        Naming the first file that is there.
    """
    for path in (path for stem in stems for path in picture_paths(stem)):
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")


def write_picture(picture: Picture, stem: str | Path, plot: PlotConfig, *, overwrite: bool = False) -> list[Path]:
    """Draw a picture and write it as PNG and PDF, and its numbers as YAML.

    Parameters
    ----------
    picture : Picture
    stem : path
        Path without its ending.
    plot : PlotConfig
    overwrite : bool, default: False

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten, or cannot be written.
    """
    with plot_style(plot, PARAMETERS):
        paths = save_figure(picture.draw(plot), stem, overwrite=overwrite)
    return [*paths, write_numbers(picture.numbers, figure_paths(stem, ["yaml"])[0], overwrite=overwrite)]


def write_picture_and_svg(
    picture: Picture, stem: str | Path, plot: PlotConfig, prefix: str, *, overwrite: bool = False
) -> tuple[list[Path], str]:
    """Draw a picture once, write it as `write_picture` does, and give it as an SVG element for a page.

    Glyphs in the PDF are outlines (Type 3), which takes a tenth of the time of subsets of TrueType fonts.

    Parameters
    ----------
    picture, stem, plot, overwrite
        As for `write_picture`.
    prefix : str
        Of the ids in the element; unique on the page.

    Returns
    -------
    list of Path, str
        The files written, and the element.
    """
    from ntupleml.plots.svg import figure_svg

    with plot_style(plot, {**PARAMETERS, "pdf.fonttype": 3}):
        figure = picture.draw(plot)
        box = visible_box(figure)
        paths = save_figure(figure, stem, overwrite=overwrite, box=box)
        element = figure_svg(figure, prefix, picture.caption, box)
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
    with replace_file(path, overwrite=overwrite) as temporary:
        text = yaml.dump(
            dict(numbers), Dumper=dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None
        )
        temporary.write_text(text, encoding="utf-8")
    return path
