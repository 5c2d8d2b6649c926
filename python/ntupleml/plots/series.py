"""Which artists of a figure belong to an entry of a legend, so that a page can show their values and hide them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What an artist is for a page: a line with a value at each x, anything else that hides with it, an entry of a legend.
_LINE, _OTHER, _ENTRY = "c", "b", "l"
_LINES = {"solid": "-", "dashed": "--", "dashdot": "-.", "dotted": ":"}
#: Decimals of limits of axes.
_DIGITS = 6


def mark_series(figure: Figure) -> None:
    """Give what belongs to an entry of a legend a group id ``series-{number}-{kind}``.

    It belongs together by its look: the colour and the style of the line, or the colour alone where only one entry has
    it. So the line of a method is the same in all panels of a figure.
    """
    numbers: dict[tuple[str, str], int] = {}
    legends = [legend for axes in figure.axes if (legend := axes.get_legend()) is not None]
    entries: list[tuple[Any, int]] = []
    for legend in legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            look = _look(handle)
            if look is not None:
                number = numbers.setdefault(look, len(numbers))
                entries += [(handle, number), (text, number)]
    for artist, number in entries if len(numbers) > 1 else []:  # else there is nothing to tell apart
        artist.set_gid(f"series-{number}-{_ENTRY}")
    by_colour: dict[str, list[int]] = {}
    for (colour, _), number in numbers.items():
        by_colour.setdefault(colour, []).append(number)
    for axes in figure.axes:
        for artist in [*axes.lines, *axes.patches, *axes.collections, *axes.artists]:
            look = _look(artist)
            if look is None or artist.get_gid():
                continue
            same = by_colour.get(look[0], [])
            number = numbers.get(look, same[0] if len(same) == 1 else -1)
            if number >= 0:
                artist.set_gid(f"series-{number}-{_LINE if _has_values(artist) else _OTHER}")


def _look(artist: Any) -> tuple[str, str] | None:
    """Colour and style of the line; None for what has none, such as boxes of axes."""
    from matplotlib.colors import to_hex

    line = getattr(artist, "lines", None) if type(artist).__name__ == "ErrorbarContainer" else None
    if line is not None:
        artist = line[0] or line[2][0]
    if hasattr(artist, "get_color") and hasattr(artist, "get_linestyle") and hasattr(artist, "get_xdata"):
        colour, style = artist.get_color(), artist.get_linestyle()
    elif hasattr(artist, "get_facecolor") and hasattr(artist, "get_edgecolor"):
        colours = np.atleast_2d(artist.get_facecolor() if _is_filled(artist) else artist.get_edgecolor())
        if len(colours) != 1:
            return None
        colour, style = tuple(colours[0]), artist.get_linestyle() if not _is_filled(artist) else ""
    else:
        return None
    if isinstance(colour, str) and colour == "none":
        return None
    return to_hex(colour), _LINES.get(style, style) if isinstance(style, str) else ""


def _is_filled(artist: Any) -> bool:
    filled = artist.get_fill() if hasattr(artist, "get_fill") else len(np.atleast_2d(artist.get_facecolor())) > 0
    return bool(filled) and bool(np.atleast_2d(artist.get_facecolor())[:, -1:].any())


def _has_values(artist: Any) -> bool:
    """Whether a line has one value at each x."""
    if hasattr(artist, "get_xdata"):
        x = np.asarray(artist.get_xdata(), dtype=np.float64)
        return len(x) > 2 and artist.get_linestyle() not in ("None", "none", "", " ") and bool(np.all(np.diff(x) >= 0))
    return type(artist).__name__ == "StepPatch" and not _is_filled(artist)


def panels_of(figure: Figure, left: float, bottom: float, height: float) -> str:
    """Places and limits of the axes that have lines with values, as JSON for a page.

    Parameters
    ----------
    left, bottom, height : float
        Of what is shown of the figure, in points.

    Returns
    -------
    str
        A list with, for each axes, left and right end, upper and lower end (in points of the SVG element), what
        the axes have there, whether they are logarithmic, and the name of the x axis. Empty where there are none.
    """
    found = []
    for axes in figure.axes:
        if not any(
            str(one.get_gid() or "").endswith(f"-{_LINE}") for one in [*axes.lines, *axes.patches, *axes.artists]
        ):
            continue
        box = axes.get_window_extent()
        places = [box.x0 - left, box.x1 - left, height - (box.y1 - bottom), height - (box.y0 - bottom)]
        (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
        scales = [int(axis.get_scale() == "log") for axis in (axes.xaxis, axes.yaxis)]
        limits = [float(f"{one:.{_DIGITS}g}") for one in (x0, x1, y1, y0)]
        found.append([*(round(one, 1) for one in places), *limits, *scales, _name_of_x(axes)])
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")) if found else ""


def _name_of_x(axes: Axes) -> str:
    """Of panels above each other that of the lowest."""
    names = [one.get_xlabel() for one in axes.get_shared_x_axes().get_siblings(axes) if one.get_xlabel()]
    name = axes.get_xlabel() or (names[0] if names else "x")
    return name if "$" not in name else "x"
