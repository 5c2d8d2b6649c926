#!/usr/bin/env python3
"""Cost of scoring the jets of events by a deep set into a friend tree, against uproot, NumPy and ONNX Runtime alone."""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from support.measuring import median_costs, run_in_folder, table
from support.trained_models import trained_models

PROJECT = Path(__file__).resolve().parents[1]
#: The peer: the same columns read and padded and the same session run, nothing written.
PEER = Path(__file__).parent / "support" / "bare_deep_set.py"
BRANCHES = tuple(f"Jet_{name}" for name in ("pt", "eta", "phi", "btag"))
TREE, MEAN, SLOTS = "Events", 6, 12
#: What the friend may cost at most, relative to the bare script, processor time.
LIMIT = 1.5
_CHUNK = 100_000


def write_events(path: Path, events: int, mean: float, seed: int) -> None:
    """Write events with a Poisson number of jets."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree(TREE, {"event": "int64", **dict.fromkeys(BRANCHES, "var * float32")})
        for start in range(0, events, _CHUNK):
            number = min(_CHUNK, events - start)
            counts = random.poisson(mean, number)
            values = [random.exponential(50, counts.sum()).astype(np.float32) for _ in BRANCHES]
            lists = {name: ak.unflatten(one, counts) for name, one in zip(BRANCHES, values, strict=True)}
            file[TREE].extend({"event": np.arange(start, start + number), **lists})


def write_models(folder: Path) -> list[Path]:
    """Train a network for one epoch on few events; the configs."""
    for seed, name in enumerate(("signal", "background")):
        write_events(folder / f"{name}.root", 2_000, MEAN + 1 - 2 * seed, seed)
    jets = {"objects": list(BRANCHES), "length": SLOTS}
    contents = {
        "dataset": {
            "base_path": str(folder), "tree_path": TREE, "event_branch": "event",
            "output_path": str(folder), "output_filename": "data.root",
            "processes": {name: {"files": [f"{name}.root"]} for name in ("signal", "background")},
        },
        "training": {
            "datasets": [f"{folder}/fold{fold}_data.root" for fold in (0, 1)], "output_path": str(folder),
            "classes": ["signal", "background"], "inputs": {"jets": jets},
            "model": {
                "encoders": {"jets": {"type": "deep_set", "hidden": [100] * 3}}, "hidden": [100, 100], "epochs": 1,
            },
        },
        "application": {"output_directory": str(folder / "friends")},
    }  # fmt: skip
    return trained_models(folder, contents)


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    ntuple = folder / "ntuples" / "events.root"
    write_events(ntuple, events, MEAN, 2)
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
    print(f"deep set 3×100, mean and maximum, 2×100 on {MEAN} jets, {SLOTS} slots, {events:,} events; "
          f"medians of {repetitions}")  # fmt: skip
    print(table(costs, bare))
    ratio = costs[ours].cpu / costs[bare].cpu
    print(f"friend / bare script: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=3)
