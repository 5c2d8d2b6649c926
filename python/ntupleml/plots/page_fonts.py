"""The fonts of figures for a page that is read where they are not installed: subsets of the letters that are used."""

from __future__ import annotations

import base64
import io
import logging
import re
from html import unescape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXT = re.compile(r"<(?:text|tspan)[^>]*>([^<]+)")
_FONT = re.compile(r"font(?:-family)?:([^\";]*)")
_FAMILY = re.compile(r"'([^']+)'")


def font_faces(elements: Sequence[str]) -> str:
    """Rules of CSS that hold the fonts of SVG elements, with the letters of their texts alone.

    Parameters
    ----------
    elements : sequence of str
        SVG elements of matplotlib, as `inline_svg` gives them.

    Returns
    -------
    str
        A rule ``@font-face`` with the font in it (WOFF) for each family, weight and slope that matplotlib knows. What
        it does not know is left to the browser.
    """
    letters: set[str] = set()
    families: set[str] = set()
    for element in elements:
        letters.update(*map(unescape, _TEXT.findall(element)))
        for style in set(_FONT.findall(unescape(element))):
            families.update(_FAMILY.findall(style)[:1])
    looks = [("normal", "normal"), ("normal", "bold"), ("italic", "normal"), ("italic", "bold")]
    used = "".join(elements)
    shown = [
        (slope, weight)
        for slope, weight in looks
        if (weight == "normal" or "bold" in used) and (slope == "normal" or "italic" in used or "oblique" in used)
    ]
    found: dict[str, str] = {}
    for family in sorted(families):
        for slope, weight in shown:
            path = _file_of(family, slope, weight)
            if path and path not in found:  # a family without a slope of its own gives the upright one
                found[path] = _face(family, slope, weight, _subset(path, letters))
    return "\n".join(found.values())


def _face(family: str, slope: str, weight: str, font: bytes) -> str:
    data = base64.b64encode(font).decode("ascii")
    return (
        f"@font-face{{font-family:'{family}';font-style:{slope};font-weight:{weight};"
        f"src:url(data:font/woff;base64,{data})}}"
    )


def _file_of(family: str, slope: Any, weight: str) -> str:
    """Path of a font; empty where matplotlib has none of this name."""
    from matplotlib.font_manager import FontProperties, findfont

    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        return str(findfont(FontProperties(family=family, style=slope, weight=weight), fallback_to_default=False))
    except ValueError:
        return ""
    finally:
        log.setLevel(level)


def _subset(path: str, letters: set[str]) -> bytes:
    """A font with these letters alone, as WOFF."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    options = subset.Options(
        flavor="woff",
        layout_features=["kern"],
        hinting=False,
        notdef_outline=True,
        name_IDs=[1, 2],
        desubroutinize=True,
    )
    options.drop_tables += ["FFTM", "GDEF", "MATH"]
    with TTFont(path, lazy=True, recalcTimestamp=False) as font:
        chosen = subset.Subsetter(options)
        chosen.populate(text="".join(sorted(letters)))
        chosen.subset(font)
        font.flavor = "woff"
        written = io.BytesIO()
        font.save(written)
    return written.getvalue()
