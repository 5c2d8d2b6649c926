"""Inputs of several files side by side: of a training, a table and another file, counted again with numpy."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ntupleml.cli import main

from ..testing.conftest import CLASSES, analysis, make_analysis, write_fold_file  # noqa: F401
from .checks import require_no_overflow, require_self_contained, require_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

MASSES = [(60.0, 15.0), (125.0, 55.0), (600.0, 150.0)]


def _with_masses(events: dict[str, dict[str, NDArray[Any]]], points: int) -> dict[str, dict[str, NDArray[Any]]]:
    """Masses of the signal; the backgrounds have zeros."""
    found = {}
    for name, columns in events.items():
        number = len(columns["x"])
        masses = np.array(MASSES)[np.arange(number) % points] if name == "signal" else np.zeros((number, 2))
        found[name] = {**columns, "mH": masses[:, 0].astype("f4"), "mS": masses[:, 1].astype("f4")}
    return found


@pytest.fixture
def files(analysis: Any, tmp_path: Path) -> Any:  # noqa: F811
    """The fold files of `training.yaml`, and `other.root`, which lacks a mass and has the column `time`."""
    analysis.events = [_with_masses(events, 3) for events in analysis.events]
    for fold, events in enumerate(analysis.events):
        write_fold_file(tmp_path / f"fold{fold}.root", events)
    analysis.training["event_weights"] = "counts"
    analysis.write_configs()
    random = np.random.default_rng(5)
    analysis.other = {
        name: {**columns, "x": columns["x"] + 1, "time": random.normal(size=len(columns["x"])).astype("f4")}
        for name, columns in _with_masses({name: analysis.events[0][name] for name in CLASSES[:2]}, 2).items()
    }
    write_fold_file(tmp_path / "other.root", analysis.other)
    return analysis


def _command(chain: Any, *options: str) -> list[str]:
    names = [str(chain.folder / "training.yaml"), f"new={chain.folder / 'other.root'}"]
    return ["compare-files", *names, "--output", str(chain.folder / "page.html"), *options]


def _rows(chain: Any, name: str) -> list[dict[str, str]]:
    with (chain.folder / "page" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def _require_histogram(chain: Any, picture: str, variable: str, expected: dict[str, tuple[Any, Any]]) -> list[float]:
    """Sums of weights of the bins are numpy's; the bins."""
    content = yaml.safe_load((chain.folder / "page" / f"{picture}.yaml").read_text())[variable]
    assert list(content["classes"]) == list(expected)
    edges = content["edges"]
    for name, (values, weights) in expected.items():
        found = content["classes"][name]
        sums, _ = np.histogram(values, edges, weights=weights)
        np.testing.assert_allclose(found["sums_of_weights"], sums, rtol=1e-12)
    return list(edges)


def _of_training(chain: Any, name: str, column: str) -> NDArray[Any]:
    return np.concatenate([events[name][column] for events in chain.events])


