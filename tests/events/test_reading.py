"""Events of a file as the training reads them: the same for every size of the chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ntupleml.config.inputs import ImageConfig, NumbersConfig, ObjectsConfig
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of
from ntupleml.events.reading import branches_to_read, read_events
from ntupleml.events.values import joined
from ntupleml.folds import FoldRule
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.ntuples import Chunk

_GROUPS = groups_of(
    {
        "event": NumbersConfig(numbers=["met", "met/2"]),
        "jets": ObjectsConfig(objects=["Jet_pt"], sort="Jet_pt", length=3),
    }
)
_COUNTS = np.array([2, 0, 5, 1, 0])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "a.root"
    with uproot.recreate(path) as file:
        file.mktree("ntuple", {"met": "f4", "weight": "f4", "event": "i8", "bad": "f8", "Jet_pt": "var * float32"})
        file["ntuple"].extend(
            {
                "met": np.arange(5, dtype="f4"),
                "weight": np.array([1, 2, -3, 4, 5], "f4"),
                "event": np.array([7, 2**53 + 1, 5, 4, 3]),
                "bad": np.array([1.5, 2, 3, 4, 5]),
                "Jet_pt": ak.unflatten(np.arange(8, dtype="f4"), _COUNTS),
            }
        )
    return path


def read(path: Path, **options: Any) -> list[Any]:
    with open_ntuple(path, "ntuple") as ntuple:
        return list(read_events(ntuple, _GROUPS, **options))


@pytest.mark.parametrize("size", [1, 2, 5, None])
def test_chunks_join_to_the_whole(path: Path, size: int | None) -> None:
    chunks = read(path, weights="weight", fold_rule=FoldRule("event"), more=["bad"], entries_per_chunk=size)
    assert [chunk.stop for chunk in chunks] == [min(start + (size or 5), 5) for start in range(0, 5, size or 5)]
    np.testing.assert_array_equal(np.concatenate([chunk.weights for chunk in chunks]), [1, 2, -3, 4, 5])
    np.testing.assert_array_equal(np.concatenate([chunk.folds(2) for chunk in chunks]), [1, 1, 1, 0, 1])
    np.testing.assert_array_equal(np.concatenate([chunk.columns["bad"] for chunk in chunks]), [1.5, 2, 3, 4, 5])
    batch = joined([chunk.inputs for chunk in chunks]).batch()
    np.testing.assert_array_equal(batch["event"], [[met, met / 2] for met in range(5)])
    np.testing.assert_array_equal(batch["jets"][:, :, 0], [[1, 0, 0], [0, 0, 0], [6, 5, 4], [7, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch["jets_length"], [2, 0, 3, 1, 0])


def test_rows_are_chosen_before_anything_is_looked_at(path: Path) -> None:
    def large(chunk: Chunk) -> Any:
        return np.flatnonzero(chunk.columns["bad"] > 1.5)

    chunks = read(path, fold_rule=FoldRule("bad"), choose=large, entries_per_chunk=3)
    assert [chunk.rows.tolist() for chunk in chunks] == [[1, 2], [0, 1]]
    assert [chunk.numbers.tolist() for chunk in chunks] == [[2, 3], [4, 5]]
    assert [len(chunk.inputs) for chunk in chunks] == [2, 2]
    with pytest.raises(
        NtuplemlError, match=r"a\.root: tree 'ntuple': branch 'bad': event number 1.5 is not an integer"
    ):
        read(path, fold_rule=FoldRule("bad"))


def test_entries_count_where_no_branch_does(path: Path) -> None:
    chunks = read(path, entries_per_chunk=3)
    assert [chunk.numbers.tolist() for chunk in chunks] == [[0, 1, 2], [3, 4]]
    assert [chunk.weights.tolist() for chunk in chunks] == [[1, 1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "wieght"}, "event_weights: no branch 'wieght' .*nearest: 'weight'"),
        ({"weights": "Jet_pt"}, "a.root: tree 'ntuple': weight branch 'Jet_pt' has several values per event"),
        ({"fold_rule": FoldRule("evnt")}, "event_branch: no branch 'evnt' .*nearest: 'event'"),
        ({"more": ["Jet_ptt"]}, "no branch 'Jet_ptt' .*nearest: 'Jet_pt'"),
    ],
)
def test_wrong_branches_are_one_line(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        read(path, **options)


def test_branches_of_groups_are_named_with_their_key(path: Path) -> None:
    groups = groups_of({"jets": ObjectsConfig(objects=["Jet_pt"], selection="Jet_et > 20")})
    with (
        open_ntuple(path, "ntuple") as ntuple,
        pytest.raises(NtuplemlError, match=r"tree 'ntuple': inputs\.jets: no branch 'Jet_et', which .*'Jet_et > 20'"),
    ):
        branches_to_read(ntuple, groups)


_CALO = np.arange(5 * 4 * 3, dtype="f4").reshape(5, 4, 3)
_LAYERS = np.arange(5 * 4 * 3 * 2, dtype="f8").reshape(5, 4, 3, 2)
_CELL = ak.unflatten(np.arange(8, dtype="f4"), _COUNTS)


def write_tree(path: Path) -> None:
    with uproot.recreate(path) as file:
        types = {"calo": np.dtype(("f4", (4, 3))), "layers": np.dtype(("f8", (4, 3, 2))), "cell": "var * float32"}
        file.mktree("events", types)
        file["events"].extend({"calo": _CALO, "layers": _LAYERS, "cell": _CELL})


def write_rntuple(path: Path) -> None:
    columns = {"calo": ak.to_regular(ak.Array(_CALO), axis=None), "layers": ak.to_regular(ak.Array(_LAYERS), axis=None)}
    with uproot.recreate(path) as file:
        file.mkrntuple("events", {**columns, "cell": _CELL})


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["events/calo"], file["events/layers"] = _CALO, _LAYERS
        lists = file.create_dataset("events/cell", (5,), h5py.vlen_dtype("f4"))
        lists[:] = np.array([*map(np.asarray, _CELL), None], object)[:-1]


def write_parquet(path: Path) -> None:
    def nested(array: Any) -> Any:
        values = pa.array(array.reshape(-1))
        for length in reversed(array.shape[1:]):
            values = pa.FixedSizeListArray.from_arrays(values, length)
        return values

    pq.write_table(pa.table({"calo": nested(_CALO), "layers": nested(_LAYERS), "cell": _CELL.to_list()}), path)


@pytest.mark.parametrize("write", [write_tree, write_rntuple, write_hdf5, write_parquet])
def test_images_and_objects_of_all_sources(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "a")
    groups = groups_of(
        {"both": ImageConfig(image=["calo", "layers"]), "cells": ObjectsConfig(objects=["cell"], length=2)}
    )
    with open_ntuple(tmp_path / "a", "events") as ntuple:
        chunks = list(read_events(ntuple, groups, entries_per_chunk=2))
    batch = joined([chunk.inputs for chunk in chunks]).batch()
    np.testing.assert_array_equal(batch["both"], np.concatenate([_CALO[..., None], _LAYERS], axis=3).astype("f4"))
    np.testing.assert_array_equal(batch["cells"][..., 0], [[0, 1], [0, 0], [2, 3], [7, 0], [0, 0]])
    assert batch["cells_length"].tolist() == [2, 0, 2, 1, 0]
    wrong = groups_of({"calo": ImageConfig(image=["calo", "cell"])})
    with (
        open_ntuple(tmp_path / "a", "events") as ntuple,
        pytest.raises(NtuplemlError, match=r"events.*: variable 'cell' has lists of any length; arrays of one shape"),
    ):
        list(read_events(ntuple, wrong))
