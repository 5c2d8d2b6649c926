"""What a page is made of, and the page as one HTML file through Jinja's template."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from ntupleml.metrics import Interval, Measurement, Undefined
from ntupleml.plots.cells import cell_text
from ntupleml.plots.compact_svg import shared_styles
from ntupleml.plots.page_fonts import font_faces
from ntupleml.plots.pictures import Link, Marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.metrics import Verdict
    from ntupleml.plots.pictures import Cell, Picture, Table
    from ntupleml.testing.steps import Group

#: Rows of a table that are shown; longer ones are folded up.
_ROWS_SHOWN = 12
#: What needs no other number beside it to be copied and sorted.
_PLAIN_NUMBER = re.compile(r"\d+(\.\d+)?")
#: Pixels; wider figures take the whole width of the page.
_WIDE_FIGURE = 780


class Section(NamedTuple):
    """A section of the page."""

    #: Letters and hyphens, for links.
    anchor: str
    title: str
    #: What is shown, of which events, and how it is read.
    introduction: str
    groups: tuple[Group, ...] = ()
    #: What it means, by the name of the method or of whatever is judged.
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    #: So many of the first groups stand beside each other where there is room: the first one, and the others.
    first_screen: int = 0


class Page(NamedTuple):
    """The whole report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    footer: str


def now() -> str:
    """When a page is made."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def page_of(title: str, subtitle: str, sections: Sequence[Section], created: str) -> Page:
    """A page with the footer that all have."""
    footer = f"Made by ntupleml on {created}. This file needs no other one and no network."
    return Page(title, f"{subtitle}; {created}", tuple(sections), footer)


class Drawn(NamedTuple):
    """A picture that has been drawn: its SVG element, and its files relative to the page."""

    svg: str
    files: tuple[str, ...] = ()


def render(page: Page, drawn: dict[tuple[str, int, int], Drawn]) -> str:
    """Write a page as HTML.

    Parameters
    ----------
    drawn : dict
        The pictures of the page, by the anchor of their section and their numbers of group and picture in it.

    Returns
    -------
    str
        A page that requests nothing: styles, figures and the script are inside, and a Content-Security-Policy forbids
        everything else. All text is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ntupleml.reports", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    script = _file("page.js")
    rules, elements = shared_styles([one.svg for one in drawn.values()])
    fonts = font_faces([one.svg for one in drawn.values()])
    drawn = {key: one._replace(svg=svg) for (key, one), svg in zip(drawn.items(), elements, strict=True)}
    environment.globals.update(
        cell=_cell,
        rows_shown=_ROWS_SHOWN,
        signs=SIGNS,
        markup=Markup,
        is_wide=_is_wide,
        numeric=_numeric,
        quoted=_quoted,
    )
    return environment.get_template("page.html.j2").render(
        page=page,
        drawn=drawn,
        style=Markup("\n".join((_file("page.css"), rules, fonts))),  # noqa: S704 - a file of the package
        script=Markup(script),  # noqa: S704 - a file of the package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


#: Sign and word of a verdict: neither needs colours.
SIGNS = {"good": ("✓", "fine"), "attention": ("▲", "look at this"), "unknown": ("?", "cannot be told")}


def _file(name: str) -> str:
    return resources.files("ntupleml.reports").joinpath(name).read_text(encoding="utf-8").strip()


def _cell(cell: Cell) -> dict[str, Any]:
    """Text of a cell, its number in full precision for copying, and its class."""
    if isinstance(cell, Marked):
        return _cell(cell.value) | {"kind": "number best"}
    text = cell_text(cell)
    if isinstance(cell, Link):
        return {"text": text, "value": None, "uncertainty": None, "kind": "text", "address": cell.address}
    if isinstance(cell, Measurement):
        return {
            "text": text,
            "value": _precise(cell.value, cell.uncertainty),
            "uncertainty": f"{cell.uncertainty:.5g}",
            "kind": "number",
        }
    if isinstance(cell, Interval):
        sides = f"-{_precise(cell.down)} +{_precise(cell.up)}"
        return {"text": text, "value": _precise(cell.value), "uncertainty": sides, "kind": "number"}
    if isinstance(cell, Undefined):
        return {"text": text, "value": None, "uncertainty": None, "kind": "undefined"}
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        value = None if _PLAIN_NUMBER.fullmatch(text) else str(cell) if isinstance(cell, int) else _precise(cell)
        return {"text": text, "value": value, "uncertainty": None, "kind": "number"}
    return {"text": text, "value": None, "uncertainty": None, "kind": "text"}


def _quoted(number: str) -> str:
    """The value of an attribute; quotation marks are left out where they are not needed."""
    return Markup(f'"{number}"') if " " in number else number  # noqa: S704 - digits and signs


def _precise(number: float, uncertainty: float = 0.0) -> str:
    """Three digits more than those of the uncertainty that are shown, else seven; the files have all.

    Examples
    --------
    >>> _precise(0.81234567891, 0.00123456789), _precise(0.123456789)
    ('0.8123457', '0.1234568')
    """
    if not (math.isfinite(number) and math.isfinite(uncertainty) and uncertainty > 0):
        return f"{number:.7g}"
    decimals = 4 - math.floor(math.log10(uncertainty))
    largest = math.floor(math.log10(abs(number))) if number else 0
    return f"{number:.{max(decimals + largest + 1, 1)}g}"


def _numeric(table: Table) -> list[bool]:
    """Whether a column has nothing but numbers, and what stands where there is none."""
    return [
        any(not isinstance(row[column], str) for row in table.rows)
        and all(not isinstance(row[column], str) or row[column] in ("", "–") for row in table.rows)
        for column in range(len(table.header))
    ]


def _is_wide(svg: str) -> bool:
    head = svg[: svg.index(">")]
    return float(head.split(' width="')[1].split('"')[0]) > _WIDE_FIGURE


def pictures_of(section: Section) -> Sequence[tuple[int, int, Group, Picture]]:
    """All pictures of a section: numbers of group and picture, the group and the picture."""
    return [
        (index, number, group, picture)
        for index, group in enumerate(section.groups)
        for number, picture in enumerate(group.pictures)
    ]
