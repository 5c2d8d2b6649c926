"""A figure as an SVG element for a page: its text stays text, and it follows the page's light or dark look."""

from __future__ import annotations

import io
import re
from html import escape, unescape
from typing import TYPE_CHECKING, Any

from ntupleml.atomic import replace_file
from ntupleml.plots.compact_svg import compact_svg

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import BboxBase

#: Parameters of matplotlib while it writes.
_PARAMETERS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ntupleml",
    "path.simplify": True,
    "path.simplify_threshold": 0.3,
}
#: Black and white that must not follow the page, e.g. numbers on coloured cells; the eye sees no difference.
_FIXED = {"#000000": "#010101", "#ffffff": "#fefefe"}
#: Of a page, in a point.
_PIXELS = 4 / 3
#: Stands for the colour of the page while matplotlib writes.
_PAPER = "#fcfdfe"
_OPACITY_OF_LEGENDS = 0.85
#: Collections of matplotlib that are matrices of coloured cells.
_CELLS = {"QuadMesh", "PolyQuadMesh"}
#: What an inline element must not have: the file's head, metadata, style rules for the whole page, comments.
_NOT_INLINE = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
#: A text in one font, without formulas.
_TEXT = re.compile(r'<text style="([^"]*)"([^>]*)>([^<]+)</text>')
_FONT_SIZE = re.compile(r"([\d.]+)px")
#: Shorter ones hardly differ from font to font, should the page's own not be read.
_SHORTEST_WITH_LENGTH = 12
_BLACK = re.compile(r"(fill|stroke): #000000")
_TURN_BY_NOTHING = re.compile(r' transform="rotate\(-?0 [^"]*\)"')
_HEAD = re.compile(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"[^>]*>')
#: What a browser takes where a font of the figure is not installed; of much the same width.
_FALLBACK_FONTS = {"DejaVu Sans": "'DejaVu Sans', Verdana, sans-serif"}
_FONT_FAMILY = re.compile(r"font-family: ([^;\"]+)")
_FONT_SHORTHAND = re.compile(r"(font: [^;\"]*?)('[^;\"]+)")


def svg_document(figure: Figure, box: BboxBase) -> str:
    """Write a figure as an SVG file, with the page's colours in place of its own; see `inline_svg` and `write_svg`.

    Call it inside the block of `plot_style` that the figure was made in, after `prepare_for_pages`.

    Parameters
    ----------
    box : matplotlib.transforms.BboxBase
        That of `visible_box`.
    """
    import matplotlib as mpl

    written = io.StringIO()
    with mpl.rc_context(_PARAMETERS):
        figure.savefig(
            written, format="svg", bbox_inches=box, facecolor="none", edgecolor="none", metadata={"Date": None}
        )
    return written.getvalue()


def write_svg(document: str, path: Path, *, overwrite: bool = False) -> Path:
    """Write what `svg_document` gives as a file of its own: black on white, without a background."""
    with replace_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(document.replace(_PAPER, "#ffffff"), encoding="utf-8")
    return path


def prepare_for_pages(figure: Figure) -> None:
    """Take white backgrounds away, and give what must keep its colour another black and white.

    On a white figure nobody sees the difference.
    """
    from matplotlib.colors import to_hex
    from matplotlib.legend import Legend

    for axes in figure.axes:
        if to_hex(axes.get_facecolor()) == "#ffffff":
            axes.patch.set_visible(False)
        for text in axes.texts:
            _keep_colour_on_cells(text, axes)
        for legend in (axes.get_legend(), *axes.artists):  # findobj would make ticks that are never shown
            if isinstance(legend, Legend):
                _put_on_paper(legend)
    for legend in figure.legends:
        _put_on_paper(legend)


def _put_on_paper(legend: Legend) -> None:
    """Nearly hide what is below a legend, so that no line goes through its text."""
    if not legend.get_frame_on():
        legend.set_frame_on(True)
        legend.get_frame().set_edgecolor("none")
        legend.get_frame().set_linewidth(0)
        legend.get_frame().set_alpha(_OPACITY_OF_LEGENDS)
        legend.get_frame().set_boxstyle("square", pad=0)  # type: ignore[attr-defined]  # a FancyBboxPatch
    legend.get_frame().set_facecolor(_PAPER)


def _keep_colour_on_cells(text: Text, axes: Axes) -> None:
    """Numbers on the cells of a matrix are black or white because of the cell, not of the page."""
    from matplotlib.colors import to_hex

    has_cells = bool(axes.images) or any(type(one).__name__ in _CELLS for one in axes.collections)
    colour = to_hex(text.get_color())
    if has_cells and text.get_transform() == axes.transData and colour in _FIXED:
        text.set_color(_FIXED[colour])


def inline_svg(document: str, prefix: str, title: str, panels: str = "") -> str:
    """Turn an SVG file of matplotlib into an element that can stand in a page beside others.

    Black becomes the colour of the page's text (`currentColor`) and the background is left out, so that the figure
    can be read on light and dark pages; texts upon images and coloured cells keep their colours.

    Parameters
    ----------
    document : str
        What `svg_document` gives.
    prefix : str
        Of all ids, unique on the page: letters, digits and hyphens.
    title : str
        What the figure shows, for those who cannot see it.
    panels : str, optional
        Of `panels_of`, for the script of the page.

    Returns
    -------
    str
        ``<svg …>…</svg>``. The page must define the colour ``--paper`` for what hides things below, e.g. legends.
    """
    head = _HEAD.search(document)
    if head is None:
        raise ValueError("not an SVG file of matplotlib")
    width, height = float(head[1]), float(head[2])
    body = _NOT_INLINE.sub("", document[head.end() :])
    body = _TURN_BY_NOTHING.sub("", body)
    body = _TEXT.sub(_with_length, body)
    body = _FONT_FAMILY.sub(lambda match: f"font-family: {_with_fallback(match[1])}", body)
    body = _FONT_SHORTHAND.sub(lambda match: f"{match[1]}{_with_fallback(match[2])}", body)
    body = _BLACK.sub(r"\1: currentColor", body).replace(_PAPER, "var(--paper)")
    values = f' data-panels="{escape(panels)}"' if panels else ""
    content = compact_svg(body.rpartition("</svg>")[0], prefix)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * _PIXELS:.0f}" height="{height * _PIXELS:.0f}" role="img" '
        f'aria-labelledby="{prefix}-title"{values}>\n'
        f'<title id="{prefix}-title">{_escaped(_first_sentence(title))}</title>\n'
        f"{content}\n</svg>"
    )


def _with_length(match: re.Match[str]) -> str:
    """A text that is as long as it was measured, also in a browser that lacks its font: else it would be cut."""
    from matplotlib.font_manager import FontProperties

    from ntupleml.plots.recording import text_width

    style, text = match[1], unescape(match[3]).strip()
    size = _FONT_SIZE.search(style)
    if size is None or len(text) < _SHORTEST_WITH_LENGTH:
        return match[0]
    font = FontProperties(
        size=float(size[1]),
        weight="bold" if "bold" in style else "normal",
        style="italic" if "italic" in style else "normal",
    )
    length = f'textLength="{text_width(text, font):.1f}"'
    return f'<text {length} style="{style}"{match[2]}>{match[3]}</text>'


def _with_fallback(family: str) -> str:
    first = family.split(",")[0].strip().strip("'")
    if first in _FALLBACK_FONTS:
        return _FALLBACK_FONTS[first]
    return family if family.rstrip().endswith("sans-serif") else f"{family}, Helvetica, Arial, sans-serif"


def _first_sentence(text: str) -> str:
    """The caption of a figure says the rest."""
    return text.split(". ")[0].split(": ")[0]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
