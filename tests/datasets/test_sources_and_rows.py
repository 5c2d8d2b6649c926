"""Fold files from HDF5 and Parquet files, with arrays of fixed shape; fold files whose rows are objects."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ntupleml.config import RowsConfig
from ntupleml.datasets import create_training_dataset
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple, reading

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeConfig

NUMBER = np.arange(100)
IMAGE = (NUMBER[:, None, None] + np.arange(12).reshape(3, 4) / 16).astype("f4")
COLUMNS: dict[str, Any] = {"event": NUMBER, "x": NUMBER / 8, "image": IMAGE, "fixed": IMAGE[:, 0, :2]}

READ_WITH_ROOT = """
import sys, warnings
warnings.simplefilter("ignore")
import ROOT
file = ROOT.TFile.Open(sys.argv[1])
tree = file.Get("sig")
n = tree.Draw("image[2][1]:fixed[1]", "", "goff")
print(tree.GetLeaf("image").GetTitle(), [tree.GetV1()[i] for i in range(n)], [tree.GetV2()[i] for i in range(n)])
"""


def write_hdf5(folder: Path) -> str:
    with h5py.File(folder / "a.h5", "w") as file:
        for name, column in COLUMNS.items():
            file[f"jets/{name}"] = column
        file["jets/word"] = ["a"] * 100
        file["jets/pt [GeV]"] = NUMBER
    return "a.h5"


def write_parquet(folder: Path) -> str:
    flat = pa.FixedSizeListArray.from_arrays(pa.array(IMAGE.reshape(-1)), 4)
    image = pa.FixedSizeListArray.from_arrays(flat, 3)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(IMAGE[:, 0, :2].reshape(-1)), 2)
    columns = {"event": NUMBER, "x": NUMBER / 8, "image": image, "fixed": fixed, "word": ["a"] * 100}
    pq.write_table(pa.table({**columns, "pt [GeV]": NUMBER}), folder / "a.parquet", row_group_size=17)
    return "a.parquet"


def write_root(folder: Path) -> str:
    with new_tree_file(folder / "a.root") as file:
        types = {name: np.dtype((column.dtype, column.shape[1:])) for name, column in COLUMNS.items()}
        file.tree("jets", types).extend(COLUMNS)
    return "a.root"


@pytest.mark.parametrize("write", [write_root, write_hdf5, write_parquet])
def test_fold_files_are_the_same_whatever_they_are_made_from(
    write: Any, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", 30)
    (tmp_path / "ntuples").mkdir()
    (tmp_path / "friends").mkdir()
    name = write(tmp_path / "ntuples")
    stem = {"a.root": "jets", "a.h5": "jets", "a.parquet": "jets"}[name]
    with new_tree_file(tmp_path / "friends/a.root") as file:
        file.tree(stem, {"event": "i8", "y": "f8"}).extend({"event": NUMBER, "y": -NUMBER / 8})
    sig = {"files": [name], "cut_string": "x > 1 && fixed[1] != 50.0625", "weight_string": "2*x - friends.y"}
    summary = create_training_dataset(
        make_config(processes={"sig": sig}, tree_path="jets", friend_paths=[str(tmp_path / "friends")])
    )
    for fold, path in enumerate(summary.files):
        kept = NUMBER[(fold == NUMBER % 2) & (NUMBER > 8) & (NUMBER != 50)]
        with open_ntuple(path, "sig") as ntuple:
            assert set(ntuple.branches) == {"event", "x", "image", "fixed", "y", "training_weight"}
            (chunk,) = ntuple.chunks(list(ntuple.main_branches), 100)
        for branch in ("event", "x", "image"):
            np.testing.assert_array_equal(chunk.columns[branch], COLUMNS[branch][kept])
            assert chunk.columns[branch].dtype == COLUMNS[branch].dtype
        assert chunk.columns["fixed"].to_list() == COLUMNS["fixed"][kept].tolist()
        np.testing.assert_array_equal(chunk.columns["training_weight"], (3 * kept / 8).astype("f4"))
    (file_record,) = summary.records[0].processes["sig"].files
    assert file_record.entries == 100
    assert file_record.size == (tmp_path / "ntuples" / name).stat().st_size


def test_root_reads_arrays_of_two_dimensions(make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "ntuples").mkdir()
    config = make_config(processes={"sig": {"files": [write_hdf5(tmp_path / "ntuples")]}}, tree_path="jets")
    (path, _) = create_training_dataset(config).files
    done = subprocess.run([sys.executable, "-c", READ_WITH_ROOT, str(path)], capture_output=True, text=True, check=True)
    even = IMAGE[::2]
    assert done.stdout.strip() == f"image[3][4] {even[:, 2, 1].tolist()} {even[:, 0, 1].tolist()}"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"branches": ["word"]}, "branches: branch 'word' of group 'jets' of {path} is of type text, which holds"),
        ({"branches": ["pt [GeV]"]}, "branch 'pt [GeV]' of group 'jets' of {path} cannot be read: no formula and no"),
        ({"tree_path": "jet"}, "processes.sig: {path}: no group 'jet'; nearest: 'jets'"),
        ({"event_branch": "image"}, "event_branch: branch 'image' in group 'jets' of {path} has several values"),
        ({"processes": {"sig": {"files": ["a.h5"], "weight_string": "image"}}}, "vectors in vectors"),
    ],
)
def test_bad_input_is_one_line(make_config: MakeConfig, tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    (tmp_path / "ntuples").mkdir()
    path = tmp_path / "ntuples" / write_hdf5(tmp_path / "ntuples")
    with pytest.raises(NtuplemlError) as caught:
        create_training_dataset(make_config(**{"processes": {"sig": {"files": ["a.h5"]}}, "tree_path": "jets", **keys}))
    assert expected.format(path=path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "output").glob("*"))


@pytest.fixture
def jets(tmp_path: Path) -> list[dict[str, Any]]:
    """Fifty events with up to three jets, and tracks that belong to the first or the last jet or to none."""
    events = []
    for k in range(50):
        jets, tracks = k % 4, (k % 3) * (k % 4 > 0)
        events.append(
            {
                "event": 7 * k,
                "met": k / 4,
                "Jet_pt": [10.0 * (1 + jet) + k for jet in range(jets)],
                "Track_pt": [k + track / 4 for track in range(tracks)],
                "Track_jet": [[0, jets - 1][track] if k % 5 else -1 for track in range(tracks)],
                "Muon_pt": [1.0],
            }
        )
    with new_tree_file(tmp_path / "ntuples/a.root") as file:
        kinds = {"event": "i8", "met": "f8", "Jet_pt": "vector of f4", "Track_pt": "vector of f4"}
        tree = file.tree("ntuple", {**kinds, "Track_jet": "vector of i4", "Muon_pt": "vector of f4"})
        columns = {name: [event[name] for event in events] for name in events[0]}
        tree.extend({name: ak.Array(c) if "_" in name else np.array(c) for name, c in columns.items()})
    return events


ROWS = {"objects": "Jet", "selection": "Jet_pt > 20", "members": {"Track": {"index": "Track_jet"}}}


@pytest.mark.parametrize("event_branch", ["event", None])
def test_rows_are_objects(
    jets: list[dict[str, Any]], make_config: MakeConfig, event_branch: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of an event are in its fold; cut and weight are evaluated on the rows."""
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", 7)
    sig = {"files": ["a.root"], "cut_string": "Sum$(Track_pt) < 60", "weight_string": "met * (1 + Jet_index)"}
    summary = create_training_dataset(make_config(processes={"sig": sig}, rows=ROWS, event_branch=event_branch))
    for fold, path in enumerate(summary.files):
        expected: list[dict[str, Any]] = []
        read = 0
        for entry, event in enumerate(jets):
            for jet, pt in enumerate(event["Jet_pt"]):
                members = zip(event["Track_pt"], event["Track_jet"], strict=True)
                tracks = [track for track, index in members if index == jet]
                in_fold = (entry if event_branch is None else event["event"]) % 2 == fold and pt > 20
                read += in_fold
                if in_fold and sum(tracks) < 60:
                    row = {"event": event["event"], "met": event["met"], "Jet_pt": pt, "Jet_index": jet}
                    of_tracks = {"Track_pt": tracks, "Track_jet": [jet] * len(tracks)}
                    expected.append({**row, **of_tracks, "training_weight": event["met"] * (1 + jet)})
        with uproot.open(path) as file:
            found = {name: file["sig"][name].array().to_list() for name in expected[0]}
            assert "Muon_pt" not in file["sig"]
        assert found == {name: [row[name] for row in expected] for name in expected[0]}
        record = summary.records[fold]
        assert RowsConfig.model_validate(record.rows) == RowsConfig.model_validate(ROWS)
        process = record.processes["sig"]
        assert (process.events_read, process.events_kept) == (read, len(expected))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"rows": {"objects": "Jets"}}, "rows.objects: no lists 'Jets_…' or 'Jets.…' in tree 'ntuple' of {path}"),
        (
            {"rows": {"objects": "Jet"}, "branches": ["Muon_pt"]},
            "branches: branch 'Muon_pt' of tree 'ntuple' of {path} cannot be read: it is a list per event, and a row "
            "is one of 'Jet'; add its collection to rows.members",
        ),
        (
            {"rows": {"objects": "Jet", "members": {"Track": {"index": "Track_jet"}}}, "weight": "Track_pt[0]"},
            "is NaN or infinite for {bad} of the selected events of {path}, first at entry 3;",
        ),
    ],
)
def test_bad_rows_are_one_line(
    jets: list[dict[str, Any]], make_config: MakeConfig, tmp_path: Path, keys: dict[str, Any], expected: str
) -> None:
    sig = {"files": ["a.root"], "weight_string": keys.pop("weight", "1")}
    with pytest.raises(NtuplemlError) as caught:
        create_training_dataset(make_config(processes={"sig": sig}, **keys))
    bad = sum(jet not in event["Track_jet"] for event in jets for jet in range(len(event["Jet_pt"])))
    assert expected.format(path=tmp_path / "ntuples/a.root", bad=bad) in str(caught.value)
