"""The look of all figures: experiment styles and labels from mplhep, figures without pyplot, files without dates.

matplotlib is imported only inside the functions, so that scripts start fast; nothing global is changed beyond the
block of `plot_style`.
"""

from __future__ import annotations

import io
import logging
import re
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.atomic import replace_file
from ntupleml.metrics.number_texts import THIN_SPACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import BboxBase

    from ntupleml.config import PlotConfig

#: Texts to show for variables, of the style that is used.
_labels: ContextVar[Mapping[str, str]] = ContextVar("labels", default={})  # noqa: B039 - never changed
_POWER = re.compile(r" × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
#: What every figure is written as.
FORMATS = ("png", "pdf")
#: Colours that people with colour vision deficiencies can tell apart (Petroff, arXiv:2107.02270).
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#832db6", "#94a4a2", "#a96b59", "#e76300", "#717581")
#: Dots per inch of pictures made of pixels.
PIXELS_PER_INCH = 150
#: Empty border around figures in inches.
MARGIN = 0.1
#: Has the signs that the fonts of the experiments' styles lack, such as raised digits.
_FONT_OF_SIGNS = "DejaVu Sans"
#: How files are written: PDFs without their date, PNGs with the quickest compression.
_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"pil_kwargs": {"compress_level": 1}},
    "pdf": {"metadata": {"CreationDate": None}},
}
_PARAMETERS_OF_ALL_STYLES = {
    # The size of the axes is known before anything is drawn; what is around them is taken in when saving.
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "pdf.fonttype": 42,  # TrueType, which journals ask for and which stays text in an editor
    "savefig.dpi": PIXELS_PER_INCH,
}


