"""Double32_t, Float16_t and leaf lists are read as ROOT reads them, or refused by name; see packed_files.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import awkward as ak
import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.packed_numbers import UnreadableLeavesError, leaf_interpretation, packing

#: What holds numbers that no column of ours can hold, and its type.
OTHERS = {
    "object": {"hit.TObject.fBits": "unsigned int", "hit.reference": "TRef"},
    "clones": {
        "hits.fBits": "unsigned int",
        "hits.fixed": "Double32_t[][3]",
        "hits.f_fixed": "Float16_t[][2]",
        "hits.list": "Double32_t*",
        "hits.plain_list": "Double32_t*",
        "hits.f_list": "Float16_t*",
        "hits.vector": "vector<Double32_t>",
        "hits.f_vector": "vector<Float16_t>",
        "hits.reference": "TRef[]",
    },
    "leaves": {"lists": "m/I:v[m]/F"},
    "whole": {"hit": "Hit", "hits": "TClonesArray"},
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with packed.root and the values that ROOT reads of it, packed.npz."""
    folder = tmp_path_factory.mktemp("packed")
    script = Path(__file__).with_name("packed_files.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=120)
    return folder


@pytest.mark.parametrize("tree", ["object", "clones", "leaves", "whole"])
def test_values_are_those_of_root(packed: Path, tree: str) -> None:
    with np.load(packed / "packed.npz") as expected, open_ntuple(packed / "packed.root", tree) as ntuple:
        readable = [name for name in ntuple.main_branches if ntuple.branches[name].kind != "other"]
        assert {
            name: ntuple.branches[name].type_name for name in ntuple.main_branches if name not in readable
        } == OTHERS[tree]
        columns: dict[str, list[Any]] = {name: [] for name in readable}
        for chunk in ntuple.chunks(readable, 30):
            for name, column in chunk.columns.items():
                columns[name].append(column)
        for name in readable:
            values = np.asarray(ak.flatten(ak.concatenate(columns[name]), axis=None))
            np.testing.assert_array_equal(values.astype("f8"), expected[f"{tree}/{name}"], err_msg=name)
            assert values.dtype == ntuple.branches[name].dtype


def test_leaf_lists_with_arrays(packed: Path) -> None:
    with open_ntuple(packed / "packed.root", "leaves") as ntuple:
        (chunk,) = ntuple.chunks(["part.pt", "part.res", "mixed.a", "mixed.b", "mixed.c", "x"])
        assert ntuple.branches["part.pt"].length == 6
        assert chunk.columns["part.pt"][7].to_list() == [7, 8, 9, 10, 11, 12]
        assert chunk.columns["part.res"][99].to_list() == [0, -1, -2, -3, -4, -5]
        assert chunk.columns["mixed.a"][5].to_list() == [5, 6, 7]
        assert chunk.columns["mixed.b"][5] == -5
        assert chunk.columns["mixed.c"].dtype == np.bool_
        with pytest.raises(NtuplemlError, match=r"'lists' of tree 'leaves' of .* cannot be read: its leaf 'v', beside"):
            ntuple.require(["lists"])


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("", (0, 0.0, 0.0)),
        ("energy (GeV)", (0, 0.0, 0.0)),
        ("[n]", (0, 0.0, 0.0)),
        ("[0,10,12]", (0, 409.6, 0.0)),
        ("[n][0,10,12] list", (0, 409.6, 0.0)),
        ("[2][3][0,10,12]", (0, 0.0, 0.0)),
        ("[0, 10, 1]", (0, (2**32 - 1) / 10, 0.0)),
        ("[-1e1,1E+1,8]", (0, 12.8, -10.0)),
        ("[-pi/2,2pi]", (0, (2**32 - 1) / (2.5 * np.pi), -np.pi / 2)),
        ("[-pi/4,twopi,2]", (0, 4 / (2.25 * np.pi), -np.pi / 4)),
        ("[0,0,14]", (14, 0.0, 0.0)),
        ("[0,0,15]", (0, 0.0, 0.0)),
        ("[a,b]", (0, 0.0, 0.0)),
        ("[", (0, 0.0, 0.0)),
    ],
)
def test_titles(title: str, expected: tuple[int, float, float]) -> None:
    """The rules of ROOT's documentation of TStreamerElement and Double32_t."""
    found = packing("f8", title)
    assert (found.bits, found.factor, found.minimum) == pytest.approx(expected)


def test_versions_of_a_class_that_pack_a_member_otherwise() -> None:
    """Which version wrote a branch is not in its header, so its numbers could be any of the two."""
    old, new = (SimpleNamespace(name="e", title=title, typename="Double32_t") for title in ("", "[0,10,12]"))
    streamers = {"Hit": {1: SimpleNamespace(elements=[old]), 2: SimpleNamespace(elements=[new])}}
    leaf = {"fName": "e", "fTitle": "e", "fLen": 1, "fType": 9, "fLeafCount": None}
    members = {
        "fLeaves": [SimpleNamespace(classname="TLeafElement", member=leaf.get)],
        "fType": 0,
        "fClassName": "Hit",
        "fParentName": "Hit",
    }
    branch = SimpleNamespace(member=members.get, streamer=new, file=SimpleNamespace(streamers=streamers))
    with pytest.raises(UnreadableLeavesError, match="the versions of class Hit in the file pack 'e' in different ways"):
        leaf_interpretation(branch)
    del streamers["Hit"][1]
    assert leaf_interpretation(branch).to_dtype == np.float64
