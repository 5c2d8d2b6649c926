"""The tables of inspect_ntuple.py: numbers of known files, one line for bad ones."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from ntupleml.ntuples import reading
from ntupleml.ntuples.inspection import TreeContent, inspect_tree, list_trees
from ntupleml.ntuples.table_files import new_table_file

if TYPE_CHECKING:
    from pathlib import Path

RunScript = Callable[..., subprocess.CompletedProcess[str]]


def test_trees_of_all_kinds(root_written: Path) -> None:
    assert list_trees(root_written / "trees.root") == [
        TreeContent("mt_nominal/ntuple", "TTree", 250, 27),
        TreeContent("empty", "TTree", 0, 2),
        TreeContent("twice", "TTree", 1, 3),
    ]
    assert list_trees(root_written / "rntuple.root") == [TreeContent("mt_nominal/ntuple", "RNTuple", 250, 13)]


@pytest.mark.parametrize("entries", [10, 100_000])
def test_ranges(root_written: Path, monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", entries)
    contents = {
        content.branch.name: content for content in inspect_tree(root_written / "trees.root", "mt_nominal/ntuple")
    }
    ranges = {name: (content.minimum, content.maximum, content.num_values) for name, content in contents.items()}
    assert ranges["i2"] == (-249, 0, 250)
    assert ranges["u8"] == (18446744073709551000, 18446744073709551249, 250)
    assert ranges["flag"] == (False, True, 250)
    assert ranges["f8"] == (0.0, 0.1 * 249, 250)
    assert ranges["fixed"] == (0.0, 251.0, 750)
    assert ranges["vi4"] == (-248, -1, sum(k % 3 for k in range(250)))
    assert ranges["word"] == (None, None, 0)
    assert not contents["word"].is_readable


def test_nan_are_counted_and_kept_out_of_the_range(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        tree = file.mktree("t", {"x": "f4", "all_nan": "f8", "inf": "f8"})
        tree.extend(
            {"x": np.array([np.nan, 2, -1, np.nan]), "all_nan": np.full(4, np.nan), "inf": np.array([0, np.inf, 1, 2])}
        )
    of_x, of_nan, of_infinite = inspect_tree(tmp_path / "a.root", "t")
    assert (of_x.minimum, of_x.maximum, of_x.num_values, of_x.num_nan) == (-1, 2, 4, 2)
    assert (of_nan.minimum, of_nan.maximum, of_nan.num_nan) == (None, None, 4)
    assert (of_infinite.minimum, of_infinite.maximum, of_infinite.num_nan) == (0, np.inf, 0)


def test_the_script_shows_the_tables(root_written: Path, run_script: RunScript) -> None:
    done = run_script("dataset/inspect_ntuple.py", root_written / "trees.root", "mt_nominal/ntuple")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["mt_nominal/ntuple", "TTree", "250", "27"] in lines
    assert ["empty", "TTree", "0", "2"] in lines
    assert ["u8", "uint64_t", "250", "18446744073709551000", "18446744073709551249", "0"] in lines
    assert ["vf4", "std::vector<float>", "249", "0.5", "124", "0"] in lines
    assert ["word", "std::string", "–", "–", "–", "–"] in lines


def test_the_script_shows_every_tree_and_duplicates(root_written: Path, run_script: RunScript) -> None:
    done = run_script("dataset/inspect_ntuple.py", root_written / "trees.root")
    assert done.returncode == 0, done.stderr
    for tree in ("mt_nominal/ntuple", "empty", "twice"):
        assert f"branches of {tree}" in done.stdout


@pytest.mark.parametrize("ending", ["root", "h5", "parquet"])
def test_first_entries_and_moments(
    tmp_path: Path, run_script: RunScript, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Of files of any kind, as numpy has them: mean and deviation of a sample, also far from zero."""
    columns = {"x": 1e9 + np.array([1.5, 2.5, np.nan, 4.5, 8.5]), "n": np.array([2**62 + 1, 3, 4, 5, 6])}
    path = tmp_path / f"a.{ending}"
    if ending == "root":
        with uproot.recreate(path) as file:
            file.mktree("t", {name: one.dtype for name, one in columns.items()}).extend(columns)
    else:
        with new_table_file(path, "t", {name: one.dtype for name, one in columns.items()}, 5) as table:
            table.extend(columns)
            table.finish("")
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", 2)
    contents = {content.branch.name: content for content in inspect_tree(path, "t")}
    for name, values in columns.items():
        assert contents[name].mean == pytest.approx(np.nanmean(values.astype(float)), rel=1e-15)
        assert contents[name].deviation == pytest.approx(np.nanstd(values.astype(float), ddof=1), rel=1e-7)
    done = run_script("dataset/inspect_ntuple.py", path, "--head", 2, "--describe")
    assert done.returncode == 0, done.stderr
    lines = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["n", str(2**62 + 1), "3"] in lines
    assert any(line[:1] == ["x"] and line[-3:] == ["1", "1e+09", "3.0957"] for line in lines), done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("nothing.root",), "nothing.root: no such file"),
        (("trees.root", "ntuple"), "no tree 'ntuple'; nearest: 'mt_nominal/ntuple'"),
        (("text.root",), "text.root: is not a ROOT file"),
        (("histograms.root",), "histograms.root: holds no trees"),
    ],
)
def test_bad_input_is_one_line(
    root_written: Path, tmp_path: Path, run_script: RunScript, arguments: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "trees.root").symlink_to(root_written / "trees.root")
    (tmp_path / "text.root").write_text("not a ROOT file, whatever it is called\n")
    with uproot.recreate(tmp_path / "histograms.root") as file:
        file["h"] = np.histogram(np.arange(5.0))
    done = run_script("dataset/inspect_ntuple.py", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
