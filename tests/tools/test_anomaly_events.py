"""The events of the example with a trigger: seeded, alike in both layouts, with weights that undo the enhanced bias."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

PROCESSES = ("EB", "HHbbtautau", "HtoAAto4b", "dark_showers")
EVENTS = 20_000
COLLISIONS = 31_575_960
#: Six jets, then three of each, in the order of `HLT_data`.
SLOTS = {"jet": 6, "el": 3, "muon": 3, "ph": 3}


def run(project: Path, folder: Path, *arguments: object) -> str:
    command = [sys.executable, project / "tools/anomaly_events.py", folder, "--seed", "3", *arguments]
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def folder(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("trigger")
    run(project, made, "--events", EVENTS, "--hdf5")
    return made


def ntuple(folder: Path, process: str) -> ak.Array:
    with uproot.open(folder / f"{process}.root") as file:
        return file["trigger"].arrays()


def padded(events: ak.Array, name: str, slots: int) -> NDArray[np.float32]:
    """Lists of pT, η and φ as an array with zeros behind them."""
    columns = [ak.fill_none(ak.pad_none(events[f"{name}_{key}"], slots, clip=True), 0) for key in ("pt", "eta", "phi")]
    return np.stack([ak.to_numpy(one) for one in columns], axis=2)


@pytest.mark.parametrize("process", PROCESSES)
def test_lists_and_arrays_are_of_the_same_events(folder: Path, process: str) -> None:
    events = ntuple(folder, process)
    assert len(events) == (EVENTS if process == "EB" else EVENTS // 10)
    met = np.zeros((len(events), 1, 3), np.float32)
    met[:, 0, 0], met[:, 0, 2] = ak.to_numpy(events.met), ak.to_numpy(events.met_phi)
    with h5py.File(folder / f"{process}.h5") as file:
        slots = [padded(events, name, number) for name, number in SLOTS.items()]
        assert np.array_equal(np.concatenate([*slots, met], axis=1), file["HLT_data"][:])
        assert np.array_equal(padded(events, "L1_jet", 6), file["L1_jFexSR_jets"][:])
        assert np.array_equal(padded(events, "L1_tau", 4), file["L1_eFex_taus"][:])
        assert np.allclose(padded(events, "L1_muon", 4) * [0.001, 1, 1], file["L1_muons"][:])
        for name in ("run_number", "event_number", "pileup", "weight"):
            assert np.array_equal(ak.to_numpy(events[name]), file[f"{name}s"][:])
        assert np.array_equal(ak.to_numpy(events.passHLT), file["passHLT"][:])
    assert ak.all(events.jet_pt[:, :-1] >= events.jet_pt[:, 1:])
    assert len(np.unique(events.event_number)) == len(events)
    assert not ak.any(events.passHLT & ~events.passL1)


def test_weights_bring_the_background_to_the_rate_of_collisions(folder: Path) -> None:
    events = ntuple(folder, "EB")
    weights = ak.to_numpy(events.weight)
    assert weights.mean() == pytest.approx(1.0, abs=4 * weights.std() / np.sqrt(EVENTS))
    rates = {
        name: COLLISIONS * weights[ak.to_numpy(events[name])].sum() / weights.sum() for name in ("passL1", "passHLT")
    }
    assert 2e4 < rates["passL1"] < 2e5
    assert 5e2 < rates["passHLT"] < 5e3
    hard = np.sort(ak.to_numpy(ak.fill_none(ak.firsts(events.jet_pt), 0)))[-EVENTS // 20]
    of_hard = weights[ak.to_numpy(ak.any(events.jet_pt >= hard, axis=1))]
    assert of_hard.sum() / weights.sum() < 1e-3  # a twentieth of the events


def test_signals_differ_in_what_the_trigger_has_already(folder: Path) -> None:
    shares = {name: float(np.mean(ntuple(folder, name).passHLT)) for name in PROCESSES[1:]}
    assert shares["HtoAAto4b"] < 0.15 < shares["HHbbtautau"]
    assert shares["dark_showers"] > 0.15


def test_events_are_seeded_and_files_that_are_there_stay(folder: Path, project: Path, tmp_path: Path) -> None:
    (tmp_path / "HHbbtautau.root").write_bytes(b"of the user")
    said = run(project, tmp_path, "--events", EVENTS)
    assert f"{tmp_path / 'HHbbtautau.root'}: is there already" in said
    assert (tmp_path / "HHbbtautau.root").read_bytes() == b"of the user"
    assert not list(tmp_path.glob("*.h5"))
    assert ak.array_equal(ntuple(tmp_path, "HtoAAto4b"), ntuple(folder, "HtoAAto4b"))
