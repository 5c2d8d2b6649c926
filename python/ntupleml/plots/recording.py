"""A figure drawn once and written in several formats.

Most of the time of writing a figure goes into finding out what is where: ticks, texts, legends. A recording keeps what
the artists of matplotlib ask a renderer to draw, and asks the renderers of all formats for the same.
"""

from __future__ import annotations

from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path, get_path_collection_extents
from matplotlib.transforms import Affine2D, Bbox, IdentityTransform, TransformedPath

from ntupleml.plots.series import mark_series, panels_of
from ntupleml.plots.style import MARGIN, PIXELS_PER_INCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.text import Text

#: Cells of a mesh that is drawn as an image.
_LARGE_MESH = 100
#: Points; the unit of a recording.
_PER_INCH = 72


def record(figure: Figure, pixels_per_inch: float = PIXELS_PER_INCH) -> Figure:
    """Draw a figure once, and give another one that shows the same, cut to what is visible.

    The other figure is saved in any format in much less time than the first, as its texts and lines have their places.
    The first is not to be used afterwards. Call it inside the block of `plot_style` that the figure was made in.

    Parameters
    ----------
    pixels_per_inch : float
        Resolution that the other figure will be saved with, which images in it are made for.
    """
    figure.set_dpi(_PER_INCH)
    figure.patch.set_visible(False)
    mark_series(figure)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _make_ticks_fast(axis)
    recorder = _Recorder(*figure.bbox.size, pixels_per_inch / _PER_INCH)
    figure.draw(recorder)
    (left, bottom), (right, top) = recorder.visible_box() / _PER_INCH + MARGIN * np.array([[-1], [1]])
    written = Figure(figsize=(right - left, top - bottom), dpi=pixels_per_inch)
    FigureCanvasAgg(written)
    written.add_artist(_Replay(recorder.calls, left * _PER_INCH, bottom * _PER_INCH))
    places = (one * _PER_INCH for one in (left, bottom, top - bottom))
    written.set_label(panels_of(figure, *places))  # for `inline_svg`
    return written


def _make_ticks_fast(axis: Any) -> None:
    """Let an axis copy its first tick where it needs more, and find its ticks and the boxes of their labels once.

    Ticks made anew and asked for again and again take half the time of a drawing.
    """

    def tick(major: bool) -> Any:
        first = axis.__dict__.get("majorTicks" if major else "minorTicks")
        if not first:
            return type(axis)._get_tick(axis, major=major)
        made = copy(first[0])
        for part in ("tick1line", "tick2line", "gridline", "label1", "label2"):
            setattr(made, part, copy(getattr(made, part)))
        return made

    axis._get_tick = tick
    axis._copy_tick_props = lambda _source, _tick: None  # they are there already
    measure, boxes = axis._get_ticklabel_bboxes, {}

    def measured(ticks: list[Any], renderer: Any = None) -> Any:
        if renderer not in boxes:
            boxes[renderer] = measure(ticks, renderer)
        return boxes[renderer]

    axis._update_ticks = lru_cache(axis._update_ticks)
    axis._get_ticklabel_bboxes = measured


