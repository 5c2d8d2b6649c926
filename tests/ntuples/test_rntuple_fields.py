"""Records and collections of RNTuples are read like branches of numbers and of lists of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import read_group
from ntupleml.events.groups import InputGroup, Objects
from ntupleml.events.values import ObjectRows
from ntupleml.expressions import parse
from ntupleml.ntuples import columns_to_matrix, open_ntuple, required_branches

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = range(250)
#: What write_collections in root_files.py fills.
EXPECTED: dict[str, list[Any]] = {
    "Jet.pt": [[k + 0.5 * j for j in range(k % 3)] for k in EVENTS],
    "Jet.eta": [[0.25 * j - k for j in range(k % 3)] for k in EVENTS],
    "Jet.id": [[k + j for j in range(k % 3)] for k in EVENTS],
    "PV.z": [0.5 * k for k in EVENTS],
    "PV.n": [-k for k in EVENTS],
    "SV.z": [[-0.5 * k] * (k % 2) for k in EVENTS],
    "SV.n": [[k] * (k % 2) for k in EVENTS],
    "pair.0": [2.0 * k for k in EVENTS],
    "pair.1": [3 * k for k in EVENTS],
    "bits": [[bool(k >> j & 1) for j in range(10)] for k in EVENTS],
    "set": [[k + j for j in range(k % 4)] for k in EVENTS],
    "half": [0.25 * k for k in EVENTS],
    "doubles": [[0.5 * k] * (k % 2) for k in EVENTS],
    "Jet_pt": [[k + 0.5 * j for j in range(k % 3)] for k in EVENTS],
    "nJet": [k % 3 for k in EVENTS],
}
TYPES = {"Jet.pt": "float[]", "Jet.constituents": "std::vector<float>[]", "PV.n": "std::int16_t", "SV.z": "float[]"}
OTHERS = {"Jet.constituents", "optional", "letter", "streamed"}


@pytest.mark.parametrize("entries_per_chunk", [None, 100, 7])
def test_what_root_wrote(root_written: Path, entries_per_chunk: int | None) -> None:
    with open_ntuple(root_written / "collections.root", "Events") as ntuple:
        assert set(ntuple.main_branches) == EXPECTED.keys() | OTHERS
        for name, type_name in TYPES.items():
            assert ntuple.branches[name].type_name == type_name
        parts: dict[str, list[Any]] = {name: [] for name in EXPECTED}
        for chunk in ntuple.chunks(list(EXPECTED), entries_per_chunk):
            for name, column in chunk.columns.items():
                parts[name].append(column)
                is_scalar = ntuple.branches[name].kind == "scalar"
                values = column if is_scalar else np.asarray(ak.flatten(column))
                assert values.dtype == ntuple.branches[name].dtype, name
        assert ntuple.branches["half"].dtype == np.float64
        for name, expected in EXPECTED.items():
            assert ak.concatenate(parts[name]).to_list() == expected, name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Jet.constituents", "is of type std::vector<float>[], which holds neither numbers nor lists of numbers"),
        ("optional", "is of type std::optional<float>, which holds neither"),
        ("streamed", "cannot be read: uproot cannot decode it (Unsplit fields are not supported"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(root_written: Path, name: str, reason: str) -> None:
    with open_ntuple(root_written / "collections.root", "Events") as ntuple:
        with pytest.raises(NtuplemlError) as caught:
            ntuple.require([name], "cut")
        assert str(caught.value).startswith(f"cut: branch '{name}' of tree 'Events' of ")
        assert reason in str(caught.value)


@pytest.fixture
def written_by_uproot(tmp_path: Path) -> Path:
    """Awkward records, as uproot writes them by default."""
    jets = ak.Array(
        [
            [{"pt": 40.0, "eta": 0.5, "p4": {"e": 50.0}}, {"pt": 20.0, "eta": -1.0, "p4": {"e": 60.0}}],
            [],
            [{"pt": 30.0, "eta": 2.0, "p4": {"e": 70.0}}],
        ]
    )
    met = ak.Array([{"pt": 1.0, "phi": 0.5}, {"pt": 2.0, "phi": 1.5}, {"pt": 3.0, "phi": 2.5}])
    with uproot.recreate(tmp_path / "a.root") as file:
        file["t"] = {"Jet": jets, "MET": met, "x": np.arange(3.0), "MET_phi": np.zeros(3)}
    return tmp_path / "a.root"


def test_names(written_by_uproot: Path) -> None:
    """`Jet.eta` is `Jet_eta` and `eta` as well, but a name that could be two fields, or is one itself, is no other."""
    with open_ntuple(written_by_uproot, "t") as ntuple:
        assert set(ntuple.main_branches) == {"Jet.pt", "Jet.eta", "Jet.p4.e", "MET.pt", "MET.phi", "MET_phi", "x"}
        others = {"Jet_pt", "Jet_eta", "eta", "Jet_p4_e", "e", "MET_pt", "phi"}
        assert set(ntuple.branches) - set(ntuple.main_branches) == others
        (chunk,) = ntuple.chunks(["Jet_eta", "eta", "Jet.eta", "MET_phi", "phi"])
        for name in ("Jet_eta", "eta", "Jet.eta"):
            assert chunk.columns[name].to_list() == [[0.5, -1.0], [], [2.0]]
        assert chunk.columns["MET_phi"].tolist() == [0, 0, 0]
        assert chunk.columns["phi"].tolist() == [0.5, 1.5, 2.5]
        assert ntuple.listed_name("eta") == "Jet.eta"
        with pytest.raises(NtuplemlError, match=r"no branch 'pt' in tree 't' of .*; nearest: .*'Jet.pt'"):
            ntuple.require(["pt"])


def test_formulas_variables_and_groups(written_by_uproot: Path) -> None:
    where = "test"
    variables = ["Sum$(Jet.pt*(abs(Jet_eta)<1.5))", "Max$(Jet_p4_e)", "MET.pt+phi", "x"]
    with open_ntuple(written_by_uproot, "t") as ntuple:
        needed = required_branches(variables, ntuple.branches, where)
        ((_, _, columns),) = ntuple.chunks(needed)
        matrix = columns_to_matrix(columns, variables)
        cut = parse("Jet.pt > 35 || MET_pt > 2.5", where)
        ((_, _, columns),) = ntuple.chunks(sorted(cut.branches))
        assert cut.passes(columns, 3).tolist() == [True, False, True]
        group = InputGroup("jets", ("Jet_pt", "Jet.p4.e"), objects=Objects(length=2))
        ((_, _, columns),) = ntuple.chunks(group.needed)
        rows = read_group(group, columns, 3, where)
        assert isinstance(rows, ObjectRows)
        assert rows.take(np.arange(3)).tolist() == [[[40, 50], [20, 60]], [[0, 0], [0, 0]], [[30, 70], [0, 0]]]
    np.testing.assert_array_equal(matrix[:, 0], [60, 0, 0])
    np.testing.assert_array_equal(matrix[[0, 2], 1], [60, 70])
    np.testing.assert_array_equal(matrix[:, 2:], [[1.5, 0], [3.5, 1], [5.5, 2]])
