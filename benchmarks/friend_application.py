#!/usr/bin/env python3
"""Cost of scoring an ntuple of 32 branches into a friend tree, against a bare script with uproot and ONNX Runtime."""

from __future__ import annotations

import sys
from pathlib import Path

from support.measuring import median_costs, run_in_folder, table
from support.scoring_setup import HIDDEN, TREE, write_configs, write_models, write_ntuple

SCRIPTS = Path(__file__).resolve().parents[1] / "application"
#: The peer: the same columns read and the same session run, nothing written.
PEER = Path(__file__).parent / "support" / "bare_scoring.py"
#: What the friend may cost at most, relative to the bare script.
LIMIT = 1.6


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    ntuple = folder / "ntuples" / "data" / "data.root"
    write_ntuple(ntuple, events)
    write_models(folder / "models")
    configs = write_configs(folder)
    bare = "bare uproot and ONNX Runtime"
    ours = "keras_application_friend.py"
    costs = median_costs(
        {
            bare: [
                sys.executable, PEER, ntuple,
                folder / "models" / "fold0_keras_model.onnx",
            ],
            ours: [sys.executable, SCRIPTS / "keras_application_friend.py", *configs, ntuple, TREE, "--overwrite"],
        },
        repetitions,
    )  # fmt: skip
    print(f"friend tree, {events:,} events, network 30-{'-'.join(map(str, HIDDEN))}-5, medians of {repetitions}")
    print(table(costs, bare))
    ratio = costs[ours].cpu / costs[bare].cpu
    print(f"friend / bare script: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=3)
