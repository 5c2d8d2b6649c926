"""Styles, labels and files of figures."""

from __future__ import annotations

import logging
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, get_args

import matplotlib as mpl
import pytest
from matplotlib.image import imread

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.plots import add_experiment_label, class_labels, figure_paths, new_figure, plot_style, save_figure
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import add_legend

if TYPE_CHECKING:
    from pathlib import Path

STYLES = get_args(PlotConfig.model_fields["style"].annotation)


def test_importing_the_room_does_not_import_matplotlib() -> None:
    code = "import sys, ntupleml.plots; print([m for m in ('matplotlib', 'mplhep') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize("style", STYLES)
def test_matplotlibs_parameters_are_back_afterwards(style: str) -> None:
    with mpl.rc_context({"font.size": 7.5, "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        level = logging.getLogger("matplotlib.font_manager").level
        with plot_style(PlotConfig(style=style)):
            assert mpl.rcParams["lines.linewidth"] != 9  # a user's own settings do not count
            assert mpl.rcParams["font.size"] != 7.5
        assert dict(mpl.rcParams) == before
        with pytest.raises(ZeroDivisionError), plot_style(PlotConfig(style=style)):
            raise ZeroDivisionError
        assert dict(mpl.rcParams) == before
        assert logging.getLogger("matplotlib.font_manager").level == level


def test_experiments_differ() -> None:
    fonts = {}
    for style in ("plain", "CMS", "LHCb"):
        with plot_style(PlotConfig(style=style), {"font.size": 11}):
            fonts[style] = (mpl.rcParams["font.family"][0], mpl.rcParams["axes.linewidth"])
            assert mpl.rcParams["font.size"] == 11
    assert len(set(map(str, fonts.values()))) == 3


@pytest.mark.parametrize("style", STYLES)
def test_the_label_is_above_the_axes_and_no_wider(style: str) -> None:
    config = PlotConfig(style=style, label="Simulation Work in Progress", lumi=59.7, com=13.0)
    with plot_style(config):
        figure, axes = new_figure(3.5, 3.5)
        add_experiment_label(axes, config)
        texts = [text for text in axes.texts if text.get_text()]
        boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in texts]
    words = " ".join(text.get_text() for text in texts)
    assert "Simulation Work in Progress" in words
    assert "59.7" in words
    assert "13 TeV" in words
    assert "13.0" not in words
    assert (style in words) == (style != "plain")
    assert "Simulation Simulation" not in words
    frame = axes.get_window_extent()
    assert min(box.x0 for box in boxes) >= frame.x0 - 2
    assert max(box.x1 for box in boxes) <= frame.x1 + 2
    assert min(box.y0 for box in boxes) >= frame.y1 - 2
    boxes.sort(key=lambda box: box.x0)
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_no_label_without_anything_to_say() -> None:
    with plot_style(PlotConfig()):
        _, axes = new_figure(3, 3)
        add_experiment_label(axes, PlotConfig())
        assert list(axes.texts) == []


def test_class_labels() -> None:
    config = PlotConfig(class_labels={"ggh": r"$gg\to H$"})
    assert class_labels(["ggh", "a_b", "cost_$"], config) == [r"$gg\to H$", "a_b", r"cost_\$"]


def test_dots_in_names_are_kept(tmp_path: Path) -> None:
    paths = figure_paths(tmp_path / "fold0_13.6TeV", ["png", "yaml"])
    assert [path.name for path in paths] == ["fold0_13.6TeV.png", "fold0_13.6TeV.yaml"]


@pytest.mark.parametrize("style", ["plain", "CMS"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, style: str) -> None:
    config = PlotConfig(style=style, label="Preliminary")
    contents = []
    for name in ("a", "b"):
        with plot_style(config):
            figure, axes = new_figure(3, 3)
            axes.plot([1, 2], [3, 5], label="loss")
            axes.legend()
            add_experiment_label(axes, config)
            paths = save_figure(figure, tmp_path / "new" / name)
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert b"CreationDate" not in contents[0][1]
    assert imread(tmp_path / "new" / "a.png").shape[0] > 300
    assert len(list((tmp_path / "new").iterdir())) == 4


def test_existing_figures_stay_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "loss.pdf").write_text("precious")
    with plot_style(PlotConfig()):
        figure, _ = new_figure(2, 2)
        with pytest.raises(NtuplemlError, match=r"loss\.pdf: exists already; give --overwrite"):
            save_figure(figure, tmp_path / "loss", ["pdf"])
        assert (tmp_path / "loss.pdf").read_text() == "precious"
        save_figure(figure, tmp_path / "loss", ["pdf"], overwrite=True)
    assert (tmp_path / "loss.pdf").read_bytes().startswith(b"%PDF")
    assert [path.name for path in tmp_path.iterdir()] == ["loss.pdf"]


@pytest.mark.parametrize("style", ["plain", "CMS"])
@pytest.mark.parametrize("name", ["short", "the name of a class, which is as long as a sentence"])
def test_a_legend_too_wide_for_the_axes_stands_beside_them(style: str, name: str) -> None:
    with plot_style(PlotConfig(style=style), PARAMETERS):
        _, axes = new_figure(6, 4)
        for index in range(6):
            axes.plot([1, 2], [index, 5], label=f"{name} {index}")
        legend = add_legend(axes, *axes.get_legend_handles_labels(), "classes", loc="upper right", ncols=3)
        box, frame = legend.get_window_extent(), axes.get_window_extent()
        assert [text.get_text() for text in legend.get_texts()] == [f"{name} {index}" for index in range(6)]
        if name == "short":
            assert frame.x0 < box.x0 < box.x1 < frame.x1
        else:
            assert frame.x1 <= box.x0


@pytest.mark.parametrize("style", STYLES)
def test_the_title_of_a_legend_is_about_as_large_as_its_texts(style: str) -> None:
    """Those of LHCb and ALICE are made for figures of 12 inches."""
    with plot_style(PlotConfig(style=style), PARAMETERS):
        _, axes = new_figure(6, 4)
        axes.plot([1, 2], [3, 5], label="signal")
        legend = axes.legend(title="Cuts on the score that keep")
        assert legend.get_title().get_fontsize() <= 1.2 * legend.get_texts()[0].get_fontsize()
