"""Folds that a table has: what it says of an event decides which model scores it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

import ntupleml
from ntupleml.application import append_scores, make_plan
from ntupleml.errors import NtuplemlError
from ntupleml.folds import FoldFileRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TREE = "mt_nominal/ntuple"
KEYS = ["run", "event"]
ENTRIES = 200


def columns() -> dict[str, NDArray[Any]]:
    """Numbers that floats cannot tell apart."""
    events = np.arange(ENTRIES, dtype="u8") + np.uint64(2**63)
    return {"run": np.repeat(np.array([7, 8], "u4"), ENTRIES // 2), "event": events}


def folds(num_folds: int = 3) -> NDArray[np.int64]:
    return np.random.default_rng(11).integers(0, num_folds, ENTRIES)


def write_table(path: Path, order: Any = slice(None), **change: Any) -> Path:
    """The split, in another order of rows than that of the ntuple."""
    table = {name: np.asarray(values)[::-1][order] for name, values in (columns() | {"fold": folds()} | change).items()}
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in table.items():
                file.create_dataset(f"split/{name}", data=values)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(table), path)
    else:
        with uproot.recreate(path) as file:
            file.mktree("split", {name: values.dtype for name, values in table.items()}).extend(table)
    return path


@pytest.fixture
def divided(make_analysis: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """An analysis whose models were trained with a table of folds in some format."""

    def make(name: str, others: str = "refused") -> Any:
        path = write_table(tmp_path / name)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        record = FoldFileRecord(path=str(path), others=others, sha256=checksum)
        analysis = make_analysis(num_folds=3, event_branch=None, fold_by=KEYS, fold_file=record)
        block = {"path": str(path), "others": others}
        analysis.change("dataset", {"fold_file": str(path) if others == "refused" else block})
        return analysis

    return make


def expected(analysis: Any, path: Path, of_events: NDArray[Any]) -> NDArray[Any]:
    """Score of the first class by the model that is held out from the fold of each event."""
    with uproot.open(path) as file:
        read = file[TREE].arrays(["x", "y"], library="np")
    matrix = np.stack([read["x"], read["y"]], axis=1)
    logits = np.stack([matrix @ weights.astype("f8") for weights in analysis.weights])
    chosen = logits[(of_events - 1) % 3, np.arange(len(matrix))]
    return np.exp(chosen[:, 0]) / np.exp(chosen).sum(axis=1)


@pytest.mark.parametrize("name", ["split.h5", "split.parquet", "split.root"])
def test_the_table_decides(divided: Callable[..., Any], name: str) -> None:
    analysis = divided(name)
    path = analysis.ntuple(entries=ENTRIES, **columns())
    append_scores(*analysis.configs, path, TREE)
    with uproot.open(path) as file:
        found = file[TREE].arrays(library="np")
    np.testing.assert_allclose(found["ml_score_signal"], expected(analysis, path, folds()), atol=2e-6)
    in_memory = ntupleml.load_model(analysis.configs[1]).score(found)[:, 0]
    np.testing.assert_allclose(in_memory, found["ml_score_signal"], atol=1e-7)


def test_events_without_a_fold_are_refused(divided: Callable[..., Any]) -> None:
    analysis = divided("split.h5")
    path = analysis.ntuple(entries=ENTRIES, **columns() | {"run": np.full(ENTRIES, 7, "u4")})
    message = (
        rf"100 of 200 events have no fold in .*split\.h5, the first in entry 100 \(run, event = 7, {2**63 + 100}\)"
    )
    with pytest.raises(NtuplemlError, match=message):
        append_scores(*analysis.configs, path, TREE)


def test_events_without_a_fold_are_hashed(divided: Callable[..., Any], python_hash: Callable[..., int]) -> None:
    hashed = divided("split.h5", "hash")
    path = hashed.ntuple(entries=ENTRIES, **columns() | {"run": np.full(ENTRIES, 7, "u4")})
    append_scores(*hashed.configs, path, TREE)
    with uproot.open(path) as file:
        scores = file[TREE]["ml_score_signal"].array(library="np")
    by_hash = np.array([python_hash(7, 2**63 + event) % 3 for event in range(ENTRIES)])
    of_events = np.where(np.arange(ENTRIES) < 100, folds(), by_hash)
    np.testing.assert_allclose(scores, expected(hashed, path, of_events), atol=2e-6)


def test_another_table_than_that_of_the_training(divided: Callable[..., Any], tmp_path: Path) -> None:
    analysis = divided("split.h5")
    make_plan(*analysis.configs)
    other = write_table(tmp_path / "other.h5", fold=(folds() + 1) % 3)
    analysis.change("dataset", {"fold_file": str(other)})
    with pytest.raises(NtuplemlError, match=r"other\.h5 \(run, event; SHA-256 .* but the models .*split\.h5 \(run, "):
        make_plan(*analysis.configs)
    write_table(tmp_path / "split.h5", fold=(folds() + 1) % 3)
    with pytest.raises(NtuplemlError, match=r"split\.h5 has changed since the dataset was built"):
        ntupleml.load_model(analysis.configs[1]).score(columns() | {"x": np.zeros(ENTRIES), "y": np.zeros(ENTRIES)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fold": np.full(ENTRIES, 3)}, "has a fold 3, but num_folds is 3, so that folds are 0 to 2"),
        ({"fold": np.full(ENTRIES, -1)}, "'fold' is -1 in row 0, which is no fold"),
        ({"fold": np.full(ENTRIES, 0.5)}, "0.5 of entry 0 is no whole number"),
        ({"event": np.full(ENTRIES, 5)}, r"the event with run, event = [78], 5 is in two folds; each has one"),
        ({"run": np.full(ENTRIES, 7.0e9, "f4")}, "is rounded, as float32 is from 16777216 on"),
    ],
)
def test_tables_that_are_none(
    make_analysis: Callable[..., Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    analysis = make_analysis(num_folds=3, event_branch=None, fold_by=KEYS)
    analysis.change("dataset", {"fold_file": str(write_table(tmp_path / "split.parquet", **change))})
    with pytest.raises(NtuplemlError, match=message):
        make_plan(*analysis.configs)


def test_what_is_missing_is_named(make_analysis: Callable[..., Any], tmp_path: Path) -> None:
    analysis = make_analysis(num_folds=3, event_branch=None, fold_by=["run", "evt"])
    write_table(tmp_path / "split.h5")
    for block, message in (
        ({"path": str(tmp_path / "split.h5")}, "fold_file: no branch 'evt'.*nearest: 'event'"),
        ("nothing.h5", "fold_file: no file 'nothing.h5'"),
    ):
        analysis.change("dataset", {"fold_file": block})
        with pytest.raises(NtuplemlError, match=message):
            make_plan(*analysis.configs)
    analysis.change("dataset", {"fold_by": None})
    with pytest.raises(NtuplemlError, match="fold_file: name its columns that tell an event"):
        make_plan(*analysis.configs)