def test_files_side_by_side(files: Any, open_page: Callable[..., Any]) -> None:
    """Rows by class and point, histograms in common bins, columns; the page is sound."""
    options = ["--point", "mH", "--point", "mS", "--variable", "x", "--variable", "time", "--variable", "x*y"]
    assert main(_command(files, *options)) == 0
    rows = {(row["Name"], row["Class"]): row for row in _rows(files, "rows")}
    assert set(rows) == {("out", name) for name in CLASSES} | {("new", name) for name in CLASSES[:2]}
    for (file, name), row in rows.items():
        weights = _of_training(files, name, "counts") if file == "out" else files.other[name]["counts"]
        assert int(row["Rows"]) == len(weights)
        assert float(row["Sum of weights"]) == weights.sum()
        assert float(row["Sum of weights uncertainty"]) == pytest.approx(np.sqrt((weights.astype("f8") ** 2).sum()))
    total = sum(len(columns["x"]) for columns in files.other.values())
    points = {(row["Name"], float(row["mH"])): row for row in _rows(files, "points") if row["Class"] == "signal"}
    assert set(points) == {("out", mass) for mass, _ in MASSES} | {("new", mass) for mass, _ in MASSES[:2]}
    for mass, _ in MASSES[:2]:
        number = int((files.other["signal"]["mH"] == mass).sum())
        assert int(points["new", mass]["Rows"]) == number
        assert float(points["new", mass]["Fraction of the file"]) == number / total
    both = {
        "out": (_of_training(files, "signal", "x"), _of_training(files, "signal", "counts")),
        "new": (files.other["signal"]["x"], files.other["signal"]["counts"]),
    }
    edges = _require_histogram(files, "class_signal_1", "x", both)
    chosen = {
        name: (values[masses == 60], weights[masses == 60])
        for (name, (values, weights)), masses in zip(
            both.items(), (_of_training(files, "signal", "mH"), files.other["signal"]["mH"]), strict=True
        )
    }
    assert _require_histogram(files, "point_signal_60_15_1", "x", chosen) == edges
    of_new = {name: (columns["x"], columns["counts"]) for name, columns in files.other.items()}
    assert _require_histogram(files, "file_new_1", "x", of_new) == edges
    columns = {row["Column"]: (row["out"], row["new"]) for row in _rows(files, "columns")}
    assert columns["time"] == ("", "X")
    assert columns["x"] == ("X", "X")
    assert set(columns) == {*files.other["signal"]}
    numbers = json.loads((files.folder / "page" / "numbers.json").read_text())
    assert numbers["separation"]["signal"][0]["variable"] == "time"
    path = files.folder / "page.html"
    text = path.read_text()
    assert "out has no time: missing (NaN) in all of its rows." in text
    assert "&#39;x&#39; differs most" in text
    opened = open_page(path)
    require_self_contained(opened, path)
    require_sound(opened)
    require_no_overflow(open_page, path)


def test_a_table_whose_classes_are_formulas(files: Any, tmp_path: Path) -> None:
    """Columns that all files have are shown where none is named."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(2)
    label = random.integers(0, 3, 500)
    columns = {"label": label, "pt": random.exponential(size=500), "w": random.normal(1, 0.5, 500)}
    for name in ("one", "two"):
        pq.write_table(pa.table(columns if name == "one" else {**columns, "eta": label}), tmp_path / f"{name}.parquet")
    paths = [str(tmp_path / f"{name}.parquet") for name in ("one", "two")]
    classes = ["--class", "qcd=label == 0", "--class", "rest=label > 0"]
    assert main(["compare-files", *paths, *classes, "--weight", "w", "--output", str(tmp_path / "page.html")]) == 0
    rows = {(row["Name"], row["Class"]): row for row in _rows(files, "rows")}
    for file in ("one", "two"):
        assert int(rows[file, "qcd"]["Rows"]) == (label == 0).sum()
        assert float(rows[file, "rest"]["Sum of weights"]) == pytest.approx(columns["w"][label > 0].sum())
    content = yaml.safe_load((tmp_path / "page" / "class_qcd_1.yaml").read_text())
    assert list(content) == ["label", "pt", "w"]
    alone = ["compare-files", paths[1], "--every-column", "--output", str(tmp_path / "alone.html")]
    assert main(alone) == 0
    assert list(yaml.safe_load((tmp_path / "alone" / "file_two_1.yaml").read_text())) == ["label", "pt", "w", "eta"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--variable", "tme"], "--variable: no file has a branch 'tme'; nearest: 'time'"),
        (["--point", "mX"], "--point: no file has a branch 'mX'; nearest: "),
        (["--point", "time"], "different values, but points are for at most 400; name parameters with few values"),
        (["--variable", "x/tme"], "no branch 'tme', which variable 'x/tme' needs"),
        (["--weight", "cuonts"], "no branch 'cuonts'"),
        (["new=a.root"], "a.root: no such file"),
        (["*.h5"], "'*.h5' matches no file"),
        (["new=training.yaml"], "another file is called 'new', too; give names, NAME="),
        (["--class", "a=pt =="], "--class a"),
        (["--output", "page.pdf"], "a page is written; give it a name that ends with .html"),
    ],
)
def test_what_is_wrong_is_one_line(
    files: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(files.folder)
    assert main(_command(files, *options)) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith("ntupleml compare-files: ")
    assert message in line
    assert not (files.folder / "page.html").exists()
    assert not (files.folder / "page").exists()
