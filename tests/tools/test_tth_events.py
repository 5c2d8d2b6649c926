"""The ntuples of the example with jets: those of a sample hold its rows, those of the toy are selected events."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

if TYPE_CHECKING:
    from pathlib import Path

TAG = "tagWeightBin_DL1r_Continuous"


def ntuple(folder: Path, process: str) -> ak.Array:
    with uproot.open(folder / f"{process}.root") as file:
        return file["nominal_Loose"].arrays()


def run(project: Path, *arguments: object) -> None:
    subprocess.run([sys.executable, project / "tools/tth_events.py", *map(str, arguments)], check=True)


def test_a_sample_becomes_lists_of_what_is_there(project: Path, tmp_path: Path) -> None:
    columns = [f"jet_{name}_{slot}" for slot in (1, 2) for name in ("pt", "eta", "phi", "e", TAG)]
    columns += ["lep_pt", "lep_eta", "lep_phi", "lep_e", "lep_is_muon", "met_met", "met_phi", "nJets"]
    electron = [50, 0.5, 1, 60, 4, 30, -1, 2, 100, 1, 28, 0.1, 3, 29, 0, 45, 0.25, 2]
    muon = [40, 0.25, -1, 41, 5, 0, 0, 0, 0, 0, 35, -0.5, 1, 40, 1, 20, -2, 1]
    rows = np.array([electron, muon], np.float32)
    for name in ("first.npz", "second.npz"):
        np.savez(tmp_path / name, ttH=rows, tt=rows[:1], columns=np.array(columns))
    run(project, tmp_path / "out", tmp_path / "first.npz", tmp_path / "second.npz")
    found = ntuple(tmp_path / "out", "ttH")
    assert found.event.tolist() == [0, 1, 2, 3]
    assert found.jet_pt.tolist() == [[50, 30], [40]] * 2
    assert found[f"jet_{TAG}"].tolist() == [[4, 1], [5]] * 2
    assert found.el_pt.tolist() == [[28], []] * 2
    assert found.mu_eta.tolist() == [[], [-0.5]] * 2
    assert found.met_met.tolist() == [45, 20] * 2
    assert found.HT_all.tolist() == [80, 40] * 2
    assert found.nBTags_DL1r_70.tolist() == [1, 1] * 2
    assert len(ntuple(tmp_path / "out", "tt")) == 2


def test_the_toy_is_seeded_and_selected(project: Path, tmp_path: Path) -> None:
    for folder in ("one", "same"):
        run(project, tmp_path / folder, "--events", 500, "--seed", 3)
    for process in ("ttH", "tt"):
        found = ntuple(tmp_path / "one", process)
        assert len(found) == 500
        assert ak.all(ak.num(found.jet_pt) >= 5)
        assert ak.all(ak.sum(found[f"jet_{TAG}"] >= 4, axis=1) >= 2)
        assert ak.all(ak.num(found.el_pt) + ak.num(found.mu_pt) == 1)
        assert ak.all(found.jet_e >= found.jet_pt * np.cosh(found.jet_eta))
        assert ak.array_equal(found, ntuple(tmp_path / "same", process))