@contextmanager
def plot_style(config: PlotConfig, parameters: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Use the style of a `plot` block inside a `with` block; matplotlib's own parameters are back afterwards.

    Fonts are looked up when a figure is drawn, so a figure is made *and saved* inside the block. A user's
    matplotlibrc does not count: the same config gives the same picture everywhere.

    Parameters
    ----------
    config : PlotConfig
        The `plot` block of a training or testing config.
    parameters : mapping, optional
        More of matplotlib's rcParams, which win over those of the style.

    Examples
    --------
    >>> from ntupleml.config import PlotConfig
    >>> with plot_style(PlotConfig()):
    ...     figure, axes = new_figure(4.0, 3.0)
    ...     _ = axes.plot([1, 2, 3], [0.9, 0.5, 0.4])
    """
    import matplotlib as mpl
    from matplotlib import style

    # Fonts that a style would like but that are not installed are no news to a user.
    mpl_fonts = logging.getLogger("matplotlib.font_manager")
    level = mpl_fonts.level
    mpl_fonts.setLevel(logging.ERROR)
    labels = _labels.set(config.variable_labels)
    try:
        with mpl.rc_context():
            style.use(["default", _experiment_parameters(config), _PARAMETERS_OF_ALL_STYLES, dict(parameters or {})])
            mpl.rcParams["font.family"] = [*mpl.rcParams["font.family"], _FONT_OF_SIGNS]
            yield
    finally:
        _labels.reset(labels)
        mpl_fonts.setLevel(level)


def _experiment_parameters(config: PlotConfig) -> dict[str, Any]:
    if config.style == "plain":
        return {}
    import mplhep

    parameters: dict[str, Any] = getattr(mplhep.style, config.style)
    return parameters


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make an empty figure with one pair of axes, without pyplot and therefore without a display.

    Parameters
    ----------
    width, height : float
        Size in inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def add_experiment_label(axes: Axes, config: PlotConfig) -> None:
    """Write the experiment's name, the label, luminosity and energy above the axes, no wider than the axes.

    The plain style has no experiment; its label, luminosity and energy are written where the config gives them.
    """
    if config.style == "plain" and not config.label and config.lumi is None and config.com is None:
        return
    import matplotlib as mpl

    size = float(mpl.rcParams["font.size"])
    left, right = _write_label(axes, config, size)
    available = axes.get_window_extent().width
    for _ in range(5):  # once is nearly always enough, but not all gaps shrink with the text
        gap = size * axes.figure.dpi / 72
        wanted = _extent(left) + _extent(right) + gap
        if wanted <= available:
            break
        for text in [*left, *right]:
            text.remove()
        size *= available / wanted
        left, right = _write_label(axes, config, size)


def _write_label(axes: Axes, config: PlotConfig, size: float) -> tuple[list[Text], list[Text]]:
    """Write the label; return the texts at the left (experiment, label) and at the right (luminosity, energy)."""
    import mplhep

    # "data" keeps mplhep from putting "Simulation" in front of the label, which says that itself if it is so.
    options = {"ax": axes, "loc": 0, "data": True, "fontsize": size, "scilocator_adjust": False}
    options |= {"text": config.label, "lumi": _number(config.lumi), "com": _number(config.com)}
    with _nothing_to_draw(axes.figure):
        if config.style == "plain":
            texts = mplhep.label.exp_label(exp="", fontstyle=("normal",) * 4, **options)
        else:
            texts = getattr(mplhep, config.style.lower()).label(rlabel=None, **options)
    experiment, label, luminosity, _ = texts
    return [text for text in (experiment, label) if text.get_text()], [luminosity] if luminosity is not None else []


@contextmanager
def _nothing_to_draw(figure: Figure | SubFigure) -> Iterator[None]:
    """Hide everything: mplhep draws the whole figure before it measures a text, which takes as long as saving it."""
    shown = [axes for axes in figure.axes if axes.get_visible()]
    for axes in shown:
        axes.set_visible(False)
    try:
        yield
    finally:
        for axes in shown:
            axes.set_visible(True)


def _extent(texts: Sequence[Text]) -> float:
    """Width in pixels from the beginning of the first text to the end of the last."""
    if not texts:
        return 0.0
    boxes = [text.get_window_extent() for text in texts]
    return float(max(box.x1 for box in boxes) - min(box.x0 for box in boxes))


def _number(value: float | None) -> str | None:
    """A number as people write it: 13 and not 13.0."""
    return None if value is None else f"{value:g}"


def class_labels(classes: Iterable[str], config: PlotConfig) -> list[str]:
    """Texts to show for the classes: those of the `plot` block, else the names as they are."""
    return [config.class_labels.get(name, literal(name)) for name in classes]


def drawable(text: str) -> str:
    r"""A text with thin spaces and powers of ten as formulas have them, where a part of it is a formula.

    The fonts of formulas lack raised digits and thin spaces.

    Examples
    --------
    >>> drawable("$Z$ (1.2 × 10⁻⁷)"), drawable("1.2 × 10⁻⁷")
    ('$Z$ (1.2$\\,\\times\\,10^{-7}$)', '1.2 × 10⁻⁷')
    """
    if text.count("$") < 2:
        return text
    power = _POWER.sub(lambda match: rf"$\,\times\,10^{{{match[1].translate(_LOWERED)}}}$", text)
    return power.replace(THIN_SPACE, r"$\,$")


def yield_label(config: PlotConfig) -> str:
    """What sums of weights are: events, where the config gives the luminosity that they are for."""
    return "Sum of weights" if config.lumi is None else "Events"


def add_legend(axes: Axes, handles: Sequence[Any], labels: Sequence[str], title: str, **options: Any) -> Legend:
    """Draw a legend inside the axes, or beside them in one column where it is wider than they are.

    Parameters
    ----------
    handles, labels : sequence
        What is named, and how.
    title : str
        Of the legend, in the size of the other texts.
    **options
        Of `Axes.legend`, for a legend inside.
    """
    import matplotlib as mpl

    common: dict[str, Any] = {"title": title, "title_fontsize": mpl.rcParams["legend.fontsize"]}
    common |= {"frameon": False, "alignment": "left"}
    legend = axes.legend(handles, labels, **common, **options)
    if legend.get_window_extent().width > axes.get_window_extent().width:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
        legend = axes.legend(handles, labels, **common, **place)
    return legend


def shrink_to(text: Text, pixels: float) -> None:
    """Make the letters of a text smaller where it is longer than there is room."""
    length = max(text.get_window_extent().size)
    if length > pixels:
        text.set_fontsize(float(text.get_fontsize()) * pixels / length)


def variable_label(name: str) -> str:
    """Text to show for a variable inside `plot_style`: that of the `plot` block, else the name as it is."""
    return _labels.get().get(name, literal(name))


def literal(name: str) -> str:
    """A name whose dollar signs do not begin a formula."""
    return name.replace("$", r"\$")


def figure_paths(stem: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Files that `save_figure` writes for a path without its ending; dots in the name are kept."""
    stem = Path(stem)
    return [stem.with_name(f"{stem.name}.{file_format}") for file_format in formats]


def visible_box(figure: Figure) -> BboxBase:
    """What is to be saved of a figure, in inches: all that is on it, and a margin."""
    return figure.get_tightbbox().padded(MARGIN)


def save_figure(
    figure: Figure,
    stem: str | Path,
    formats: Sequence[str] = FORMATS,
    *,
    overwrite: bool = False,
    box: BboxBase | None = None,
) -> list[Path]:
    """Write a figure in each format, every file complete or not at all.

    The picture is cut to what is on it. The same figure gives the same bytes: no dates are written. Call it inside
    the block of `plot_style` that the figure was made in.

    Parameters
    ----------
    stem : path
        Path without its ending, e.g. ``example/fold0_loss``.
    box : matplotlib.transforms.BboxBase, optional
        That of `visible_box`, where it is known already.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten, or the folder cannot be written to.
    """
    paths = figure_paths(stem, formats)
    box = visible_box(figure) if box is None else box  # "tight" would draw the figure once more for each format
    for path, file_format in zip(paths, formats, strict=True):
        with replace_file(path, overwrite=overwrite) as temporary:
            written = io.BytesIO()  # where the disk is full matplotlib's PDF raises what says nothing of it
            figure.savefig(written, format=file_format, bbox_inches=box, **_OPTIONS.get(file_format, {}))
            temporary.write_bytes(written.getbuffer())
    return paths
