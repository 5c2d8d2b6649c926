"""Elements of matplotlib's SVG files in a fraction of the letters: for pages with dozens of figures.

What is seen stays the same: places are rounded to a tenth of a point, lines lose points that are nearer than that to
what is drawn without them, and marks of one look are one path or one group.
"""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html import escape, unescape
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
#: Per point: places are kept in tenths of it.
_UNITS = 10
#: In tenths of a point: how far a line may lie from where it was, less than half a pixel.
_TOLERANCE = 3.0
#: The same for pale bands, which have no sharp edges; and what their places are multiples of.
_TOLERANCE_OF_BANDS, _GRAIN_OF_BANDS = 5.0, 5
#: Lines of more points lose those that are not needed.
_FEWEST_SIMPLIFIED = 8
#: In points: bands that are nowhere wider are left out, as lines are wider.
_THIN = 1.0
#: Letters of a mark that is cheaper to name than to repeat.
_LONGEST_REPEATED = 40
_COMMAND = re.compile(r"([MLQCSTHVAz])([^MLQCSTHVAz]*)")
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")
_STYLE = re.compile(r' style="([^"]*)"')
_URL = re.compile(r"url\(#[^)]*\)")
_DECIMALS = re.compile(r"-?\d+\.\d+")
#: Ids of groups that `mark_series` gives.
_SERIES = re.compile(r"series-(\d+)-([a-z])")
#: Bézier curves of a circle as matplotlib draws it.
_CURVES_OF_CIRCLE = 8


class _Node(NamedTuple):
    """An element to be written: its parts as text, what decides on its look, and for marks the place."""

    text: str
    #: Clip path and style that it may share with its neighbours; both are not in the text.
    clip: str = ""
    style: str = ""
    mark: str = ""


def compact_svg(body: str, prefix: str) -> str:
    """The content of an SVG element of matplotlib with far fewer letters.

    Parameters
    ----------
    body : str
        What is inside ``<svg …>…</svg>``, without the end; XML.
    prefix : str
        Of all ids in the answer.
    """
    root = ET.fromstring(  # noqa: S314 - matplotlib wrote it
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{body}</svg>'
    )
    writer = _Writer(root, prefix)
    return "\n".join(_gathered(writer.nodes(root, "")))


