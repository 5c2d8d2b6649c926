"""Files of keys: exact, sorted, each key once, whatever the type and the size of the numbers."""

from __future__ import annotations

import io
import json
import shutil
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntupleml.datasets import trained_keys as module
from ntupleml.datasets.excluding import trained_keys
from ntupleml.datasets.loading import ClassTree, FoldFile
from ntupleml.datasets.trained_keys import keys_file, read_keys
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SMALL, LARGE = st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1)


def tree_of(path: Path, **columns: NDArray[Any]) -> ClassTree:
    """A class tree with columns."""
    number = len(next(iter(columns.values())))
    with new_tree_file(path, overwrite=True) as file:
        file.tree("EB", {name: np.dtype((values.dtype, values.shape[1:])) for name, values in columns.items()}).extend(
            columns
        )
    return ClassTree(FoldFile(str(path), 0, None), "EB", 0, 0, number, number, "", 0)


def trained(folder: Path, columns: list[str], *trees: ClassTree, name: str = "fold0_keras") -> Path:
    """Files that a training leaves, as far as its keys go."""
    keys = keys_file(trees, columns)
    folder.mkdir(exist_ok=True)
    (folder / f"{name}_keys.h5").write_bytes(keys.content)
    record = folder / f"{name}_training.json"
    record.write_text(json.dumps({"held_out_fold": 1, "keys": keys.record(f"{name}_keys.h5").model_dump()}))
    return record


def has(source: Path, **columns: NDArray[Any]) -> list[bool]:
    found = trained_keys([str(source)], "a.yaml")
    assert found is not None
    return found.has(columns, np.arange(len(next(iter(columns.values())))), "a.yaml").tolist()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(SMALL, min_size=1, max_size=30),
    events=st.lists(LARGE, min_size=30, max_size=30),
    chunk=st.integers(1, 7),
)
def test_every_key_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[int], events: list[int], chunk: int
) -> None:
    """In order, once each, as Python sorts a set of pairs of integers."""
    monkeypatch.setattr(module, "_CHUNK", chunk)
    events = events[: len(runs)]
    tree = tree_of(tmp_path / "a.root", run=np.array(runs, "i8"), event=np.array(events, "u8"))
    keys = keys_file([tree, tree], ["run", "event"])
    record = keys.record("keys.h5")
    (tmp_path / "keys.h5").write_bytes(keys.content)
    parts = list(read_keys(tmp_path, record))
    found = [(int(run), int(event)) for part in parts for run, event in zip(*part, strict=True)]
    wanted = set(zip(runs, events, strict=True))
    assert sorted(found) == sorted(wanted)
    assert len(found) == len(wanted) == record.keys
    assert record.rows == 2 * len(runs)


def test_it_is_read_without_ntupleml(tmp_path: Path) -> None:
    """As docs/keys.md says: sums of the differences."""
    events = np.array([7, 2**60 + 1, 7, 3])
    content = keys_file([tree_of(tmp_path / "a.root", event=events)], ["event"]).content
    with h5py.File(io.BytesIO(content)) as file:
        assert np.cumsum(file["event"][:], dtype="u8").view(file["event"].attrs["type"]).tolist() == [3, 7, 2**60 + 1]
        assert json.loads(file.attrs["ntupleml"])["columns"] == ["event"]


def test_neighbours_and_signs_are_told_apart(tmp_path: Path) -> None:
    events = np.array([2**62, 2**62 + 1, -1, 5])
    record = trained(tmp_path / "out", ["event"], tree_of(tmp_path / "a.root", event=events))
    asked = np.array([2**62 + 2, 2**62 + 1, -1, 4, 5])
    assert has(record, event=asked) == [False, True, True, False, True]
    assert has(record, event=asked.astype("u8")) == [False, True, False, False, True], "2⁶⁴ − 1 is not −1"
    assert has(record, event=np.array([5.0, 6.0])) == [True, False]
    with pytest.raises(NtuplemlError, match=r"exclude_trained_by: branch 'event': .* is rounded"):
        has(record, event=np.array([2.0**60]))


def test_all_models_of_a_folder_and_several_trainings(tmp_path: Path) -> None:
    """Keys that both have are there once."""
    for fold, events in enumerate(([1, 2, 3], [3, 4])):
        tree = tree_of(tmp_path / f"{fold}.root", run=np.array([9] * len(events), "i4"), event=np.array(events))
        trained(tmp_path / "out", ["run", "event"], tree, name=f"fold{fold}_keras")
    other = tree_of(tmp_path / "2.root", run=np.array([9, 10]), event=np.array([1, 1]))
    trained(tmp_path / "other", ["run", "event"], other)
    found = trained_keys([str(tmp_path / "out"), str(tmp_path / "other")], "a.yaml")
    assert found is not None
    assert len(found) == 5
    asked = {"run": np.array([9, 9, 10, 10]), "event": np.array([4, 5, 1, 4])}
    assert found.has(asked, np.arange(4), "a.yaml").tolist() == [True, False, True, False]
    assert found.has(asked, np.array([2, 1]), "a.yaml").tolist() == [True, False]


def test_what_cannot_be_a_key(tmp_path: Path) -> None:
    tree = tree_of(tmp_path / "a.root", event=np.array([1.5]), list=np.ones((1, 3)))
    with pytest.raises(NtuplemlError, match=r"branch 'event': 1\.5 of entry 0 is no whole number"):
        keys_file([tree], ["event"])
    with pytest.raises(NtuplemlError, match=r"keys: branch 'list' .* one integer per row is needed"):
        keys_file([tree], ["list"])
    with pytest.raises(NtuplemlError, match=r"keys: no branch 'evt' .*nearest: 'event'; .*dataset config's branches"):
        keys_file([tree], ["evt"])
    signed = tree_of(tmp_path / "b.root", event=np.array([-1]))
    large = tree_of(tmp_path / "c.root", event=np.array([2**63], "u8"))
    with pytest.raises(NtuplemlError, match="keys: 'event' is below 0 in one tree and above 2⁶³ in another"):
        keys_file([signed, large], ["event"])


def test_what_cannot_be_excluded_is_said_in_one_line(tmp_path: Path) -> None:
    record = trained(tmp_path / "out", ["event"], tree_of(tmp_path / "a.root", event=np.array([1, 2])))
    keys = tmp_path / "out" / "fold0_keras_keys.h5"

    def refused(message: str, *paths: Path) -> None:
        with pytest.raises(NtuplemlError, match=message) as error:
            trained_keys(list(map(str, paths)), "a.yaml")
        assert "\n" not in str(error.value)

    refused("a.yaml: exclude_trained_by: no file or folder '.*none'", tmp_path / "none")
    refused("no record of a training is in", tmp_path)
    refused("not the record of a training", keys)
    other = trained(tmp_path / "other", ["n"], tree_of(tmp_path / "b.root", n=np.array([1])))
    refused("the keys of .*other.* are n, but those of .*out.* event; train with the same keys", record, other)
    other.write_text(json.dumps({"held_out_fold": 1}))
    refused(r"other.*: that training kept no keys; add e.g. keys: \[run_number, event_number\]", record, other)
    content = keys.read_bytes()
    keys.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused("fold0_keras_keys.h5: not the file that the training wrote: its checksum differs", record)
    keys.unlink()
    refused("fold0_keras_keys.h5: no such file; it belongs to the record beside it", record)


def test_a_folder_may_move(tmp_path: Path) -> None:
    trained(tmp_path / "out", ["event"], tree_of(tmp_path / "a.root", event=np.array([1, 2])))
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert has(tmp_path / "moved", event=np.array([2, 3])) == [True, False]