class _Recorder(RendererBase):
    """Keeps what it is asked to draw, each as a function of a renderer and of two transforms.

    The first transform moves points to where they are in the other renderer, the second only scales distances.
    """

    def __init__(self, width: float, height: float, magnification: float) -> None:
        super().__init__()
        self.calls: list[Callable[[Any, Any, Affine2D, Affine2D], None]] = []
        self._size = (width, height)
        self._magnification = magnification
        self._boxes: list[tuple[float, float, float, float]] = []
        self._places_of_marks: dict[Any, list[Any]] = {}
        self._groups: list[str | None] = []
        #: What is in a legend is drawn there, above its box.
        self._open_legends = 0

    def open_group(self, s: str, gid: str | None = None) -> None:
        self._groups.append(gid)
        self._open_legends += s == "legend"
        if gid is not None:
            self.calls.append(lambda renderer, _look, _move, _scale: renderer.open_group(s, gid))

    def close_group(self, s: str) -> None:
        self._open_legends -= s == "legend"
        if self._groups.pop() is not None:
            self.calls.append(lambda renderer, _look, _move, _scale: renderer.close_group(s))

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        import matplotlib as mpl

        return _text_size(s, prop, ismath, tuple(mpl.rcParams["font.sans-serif"]))

    def visible_box(self) -> Any:
        """Lower left and upper right corner of all that is drawn, in points."""
        boxes = np.array(self._boxes or [(0.0, 0.0, *self._size)])
        boxes = boxes[np.isfinite(boxes).all(axis=1)]
        return np.array([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])

    def _take_in(self, gc: Any, box: Any) -> None:
        """Add to what is visible; of what is clipped, that of the axes."""
        clip = gc.get_clip_rectangle()
        self._boxes.append(tuple((box if clip is None else clip).extents))

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self._size

    def get_image_magnification(self) -> float:
        return self._magnification

    def flipy(self) -> bool:
        return False

    def draw_path(self, gc: Any, path: Any, transform: Any, rgbFace: Any = None) -> None:  # noqa: N803
        transform = transform.frozen()
        if not len(path.vertices):
            return
        kept = _kept(gc)
        self._take_in(gc, path.get_extents(transform) if gc.get_clip_rectangle() is None else None)
        self.calls.append(
            lambda renderer, look, move, _scale: renderer.draw_path(look(kept), path, transform + move, rgbFace)
        )

    def draw_markers(
        self,
        gc: Any,
        marker_path: Any,
        marker_trans: Any,
        path: Any,
        trans: Any,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        marker_trans, trans, kept = marker_trans.frozen(), trans.frozen(), _kept(gc)
        if not len(path.vertices):
            return
        if len(path.vertices) == 1 and gc.get_clip_rectangle() is None and not self._open_legends:
            self._draw_mark(kept, marker_path, marker_trans, trans.transform(path.vertices)[0], rgbFace)
            return
        if len(path.vertices) == 1:  # bands: the place itself may be outside what is shown, and the mark be left out
            place = trans.transform(path.vertices)[0]
            self.draw_path(gc, marker_path, marker_trans + Affine2D().translate(*place), rgbFace)
            return
        if gc.get_clip_rectangle() is None:
            box, marker = path.get_extents(trans), marker_path.get_extents(marker_trans)
            self._take_in(gc, Bbox(box.get_points() + marker.get_points()))
        else:
            self._take_in(gc, None)
        self.calls.append(
            lambda renderer, look, move, scale: renderer.draw_markers(
                look(kept), marker_path, marker_trans + scale, path, trans + move, rgbFace
            )
        )

    def _draw_mark(
        self, look_of_it: GraphicsContextBase, marker: Any, marker_trans: Any, place: Any, face: Any
    ) -> None:
        """Marks of the same look, of which an axis has many, are drawn together."""
        extents = marker.get_extents(marker_trans).extents
        self._boxes.append((*(place + extents[:2]), *(place + extents[2:])))
        look_of_it_all = (look_of_it.get_rgb(), look_of_it.get_linewidth(), look_of_it.get_alpha(), face)
        key = (marker.vertices.tobytes(), marker_trans.get_matrix().tobytes(), str(look_of_it_all))
        places = self._places_of_marks.get(key)
        if places is not None:
            places.append(place)
            return
        places = self._places_of_marks[key] = [place]
        self.calls.append(
            lambda renderer, look, move, scale: renderer.draw_markers(
                look(look_of_it), marker, marker_trans + scale, Path(places), move, face
            )
        )

    def draw_path_collection(
        self, gc: Any, master_transform: Any, paths: Any, all_transforms: Any, offsets: Any, offset_trans: Any,
        *args: Any, **kwargs: Any,
    ) -> None:  # fmt: skip
        if not len(paths):
            return
        master, places, kept = master_transform.frozen(), offset_trans.frozen(), _kept(gc)
        if gc.get_clip_rectangle() is None:
            self._take_in(gc, get_path_collection_extents(master, paths, all_transforms, offsets, places))
        else:
            self._take_in(gc, None)
        self.calls.append(
            lambda renderer, look, move, scale: renderer.draw_path_collection(
                look(kept),
                master + (scale if len(offsets) else move),
                paths,
                all_transforms,
                offsets,
                places + move,
                *args,
                **kwargs,
            )
        )

    def draw_quad_mesh(
        self, gc: Any, master_transform: Any, meshWidth: int, meshHeight: int, coordinates: Any,  # noqa: N803
        offsets: Any, offsetTrans: Any, *args: Any,  # noqa: N803
    ) -> None:  # fmt: skip
        master, places, kept = master_transform.frozen(), offsetTrans.frozen(), _kept(gc)
        corners = master.transform(np.asarray(coordinates).reshape(-1, 2))
        facecolors, _, edgecolors = args
        if meshWidth * meshHeight >= _LARGE_MESH and not len(edgecolors):
            image = _image_of_mesh(
                corners.reshape(meshHeight + 1, meshWidth + 1, 2),
                np.asarray(facecolors).reshape(meshHeight, meshWidth, 4),
                self._magnification,
            )
            if image is not None:
                left, bottom = corners.min(axis=0)
                self.draw_image(gc, left, bottom, image)
                return
        self._take_in(gc, Bbox([corners.min(axis=0), corners.max(axis=0)]))
        self.calls.append(
            lambda renderer, look, move, scale: renderer.draw_quad_mesh(
                look(kept), master + scale, meshWidth, meshHeight, coordinates, offsets, places + move, *args
            )
        )

    def draw_image(self, gc: Any, x: float, y: float, im: Any) -> None:  # type: ignore[override]
        # A transform comes only to renderers that scale images themselves (`option_scale_image`).
        height, width = np.array(im.shape[:2]) / self._magnification
        kept = _kept(gc)
        self._take_in(gc, Bbox.from_bounds(x, y, width, height))
        self.calls.append(
            lambda renderer, look, move, _scale: renderer.draw_image(look(kept), *move.transform((x, y)), im)
        )

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, ismath: Any = False,
        mtext: Text | None = None,
    ) -> None:  # fmt: skip
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
        turn = Affine2D().rotate_deg(angle).translate(x, y)
        corners = turn.transform([(0, -descent), (width, -descent), (0, height - descent), (width, height - descent)])
        if gc.get_clip_rectangle() is None:
            self._boxes.append((*corners.min(axis=0), *corners.max(axis=0)))
        place: Any = None if mtext is None else mtext.get_transform().transform(mtext.get_unitless_position())
        kept = _kept(gc)

        def replay(renderer: Any, look: Any, move: Affine2D, _scale: Affine2D) -> None:
            left, bottom = move.transform((x, y))
            if renderer.flipy():
                bottom = renderer.get_canvas_width_height()[1] - bottom
            moved = None if mtext is None else _Anchor(mtext, move.transform(place))
            renderer.draw_text(look(kept), left, bottom, s, prop, angle, ismath=ismath, mtext=moved)

        self.calls.append(replay)


