"""Folds by a hash of run, lumi and event: each way of scoring asks the model that never saw the event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

import ntupleml
from ntupleml.application import append_scores, make_plan, require_aligned, write_friends
from ntupleml.application.resuming import plan_key
from ntupleml.application.score_table import write_score_table
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE = "mt_nominal/ntuple"
KEYS = ["run", "lumi", "event"]


@pytest.fixture
def hashed(make_analysis: Callable[..., Any]) -> Any:
    return make_analysis(num_folds=3, event_branch=None, fold_by=KEYS)


def keys_of(entries: int = 1000) -> dict[str, Any]:
    """Runs and lumi sections of other types than the event numbers, which begin at 2⁶³."""
    random = np.random.default_rng(4)
    return {
        "run": random.integers(300_000, 300_010, entries).astype("u4"),
        "lumi": random.integers(-5, 5, entries).astype("i4"),
        "event": random.permutation(np.arange(entries, dtype="u8") + np.uint64(2**63)),
    }


def test_in_place_and_as_a_friend(hashed: Any, require_scores: Callable[..., None]) -> None:
    """The friend has the three branches, by which it is known to belong to its ntuple."""
    path = hashed.ntuple(**keys_of())
    expected = hashed.expected(path)
    (friend,) = write_friends(*hashed.configs, [path], TREE)
    require_scores(friend, expected)
    require_aligned(path, friend, TREE, KEYS)
    with uproot.open(friend) as file:
        types = {name: file[TREE][name].array(library="np").dtype.name for name in KEYS}
        assert "entry" not in file[TREE]
    assert types == {"run": "uint32", "lumi": "int32", "event": "uint64"}
    append_scores(*hashed.configs, path, TREE)
    require_scores(path, expected)


def test_tables_and_columns_in_memory(hashed: Any, tmp_path: Path) -> None:
    path = hashed.ntuple(**keys_of())
    expected = hashed.expected(path)["ml_score_signal"]
    plan = make_plan(*hashed.configs)
    for name in ("scores.parquet", "scores.h5"):
        write_score_table(plan, [str(path)], TREE, tmp_path / name)
    table = pq.read_table(tmp_path / "scores.parquet")
    np.testing.assert_allclose(table["ml_score_signal"].to_numpy(), expected, atol=2e-6)
    np.testing.assert_array_equal(table["event"].to_numpy(), keys_of()["event"])
    with h5py.File(tmp_path / "scores.h5") as file:
        np.testing.assert_allclose(file["scores/ml_score_signal"][:], expected, atol=2e-6)
    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    model = ntupleml.load_model(hashed.configs[1])
    np.testing.assert_allclose(model.score(columns)[:, 0], expected, atol=2e-6)
    del columns["lumi"]
    with pytest.raises(
        NtuplemlError, match=r"a hash of run, lumi, event decides the fold.*give score\(columns, event="
    ):
        model.score(columns)
    given = model.score(
        columns, event=[hashed.python_hash(*map(int, row)) for row in zip(*keys_of().values(), strict=True)]
    )
    np.testing.assert_allclose(given[:, 0], expected, atol=2e-6)


def test_a_missing_branch_is_one_line(hashed: Any) -> None:
    path = hashed.ntuple(run=np.zeros(1000, "i4"), lumis=np.zeros(1000, "i4"))
    with pytest.raises(NtuplemlError, match=r"event_branch or fold_by.*: no branch 'lumi'.*nearest: 'lumis'"):
        append_scores(*hashed.configs, path, TREE)


def test_another_rule_than_that_of_the_training_is_refused(hashed: Any) -> None:
    before = plan_key(make_plan(*hashed.configs))
    hashed.change("dataset", {"event_branch": "event"})
    assert plan_key(make_plan(*hashed.configs)) != before  # friends get the same columns, but the key is of all
    for keys, what in (([], "branch 'event'"), (KEYS[1:], "a hash of lumi, event")):
        hashed.change("dataset", {"fold_by": keys or None})
        with pytest.raises(
            NtuplemlError, match=rf"{what} decides the fold, but the models .* a hash of run, lumi, event decides"
        ):
            make_plan(*hashed.configs)


def test_a_friend_in_another_order_is_refused(hashed: Any) -> None:
    """By a lumi section that differs, though all event numbers are the same."""
    path = hashed.ntuple(**keys_of())
    friend = hashed.folder / "more" / "ggh_2018" / "ggh_2018.root"
    friend.parent.mkdir(parents=True)
    columns = {"z": np.zeros(1000), **keys_of()}
    columns["lumi"] = columns["lumi"].copy()
    columns["lumi"][700] = 9
    with uproot.recreate(friend) as file:
        file.mktree(TREE, {key: values.dtype for key, values in columns.items()}).extend(columns)
    hashed.change("dataset", {"friend_paths": [str(friend.parents[1])]})
    with pytest.raises(NtuplemlError, match=r"entry 700 is lumi -?\d+, but 9 in the friend 'more'"):
        append_scores(*hashed.configs, path, TREE)
