"""Files of one name in several folders become one: entries, records, what is done already, what does not fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ntupleml.config import ConversionConfig, load_config
from ntupleml.datasets.converting import convert
from ntupleml.datasets.merging import merge_folders
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.table_files import new_table_file, table_record

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    RunScript = Callable[..., subprocess.CompletedProcess[str]]


def write(path: Path, numbers: list[int], **more: Any) -> Path:
    """A tree with int64 and lists, or a histogram-free table of HDF5 or Parquet with the same columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lists = [[float(number)] * (number % 3) for number in numbers]
    columns = {"event": np.array(numbers), **more}
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            jets = ak.values_astype(ak.Array([*lists, [0.0]])[:-1], np.float32)
            types = {name: one.dtype for name, one in columns.items()} | {"jet_pt": jets.type}
            file.mktree("folder/ntuple", types).extend({**columns, "jet_pt": jets})
            file["h"] = np.histogram(np.array(numbers) % 10, bins=10, range=(0, 10))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({**dict(columns.items()), "jet_pt": lists}), path)
    else:
        with h5py.File(path, "w") as file:
            group = file.create_group("folder/ntuple")
            group.attrs["lumi"] = 36.1
            for name, one in columns.items():
                group.create_dataset(name, data=one, compression="gzip", shuffle=True)
            jets = group.create_dataset("jet_pt", (len(lists),), h5py.vlen_dtype(np.float32))
            for place, one in enumerate(lists):
                jets[place] = one
    return path


def content(path: Path) -> tuple[list[int], list[list[float]]]:
    if path.suffix == ".root":
        with uproot.open(path) as file:
            tree = file["folder/ntuple"].arrays()
            return tree["event"].to_list(), tree["jet_pt"].to_list()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return table["event"].to_pylist(), table["jet_pt"].to_pylist()
    with h5py.File(path) as file:
        group = file["folder/ntuple"]
        return group["event"][:].tolist(), [one.tolist() for one in group["jet_pt"][:]]


@pytest.mark.parametrize("ending", ["root", "h5", "parquet"])
def test_files_of_one_name(tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture) -> None:
    """A second run finds all done; a copy that comes later makes it ask."""
    caplog.set_level("INFO")
    large = 2**60 + 1
    write(tmp_path / f"mc16a/a.{ending}", [large, 2])
    write(tmp_path / f"mc16d/a.{ending}", [3, 4, 5])
    write(tmp_path / f"mc16d/b.{ending}", [6])
    out = tmp_path / "merged"
    assert merge_folders(tmp_path, out, prefix="all_", pattern=f"*.{ending}") == []
    assert content(out / f"all_a.{ending}") == (
        [large, 2, 3, 4, 5],
        [[float(n)] * (n % 3) for n in (large, 2, 3, 4, 5)],
    )
    assert content(out / f"all_b.{ending}")[0] == [6]
    assert sorted(path.name for path in out.iterdir()) == [f"all_a.{ending}", f"all_b.{ending}"]
    caplog.clear()
    assert merge_folders(tmp_path, out, prefix="all_", pattern=f"*.{ending}") == []
    assert caplog.text.count("done already") == 2
    write(tmp_path / f"mc16e/b.{ending}", [7])
    failures = merge_folders(tmp_path, out, prefix="all_", pattern=f"*.{ending}")
    assert len(failures) == 1
    assert f"all_b.{ending}: exists already, and not with all that is merged; give --overwrite" in failures[0]
    assert merge_folders(tmp_path, out, ["mc16e"], prefix="all_", pattern=f"*.{ending}", overwrite=True) == []
    assert content(out / f"all_b.{ending}")[0] == [7]


def test_histograms_are_added_and_attributes_kept(tmp_path: Path) -> None:
    for ending in ("root", "h5"):
        write(tmp_path / f"a/a.{ending}", [1, 2])
        write(tmp_path / f"b/a.{ending}", [2])
        merge_folders(tmp_path, tmp_path / "merged", pattern=f"*.{ending}")
    with uproot.open(tmp_path / "merged/a.root") as file:
        assert file["h"].values().tolist() == [0, 1, 2, *[0] * 7]
    with h5py.File(tmp_path / "merged/a.h5") as file:
        assert file["folder/ntuple"].attrs["lumi"] == 36.1
        assert file["folder/ntuple/event"].compression == "gzip"


