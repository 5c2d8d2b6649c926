#!/usr/bin/env python3
"""Cost of scoring jets with their members into a friend tree, against uproot, NumPy and ONNX Runtime alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import numpy as np
import uproot
from support.measuring import median_costs, run_in_folder, table
from support.trained_models import trained_models

PROJECT = Path(__file__).resolve().parents[1]
#: The peer: the same columns read, sorted and padded and the same session run, nothing written.
PEER = Path(__file__).parent / "support" / "bare_jet_scoring.py"
TREE = "Events"
#: Jets of an event, and which of them are scored.
JETS, LOWEST_PT, ETA = 6.0, 40.0, 2.5
#: What the friend may cost at most, relative to the bare script, processor time.
LIMIT = 1.6
_CHUNK = 5_000


class Of(NamedTuple):
    """Members of jets: branches, the first of which sorts them; index of the jet; slots; how many an event has."""

    branches: tuple[str, ...]
    index: str
    length: int
    mean: float

    @property
    def angles(self) -> tuple[str, ...]:
        """Branches that are relative to those of the leading member."""
        return tuple(name for name in self.branches if name.endswith(("_eta", "_phi")))


def _branches(name: str, number: int) -> tuple[str, ...]:
    return tuple(f"{name}_{one}" for one in ("pt", "eta", "phi", *(f"x{index}" for index in range(number - 3))))


MEMBERS = {
    "clus": Of(_branches("clus", 12), "cluster_jetIndex", 30, 90),
    "track": Of(_branches("track", 10), "track_jetIndex", 20, 30),
    "MSeg": Of(_branches("MSeg", 6), "MSeg_jetIndex", 30, 12),
}


def write_events(path: Path, events: int, seed: int) -> None:
    """Write events with Poisson numbers of jets and of members, of which one in seven belongs to no jet."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    collections = {"jet": (("jet_pt", "jet_eta", "jet_phi"), JETS)}
    collections |= {name: (one.branches, one.mean) for name, one in MEMBERS.items()}
    lists = [name for branches, _ in collections.values() for name in branches]
    types = {"event": "int64", **dict.fromkeys(lists, "var * float32")}
    types |= {one.index: "var * int32" for one in MEMBERS.values()}
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree(TREE, types)
        for start in range(0, events, _CHUNK):
            number = min(_CHUNK, events - start)
            columns = {"event": np.arange(start, start + number)}
            counts = {name: random.poisson(mean, number) for name, (_, mean) in collections.items()}
            for name, (branches, _) in collections.items():
                for branch in branches:
                    values = _values(branch, counts[name].sum(), random)
                    columns[branch] = ak.unflatten(values.astype(np.float32), counts[name])
            for name, one in MEMBERS.items():
                jets = np.repeat(counts["jet"], counts[name])
                index = np.floor(random.random(len(jets)) * (7 * jets / 6)).astype(np.int32)
                columns[one.index] = ak.unflatten(np.where(index < jets, index, -1), counts[name])
            file[TREE].extend(columns)


def _values(branch: str, number: int, random: np.random.Generator) -> np.ndarray:
    if branch.endswith("_pt"):
        return random.exponential(50, number)
    return random.uniform(-np.pi, np.pi, number)


def write_models(folder: Path) -> list[Path]:
    """Train a network for one epoch on few events; the configs."""
    for seed, name in enumerate(("signal", "background")):
        write_events(folder / f"{name}.root", 300, seed)
    members = {
        name: {"index": one.index, "sort": one.branches[0], "length": one.length, "relative": "leading"}
        for name, one in MEMBERS.items()
    }
    rows = {"objects": "jet", "selection": f"jet_pt > {LOWEST_PT} && abs(jet_eta) < {ETA}", "members": members}
    filters = {"clus": [64, 32, 32, 16], "track": [64, 32, 32, 16], "MSeg": [32, 16, 8]}
    inputs = {name: {"objects": list(one.branches), "length": one.length} for name, one in MEMBERS.items()}
    contents = {
        "dataset": {
            "base_path": str(folder), "tree_path": TREE, "event_branch": "event", "rows": rows,
            "output_path": str(folder), "output_filename": "data.root",
            "processes": {name: {"files": [f"{name}.root"]} for name in ("signal", "background")},
        },
        "training": {
            "datasets": [f"{folder}/fold{fold}_data.root" for fold in (0, 1)], "output_path": str(folder),
            "classes": ["signal", "background"], "inputs": {**inputs, "jet": ["jet_pt", "jet_eta", "jet_phi"]},
            "model": {
                "encoders": {
                    name: {"type": "recurrent", "filters": some, "units": some[-1]} for name, some in filters.items()
                },
                "hidden": [512, 64], "epochs": 1,
            },
        },
        "application": {"output_directory": str(folder / "friends"), "default_score": -1},
    }  # fmt: skip
    return trained_models(folder, contents)


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    ntuple = folder / "ntuples" / "events.root"
    write_events(ntuple, events, 2)
    configs = write_models(folder)
    bare, ours = "uproot, NumPy, ONNX Runtime", "keras_application_friend.py"
    script = PROJECT / "application" / "keras_application_friend.py"
    costs = median_costs(
        {
            bare: [sys.executable, PEER, ntuple, folder / "fold0_keras_model.onnx"],
            ours: [sys.executable, script, *configs, ntuple, TREE, "--overwrite"],
        },
        repetitions,
    )
    print(f"{events:,} events of {JETS:g} jets with clusters, tracks and segments; medians of {repetitions}")
    print(table(costs, bare))
    ratio = costs[ours].cpu / costs[bare].cpu
    print(f"friend / bare script: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=60_000, repetitions=3)
