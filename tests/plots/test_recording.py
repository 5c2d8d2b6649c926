"""Figures that are drawn once and written in several formats."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.image import imread

from ntupleml.config import PlotConfig
from ntupleml.plots import new_figure, plot_style
from ntupleml.plots.recording import _image_of_mesh, record
from ntupleml.plots.style import visible_box
from ntupleml.plots.svg import inline_svg, svg_document

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PIXELS_PER_INCH = 100


def _lines(axes: Any) -> None:
    x = np.linspace(0, 1, 50)
    axes.plot(x, x**2, label="line", linestyle="--")
    axes.fill_between(x, x, x**2, alpha=0.3)
    axes.errorbar([0.2, 0.4], [0.5, 0.6], [0.1, 0.2], fmt="o", capsize=3, label="points")
    axes.stairs([0.1, 0.4, 0.2], [0, 0.3, 0.6, 1], fill=True, hatch="//", facecolor="none", edgecolor="0.5")
    axes.text(0.1, 0.9, "turned", rotation=40)
    axes.set_xlabel("Score", loc="right")
    axes.set_xlim(-0.1, 0.9)  # some of the line is cut off
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _logarithmic(axes: Any) -> None:
    axes.set_yscale("log")
    axes.plot([0, 1], [1, 1e4], marker="s")
    axes.axhline(100, linestyle=":")


def _matrix(axes: Any) -> None:
    axes.imshow(np.arange(12).reshape(3, 4), aspect="auto", interpolation="nearest")


def _cells(axes: Any) -> None:
    axes.pcolormesh(np.ma.masked_less(np.arange(6.0).reshape(2, 3), 1), edgecolors="white", linewidth=1)
    axes.scatter([0.5, 1.5], [0.5, 1.5], s=[20, 80])


def _figure(draw: Any) -> Figure:
    figure, axes = new_figure(4, 3)
    draw(axes)
    return figure


@pytest.mark.parametrize("style", ["plain", "CMS"])
@pytest.mark.parametrize("draw", [_lines, _logarithmic, _matrix, _cells])
def test_the_same_picture_as_matplotlib_draws(draw: Any, style: str) -> None:
    """Nearly all pixels agree, where what is drawn begins at the same place."""
    with plot_style(
        PlotConfig(style=style), {"text.hinting": "none", "savefig.dpi": _PIXELS_PER_INCH, "font.size": 11}
    ):
        figure = _figure(draw)
        direct = _ink(_pixels(figure, bbox_inches=visible_box(figure)))
        recorded = _ink(_pixels(record(_figure(draw), _PIXELS_PER_INCH)))
    assert np.abs(np.subtract(direct.shape, recorded.shape)).max() <= 3
    height, width = np.minimum(direct.shape, recorded.shape) - 4
    differing = min(
        np.mean(np.abs(direct[2:height, 2:width] - recorded[2 + down : height + down, 2 + right : width + right]) > 0.3)
        for down in range(-2, 3)
        for right in range(-2, 3)
    )
    assert differing < 0.02
    assert np.mean(direct < 0.5) > 0.01  # it is not empty


def _pixels(figure: Figure, **options: Any) -> Any:
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=_PIXELS_PER_INCH, **options)
    written.seek(0)
    return imread(written)[..., :3].mean(axis=2)


def _ink(pixels: Any) -> Any:
    """Without the white border."""
    rows, columns = ((pixels < 0.9).any(axis=axis).nonzero()[0] for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_nothing_is_cut_off() -> None:
    """What is outside the axes is on the recorded figure, with a margin that is white."""
    with plot_style(PlotConfig()):
        pixels = _pixels(record(_figure(_lines), _PIXELS_PER_INCH))
    margin = 6
    for border in (pixels[:margin], pixels[-margin:], pixels[:, :margin], pixels[:, -margin:]):
        assert border.min() == 1
    assert min(pixels[:25].min(), pixels[-25:].min(), pixels[:, :25].min(), pixels[:, -25:].min()) < 0.5


def test_texts_keep_their_alignment_on_pages() -> None:
    """A browser may have another font, so that a text has to be placed by the point that it is aligned with."""
    with plot_style(PlotConfig()):
        figure = record(_figure(_lines), _PIXELS_PER_INCH)
        text = inline_svg(svg_document(figure, figure.bbox_inches.frozen()), "a", "title")
    assert re.search(r"text-anchor:end[^>]*>Score<", text)
    assert re.search(r"text-anchor:middle[^>]*>0\.0<", text)
    assert re.search(r"text-anchor:start[^>]*>points<", text)


def test_all_formats_have_all_texts() -> None:
    with plot_style(PlotConfig(), {"pdf.compression": 0, "pdf.fonttype": 42}):
        figure = record(_figure(_lines), _PIXELS_PER_INCH)
        written = io.BytesIO()
        figure.savefig(written, format="pdf")
        text = inline_svg(svg_document(figure, figure.bbox_inches.frozen()), "a", "title")
    assert {"turned", "Score", "line", "points"} <= set(re.findall(r">([^<>\n]+)</text>", text))
    assert written.getvalue().count(b"Tj") + written.getvalue().count(b"TJ") >= len(re.findall(r"</text>", text))


@pytest.mark.parametrize("turned", [False, True])
def test_large_meshes_are_images_without_seams(turned: bool) -> None:
    """Cells of unequal width, from the bottom; the first row is the lowest."""
    x, y = np.array([0.0, 1.0, 4.0]), np.arange(51.0)
    corners = np.stack(np.meshgrid(x, y), axis=2)
    colours = np.zeros((50, 2, 4))
    colours[..., 0], colours[..., 1], colours[..., 3] = np.arange(50)[:, None] / 255, np.arange(2) / 255, 1
    if turned:
        corners, colours = np.swapaxes(corners, 0, 1), np.swapaxes(colours, 0, 1)
    image = _image_of_mesh(corners, colours, 2.0)
    assert image.shape == (100, 8, 4)
    assert image[:, 0, 0].tolist() == np.repeat(np.arange(50), 2).tolist()
    assert image[0, :, 1].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
    corners[0, 0] += 0.5  # a line that is not along an axis
    assert _image_of_mesh(corners, colours, 2.0) is None
