"""Headers of wide trees: the bytes that uproot writes by itself, in a time that grows with the number of branches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
from uproot.writing._cascadetree import Tree

from ntupleml.ntuples import new_tree_file, open_ntuple, wide_headers

if TYPE_CHECKING:
    from pathlib import Path

wide_headers.write_wide_headers_quickly()
pytestmark = pytest.mark.skipif(not hasattr(Tree, "_build_out"), reason="this uproot writes headers in another way")

#: Numbers, lists with a counter each, lists of one length, names of several branches, long names.
TYPES: dict[str, Any] = {
    "x": "f4",
    "jets": "var * float64",
    "image": np.dtype(("i2", (2, 3))),
    "name" * 100: ">i8",
    "pair": {"a": "bool", "b": "u4"},
    "leptons": "var * int32",
}
PLACES = ("metadata_start", "basket_metadata_start", "tleaf_reference_number")


def test_the_bytes_are_those_of_uproot(tmp_path: Path) -> None:
    types = {f"{name}{number}": kind for number in range(20) for name, kind in TYPES.items()}
    with uproot.recreate(tmp_path / "a.root") as file:
        tree = file.mktree("folder/events", types, title="of some width")._cascading
        found = []
        for build in (Tree._build_out, Tree._build_out.__wrapped__):
            header = b"".join(build(tree))
            places = [branch.get(place) for branch in tree._branch_data for place in PLACES]
            found.append((header, places, tree._metadata_start))
    assert len(found[0][0]) > 30_000
    assert found[0] == found[1]


def test_another_uproot_is_left_alone(tmp_path: Path) -> None:
    """Where the parts do not make uproot's own header, that is written."""
    with uproot.recreate(tmp_path / "a.root") as file:
        tree = file.mktree("events", {f"x{number}": "f4" for number in range(100)})._cascading

        def build(one: Any) -> list[bytes]:
            return [*Tree._build_out.__wrapped__(one), b"a part more"]

        assert not wide_headers._are_same(tree, tree._branch_data[:8], build)
        assert wide_headers._are_same(tree, tree._branch_data[:8], Tree._build_out.__wrapped__)


def test_thousands_of_branches(tmp_path: Path) -> None:
    """With the square of the number of branches it would be over half a minute."""
    types: dict[str, Any] = {f"x{number}": "f4" for number in range(2000)} | {"jets": "vector of f4"}
    jets = ak.Array([[1.0, 2.0], [], [3.0]])
    start = time.process_time()
    with new_tree_file(tmp_path / "a.root") as file:
        file.tree("events", types).extend(
            {name: jets if name == "jets" else np.full(3, int(name[1:]), "f4") for name in types}
        )
    assert time.process_time() - start < 12
    with open_ntuple(tmp_path / "a.root", "events") as ntuple:
        chunk = next(ntuple.chunks(["x0", "x1999", "jets"]))
    assert chunk.columns["x1999"].tolist() == [1999] * 3
    assert ak.to_list(chunk.columns["jets"]) == [[1.0, 2.0], [], [3.0]]