def _image_of_mesh(corners: Any, colours: Any, magnification: float) -> Any:
    """Pixels of a mesh of coloured cells, from the bottom; None where its lines are not along the axes.

    Cells drawn one by one have seams between them, and take far more room in a file.

    Parameters
    ----------
    corners : array of float, shape (rows + 1, columns + 1, 2)
    colours : array of float, shape (rows, columns, 4)
    magnification : float
        Pixels per point.

    Returns
    -------
    array of uint8, shape (height, width, 4), or None
    """
    if np.ptp(corners[0, :, 0]) < np.ptp(corners[:, 0, 0]):  # its rows go upwards, as in horizontal scales of colours
        corners, colours = np.swapaxes(corners, 0, 1), np.swapaxes(colours, 0, 1)
    x, y = corners[0, :, 0], corners[:, 0, 1]
    if not (np.allclose(corners[:, :, 0], x) and np.allclose(corners[:, :, 1], y[:, np.newaxis])):
        return None
    places = []
    for edges in (y, x):
        low, high = edges.min(), edges.max()
        number = max(round((high - low) * magnification), 1)
        centres = low + (np.arange(number) + 0.5) / number * (high - low)
        order = np.argsort(edges)
        cells = np.searchsorted(edges[order], centres) - 1
        rising = edges[-1] >= edges[0]
        places.append(cells if rising else len(edges) - 2 - cells)
    pixels: Any = np.round(255 * colours[np.ix_(*places)]).astype(np.uint8)
    return pixels


def text_width(text: str, font: Any) -> float:
    """Width in points of a text without formulas, as it is drawn in a recording."""
    import matplotlib as mpl

    return _text_size(text, font, False, tuple(mpl.rcParams["font.sans-serif"]))[0]


@lru_cache(maxsize=10_000)
def _text_size(text: str, font: Any, ismath: Any, _fonts: tuple[str, ...]) -> tuple[float, float, float]:
    """Width, height and descent in points; numbers and names recur from figure to figure."""
    size: tuple[float, float, float] = RendererBase().get_text_width_height_descent(text, font, ismath)
    return size


def _kept(gc: Any) -> GraphicsContextBase:
    """A copy of the look of what is drawn, which artists change between one thing and the next."""
    kept = GraphicsContextBase()
    kept.copy_properties(gc)
    if gc.get_clip_rectangle() is not None:
        kept.set_clip_rectangle(gc.get_clip_rectangle().frozen())
    return kept


def _clip_path(kept: GraphicsContextBase) -> tuple[Any, Any]:
    return kept.get_clip_path()  # its types are not those that matplotlib says


class _Anchor:
    """A text as it is, but for the point that it is aligned with, which the SVG renderer asks for."""

    def __init__(self, text: Text, place: Any) -> None:
        self._text, self._place = text, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text, name)

    def get_transform(self) -> IdentityTransform:
        return IdentityTransform()

    def get_unitless_position(self) -> Any:
        return self._place


class _Replay(Artist):
    """Draws what was recorded, moved by the margin that was cut off."""

    def __init__(self, calls: list[Any], left: float, bottom: float) -> None:
        super().__init__()
        self._calls, self._left, self._bottom = calls, left, bottom

    def draw(self, renderer: Any) -> None:
        figure: Any = self.get_figure(root=True)
        factor = figure.dpi / _PER_INCH
        scale = Affine2D().scale(factor)
        move = Affine2D().translate(-self._left, -self._bottom).scale(factor)

        def look(kept: GraphicsContextBase) -> Any:
            gc = renderer.new_gc()
            gc.copy_properties(kept)
            rectangle = kept.get_clip_rectangle()
            if rectangle is not None:
                gc.set_clip_rectangle(rectangle.transformed(move))
            path, transform = _clip_path(kept)
            if path is not None:
                gc.set_clip_path(TransformedPath(path, transform + move))
            return gc

        for call in self._calls:
            call(renderer, look, move, scale)
