"""Pictures of confusion matrices: what stands where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from ntupleml.config import PlotConfig
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots import draw_confusion_matrix, plot_style, save_figure
from ntupleml.plots.confusion import FILE_PARAMETERS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from ntupleml.metrics import Matrix

#: Row = true class; no two values are alike.
MATRIX: Matrix = (
    (Measurement(0.81, 0.02), Measurement(0.15, 0.02), Measurement(0.04, 0.01)),
    (Undefined("no events"), Undefined("no events"), Undefined("no events")),
    (Measurement(0.33, 0.0), Measurement(0.07, 0.003), Measurement(0.60, 0.05)),
)
CLASSES = ["signal", "tt", "w"]


def draw(matrix: Matrix, classes: list[str], config: PlotConfig | None = None) -> Figure:
    config = config or PlotConfig()
    with plot_style(config, {"font.size": 16}):
        figure = draw_confusion_matrix(matrix, classes, "Efficiency", config)
        figure.canvas.draw()
    return figure


def test_rows_are_true_classes_and_the_first_is_on_top() -> None:
    figure = draw(MATRIX, CLASSES)
    axes = figure.axes[0]
    bottom, top = axes.get_ylim()
    assert bottom > top  # y grows downwards, so that the first class is on top
    assert axes.get_xlim() == (0, 3)
    assert [text.get_text() for text in axes.get_xticklabels()] == CLASSES
    assert [text.get_text() for text in axes.get_yticklabels()] == CLASSES
    assert axes.get_xlabel() == "Predicted class"
    assert axes.get_ylabel() == "True class"
    places = {text.xy: text.get_text() for text in axes.texts if text.get_text().startswith("0.")}
    assert places[(1.5, 0.5)] == "0.150"  # true signal, predicted tt
    assert places[(0.5, 2.5)] == "0.33"  # true w, predicted signal
    colours = axes.collections[0].get_array().reshape(3, 3)
    assert colours[0, 1] == 0.15
    assert colours[2, 0] == 0.33
    assert figure.axes[1].get_ylabel() == "Efficiency"


@pytest.mark.parametrize(("lumi", "label"), [(None, "Sum of weights"), (59.7, "Events")])
def test_yields_at_a_luminosity_are_events(lumi: float | None, label: str) -> None:
    config = PlotConfig(lumi=lumi)
    with plot_style(config):
        assert draw_confusion_matrix(MATRIX, CLASSES, "", config).axes[1].get_ylabel() == label


def test_undefined_cells_say_so_and_are_hatched() -> None:
    axes = draw(MATRIX, CLASSES).axes[0]
    undefined = [text.xy for text in axes.texts if text.get_text() == "undefined"]
    assert undefined == [(0.5, 1.5), (1.5, 1.5), (2.5, 1.5)]
    assert [patch.get_xy() for patch in axes.patches] == [(0, 1), (1, 1), (2, 1)]
    assert all(patch.get_hatch() for patch in axes.patches)
    assert np.ma.getmaskarray(axes.collections[0].get_array()).sum() == 3
    assert "nan" not in " ".join(text.get_text() for text in axes.texts)


def test_exact_values_have_no_uncertainty() -> None:
    axes = draw(MATRIX, CLASSES).axes[0]
    assert [text.get_text() for text in axes.texts if text.xy == (0.5, 2.5)] == ["0.33", ""]
    assert [text.get_text() for text in axes.texts if text.xy == (1.5, 2.5)] == ["0.0700", "± 0.0030"]


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS", "LHCb"])
@pytest.mark.parametrize(("size", "scale"), [(2, 1.0), (3, 1e-9), (5, 4.7e6), (15, 9.9e7), (15, 3.3e4)])
def test_texts_stay_in_their_cells(style: str, size: int, scale: float) -> None:
    matrix = tuple(tuple(Measurement(-scale * (i + j + 1), scale / 3) for j in range(size)) for i in range(size))
    figure = draw(matrix, [f"class_{i}" for i in range(size)], PlotConfig(style=style, label="Simulation", lumi=59.7))
    axes = figure.axes[0]
    renderer = figure.canvas.get_renderer()
    cell = axes.get_window_extent(renderer)
    cells = [text for text in axes.texts if hasattr(text, "xy") and text.xy[0] % 1 == 0.5]
    assert len(cells) == 2 * size**2
    for text in cells:
        box = text.get_window_extent(renderer)
        assert box.width < cell.width / size
        assert box.height < cell.height / size / 2


def test_long_names_are_turned_and_short_ones_are_not() -> None:
    long = draw(MATRIX, ["gluon_fusion_higgs_to_tau_tau_2018", "tt", "w"]).axes[0]
    assert {text.get_rotation() for text in long.get_xticklabels()} == {90}
    assert {text.get_rotation() for text in draw(MATRIX, CLASSES).axes[0].get_xticklabels()} == {0}


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_equal_values_have_a_colour_range(value: float) -> None:
    matrix = ((Measurement(value, 0.0),) * 2,) * 2
    mesh = draw(matrix, ["a", "b"]).axes[0].collections[0]
    assert mesh.norm.vmax > mesh.norm.vmin


def test_everything_undefined_can_be_drawn() -> None:
    draw(((Undefined("no events"),) * 2,) * 2, ["a", "b"])


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS"])
def test_the_picture_shows_the_labels(tmp_path: Path, style: str) -> None:
    """The outermost texts are inside the saved picture: the margin is empty, the rest is not."""
    config = PlotConfig(style=style, label="Simulation", class_labels={"tt": r"$t\bar{t}$"})
    with plot_style(config, FILE_PARAMETERS):
        paths = save_figure(draw_confusion_matrix(MATRIX, CLASSES, "Efficiency", config), tmp_path / "matrix")
    assert [path.name for path in paths] == ["matrix.png", "matrix.pdf"]
    picture = imread(paths[0])[:, :, :3]
    white = np.isclose(picture, to_rgb("white")).all(axis=2)
    for margin in (white[:5], white[-5:], white[:, :5], white[:, -5:]):
        assert margin.all()
    assert not white[:, : picture.shape[1] // 12].all()  # the names of the predicted classes
    assert not white[-picture.shape[0] // 10 :].all()  # the name of the x axis
