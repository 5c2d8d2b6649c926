#!/usr/bin/env python3
"""Cost of appending scores to an ntuple of 32 branches in place, against a bare script with uproot and ONNX Runtime."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from support.measuring import median_costs, run_in_folder, table
from support.scoring_setup import HIDDEN, TREE, write_configs, write_models, write_ntuple

SCRIPTS = Path(__file__).resolve().parents[1] / "application"
#: The peer: the same columns read and the same session run, nothing written.
PEER = Path(__file__).parent / "support" / "bare_scoring.py"
#: What appending may cost at most, relative to the bare script.
LIMIT = 5.0


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    pristine = folder / "pristine.root"
    ntuple = folder / "ntuples" / "data" / "data.root"
    ntuple.parent.mkdir(parents=True)
    write_ntuple(pristine, events)
    write_models(folder / "models")
    configs = write_configs(folder)
    bare = "bare uproot and ONNX Runtime"
    ours = "keras_application.py"
    again = "the same with --overwrite"
    command = [sys.executable, SCRIPTS / "keras_application.py", *configs, ntuple, TREE]

    def renew(name: str) -> None:
        if name == ours:
            shutil.copyfile(pristine, ntuple)

    costs = median_costs(
        {
            bare: [
                sys.executable, PEER, pristine,
                folder / "models" / "fold0_keras_model.onnx",
            ],
            ours: command,
            again: [*command, "--overwrite"],
        },
        repetitions,
        renew,
    )  # fmt: skip
    print(f"in place, {events:,} events, network 30-{'-'.join(map(str, HIDDEN))}-5, medians of {repetitions}")
    print(table(costs, bare))
    ratio = costs[ours].cpu / costs[bare].cpu
    print(f"in place / bare script: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=3)
