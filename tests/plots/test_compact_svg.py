"""Elements of matplotlib with fewer letters show the same: every point of a line stays, but for 0.3 points."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from ntupleml.plots.compact_svg import compact_svg, shared_styles, short_path, smaller_image

_STEP = re.compile(r"([MlhvzL])([^MlhvzL]*)")
_NUMBER = re.compile(r"-?\d*\.?\d+")


def _points(path: str) -> list[tuple[float, float]]:
    """Corners of a path with relative steps."""
    found: list[tuple[float, float]] = []
    x = y = 0.0
    for command, rest in _STEP.findall(path):
        numbers = [float(one) for one in _NUMBER.findall(rest)]
        if command == "M":
            x, y = numbers
            found.append((x, y))
        elif command == "h":
            x += numbers[0]
            found.append((x, y))
        elif command == "v":
            y += numbers[0]
            found.append((x, y))
        else:
            for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
                x, y = x + dx, y + dy
                found.append((x, y))
    return found


def _body(figure: Figure) -> str:
    """What is inside the SVG element of a figure."""
    written = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(written, format="svg")
    text = written.getvalue()
    inside = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    return re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", inside, flags=re.DOTALL)


def _distance(point: np.ndarray, line: np.ndarray) -> float:
    """Of a point from the nearest segment of a line."""
    starts, steps = line[:-1], np.diff(line, axis=0)
    lengths = np.maximum((steps**2).sum(axis=1), 1e-12)
    shares = np.clip(((point - starts) * steps).sum(axis=1) / lengths, 0, 1)
    return float(np.hypot(*(point - starts - shares[:, None] * steps).T).min())


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 900), st.floats(-50, 900)), min_size=2, max_size=60))
def test_lines_go_where_they_went(points: list[tuple[float, float]]) -> None:
    path = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in points)
    line = np.array(_points(short_path(path)))
    before = np.array(points)
    if len(line) == 1:  # all points are the same
        assert np.abs(before - line).max() < 0.06
        return
    assert max(_distance(point, line) for point in before) < 0.38  # 0.3 points, and rounding
    np.testing.assert_allclose(line[[0, -1]], before[[0, -1]], atol=0.051)


def test_a_curve_of_many_points_needs_few() -> None:
    x = np.linspace(0, 400, 400)
    path = "M " + " L ".join(f"{one:.3f} {300 * (one / 400) ** 2:.3f}" for one in x)
    assert len(_points(short_path(path))) < 40


def test_marks_of_one_look_are_one_path() -> None:
    figure = Figure()
    axes = figure.add_subplot()
    axes.plot(np.arange(50), np.arange(50) ** 2, "o", color="#123456")
    axes.errorbar(np.arange(50), np.arange(50), 0.5, fmt="s", color="#654321")
    axes.bar([10], [500], fill=False, hatch="//")
    written = io.StringIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(written, format="svg")
    text = written.getvalue()
    body = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>",
        "",
        text[text.index(">", text.index("<svg")) + 1 :],
        flags=re.DOTALL,
    )
    short = compact_svg(body.rpartition("</svg>")[0], "p")
    assert len(short) < len(body) / 3
    root = ET.fromstring(f"<svg>{short}</svg>")
    dots = [
        one for one in root.iter("path") if "#123456" in (one.get("style") or "") and one.get("d", "").count("h0") > 1
    ]
    assert [one.get("d", "").count("M") for one in dots] == [50]
    assert "stroke-linecap:round" in (dots[0].get("style") or "")
    assert all((one.get("id") or "p-").startswith("p-") for one in root.iter())
    references = set(re.findall(r"#(p-\d+)", short))
    assert "url(#p-" in short
    assert references == {one.get("id") for one in root.iter() if one.get("id")}


def test_styles_that_come_once_stay() -> None:
    rules, elements = shared_styles(['<p style="fill:#1"/><p style="fill:#2"/>', '<p style="fill:#2"/>'])
    assert rules == "._0{fill:#2}"
    assert elements == ['<p style="fill:#1"/><p class="_0"/>', '<p class="_0"/>']


def test_images_are_clipped_where_they_stand() -> None:
    """They are upside down by a transform, in which a clip path of their own would be, too."""
    figure = Figure()
    figure.add_subplot().imshow(np.arange(9.0).reshape(3, 3))
    body = _body(figure)
    root = ET.fromstring(f"<svg>{compact_svg(body, 'p')}</svg>")
    (image,) = root.iter("image")
    assert image.get("clip-path") is None
    assert [one.get("clip-path") for one in root.iter("g") if image in list(one)] == ["url(#p-0)"]
    palette = smaller_image(image.get("href", ""))
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))).convert("RGBA")) for one in
              (image.get("href", ""), palette)]  # fmt: skip
    np.testing.assert_array_equal(*pixels)