@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_converted_tables(tmp_path: Path, ending: str) -> None:
    """The number of its file stays right in each row."""
    config = load_config({"variables": ["event"]}, ConversionConfig)
    for folder, first in (("a", 1), ("b", 10)):
        files = [write(tmp_path / "ntuples" / f"{folder}{place}.root", [first + place]) for place in range(2)]
        (tmp_path / "tables" / folder).mkdir(parents=True)
        convert([str(path) for path in files], tmp_path / f"tables/{folder}/x.{ending}", config)
    merge_folders(tmp_path / "tables", tmp_path / "tables/merged", pattern="x.*")
    path = tmp_path / f"tables/merged/x.{ending}"
    record = json.loads(table_record(path) or "")
    assert [one["file"]["path"][-7:] for one in record["files"]] == ["a0.root", "a1.root", "b0.root", "b1.root"]
    index = pq.read_table(path)["file_index"].to_pylist() if ending == "parquet" else None
    if index is None:
        with h5py.File(path) as file:
            index = file["folder/ntuple/file_index"][:].tolist()
    assert index == [0, 1, 2, 3]
    with pytest.raises(NtuplemlError, match="was made with other options"):
        convert([str(tmp_path / "ntuples/a0.root")], path, config)


@pytest.mark.parametrize("ending", ["root", "h5", "parquet"])
def test_columns_that_differ_are_refused(tmp_path: Path, ending: str, run_script: RunScript) -> None:
    """The other files are merged."""
    write(tmp_path / f"a/a.{ending}", [1])
    write(tmp_path / f"b/a.{ending}", [2], weight=np.ones(1))
    write(tmp_path / f"a/b.{ending}", [1], weight=np.ones(1, np.float32))
    write(tmp_path / f"b/b.{ending}", [2], weight=np.ones(1))
    write(tmp_path / f"a/c.{ending}", [1])
    done = run_script("dataset/merge.py", "-b", tmp_path, "-o", tmp_path / "out", "-w", f"*.{ending}", "-v")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    assert f"a/a.{ending}: lacks branch 'weight', which " in errors[0]
    assert f"b/b.{ending}: branch 'weight' is of type double, but of float" in errors[1].replace("float64", "double")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"c.{ending}"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    write(tmp_path / "mc16a/a.root", [1])
    write(tmp_path / "mc16a/sub/a.root", [1])
    with pytest.raises(NtuplemlError, match="mc16: no such folder; nearest: 'mc16a'"):
        merge_folders(tmp_path, tmp_path / "out", ["mc16"])
    with pytest.raises(NtuplemlError, match=r"no file '\*\.h5' in mc16a"):
        merge_folders(tmp_path, tmp_path / "out", pattern="*.h5")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/a.root").write_bytes((tmp_path / "mc16a/a.root").read_bytes()[:400])
    (failure,) = merge_folders(tmp_path, tmp_path / "out")
    assert "b/a.root: is truncated" in failure
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_damaged_numbers_are_one_line(tmp_path: Path, ending: str) -> None:
    """A flipped bit of a table that this package wrote does not fit to the checksum of its chunk or page."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
        with new_table_file(tmp_path / folder / f"t.{ending}", "events", {"x": "f8"}, 1000) as table:
            table.extend({"x": np.random.default_rng(1).random(1000)})
            table.finish("{}")
    path = tmp_path / f"b/t.{ending}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (failure,) = merge_folders(tmp_path, tmp_path / "out", ["a", "b"], pattern=f"*.{ending}")
    assert f"b/t.{ending}: " in failure
    assert "cannot be read" in failure
    assert "\n" not in failure
    assert not list((tmp_path / "out").glob("*"))


def test_numbers_in_other_files_are_not_merged(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(range(40)))
    for folder in "ab":
        (tmp_path / folder).mkdir()
        with h5py.File(tmp_path / folder / "t.h5", "w") as file:
            file.create_dataset("events/x", (5,), "f8", external=[(str(tmp_path / "secret"), 0, 40)])
            file["events/y"] = np.arange(5)
    (failure,) = merge_folders(tmp_path, tmp_path / "out", ["a", "b"], pattern="*.h5")
    assert "dataset 'events/x' cannot be read: its numbers are in other files" in failure
