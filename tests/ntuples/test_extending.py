"""Trees added to existing files: the new one is right, everything else stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.ntuples.extending import added_tree

if TYPE_CHECKING:
    from pathlib import Path

TYPES = {"score": "f4", "event": "u8"}


def values(seed: int, entries: int = 1000) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {"score": random.random(entries, dtype="f4"), "event": np.arange(entries, dtype="u8") + 2**63}


def add(path: Path, tree_path: str, columns: dict[str, Any], overwrite: bool = False) -> None:
    with added_tree(path, tree_path, TYPES, overwrite) as tree:
        for start in range(0, len(columns["score"]), 300):
            tree.extend({name: column[start : start + 300] for name, column in columns.items()})


def read(path: Path, tree_path: str) -> dict[str, Any]:
    """Read with ROOT, which knows nothing of how uproot wrote it."""
    return dict(import_root().RDataFrame(tree_path, str(path)).AsNumpy())


@pytest.fixture(params=["ROOT", "uproot"])
def friend(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "friend.root"
    columns = values(0)
    if request.param == "ROOT":
        frame = import_root().RDF.FromNumpy(columns)
        frame.Snapshot("mt_nominal/ntuple", str(path))
    else:
        with uproot.recreate(path) as file:
            file.mktree("mt_nominal/ntuple", {name: column.dtype for name, column in columns.items()}).extend(columns)
            file["histogram"] = np.histogram(np.arange(10))
    return path


def test_trees_are_added_one_after_the_other(friend: Path) -> None:
    names = ["mt_nominal/ntuple", *(f"mt_shift{number}/ntuple" for number in range(12)), "mt_nominal/other", "top"]
    for seed, name in enumerate(names[1:], start=1):
        add(friend, name, values(seed))
    for seed, name in enumerate(names):
        found = read(friend, name)
        for branch, column in values(seed).items():
            np.testing.assert_array_equal(found[branch], column)
    with uproot.open(friend) as file:
        assert set(names) <= set(file.keys(cycle=False))
    assert [path.name for path in friend.parent.iterdir()] == ["friend.root"]


def test_an_existing_tree_is_refused_or_replaced(friend: Path) -> None:
    add(friend, "mt_up/ntuple", values(1))
    before = friend.read_bytes()
    with pytest.raises(NtuplemlError, match=r"tree 'mt_up/ntuple': the file has a TTree .*--overwrite"):
        add(friend, "mt_up/ntuple", values(2))
    assert friend.read_bytes() == before
    for seed in range(2, 6):
        add(friend, "mt_up/ntuple", values(seed, entries=100 * seed), overwrite=True)
        np.testing.assert_array_equal(read(friend, "mt_up/ntuple")["score"], values(seed, 100 * seed)["score"])
    np.testing.assert_array_equal(read(friend, "mt_nominal/ntuple")["score"], values(0)["score"])
    with uproot.open(friend) as file:
        assert [key for key in file if "mt_up/ntuple" in key] == ["mt_up/ntuple;1"]


def test_vectors_and_lists_of_one_length(friend: Path) -> None:
    counts = np.arange(1000) % 4
    jagged = ak.unflatten(np.arange(counts.sum(), dtype="f4"), counts)
    fixed = np.arange(3000, dtype="f4").reshape(1000, 3)
    types: dict[str, Any] = {"v": "vector of f4", "w": "vector of f4", "fixed": np.dtype(("f4", (3,)))}
    with added_tree(friend, "mt_up/ntuple", types) as tree:
        for part in (slice(0, 400), slice(400, 1000)):
            tree.extend({"v": jagged[part], "w": fixed[part], "fixed": fixed[part]})
    found = read(friend, "mt_up/ntuple")
    assert [list(values) for values in found["v"]] == jagged.tolist()
    assert [list(values) for values in found["w"]] == fixed.tolist()
    assert [list(values) for values in found["fixed"]] == fixed.tolist()


def test_no_entries(friend: Path) -> None:
    with added_tree(friend, "empty/ntuple", TYPES):
        pass
    with uproot.open(friend) as file:
        assert file["empty/ntuple"].num_entries == 0
        assert file["empty/ntuple"].keys() == list(TYPES)


def test_an_exception_leaves_the_file_as_it_was(friend: Path) -> None:
    before = friend.read_bytes()

    def interrupted() -> None:
        with added_tree(friend, "mt_up/ntuple", TYPES) as tree:
            tree.extend(values(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert friend.read_bytes() == before
    assert [path.name for path in friend.parent.iterdir()] == ["friend.root"]


def test_another_object_of_that_name_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "friend.root"
    with uproot.recreate(path) as file:
        file["histogram"] = np.histogram(np.arange(10))
    with pytest.raises(NtuplemlError, match="has a TH1D of this name already; choose another file"):
        add(path, "histogram", values(0), overwrite=True)


def test_not_a_root_file(tmp_path: Path) -> None:
    path = tmp_path / "friend.root"
    path.write_text("text")
    with pytest.raises(NtuplemlError, match="is not a ROOT file"):
        add(path, "ntuple", values(0))
