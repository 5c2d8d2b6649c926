"""The ntuples of the example with displaced jets: seeded, with the branches and the layout of DiVertAnalysis."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("sig", "sig_125", "qcd", "bib", "control_mc", "control_data")
EVENTS = 300


def ntuple(folder: Path, file: str) -> ak.Array:
    with uproot.open(folder / f"{file}.root") as opened:
        return opened["trees_DV_"].arrays()


def run(project: Path, folder: Path) -> str:
    command = [sys.executable, project / "tools/calratio_events.py", folder, "--events", str(EVENTS), "--seed", "3"]
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def test_files_are_seeded_and_have_what_the_original_reads(project: Path, tmp_path: Path) -> None:
    for folder in ("one", "same"):
        run(project, tmp_path / folder)
    for file in FILES:
        found = ntuple(tmp_path / "one", file)
        assert ak.array_equal(found, ntuple(tmp_path / "same", file))
        assert 0.3 * EVENTS <= len(found) <= EVENTS
        assert ("mcEventWeight" in found.fields) == (file not in ("bib", "control_data"))
        assert ("llp_Lxy" in found.fields) == file.startswith("sig")
        assert ("HLT_jet_isBIB" in found.fields) == (file == "bib")
        jets = ak.num(found.jet_pT)
        for index, member in (("cluster", "clus_pt"), ("track", "track_pT"), ("MSeg", "MSeg_t0")):
            owners = found[f"{index}_jetIndex"]
            assert ak.all(ak.num(owners) == ak.num(found[member]))
            assert ak.all((owners >= 0) & (owners < jets))
        assert ak.all(np.abs(found.jet_phi) <= np.pi)
    signal = ntuple(tmp_path / "one", "sig")
    layers = sum(signal[f"clus_l{layer}{kind}"] for layer in (1, 2, 3, 4) for kind in ("ecal", "hcal"))
    assert ak.all(np.isclose(layers, signal.clus_pt))  # in MeV
    # the clusters of a jet have its momentum, in GeV
    of_first = ak.sum(signal.clus_pt[signal.cluster_jetIndex == 0], axis=1) / 1000
    assert ak.all(np.isclose(of_first, signal.jet_pT[:, 0]))


def test_files_that_are_there_stay(project: Path, tmp_path: Path) -> None:
    (tmp_path / "qcd.root").write_bytes(b"of the user")
    said = run(project, tmp_path)
    assert f"{tmp_path / 'qcd.root'}: is there already" in said
    assert (tmp_path / "qcd.root").read_bytes() == b"of the user"
    assert len(ntuple(tmp_path, "control_data")) == EVENTS
