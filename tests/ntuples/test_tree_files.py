"""New files: readable by ROOT itself, exact, and there only when complete."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples import tree_files as module

if TYPE_CHECKING:
    from pathlib import Path

READ_WITH_ROOT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ROOT
file = ROOT.TFile(sys.argv[1])
tree = file.Get("folder/sub/events")
columns = {name: [] for name in ("i8", "u8", "f4", "flag", "fixed", "jets", "pair.x")}
for entry in tree:
    for name in ("i8", "u8", "f4"):
        columns[name].append(getattr(entry, name))
    columns["flag"].append(bool(entry.flag))
    columns["fixed"].append(list(entry.fixed))
    columns["jets"].append(list(entry.jets))
    columns["pair.x"].append(tree.GetLeaf("pair.x").GetValue())
columns["image"] = []
for row in range(2):
    for column in range(3):
        tree.Draw(f"image[{row}][{column}]", "", "goff")
        columns["image"].append([tree.GetV1()[entry] for entry in range(3)])
columns["image"] = [list(values) for values in zip(*columns["image"])]
assert tree.GetLeaf("image").GetTitle() == "image[2][3]", tree.GetLeaf("image").GetTitle()
assert ROOT.RDataFrame(tree).Sum("image").GetValue() == sum(map(sum, columns["image"]))
print(json.dumps([tree.GetEntries(), file.Get("empty").GetEntries(), columns]))
"""


def test_root_reads_what_was_written(tmp_path: Path) -> None:
    fixed_type = np.dtype(("f4", (2,)))
    columns = {
        "i8": [9007199254740993, -1, 2**63 - 1],
        "u8": [2**64 - 1, 0, 1],
        "f4": [0.5, -1.5, 1e30],
        "flag": [True, False, True],
        "fixed": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "jets": [[1.5], [], [2.5, 3.5]],
        "pair.x": [7.0, 8.0, 9.0],
        "image": [[10.0 * entry + pixel for pixel in range(6)] for entry in range(3)],
    }
    types = {
        "i8": "i8",
        "u8": "u8",
        "f4": "f4",
        "flag": "?",
        "fixed": fixed_type,
        "jets": "vector of f4",
        "pair.x": "f8",
        "image": np.dtype(("f4", (2, 3))),
    }
    with new_tree_file(tmp_path / "new" / "a.root") as file:
        file.tree("empty", {"x": "f4", "v": "vector of i4"})
        tree = file.tree("folder/sub/events", types)
        arrays = {
            name: ak.Array(values) if isinstance(values[0], list) else np.array(values, dtype=types[name])
            for name, values in columns.items()
        }
        arrays["image"] = np.array(columns["image"]).reshape(3, 2, 3)
        for rows in (slice(0, 2), slice(2, 3)):
            tree.extend({name: array[rows] for name, array in arrays.items()})
            tree.flush()
        assert tree.num_entries == 3
    command = [sys.executable, "-c", READ_WITH_ROOT, str(tmp_path / "new" / "a.root")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    entries, empty, found = json.loads(done.stdout)
    assert (entries, empty) == (3, 0)
    assert found.pop("f4") == [0.5, -1.5, float(np.float32(1e30))]
    del columns["f4"]
    assert found == columns
    assert done.stderr == ""


def test_the_names_of_counters_do_not_clash(tmp_path: Path) -> None:
    """An `njets` of the input is another number than the length of `jets`."""
    with new_tree_file(tmp_path / "a.root") as file:
        tree = file.tree("t", {"njets": "i4", "jets": "vector of f4"})
        tree.extend({"njets": np.array([7, 8], dtype="i4"), "jets": ak.Array([[1.0], [2.0, 3.0]])})
    with uproot.open(tmp_path / "a.root") as file:
        assert file["t"]["njets"].array().to_list() == [7, 8]
        assert file["t"]["jets"].array().to_list() == [[1.0], [2.0, 3.0]]


def test_vectors_from_lists_of_one_length(tmp_path: Path) -> None:
    rows = np.arange(12, dtype="f4").reshape(4, 3)
    with new_tree_file(tmp_path / "a.root") as file:
        tree = file.tree("t", {"v": "vector of f4"})
        tree.extend({"v": rows})
        tree.extend({"v": ak.Array([[1.0], []])})
    with uproot.open(tmp_path / "a.root") as file:
        assert file["t"]["v"].array().to_list() == [*rows.tolist(), [1.0], []]


def test_many_small_extensions_make_few_baskets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_PER_BASKET", 100)
    with new_tree_file(tmp_path / "a.root") as file:
        tree = file.tree("t", {"x": "i4"})
        for start in range(0, 1000, 10):
            tree.extend({"x": np.arange(start, start + 10, dtype="i4")})
    with uproot.open(tmp_path / "a.root") as file:
        assert file["t"]["x"].num_baskets == 10
        np.testing.assert_array_equal(file["t"]["x"].array(), np.arange(1000))


def test_more_baskets_than_were_foreseen(tmp_path: Path) -> None:
    with new_tree_file(tmp_path / "a.root") as file:
        trees = [file.tree(name, {"x": "i4", "v": "vector of f8"}) for name in ("a", "b")]
        for start in range(130):
            for tree in trees:
                tree.extend({"x": np.array([start], dtype="i4"), "v": ak.Array([[0.5] * (start % 3)])})
                tree.flush()
    for name in ("a", "b"):
        with open_ntuple(tmp_path / "a.root", name) as ntuple:
            (chunk,) = ntuple.chunks(["x", "v"])
            np.testing.assert_array_equal(chunk.columns["x"], np.arange(130))
            assert chunk.columns["v"].to_list() == [[0.5] * (start % 3) for start in range(130)]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), new_tree_file(tmp_path / "a.root") as file:  # noqa: PT012
        file.tree("t", {"x": "f4"}).extend({"x": np.zeros(5, dtype="f4")})
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_stays_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "a.root").write_bytes(b"old")
    with (
        pytest.raises(NtuplemlError, match=r"a\.root: exists already; give --overwrite"),
        new_tree_file(tmp_path / "a.root"),
    ):
        pass
    with pytest.raises(RuntimeError, match="stop"), new_tree_file(tmp_path / "a.root", overwrite=True):
        raise RuntimeError("stop")
    assert (tmp_path / "a.root").read_bytes() == b"old"
    with new_tree_file(tmp_path / "a.root", overwrite=True) as file:
        file.tree("t", {"x": "f4"})
    assert [path.name for path in tmp_path.iterdir()] == ["a.root"]
    assert uproot.open(tmp_path / "a.root")["t"].num_entries == 0