class _Writer:
    """Turns elements into nodes; ids that nothing refers to are dropped."""

    def __init__(self, root: ET.Element, prefix: str) -> None:
        self._defined = {name: one for one in root.iter() if (name := one.get("id")) is not None}
        self._prefix = prefix
        self._ids: dict[str, str] = {}
        self._written: set[str] = set()

    def nodes(self, element: ET.Element, clip: str) -> Iterator[_Node]:
        """The children of an element, groups without a look of their own dissolved."""
        for child in element:
            tag = child.tag.removeprefix(_SVG)
            own_clip = self._reference(child.get("clip-path", "")) or clip
            if tag == "defs":
                yield from self._definitions(child)
            elif (
                tag == "g"
                and not _SERIES.fullmatch(child.get("id", ""))
                and not ({*child.keys()} - {"id", "clip-path"})
            ):
                yield from self.nodes(child, own_clip)
            elif tag == "g" and (series := _SERIES.fullmatch(child.get("id", ""))):
                inner = "".join(_gathered(self.nodes(child, own_clip)))
                if inner:
                    yield _Node(f'<g data-s="{series[1]}{series[2]}">{inner}</g>')
            elif tag == "use":
                yield self._mark(child, own_clip)
            elif tag == "path":
                yield from self._path(child, own_clip)
            else:
                yield _Node(self._whole(child), own_clip)

    def _reference(self, value: str) -> str:
        """A reference to an id of the page, as ``url(#a)`` or ``#a``; empty for none."""
        if "#" not in value:
            return ""
        before, _, name = value.partition("#")
        name = name.rstrip(")")
        short = self._ids.setdefault(name, f"{self._prefix}-{len(self._ids)}")
        return f"{before}#{short}{')' if before else ''}"

    def _look(self, style: str) -> str:
        """A style with the ids of the page."""
        return _URL.sub(lambda match: self._reference(match[0]), _style(style))

    def _definitions(self, element: ET.Element) -> Iterator[_Node]:
        """Clip paths and patterns; marks are written where they are first used."""
        for child in element:
            if child.tag != f"{_SVG}path" and child.get("id"):
                yield _Node(f"<defs>{self._whole(child)}</defs>")

    def _path(self, element: ET.Element, clip: str) -> Iterator[_Node]:
        style = self._look(element.get("style", ""))
        is_pale = style.startswith("fill:#") and "opacity" in style and "stroke:" not in style
        path = short_path(element.get("d", ""), grain=_GRAIN_OF_BANDS if is_pale else 1)
        if not path or style == "fill:none" or _is_thin(element.get("d", ""), style):
            return
        is_stroke = style.startswith("fill:none") and "opacity" not in style and "url" not in style
        if is_stroke and len(path) < _LONGEST_REPEATED:  # of error bars
            yield _Node(path, clip, style, "marks")
            return
        yield _Node(f'<path d="{path}"', clip, style, "path")

    def _mark(self, element: ET.Element, clip: str) -> _Node:
        """A mark: of simple ones the path where it stands, of others a reference."""
        name = (element.get(f"{_XLINK}href") or element.get("href") or "").removeprefix("#")
        definition = self._defined[name]
        style = self._look(_merged_style(definition.get("style", ""), element.get("style", "")))
        x, y = (round(_UNITS * float(element.get(key, "0"))) for key in ("x", "y"))
        path = definition.get("d", "")
        radius = _radius_of_circle(path)
        if radius and (round_style := _as_dot(style, radius)):
            return _Node(f"M{_text(x)} {_text(y)}h0", clip, round_style, "marks")
        own = short_path(path, (x, y))
        if len(own) < _LONGEST_REPEATED:
            return _Node(own, clip, style, "marks")
        first = ""
        short = self._reference(f"#{name}")
        if name not in self._written:
            self._written.add(name)
            first = f'<defs><path id="{short[1:]}" d="{short_path(path)}"/></defs>'
        return _Node(f'{first}<use href="{short}" x="{_text(x)}" y="{_text(y)}"', clip, style, "use")

    def _whole(self, element: ET.Element) -> str:
        """An element with all that is in it, as it is but for rounded places."""
        tag = element.tag.removeprefix(_SVG)
        parts = [tag]
        for key, value in element.items():
            name = key.removeprefix(_XLINK)
            if name == "id":
                if value not in self._ids and tag not in ("clipPath", "pattern", "linearGradient"):
                    continue
                value = self._reference(f"#{value}")[1:]
            elif name == "clip-path":
                continue
            elif name == "href" and value.startswith("#"):
                value = self._reference(value)
            elif name == "href":
                value = smaller_image(value)
            elif name == "lengthAdjust":
                continue
            elif name == "style":
                value = self._look(value)
            elif name == "d":
                value = short_path(value)
            elif name != "href":
                value = _DECIMALS.sub(lambda match: _rounded(match[0]), value)
            if value:
                parts.append(f'{name}="{escape(value)}"')
        inner = escape((element.text or "").strip(), quote=False)
        for child in _joined_letters(element) if tag == "text" else element:
            inner += self._whole(child) + escape((child.tail or "").strip(), quote=False)
        return f"<{' '.join(parts)}>{inner}</{tag}>" if inner else f"<{' '.join(parts)}/>"


def _joined_letters(text: ET.Element) -> Iterator[ET.Element]:
    """The parts of a formula: letters that follow each other on a line in one font are one part with many places."""
    for (style, y), letters in groupby(text, key=lambda part: (part.get("style"), part.get("y"))):
        parts = [part for part in letters if (part.text or "").strip()]
        if not all(len((part.text or "").strip()) == 1 and " " not in part.get("x", " ") for part in parts):
            yield from parts
            continue
        if parts:
            joined = ET.Element(f"{_SVG}tspan", {"x": " ".join(part.get("x", "0") for part in parts)})
            joined.attrib |= {key: value for key, value in (("y", y), ("style", style)) if value}
            joined.text = "".join((part.text or "").strip() for part in parts)
            yield joined


def smaller_image(address: str) -> str:
    """An image in an address (``data:image/png;base64,…``) with a palette, where it has few colours."""
    head, _, data = address.partition(";base64,")
    if head != "data:image/png":
        return address
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    colours, places = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    written = io.BytesIO()
    if len(colours) <= 256:
        small = Image.fromarray(places.reshape(pixels.shape[:2]).astype(np.uint8))
        small.putpalette(colours[:, :3].astype(np.uint8).tobytes())
        clear = {} if (colours[:, 3] == 255).all() else {"transparency": colours[:, 3].astype(np.uint8).tobytes()}
        small.save(written, "png", optimize=True, **clear)
    else:
        Image.fromarray(pixels).save(written, "png", optimize=True)
    short = f"{head};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
    return min(short, address, key=len)


