#!/usr/bin/env python3
"""Cost of converting an ntuple to an HDF5 table of 12 jets, against a bare script with uproot, NumPy and h5py."""

from __future__ import annotations

import sys
from pathlib import Path

import awkward as ak
import numpy as np
import uproot
from support.measuring import median_costs, run_in_folder, table

SCRIPT = Path(__file__).resolve().parents[1] / "dataset" / "convert.py"
PEER = Path(__file__).parent / "support" / "bare_conversion.py"
TREE = "nominal"
LISTS = [f"jet_{name}" for name in ("pt", "eta", "phi", "e")]
SCALARS = ["eventNumber", "met_met", "met_phi"]
SLOTS = 12
#: What converting may cost at most, relative to the bare script, processor time.
LIMIT = 1.5
_MEAN, _CHUNK = 6, 100_000


def write_ntuple(path: Path, events: int) -> None:
    """Write events with a Poisson number of jets."""
    random = np.random.default_rng(1)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        types = dict.fromkeys(LISTS, "var * float32") | dict.fromkeys(SCALARS, "float32") | {SCALARS[0]: "int64"}
        file.mktree(TREE, types)
        for start in range(0, events, _CHUNK):
            number = min(_CHUNK, events - start)
            counts = random.poisson(_MEAN, number)
            columns = {
                name: ak.unflatten(random.exponential(50, counts.sum()).astype(np.float32), counts) for name in LISTS
            }
            columns |= {name: random.exponential(50, number).astype(np.float32) for name in SCALARS}
            file[TREE].extend({**columns, SCALARS[0]: np.arange(start, start + number)})


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    ntuple = folder / "ntuple.root"
    write_ntuple(ntuple, events)
    config = folder / "variables.yaml"
    config.write_text(f"features: [{', '.join([*LISTS, *SCALARS])}]\ncollections: {{jet: {{length: {SLOTS}}}}}\n")
    ordered = folder / "ordered.yaml"
    ordered.write_text(config.read_text().replace(f"length: {SLOTS}", f"length: {SLOTS}, sort: jet_e"))
    ours = [sys.executable, SCRIPT, ntuple, "-v", config, "-O", "-s"]
    bare = "bare uproot, NumPy and h5py"
    costs = median_costs(
        {
            bare: [sys.executable, PEER, ntuple, folder / "bare.h5"],
            "convert.py, HDF5": [*ours, folder / "ours.h5"],
            "convert.py, HDF5, ordered": [*ours, folder / "ordered.h5", "-v", ordered],
            "convert.py, Parquet": [*ours, folder / "ours.parquet"],
        },
        repetitions,
    )
    print(f"{events:,} events, {_MEAN} jets of {len(LISTS)} features, {SLOTS} slots, medians of {repetitions}")
    print(table(costs, bare))
    cost = costs["convert.py, HDF5"]
    print(f"{events / cost.wall:,.0f} events per second")
    ratio = cost.cpu / costs[bare].cpu
    print(f"convert.py / bare script: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=4_000_000, repetitions=3)
