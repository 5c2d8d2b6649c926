"""Pictures and their numbers: several as one, and files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import yaml

from ntupleml.config import PlotConfig
from ntupleml.metrics import Measurement
from ntupleml.plots import new_figure
from ntupleml.plots.pictures import Picture, Table, drawn, together, write_numbers, write_picture_and_svg

if TYPE_CHECKING:
    from pathlib import Path


def _draw(_plot: PlotConfig) -> Any:
    figure, axes = new_figure(4, 3)
    axes.plot([0, 1], [1, 2])
    return figure


def _picture(name: str, area: float) -> Picture:
    areas = Table(("method", "area"), (("keras", Measurement(area, 0.1)),), f"Area of '{name}' against the rest")
    of_all = Table(("method", "average"), (("keras", 0.7),), "Average")
    return Picture(f"roc_{name}", "", _draw, {"area": area}, (areas, of_all))


def test_tables_of_several_pictures_are_one() -> None:
    """One more column tells the rows apart; what all pictures repeat stands once."""
    found = together("rocs", "All.", {"a": _picture("a", 0.6), "b": _picture("b", 0.8)}, _draw, "class")
    assert found.numbers == {"a": {"area": 0.6}, "b": {"area": 0.8}}
    areas, of_all = found.tables
    assert areas == Table(
        ("class", "method", "area"),
        (("a", "keras", Measurement(0.6, 0.1)), ("b", "keras", Measurement(0.8, 0.1))),
        "Area of each against the rest",
    )
    assert of_all == Table(("method", "average"), (("keras", 0.7),), "Average")


def test_numbers_of_long_lists_are_read_as_they_were(tmp_path: Path) -> None:
    """Very small, large and infinite ones, whole numbers, deep and short lists, and texts that look like ours."""
    values = [1e-5, 1.5e-300, 1e22, -2.0, 0.1, math.inf, -math.inf, 123456789.123]
    numbers: dict[str, Any] = {
        "values": values,
        "counts": list(range(-3, 30)),
        "deep": {"list": [{"of": values}, [values, ["a"] * 20]], "short": [1e-7]},
        "mixed": [*values, "undefined: no events"],
        "text": "a: [1, 2]",
    }
    path = write_numbers(numbers, tmp_path / "a.yaml")
    assert yaml.safe_load(path.read_text()) == numbers
    assert max(map(len, path.read_text().splitlines())) <= 130
    whole = yaml.safe_load(write_numbers({"list": [math.nan] * 9}, tmp_path / "b.yaml").read_text())["list"]
    assert len(whole) == 9
    assert all(math.isnan(value) for value in whole)


@pytest.mark.parametrize("formats", [[], ["svg"], ["png", "svg", "pdf"]])
def test_files_of_a_picture_on_a_page(tmp_path: Path, formats: list[str]) -> None:
    paths, element = write_picture_and_svg(_picture("a", 0.5), tmp_path / "roc", PlotConfig(), "a", formats=formats)
    assert {path.suffix for path in paths} == {f".{one}" for one in formats} | {".yaml"}
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    if "svg" in formats:
        root = ElementTree.parse(tmp_path / "roc.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in (tmp_path / "roc.svg").read_text(encoding="utf-8")
    assert element.startswith("<svg")


def test_powers_of_ten_do_not_cover_the_label() -> None:
    def draw(_: PlotConfig) -> Any:
        figure, axes = new_figure(5, 4)
        axes.plot([1e12, 2e12], [0, 1])
        axes.set_xlabel("Prediction − truth, energy", loc="right")
        return figure

    (axes,) = drawn(Picture("p", "", draw, {}), PlotConfig()).axes
    power, label = axes.xaxis.get_offset_text(), axes.xaxis.get_label()
    assert power.get_text() == "1e12"
    assert not power.get_window_extent().overlaps(label.get_window_extent())