def _is_thin(path: str, style: str) -> bool:
    """Whether a pale band is nowhere wider than the line that it is drawn around."""
    if not style.startswith("fill:#") or "opacity" not in style or "stroke:" in style or path.count("z") > 1:
        return False
    points = np.array([float(one) for one in _NUMBER.findall(path)]).reshape(-1, 2)
    if "C" in path or "Q" in path or len(points) < _FEWEST_SIMPLIFIED:
        return False
    there, back = np.array_split(points, 2)
    starts, steps = back[:-1], np.diff(back, axis=0)
    offsets = there[:, np.newaxis] - starts
    lengths = np.maximum((steps**2).sum(axis=1), 1e-12)
    shares = np.clip((offsets * steps).sum(axis=2) / lengths, 0, 1)
    distances = np.hypot(*np.moveaxis(offsets - shares[..., np.newaxis] * steps, 2, 0)).min(axis=1)
    return bool(distances.max() < _THIN)


def _gathered(nodes: Iterator[_Node]) -> Iterator[str]:
    """Neighbours with the same clip path in one group, and marks of the same look in one path."""
    for clip, of_clip in groupby(nodes, key=lambda node: node.clip):
        lines = list(_lines(of_clip))
        if clip and len(lines) == 1 and lines[0].startswith(("<path", "<use")):
            first = lines[0].index(" ")
            yield f'{lines[0][:first]} clip-path="{clip}"{lines[0][first:]}'
        elif clip:
            yield f'<g clip-path="{clip}">{"".join(lines)}</g>'
        else:
            yield from lines


def _lines(nodes: Iterator[_Node]) -> Iterator[str]:
    for (mark, style), same in groupby(nodes, key=lambda node: (node.mark, node.style)):
        texts = [node.text for node in same]
        look = f' style="{escape(style)}"' if style else ""
        if mark == "marks":
            yield f'<path d="{"".join(texts)}"{look}/>'
        elif mark == "use" and len(texts) > 1:
            yield f"<g{look}>{''.join(f'{text}/>' for text in texts)}</g>"
        elif mark:
            yield from (f"{text}{look}/>" for text in texts)
        else:
            yield from texts


def shared_styles(elements: Sequence[str]) -> tuple[str, list[str]]:
    """Rules of CSS in place of the styles of elements that stand on one page, and the elements with their classes.

    Examples
    --------
    >>> shared_styles(['<svg><path style="fill:none"/></svg>', '<svg><path style="fill:none"/></svg>'])
    ('._0{fill:none}', ['<svg><path class="_0"/></svg>', '<svg><path class="_0"/></svg>'])
    """
    numbers = Counter(style for element in elements for style in _STYLE.findall(element))
    names = {style: f"_{_short(place)}" for place, (style, number) in enumerate(numbers.most_common()) if number > 1}
    rules = "\n".join(f".{name}{{{unescape(style)}}}" for style, name in names.items())

    def named(match: re.Match[str]) -> str:
        return f' class="{names[match[1]]}"' if match[1] in names else match[0]

    return rules, [_STYLE.sub(named, element) for element in elements]


