"""A table of folds, which the build of a dataset writes once and follows from then on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import uproot

from ntupleml.datasets import create_training_dataset, read_fold_record
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeConfig, WriteNtuple

KEYS = ["run", "event"]


def write(write_ntuple: WriteNtuple, name: str, start: int, entries: int = 90) -> None:
    event = np.arange(start, start + entries, dtype="u8") + np.uint64(2**63)
    write_ntuple(name, run=np.full(entries, 3, "i4"), event=event, x=np.arange(entries, dtype="f4"))


def config_of(make_config: MakeConfig, path: Path, names: list[str], **block: Any) -> Any:
    processes = {"sig": {"files": names, "cut_string": "x > 9"}, "bkg": {"files": names, "cut_string": "x < 80"}}
    return make_config(
        event_branch=None, fold_by=KEYS, num_folds=3, processes=processes, fold_file={"path": str(path), **block}
    )


def events_of(path: Path, tree: str) -> list[int]:
    with uproot.open(path) as file:
        return [int(event) for event in file[tree]["event"].array(library="np")]


@pytest.mark.parametrize("name", ["split.h5", "split.parquet", "split.root"])
def test_it_is_written_once_and_kept(
    write_ntuple: WriteNtuple, make_config: MakeConfig, python_hash: Callable[..., int], tmp_path: Path, name: str
) -> None:
    """All events of the inputs are in it once, those that fail the cuts too."""
    write(write_ntuple, "a.root", 0)
    path = tmp_path / name
    config = config_of(make_config, path, ["a.root"], write=True)
    first = create_training_dataset(config)
    with open_ntuple(path, "" if name.endswith("parquet") else "folds") as table:
        (chunk,) = table.chunks(["run", "event", "fold"])
    assert chunk.columns["event"].tolist() == [2**63 + number for number in range(90)]
    assert chunk.columns["fold"].tolist() == [python_hash(3, 2**63 + number) % 3 for number in range(90)]
    content = path.read_bytes()
    create_training_dataset(config, overwrite=True)
    assert path.read_bytes() == content
    record = read_fold_record(first.files[0])
    assert record is not None
    assert record.fold_file is not None
    assert (record.fold_file.path, record.fold_by) == (str(path), KEYS)
    for fold, file in enumerate(first.files):
        wanted = [2**63 + number for number in range(10, 90) if python_hash(3, 2**63 + number) % 3 == fold]
        assert events_of(file, "sig") == wanted


def test_a_split_of_others_is_followed(write_ntuple: WriteNtuple, make_config: MakeConfig, tmp_path: Path) -> None:
    """By thirds, which no hash gives; a column of another name, and the event twice with one fold."""
    write(write_ntuple, "a.root", 0)
    event = np.append(np.arange(90, dtype="u8"), np.uint64(5)) + np.uint64(2**63)
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        for name, values in {
            "run": np.full(91, 3),
            "event": event,
            "part": np.minimum(event - 2**63, 89) // 30,
        }.items():
            file.create_dataset(f"events/{name}", data=values.astype("u8"))
        file.create_dataset("other/x", data=np.zeros(3))
    block = {"column": "part", "tree": "events"}
    summary = create_training_dataset(config_of(make_config, tmp_path / "theirs.h5", ["a.root"], **block))
    found = [[event - 2**63 for event in events_of(file, "bkg")] for file in summary.files]
    assert found == [list(range(30)), list(range(30, 60)), list(range(60, 80))]


def test_new_events_are_refused_or_hashed(
    write_ntuple: WriteNtuple, make_config: MakeConfig, python_hash: Callable[..., int], tmp_path: Path
) -> None:
    write(write_ntuple, "a.root", 0)
    path = tmp_path / "split.h5"
    create_training_dataset(config_of(make_config, path, ["a.root"], write=True))
    write(write_ntuple, "b.root", 1000)
    with pytest.raises(NtuplemlError, match=r"b\.root: 90 of 90 events have no fold in .*split\.h5"):
        create_training_dataset(config_of(make_config, path, ["a.root", "b.root"], write=True), overwrite=True)
    summary = create_training_dataset(config_of(make_config, path, ["a.root", "b.root"], others="hash"), overwrite=True)
    for fold, file in enumerate(summary.files):
        assert all(python_hash(3, event) % 3 == fold for event in events_of(file, "bkg"))
    assert sum(len(events_of(file, "bkg")) for file in summary.files) == 160
    record = json.loads(summary.files[0].with_suffix(".json").read_text())
    assert record["fold_file"]["others"] == "hash"


def test_a_file_that_is_not_there_is_written_where_that_is_asked_for(
    write_ntuple: WriteNtuple, make_config: MakeConfig, tmp_path: Path
) -> None:
    write(write_ntuple, "a.root", 0)
    with pytest.raises(NtuplemlError, match=r"fold_file: no file '.*split\.h5'.*write: true"):
        create_training_dataset(config_of(make_config, tmp_path / "split.h5", ["a.root"]))
    assert not (tmp_path / "split.h5").exists()
    with pytest.raises(NtuplemlError, match="the name of a table ends in"):
        create_training_dataset(config_of(make_config, tmp_path / "split.txt", ["a.root"], write=True))