def test_columns_must_fit(tmp_path: Path) -> None:
    """Programming errors are no user's errors: they keep their traceback."""
    with pytest.raises(ValueError, match="different lengths"), new_tree_file(tmp_path / "a.root") as file:
        file.tree("t", {"x": "f4", "y": "f4"}).extend({"x": np.zeros(5), "y": np.zeros(4)})
    with pytest.raises(TypeError, match="Cannot cast"), new_tree_file(tmp_path / "a.root") as file:
        file.tree("t", {"x": "i4"}).extend({"x": np.array([0.5])})
    with pytest.raises(ValueError, match="second tree"), new_tree_file(tmp_path / "a.root") as file:  # noqa: PT012
        file.tree("t", {"x": "i4"})
        file.tree("t", {"x": "i4"})
    assert list(tmp_path.iterdir()) == []


def test_a_tilde_is_not_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with new_tree_file("~/a.root") as file:
        file.tree("ntuple", {"x": "f4"})
    assert [path.name for path in tmp_path.rglob("*")] == ["~", "a.root"]


@pytest.mark.parametrize("name", ["ntuple;1", "/ntuple", "folder//ntuple", "folder/", ""])
def test_a_tree_needs_a_name_without_a_cycle(tmp_path: Path, name: str) -> None:
    message = rf"a\.root: no tree can be written as '{name}'"
    with pytest.raises(NtuplemlError, match=message), new_tree_file(tmp_path / "a.root") as file:
        file.tree(name, {"x": "f4"})
    assert list(tmp_path.iterdir()) == []