def _short(number: int) -> str:
    """A number in base 36."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return (_short(number // 36) if number >= 36 else "") + digits[number % 36]


def _style(style: str) -> str:
    """Without spaces and what all figures of a page have."""
    parts = [":".join(part.strip() for part in one.split(":", 1)) for one in style.split(";") if one.strip()]
    return ";".join(_DECIMALS.sub(lambda match: _rounded(match[0], 2), part) for part in parts)


def _merged_style(first: str, second: str) -> str:
    """Of what is defined and of where it is used; the definition decides."""
    both = dict(part.split(":", 1) for style in (second, first) for part in _style(style).split(";") if part)
    return ";".join(f"{key}:{value}" for key, value in both.items())


def _as_dot(style: str, radius: float) -> str:
    """The style of a line of no length that looks as a circle; empty where it would not."""
    look = dict(part.split(":", 1) for part in style.split(";") if part)
    fill, stroke = look.pop("fill", "currentColor"), look.pop("stroke", "none")
    width = float(look.pop("stroke-width", "1"))
    opacity = look.pop("fill-opacity", look.get("stroke-opacity", "1"))
    if fill == "none" or stroke not in (fill, "none") or look.pop("stroke-opacity", opacity) != opacity:
        return ""
    if set(look) - {"opacity", "stroke-linejoin"}:
        return ""
    look.pop("stroke-linejoin", None)
    width = 2 * radius + (0 if stroke == "none" else width)
    dot = {"stroke": fill, "stroke-width": f"{width:.1f}", "stroke-linecap": "round"}
    if opacity != "1":
        dot["stroke-opacity"] = opacity
    return ";".join(f"{key}:{value}" for key, value in {**look, **dot}.items())


def _radius_of_circle(path: str) -> float:
    """In points; 0 for what is no circle around its place."""
    if path.count("C") != _CURVES_OF_CIRCLE or "L" in path or "Q" in path:
        return 0.0
    numbers = np.array([float(one) for one in _NUMBER.findall(path)]).reshape(-1, 2)
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    if np.abs(low + high).max() > 0.05 or abs(high[0] - high[1]) > 0.05:
        return 0.0
    return float(high[0])


def short_path(path: str, place: tuple[int, int] = (0, 0), grain: int = 1) -> str:
    """A path in steps of tenths of a point; lines without the points that are not needed.

    Parameters
    ----------
    path : str
        With capital commands only, as matplotlib writes it.
    place : tuple of int
        In tenths of a point; what the path is moved by.
    grain : int, default: 1
        In tenths of a point; places are multiples of it.

    Examples
    --------
    >>> short_path("M 0 0 L 10 0 L 20 0.01 L 20 7.25 z"), short_path("M 0 0 L 0 3.5", (100, 200))
    ('M0 0h10h10v7.2z', 'M10 20v3.5')
    """
    tolerance = _TOLERANCE if grain == 1 else _TOLERANCE_OF_BANDS
    written: list[str] = []
    points: list[tuple[int, int]] = []
    at = (0, 0)
    for command, rest in _COMMAND.findall(path):
        if command == "z":
            at = _write_line(written, points, at, tolerance)
            points = []
            written.append("z")
            continue
        numbers = [float(one) for one in _NUMBER.findall(rest)]
        pairs = [
            (
                round(_UNITS * numbers[i] / grain) * grain + place[0],
                round(_UNITS * numbers[i + 1] / grain) * grain + place[1],
            )
            for i in range(0, len(numbers) - 1, 2)
        ]
        if command == "L":
            points += pairs
            continue
        at = _write_line(written, points, at, tolerance)
        points = []
        if command == "M":
            written.append(f"M{_text(pairs[0][0])} {_text(pairs[0][1])}")
            at = pairs[0]
            points = pairs[1:]
        elif command in "QC":
            steps = [number for x, y in pairs for number in (x - at[0], y - at[1])]
            written.append(command.lower() + _joined(steps))
            at = pairs[-1]
        else:
            raise ValueError(f"a path with the command {command}")
    _write_line(written, points, at, tolerance)
    return "".join(written)


def _write_line(
    written: list[str], points: Sequence[tuple[int, int]], at: tuple[int, int], tolerance: float
) -> tuple[int, int]:
    """Append the steps of a line from a point; where it ends."""
    if not points:
        return at
    kept = _needed(np.array([at, *points]), tolerance)
    steps = np.diff(kept, axis=0)
    letter = ""
    for dx, dy in steps.tolist():
        if dy == 0:
            written.append(f"h{_text(dx)}")
            letter = "h"
        elif dx == 0:
            written.append(f"v{_text(dy)}")
            letter = "v"
        else:
            text = _joined([dx, dy])
            written.append(text if letter == "l" and text[0] == "-" else (" " if letter == "l" else "l") + text)
            letter = "l"
    return int(kept[-1][0]), int(kept[-1][1])


def _needed(points: NDArray[np.int64], tolerance: float) -> NDArray[np.int64]:
    """Points of a line without those that nobody misses: repeated ones, and by the method of Douglas and Peucker."""
    moved = np.any(np.diff(points, axis=0) != 0, axis=1)
    points = points[np.concatenate([[True], moved])]
    if len(points) < _FEWEST_SIMPLIFIED:
        return points
    keep = np.zeros(len(points), dtype=bool)
    keep[[0, -1]] = True
    parts = [(0, len(points) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        between = points[first + 1 : last]
        along = points[last] - points[first]
        length = math.hypot(*along)
        offsets = between - points[first]
        if length > 0:
            share = np.clip(offsets @ along / length**2, 0, 1)
            offsets = offsets - share[:, np.newaxis] * along
        distances = np.hypot(offsets[:, 0], offsets[:, 1])
        farthest = int(distances.argmax())
        if distances[farthest] > tolerance:
            middle = first + 1 + farthest
            keep[middle] = True
            parts += [(first, middle), (middle, last)]
    return points[keep]


def _joined(numbers: Sequence[int]) -> str:
    """Numbers with a space where one is needed."""
    text = ""
    for number in numbers:
        one = _text(number)
        text += one if not text or one[0] == "-" else f" {one}"
    return text


def _text(tenths: int) -> str:
    """Tenths of a point as points: 7.2, .5, -3."""
    whole, tenth = divmod(abs(tenths), _UNITS)
    sign = "-" if tenths < 0 else ""
    return f"{sign}{whole or ('' if tenth else 0)}" + (f".{tenth}" if tenth else "")


def _rounded(number: str, decimals: int = 1) -> str:
    text = f"{float(number):.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
